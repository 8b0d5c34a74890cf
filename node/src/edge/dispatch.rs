//! From an admitted request to its answer: body, idempotency key, time limit, handler.

use std::{sync::Arc, time::Duration};

use actors::orchestrator::Duty;
use futures_util::Stream;
use http::StatusCode;
use runtime::trace::{current_trace, traced};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use warp::{Buf, Filter, reply::Response};

use super::{
    agents,
    answer::Answer,
    body, cluster, events, holds,
    listener::Stay,
    mcp,
    problem::Refused,
    push::Upgrade,
    questions,
    replay::Begun,
    request::Call,
    schedules,
    shared::Shared,
    system,
    table::{Body, EventOp, Operation, SMALL, SystemOp, TaskOp, TriggerOp, Verb, WorkflowOp},
    tasks, templates, tree, workflows,
};

/// The filter behind the gate. One filter, not one a route: the table has matched the path already,
/// and a chain of sixty `or`s costs more than the rest of the request.
pub(crate) fn filter(
    shared: Arc<Shared>,
) -> impl Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone {
    warp::any()
        .map(move || shared.clone())
        .and(warp::ext::get::<Arc<Call>>())
        .and(upgrade())
        .and(warp::body::stream())
        .then(
            async |shared: Arc<Shared>, call: Arc<Call>, upgrade, body| match run(
                shared,
                call.clone(),
                upgrade,
                body,
            )
            .await
            {
                Ok(answer) => answer.respond(),
                Err(refused) => refused.respond(call.id.as_str()),
            },
        )
        .recover(async |rejection: warp::Rejection| {
            // Only a request that came round the gate can get here.
            tracing::error!(?rejection, "a request was not admitted");
            Ok::<_, std::convert::Infallible>(Refused::bug().respond(""))
        })
        .unify()
}

/// What makes a WebSocket of a request that asks for one where there is one; the gate takes from all
/// others what would tell.
fn upgrade() -> impl Filter<Extract = (Option<Upgrade>,), Error = std::convert::Infallible> + Clone
{
    let stay = warp::ext::optional::<Stay>();
    let asked = warp::ws()
        .and(stay)
        .map(|ws, stay: Option<Stay>| Some(Upgrade::new(ws, stay.map(|Stay(stay)| stay))));
    asked.or(warp::any().map(|| None)).unify()
}

async fn run<B: Buf>(
    shared: Arc<Shared>,
    call: Arc<Call>,
    upgrade: Option<Upgrade>,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Answer, Refused> {
    let speaks_mcp = call.route.operation == Operation::System(SystemOp::Mcp);
    // What reads goes on; what a tool does is looked at when it is called.
    if !speaks_mcp {
        may_act(&shared, &call)?;
    }
    let bytes = match call.route.body {
        Body::None if call.route.mutates() => {
            let bytes = body::read(&call.headers, body, SMALL, shared.body_timeout).await?;
            body::is_empty(&bytes)?;
            Vec::new()
        }
        Body::None => Vec::new(),
        Body::Required(_, limit) => {
            body::is_json(&call.headers)?;
            body::read(&call.headers, body, limit, shared.body_timeout).await?
        }
        Body::Optional(_, limit) => {
            let bytes = body::read(&call.headers, body, limit, shared.body_timeout).await?;
            if !bytes.is_empty() {
                body::is_json(&call.headers)?;
            }
            bytes
        }
    };
    if let (Operation::Event(EventOp::Socket | EventOp::Client), Some(upgrade)) =
        (call.route.operation, upgrade)
    {
        return events::socket(upgrade, &shared, &call).await;
    }
    if speaks_mcp {
        return mcp::answer(&shared, &call, bytes).await;
    }
    perform(shared, call, bytes).await
}

/// Refuses what would change something on a node that may act no more.
fn may_act(shared: &Shared, call: &Call) -> Result<(), Refused> {
    match shared.orchestrator.duty() {
        Duty::Fenced(why) if call.route.mutates() => Err(fenced(why)),
        Duty::Fenced(_) | Duty::Serving | Duty::Draining => Ok(()),
    }
}

/// Does what an admitted request asks for, within its time.
pub(crate) async fn perform(
    shared: Arc<Shared>,
    call: Arc<Call>,
    bytes: Vec<u8>,
) -> Result<Answer, Refused> {
    may_act(&shared, &call)?;
    let patience = shared.request_timeout + call.wait()?.unwrap_or_default();
    if !call.route.mutates() {
        return timeout(patience, handle(&shared, &call, &bytes))
            .await
            .unwrap_or_else(|_| Err(late()));
    }
    let work = async move { once(&shared, &call, &bytes).await };
    to_the_end(work, patience).await
}

/// What may act no more must not promise anything either.
pub(crate) fn fenced(why: String) -> Refused {
    Refused::unavailable_for("fenced", why, Duration::from_secs(2))
}

/// Waits for a command, but not for ever. A client that goes away drops this future; the command
/// goes on, since what it asks for must not stop half way.
async fn to_the_end(
    command: impl Future<Output = Result<Answer, Refused>> + Send + 'static,
    patience: Duration,
) -> Result<Answer, Refused> {
    let command = traced(current_trace(), command).in_current_span();
    match timeout(patience, tokio::spawn(command)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(%error, "a handler panicked");
            Err(Refused::bug())
        }
        Err(_) => Err(late()),
    }
}

