//! One attempt beside the proxy's mailbox, from the call to the report that its task recorded.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use protocol::{
    api::AgentLogLine,
    json,
    plan::Effect,
    task::{Failure, Outcome, TokenHash},
    time::Timestamp,
    wire::Trace,
};
use runtime::{
    redact::redact,
    trace::{self, Kind, Origin, Span},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Message, State, path_of_agent};
use crate::{
    adapter::{Adapter, Call, CallError},
    agent::{
        breaker::{CallEnd, Pass},
        token_hash,
    },
    cluster::Owner,
    config::ATTEMPT,
    host::{End, Hosted, Hosts, Post, Report},
    registry::Slot,
    task::{links::Errand, rules::timed_out},
};

/// How much longer than its time an adapter may take to end a call.
const GRACE: Duration = Duration::from_secs(5);

/// How long an adapter that was told to stop may take before it is dropped. Programs are killed long
/// before; only code that minds nothing takes so long.
const STUBBORN: Duration = Duration::from_millis(2500);

/// An attempt to be run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) call: Call,
    pub(crate) effect: Effect,
    pub(crate) slot: Slot,
    pub(crate) report: Report,
}

/// Starts an attempt; it goes on also when the proxy fails.
pub(super) fn start(state: &mut State, run: Run) {
    let (Some(post), Some(token)) = (state.hosted.post(), run.report.token().map(token_hash))
    else {
        // Dropped unused, it reports itself.
        return;
    };
    if post.adapter.is_none() {
        let error = Failure::new(
            "agent_config",
            "the agent's configuration makes no sense to this build",
        );
        let outcome = Outcome::Failed {
            error,
            retryable: false,
        };
        tokio::spawn(run.report.send("proxy", outcome.into(), None));
        return;
    }
    let cancel = CancellationToken::new();
    state.hosted.starts(token.clone(), cancel.clone());
    if state.hosts.is_given_up(&token) {
        // Whoever asked for it was told that it never will run.
        state.hosted.ends(&token);
        return;
    }
    let now = state.hosts.clock.now();
    // A breaker that opened since the slot was taken does not turn the attempt away any more.
    let pass = state.breaker.enter(now).unwrap_or(Pass::Ordinary);
    let attempt = Attempt {
        hosted: state.hosted.clone(),
        path: errand(&run.call).below(&path_of_agent(&post.order)),
        post,
        run,
        token,
        cancel,
        pass,
    };
    let span = tracing::info_span!(
        "attempt",
        task = %attempt.run.call.task,
        step = attempt.run.call.step,
        attempt = attempt.run.call.attempt,
        agent = attempt.post.order.spec.name,
        actor = attempt.path,
    );
    tokio::spawn(attempt.go(state.hosts.clone()).instrument(span));
}

fn errand(call: &Call) -> Errand {
    Errand {
        task: call.task,
        step: call.step.clone(),
        attempt: call.attempt,
    }
}

/// An attempt on its way.
struct Attempt {
    hosted: Arc<Hosted>,
    path: String,
    post: Arc<Post>,
    run: Run,
    token: TokenHash,
    cancel: CancellationToken,
    pass: Pass,
}

