//! Handlers of what starts by itself: schedules, triggers and their webhooks.

use actors::trigger::Delivery;
use http::{HeaderMap, StatusCode};
use protocol::{
    api::{FiringState, PauseReason, ScheduleQuery},
    id::{ScheduleId, TriggerId},
};

use super::{
    answer::Answer,
    body,
    problem::Refused,
    request::Call,
    shared::Shared,
    table::{ScheduleOp, TriggerOp},
};

pub(super) async fn handle(
    operation: ScheduleOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let at = &shared.orchestrator;
    let caller = call.caller()?;
    let id = || schedule_id(call);
    match operation {
        ScheduleOp::Create => {
            let made = at.create_schedule(caller, body::parse(bytes)?).await?;
            let location = format!("/api/v1/schedules/{}", made.id);
            Ok(Answer::with_status(StatusCode::CREATED, &made)?.at(&location))
        }
        ScheduleOp::List => {
            let page = at
                .schedules(caller, query(call, &["active", "paused", "finished"])?)
                .await;
            Answer::json(&page.map_err(|wrong| Refused::from(wrong).in_query())?)
        }
        ScheduleOp::Get => Answer::json(&at.schedule(caller, id()?).await?),
        ScheduleOp::Change => {
            let changed = at.change_schedule(caller, id()?, body::parse(bytes)?);
            Answer::json(&changed.await?)
        }
        ScheduleOp::Delete => {
            at.delete_schedule(caller, id()?).await?;
            Ok(Answer::nothing())
        }
        ScheduleOp::Pause => {
            let PauseReason { reason } = body::parse_or_default(bytes)?;
            Answer::json(&at.pause_schedule(caller, id()?, reason).await?)
        }
        ScheduleOp::Resume => Answer::json(&at.resume_schedule(caller, id()?).await?),
        ScheduleOp::Fire => {
            let (view, run) = at.fire_schedule(caller, id()?).await?;
            let firing = protocol::api::FiringView {
                slot: None,
                occasion: None,
                cause: Some(protocol::schedule::Cause::Request),
                at: view.last_at.unwrap_or(view.created_at),
                state: FiringState::Starting,
                run,
                outcome: None,
                tries: 0,
                error: None,
                retry_at: None,
                count: None,
                why: None,
            };
            Answer::with_status(StatusCode::ACCEPTED, &firing)
        }
        ScheduleOp::Runs => Answer::json(&at.schedule_runs(caller, id()?).await?),
    }
}

pub(super) async fn handle_trigger(
    operation: TriggerOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let at = &shared.orchestrator;
    if operation == TriggerOp::Hook {
        return hook(shared, call, bytes).await;
    }
    let caller = call.caller()?;
    let id = || trigger_id(call);
    match operation {
        TriggerOp::Create => {
            let made = at.create_trigger(caller, body::parse(bytes)?).await?;
            let location = format!("/api/v1/triggers/{}", made.id);
            Ok(Answer::with_status(StatusCode::CREATED, &made)?.at(&location))
        }
        TriggerOp::List => {
            let page = at
                .triggers(caller, query(call, &["active", "paused"])?)
                .await;
            Answer::json(&page.map_err(|wrong| Refused::from(wrong).in_query())?)
        }
        TriggerOp::Get => Answer::json(&at.trigger(caller, id()?).await?),
        TriggerOp::Change => {
            let changed = at.change_trigger(caller, id()?, body::parse(bytes)?);
            Answer::json(&changed.await?)
        }
        TriggerOp::Delete => {
            at.delete_trigger(caller, id()?).await?;
            Ok(Answer::nothing())
        }
        TriggerOp::Pause => {
            let PauseReason { reason } = body::parse_or_default(bytes)?;
            Answer::json(&at.pause_trigger(caller, id()?, reason).await?)
        }
        TriggerOp::Resume => Answer::json(&at.resume_trigger(caller, id()?).await?),
        TriggerOp::Runs => Answer::json(&at.trigger_runs(caller, id()?).await?),
        TriggerOp::Hook => hook(shared, call, bytes).await,
    }
}

/// Whatever is wrong with who sends it is answered alike.
async fn hook(shared: &Shared, call: &Call, bytes: &[u8]) -> Result<Answer, Refused> {
    let unsigned = || {
        Refused::new(
            StatusCode::UNAUTHORIZED,
            "unsigned",
            "the delivery is not signed as this webhook asks for, or too old; sign it with the trigger's secret",
        )
    };
    let id = trigger_id(call).map_err(|_| unsigned())?;
    let body = std::str::from_utf8(bytes).map_err(|_| unsigned())?;
    let delivery = Delivery {
        headers: headers(&call.headers),
        body: body.to_owned(),
    };
    let taken = shared.orchestrator.deliver_hook(id, delivery).await?;
    let taken = taken.ok_or_else(unsigned)?;
    Answer::with_status(StatusCode::ACCEPTED, &taken)
}

/// What a signature or a template may need, and nothing that could be a credential.
fn headers(given: &HeaderMap) -> Vec<(String, String)> {
    let told = |name: &str| {
        name.starts_with("webhook-")
            || name.starts_with("x-github-")
            || matches!(name, "x-hub-signature-256" | "user-agent" | "content-type")
    };
    given
        .iter()
        .filter(|(name, _)| told(name.as_str()))
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect()
}

fn query(call: &Call, known: &[&str]) -> Result<ScheduleQuery, Refused> {
    let query = &call.query;
    Ok(ScheduleQuery {
        status: query.one_of("status", known)?,
        limit: query.limit()?,
        cursor: query.text("cursor").map(str::to_owned),
    })
}

/// What is no id is the id of nothing.
fn schedule_id(call: &Call) -> Result<ScheduleId, Refused> {
    let id = call.part(0)?.parse();
    id.map_err(|_| Refused::not_found("this schedule"))
}

fn trigger_id(call: &Call) -> Result<TriggerId, Refused> {
    let id = call.part(0)?.parse();
    id.map_err(|_| Refused::not_found("this trigger"))
}