fn late() -> Refused {
    Refused::unavailable(
        "timeout",
        "the node did not answer in time; it is not known whether the request took effect: send it again with the same `Idempotency-Key`",
    )
}

/// Does a command, once for each idempotency key.
async fn once(shared: &Shared, call: &Call, bytes: &[u8]) -> Result<Answer, Refused> {
    let key = match call.route.method {
        // The orchestrator keeps these itself, in the store; a webhook has an id of its own.
        Verb::Post if !keeps_keys(call.route.operation) => call.idempotency_key()?,
        Verb::Post | Verb::Get | Verb::Put | Verb::Delete => None,
    };
    let Some(key) = key else {
        return handle(shared, call, bytes).await;
    };
    let slot = slot(call, key)?;
    match shared
        .replays
        .begin(slot, Sha256::digest(bytes).into(), Instant::now())
    {
        Begun::Fresh(ticket) => {
            let answer = handle(shared, call, bytes).await?;
            if let Answer::Whole(whole) = &answer {
                ticket.finish(whole.clone(), Instant::now());
            }
            Ok(answer)
        }
        Begun::Answered(whole) => Ok(Answer::Whole(whole).again()),
        Begun::Running => Err(Refused::new(
            StatusCode::CONFLICT,
            "idempotency_in_progress",
            "a request with this `Idempotency-Key` is being done",
        )
        .retry(Duration::from_secs(1))),
        Begun::Mismatch => Err(Refused::wrong(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_mismatch",
            "Idempotency-Key",
            "came with another body before; use a new key for a new request",
        )),
    }
}

/// Whether a repeat under the same key is recognised by what was made the first time.
fn keeps_keys(operation: Operation) -> bool {
    operation == Operation::Task(TaskOp::Submit)
        || operation == Operation::Workflow(WorkflowOp::Execute)
        || operation == Operation::Trigger(TriggerOp::Hook)
}

fn slot(call: &Call, key: &str) -> Result<[u8; 32], Refused> {
    let caller = call.caller()?;
    let mut hash = Sha256::new();
    for part in [&caller.tenant, &caller.user, call.route.id]
        .into_iter()
        .chain(call.parts.iter().map(String::as_str))
    {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.update(key);
    Ok(hash.finalize().into())
}

async fn handle(shared: &Shared, call: &Call, bytes: &[u8]) -> Result<Answer, Refused> {
    match call.route.operation {
        Operation::System(operation) => system::handle(operation, shared, call, bytes).await,
        Operation::Agent(operation) => agents::handle(operation, shared, call, bytes).await,
        Operation::Task(operation) => tasks::handle(operation, shared, call, bytes).await,
        Operation::Cluster(operation) => cluster::handle(operation, shared, call, bytes).await,
        Operation::Hold(operation) => holds::handle(operation, shared, call, bytes).await,
        Operation::Question(operation) => questions::handle(operation, shared, call, bytes).await,
        Operation::Tree(operation) => tree::handle(operation, shared, call, bytes).await,
        Operation::Workflow(operation) => workflows::handle(operation, shared, call, bytes).await,
        Operation::Event(operation) => events::handle(operation, shared, call).await,
        Operation::Schedule(operation) => schedules::handle(operation, shared, call, bytes).await,
        Operation::Trigger(operation) => {
            schedules::handle_trigger(operation, shared, call, bytes).await
        }
        Operation::Template(operation) => templates::handle(operation, shared, call, bytes).await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_command_ends_although_its_client_is_gone() {
        let (go, gone) = oneshot::channel();
        let (done, end) = oneshot::channel();
        let command = async move {
            gone.await.unwrap();
            done.send(()).unwrap();
            Ok(Answer::nothing())
        };
        let mut request = Box::pin(to_the_end(command, PATIENCE));
        assert!((&mut request).now_or_never().is_none());
        drop(request);
        go.send(()).unwrap();
        end.await.unwrap();
    }

    #[tokio::test]
    async fn a_command_that_panics_is_a_defect_of_the_node() {
        let outcome = to_the_end(async { panic!("on purpose") }, PATIENCE).await;
        assert_eq!(
            outcome.err().map(|refused| refused.status.as_u16()),
            Some(500)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_takes_too_long_has_an_unknown_outcome() {
        let outcome = to_the_end(std::future::pending(), PATIENCE).await;
        assert_eq!(outcome.err().map(|refused| refused.code()), Some("timeout"));
    }
}