impl Attempt {
    async fn go(self, hosts: Hosts) {
        let Self {
            hosted,
            path,
            post,
            run,
            token,
            cancel,
            pass,
        } = self;
        let Run {
            mut call,
            effect,
            slot,
            report,
        } = run;
        let works_for = errand(&call).works_for(&path);
        let entry = hosts.tree.enter(path, ATTEMPT);
        entry.show_links(vec![works_for]);
        let own_limit = post.adapter.as_ref().and_then(|adapter| adapter.timeout());
        let limit = call.timeout.min(own_limit.unwrap_or(Duration::MAX));
        let what = format!("step {}, attempt {}", call.step, call.attempt);
        entry.works_on(what, hosts.config.supervision.patience(limit));
        let (asked, started) = (call.trace, hosts.clock.now());
        let laps = hosts.around.fence.laps();
        call.trace = asked.map(trace::below);
        let begun = AgentLogLine {
            at: started,
            cursor: String::new(),
            level: "info".to_owned(),
            event: "attempt_started".to_owned(),
            agent: post.order.spec.name.clone(),
            message: call.description.chars().take(200).collect(),
            node: Some(hosts.around.me.name.to_string()),
            task: Some(call.task),
            step: Some(call.step.clone()),
            attempt: Some(call.attempt),
            duration_ms: None,
            trace: call.trace.map(Trace::id),
        };
        hosted.diary().write(begun.clone());
        let result = match &post.adapter {
            // Whoever asked for it counts it as lost, and tries it elsewhere.
            Some(_) if hosts.is_fenced() => Err(CallError::retryable(
                "not_started",
                "its host's lease was over before it could begin",
            )),
            Some(adapter) => trace::traced(call.trace, answer(&**adapter, &call, &cancel)).await,
            None => Err(CallError::Cancelled),
        };
        let result = result.map_err(clean);
        let with_lease = hosts.is_fenced() || hosts.around.fence.laps() != laps;
        let lost_lease = with_lease && result.as_ref().is_err_and(is_ended);
        if lost_lease {
            entry.ends_because(&ended_with_lease());
        } else if result.as_ref().is_err_and(is_ended)
            && let Some(why) = hosted.why_stopped(&token)
        {
            entry.ends_because(&why);
        }
        drop(entry);
        if let Some(asked) = asked.filter(|asked| trace::records(*asked)) {
            let times = (started, hosts.clock.now());
            trace::record(tool_span(&hosts, (asked, times), &post, &call, &result));
        }
        match &result {
            Ok(_) => tracing::debug!("an attempt succeeded"),
            Err(CallError::Failed { failure, .. } | CallError::Lost { failure, .. }) => {
                let (code, error) = (&failure.code, &failure.message);
                tracing::info!(code, error, "an attempt failed");
            }
            Err(CallError::Cancelled) => tracing::info!("an attempt was stopped"),
            Err(CallError::Waits(wanted)) => {
                tracing::info!(
                    questions = wanted.len(),
                    "an attempt gave its step back to ask people"
                );
            }
        }
        hosted
            .diary()
            .write(after(begun, hosts.clock.now(), &result));
        // The slot is free as soon as nothing runs in it; the result may still be on its way.
        drop(slot);
        let (outcome, end) = match result {
            Err(_) if lost_lease => (lost_with_lease(), CallEnd::Stopped),
            result => outcome(effect, result),
        };
        // A proxy that is gone begins without history.
        let _ = hosted.proxy.cast(Message::Ended { pass, end });
        let figures = match hosts.owner(call.task) {
            Owner::There(_) => Some(hosted.figures()),
            Owner::Here | Owner::Nobody => None,
        };
        let usage = call.spent.get();
        let end = End { outcome, usage };
        report.send(&post.order.spec.name, end, figures).await;
        // Until here a task that comes back after a failure finds its attempt running.
        hosted.ends(&token);
    }
}

/// The error without secrets: it is recorded, told and shown.
fn clean(mut error: CallError) -> CallError {
    match &mut error {
        CallError::Failed { failure, .. } | CallError::Lost { failure, .. } => {
            failure.message = redact(&failure.message).into_owned();
        }
        CallError::Cancelled | CallError::Waits(_) => {}
    }
    error
}

/// The line of an attempt's end, from that of its beginning.
fn after(
    begun: AgentLogLine,
    now: Timestamp,
    result: &Result<serde_json::Value, CallError>,
) -> AgentLogLine {
    let (level, event, message) = match result {
        Ok(_) => ("info", "attempt_succeeded", String::new()),
        Err(CallError::Failed { failure, .. }) => {
            let said = format!("{}: {}", failure.code, failure.message);
            ("warn", "attempt_failed", said)
        }
        Err(CallError::Lost { failure, .. }) => {
            let said = format!("{}: {}", failure.code, failure.message);
            ("warn", "attempt_lost", said)
        }
        Err(CallError::Cancelled) => ("info", "attempt_cancelled", String::new()),
        Err(CallError::Waits(wanted)) => {
            let texts = wanted.iter().map(|it| &*it.asking.text);
            let asked = texts.collect::<Vec<_>>().join("; ");
            ("info", "attempt_asked", asked.chars().take(200).collect())
        }
    };
    let took = now.since(begun.at).as_millis();
    AgentLogLine {
        at: now,
        level: level.to_owned(),
        event: event.to_owned(),
        message,
        duration_ms: Some(u64::try_from(took).unwrap_or(u64::MAX)),
        ..begun
    }
}

/// The call of the tool alone, as the node that made it saw it.
fn tool_span(
    hosts: &Hosts,
    (asked, (started, ended)): (Trace, (Timestamp, Timestamp)),
    post: &Post,
    call: &Call,
    result: &Result<serde_json::Value, CallError>,
) -> Span {
    let spec = &post.order.spec;
    let mut attributes = vec![
        ("gen_ai.operation.name", "execute_tool".into()),
        ("gen_ai.tool.name", spec.name.clone().into()),
        ("gen_ai.tool.type", "extension".into()),
        (
            "gen_ai.tool.call.id",
            format!("{}/{}", call.idempotency_key, call.attempt).into(),
        ),
        ("troupe.task.id", call.task.to_string().into()),
        ("troupe.step", call.step.clone().into()),
        ("troupe.attempt", call.attempt.into()),
        ("troupe.agent.type", spec.agent_type.as_str().into()),
        ("troupe.node.id", hosts.me().to_string().into()),
    ];
    let error = match result {
        Ok(_) => None,
        Err(CallError::Failed { failure, .. } | CallError::Lost { failure, .. }) => {
            Some(failure.code.clone())
        }
        Err(CallError::Cancelled) => Some("cancelled".to_owned()),
        Err(CallError::Waits(_)) => None,
    };
    if let Some(code) = &error {
        attributes.push(("error.type", code.clone().into()));
    }
    Span {
        node: hosts.me(),
        at: call.trace.unwrap_or(asked),
        parent: Some(asked.span),
        origin: Origin::Elsewhere,
        name: format!("execute_tool {}", spec.name).into(),
        kind: Kind::Internal,
        started,
        ended,
        attributes,
        notes: Vec::new(),
        links: Vec::new(),
        error,
    }
}

