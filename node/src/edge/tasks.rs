//! Handlers of tasks.

use actors::orchestrator::Cancel;
use http::StatusCode;
use protocol::{
    api::{CancelRequest, PauseRequest, TaskQuery},
    id::TaskId,
    task::TaskSpec,
    template::TemplateUse,
};
use serde::{Deserialize, de::IgnoredAny};
use sha2::{Digest, Sha256};

use super::{
    answer::Answer, artifact, body, live, problem::Refused, request::Call, shared::Shared,
    table::TaskOp,
};

pub(super) async fn handle(
    operation: TaskOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let orchestrator = &shared.orchestrator;
    let caller = call.caller()?;
    let id = || task_id(call);
    match operation {
        TaskOp::Submit => submit(shared, call, bytes).await,
        TaskOp::List => {
            let page = orchestrator.tasks(caller, &query(call)?).await;
            Answer::json(&page.map_err(|wrong| Refused::from(wrong).in_query())?)
        }
        TaskOp::Get => get(shared, call).await,
        TaskOp::Amend => Answer::json(
            &orchestrator
                .amend_task(caller, id()?, body::parse(bytes)?)
                .await?,
        ),
        TaskOp::Delete => {
            let cancel = match call.query.get("cancel")? {
                Some(true) => Cancel::First,
                Some(false) | None => Cancel::Never,
            };
            orchestrator.delete_task(caller, id()?, cancel).await?;
            Ok(Answer::nothing())
        }
        TaskOp::Cancel => {
            let CancelRequest { reason } = body::parse_or_default(bytes)?;
            let wait = call.wait()?;
            let view = orchestrator.end_task(caller, id()?, reason, wait).await?;
            Answer::with_status(StatusCode::ACCEPTED, &view)
        }
        TaskOp::Pause => {
            let PauseRequest { reason, mode } = body::parse_or_default(bytes)?;
            let paused = orchestrator.pause_task(caller, id()?, reason, mode).await?;
            Answer::json(&paused)
        }
        TaskOp::Resume => Answer::json(&orchestrator.resume_task(caller, id()?).await?),
        TaskOp::Assign => Answer::json(
            &orchestrator
                .assign_task(caller, id()?, body::parse(bytes)?)
                .await?,
        ),
        TaskOp::Checkpoint => Answer::json(&orchestrator.checkpoint_task(caller, id()?).await?),
        TaskOp::Result => Answer::json(&orchestrator.task_result(caller, id()?).await?),
        TaskOp::Events => live::task_events(shared, call, id()?).await,
        TaskOp::Allocation => Answer::json(&orchestrator.allocation(caller, id()?).await?),
        TaskOp::Attempts => Answer::json(&orchestrator.attempts(caller, id()?).await?),
        TaskOp::Why => Answer::json(&orchestrator.why(caller, id()?).await?),
        TaskOp::Tree => Answer::json(&orchestrator.task_tree(caller, id()?).await?),
        TaskOp::Artifact => {
            // Whoever may not see the task may not see what it left.
            artifact::serve(shared, caller, id()?, &call.parts).await
        }
    }
}

async fn submit(shared: &Shared, call: &Call, bytes: &[u8]) -> Result<Answer, Refused> {
    let key = call
        .idempotency_key()?
        .map(|key| (key.to_owned(), Sha256::digest(bytes).into()));
    let (at, caller, wait) = (&shared.orchestrator, call.caller()?, call.wait()?);
    let made = if is_of_a_template(bytes) {
        let asked = body::parse::<TemplateUse>(bytes)?;
        at.submit_template(caller, asked, key, wait).await?
    } else {
        let spec = body::parse::<TaskSpec>(bytes)?;
        at.submit(caller, spec, key, wait).await?
    };
    if made.fresh {
        let location = format!("/api/v1/tasks/{}", made.task.id);
        Ok(Answer::with_status(StatusCode::CREATED, &made.task)?.at(&location))
    } else {
        Ok(Answer::json(&made.task)?.again())
    }
}

/// Whether a body names a template. Most do not hold the word at all.
fn is_of_a_template(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Named {
        template: Option<IgnoredAny>,
    }
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains("\"template\""))
        && serde_json::from_slice::<Named>(bytes).is_ok_and(|named| named.template.is_some())
}

async fn get(shared: &Shared, call: &Call) -> Result<Answer, Refused> {
    let (caller, id) = (call.caller()?, task_id(call)?);
    // One task is always asked itself, so both words mean the same here.
    call.consistency()?;
    let view = match call.wait()? {
        Some(wait) => shared.orchestrator.await_task(caller, id, wait).await?,
        None => shared.orchestrator.task(caller, id).await?,
    };
    Answer::json(&view)
}

/// What is no id is the id of nothing.
fn task_id(call: &Call) -> Result<TaskId, Refused> {
    call.part(0)?
        .parse()
        .map_err(|_| Refused::not_found("this task"))
}

fn query(call: &Call) -> Result<TaskQuery, Refused> {
    let query = &call.query;
    Ok(TaskQuery {
        status: query.word("status")?,
        user_id: query.text("user_id").map(str::to_owned),
        parent_id: query.get("parent_id")?,
        q: query.text("q").map(str::to_owned),
        limit: query.limit()?,
        cursor: query.text("cursor").map(str::to_owned),
        consistency: call.consistency()?,
    })
}