async fn answer(
    adapter: &dyn Adapter,
    call: &Call,
    cancel: &CancellationToken,
) -> Result<serde_json::Value, CallError> {
    let calling = AssertUnwindSafe(adapter.call(call, cancel)).catch_unwind();
    let calling = tokio::time::timeout(call.timeout + GRACE, calling);
    let ignored = async {
        cancel.cancelled().await;
        tokio::time::sleep(STUBBORN).await;
    };
    let called = tokio::select! {
        biased;
        called = calling => called,
        // Dropped where it stands: nothing of it goes on, whatever it makes of being stopped.
        () = ignored => return Err(CallError::Cancelled),
    };
    match called {
        Ok(Ok(answer)) => answer.and_then(fit),
        Ok(Err(_)) => Err(CallError::Lost {
            failure: Failure::new("panic", "the adapter panicked"),
            may_have_happened: true,
        }),
        Err(_) => Err(CallError::Lost {
            failure: Failure::new("timeout", format!("no answer within {:?}", call.timeout)),
            may_have_happened: true,
        }),
    }
}

/// What can be kept, and read again: the way of the output of every agent, whatever it is.
fn fit(output: serde_json::Value) -> Result<serde_json::Value, CallError> {
    match json::check(&output) {
        Ok(()) => Ok(output),
        Err(why) => Err(CallError::fatal(
            "response_mapping",
            format!("the output cannot be taken: {why}"),
        )),
    }
}

/// Whether a call came to no end of its own.
fn is_ended(error: &CallError) -> bool {
    match error {
        CallError::Cancelled => true,
        CallError::Lost { failure, .. } => failure.code == "lease",
        CallError::Failed { .. } | CallError::Waits(_) => false,
    }
}

const LEASE_GONE: &str =
    "the lease of its node was not renewed in time, and all that ran there ended";

/// Why something ends with the lease of its node, as its past tells it.
pub(crate) fn ended_with_lease() -> String {
    format!("lease: {LEASE_GONE}")
}

/// Nobody stopped it, and it is no fault of the agent.
fn lost_with_lease() -> Outcome {
    Outcome::Lost {
        error: Failure::new("lease", LEASE_GONE),
    }
}

fn outcome(effect: Effect, result: Result<serde_json::Value, CallError>) -> (Outcome, CallEnd) {
    match result {
        Ok(output) => (Outcome::Succeeded { output }, CallEnd::Succeeded),
        Err(CallError::Failed { failure, retryable }) => (
            Outcome::Failed {
                error: failure,
                retryable,
            },
            CallEnd::Failed,
        ),
        Err(CallError::Lost {
            failure,
            may_have_happened: false,
        }) => (
            Outcome::Failed {
                error: failure,
                retryable: true,
            },
            CallEnd::Failed,
        ),
        Err(CallError::Lost {
            failure,
            may_have_happened: true,
        }) => (timed_out(effect, failure), CallEnd::Failed),
        Err(CallError::Cancelled) => (Outcome::Cancelled, CallEnd::Stopped),
        Err(CallError::Waits(questions)) => (Outcome::Waits { questions }, CallEnd::Stopped),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::adapter::tests::{Echo, call};

    /// Whatever an agent is, what it answers is bounded before anyone keeps it.
    #[tokio::test]
    async fn an_answer_that_could_not_be_read_again_is_a_failure() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let answer_of = async |input: Value| {
            let call = call(input);
            super::answer(&Echo, &call, &CancellationToken::new()).await
        };
        let good = nested(protocol::json::MAX_DEPTH);
        assert_eq!(answer_of(good.clone()).await, Ok(good));
        let reserved = json!({ "$serde_json::private::RawValue": "[5]" });
        for wrong in [nested(protocol::json::MAX_DEPTH + 1), reserved] {
            let Err(CallError::Failed { failure, retryable }) = answer_of(wrong).await else {
                panic!("it is taken");
            };
            assert_eq!(
                (failure.code.as_str(), retryable),
                ("response_mapping", false)
            );
        }
    }
}
