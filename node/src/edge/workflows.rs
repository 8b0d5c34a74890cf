//! Handlers of workflows and of their runs.

use std::sync::LazyLock;

use actors::orchestrator::Drawing;
use http::StatusCode;
use hyper::body::Bytes;
use protocol::{
    api::{
        CancelRequest, ExecuteRequest, ExecutionQuery, Page, PauseRequest, WorkflowDraft,
        WorkflowQuery,
    },
    id::TaskId,
};
use sha2::{Digest, Sha256};

use super::{
    answer::Answer, body, live, problem::Refused, request::Call, shared::Shared, table::WorkflowOp,
};

/// The schema of definitions, as it is served.
static SCHEMA: LazyLock<Bytes> = LazyLock::new(|| protocol::workflow::schema().to_string().into());

pub(super) async fn handle(
    operation: WorkflowOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let orchestrator = &shared.orchestrator;
    let caller = call.caller()?;
    let in_query = |rejection| Refused::from(rejection).in_query();
    match operation {
        WorkflowOp::Create => {
            let draft = body::parse_draft::<WorkflowDraft>(bytes)?;
            let made = orchestrator.create_workflow(caller, draft).await?;
            let location = format!("/api/v1/workflows/{}", made.id);
            Ok(Answer::with_status(StatusCode::CREATED, &made)?.at(&location))
        }
        WorkflowOp::List => {
            let query = WorkflowQuery {
                status: call.query.word("status")?,
                q: call.query.text("q").map(str::to_owned),
                limit: call.query.limit()?,
                cursor: call.query.text("cursor").map(str::to_owned),
            };
            let page = orchestrator.workflows(caller, &query).await;
            Answer::json(&page.map_err(in_query)?)
        }
        WorkflowOp::Schema => Ok(Answer::text(
            StatusCode::OK,
            "application/schema+json",
            SCHEMA.clone(),
        )),
        WorkflowOp::Get => {
            let version = call.query.get("version")?;
            let found = orchestrator.workflow(caller, call.part(0)?, version).await;
            Answer::json(&found.map_err(in_query)?)
        }
        WorkflowOp::Update => {
            let draft = body::parse_draft(bytes)?;
            let change = orchestrator.update_workflow(caller, call.part(0)?, draft);
            Answer::json(&change.await?)
        }
        WorkflowOp::Delete => {
            orchestrator.delete_workflow(caller, call.part(0)?).await?;
            Ok(Answer::nothing())
        }
        WorkflowOp::Versions => {
            let items = orchestrator
                .workflow_versions(caller, call.part(0)?)
                .await?;
            Answer::json(&Page {
                total: Some(items.len() as u64),
                items,
                next_cursor: None,
            })
        }
        WorkflowOp::Execute => execute(shared, call, bytes).await,
        WorkflowOp::Executions => {
            let workflow = call.part(0)?.to_owned();
            let query = runs(call, Some(workflow))?;
            let page = orchestrator.executions(caller, &query).await;
            Answer::json(&page.map_err(in_query)?)
        }
        WorkflowOp::Execution => {
            let (workflow, run) = (call.part(0)?, run_id(call, 1)?);
            let run = orchestrator.execution(caller, run).await?;
            if run.workflow_id.to_string() != workflow && run.name != workflow {
                return Err(Refused::not_found("this run of this workflow"));
            }
            Answer::json(&run)
        }
        WorkflowOp::Pause => {
            let PauseRequest { reason, mode } = body::parse_or_default(bytes)?;
            let paused = orchestrator.pause_workflow(caller, call.part(0)?, reason, mode);
            Answer::json(&paused.await?)
        }
        WorkflowOp::Resume => {
            let resumed = orchestrator.resume_workflow(caller, call.part(0)?).await?;
            Answer::json(&resumed)
        }
        WorkflowOp::ListRuns => {
            let workflow = call.query.text("workflow").map(str::to_owned);
            let page = orchestrator
                .executions(caller, &runs(call, workflow)?)
                .await;
            Answer::json(&page.map_err(in_query)?)
        }
        WorkflowOp::GetRun => {
            let run = orchestrator.execution(caller, run_id(call, 0)?).await?;
            Answer::json(&run)
        }
        WorkflowOp::PauseRun => {
            let PauseRequest { reason, mode } = body::parse_or_default(bytes)?;
            let run = run_id(call, 0)?;
            let paused = orchestrator.pause_execution(caller, run, reason, mode);
            Answer::json(&paused.await?)
        }
        WorkflowOp::ResumeRun => {
            let resumed = orchestrator.resume_execution(caller, run_id(call, 0)?);
            Answer::json(&resumed.await?)
        }
        WorkflowOp::CancelRun => {
            let CancelRequest { reason } = body::parse_or_default(bytes)?;
            let (run, wait) = (run_id(call, 0)?, call.wait()?);
            let cancelled = orchestrator.cancel_execution(caller, run, reason, wait);
            Answer::with_status(StatusCode::ACCEPTED, &cancelled.await?)
        }
        WorkflowOp::TerminateRun => {
            let CancelRequest { reason } = body::parse_or_default(bytes)?;
            let (run, wait) = (run_id(call, 0)?, call.wait()?);
            let ended = orchestrator.terminate_execution(caller, run, reason, wait);
            Answer::with_status(StatusCode::ACCEPTED, &ended.await?)
        }
        WorkflowOp::Context => {
            let context = orchestrator.context(caller, run_id(call, 0)?).await?;
            Answer::json(&context)
        }
        WorkflowOp::WriteContext => {
            let (run, patch) = (run_id(call, 0)?, body::parse(bytes)?);
            Answer::json(&orchestrator.write_context(caller, run, patch).await?)
        }
        WorkflowOp::Value => {
            let (run, value) = (run_id(call, 0)?, call.part(1)?.to_owned());
            Answer::json(&orchestrator.execution_value(caller, run, value).await?)
        }
        WorkflowOp::Fork => {
            let (run, request) = (run_id(call, 0)?, body::parse(bytes)?);
            let forked = orchestrator.fork_execution(caller, run, request).await?;
            let location = format!("/api/v1/executions/{}", forked.run.id);
            Ok(Answer::with_status(StatusCode::CREATED, &forked.run)?.at(&location))
        }
        WorkflowOp::Replay => {
            if call.query.get("dry")? == Some(false) {
                let remedy = "a replay never does anything; `fork` does it anew";
                return Err(Refused::bad("dry", remedy));
            }
            let (run, request) = (run_id(call, 0)?, body::parse_draft_or_default(bytes)?);
            Answer::json(&orchestrator.replay_execution(caller, run, request).await?)
        }
        WorkflowOp::Check => {
            let (workflow, request) = (
                call.part(0)?.to_owned(),
                body::parse_draft_or_default(bytes)?,
            );
            Answer::json(
                &orchestrator
                    .check_workflow(caller, workflow, request)
                    .await?,
            )
        }
        WorkflowOp::Draw => {
            let format = call.query.word::<Drawing>("format")?.unwrap_or_default();
            let run = run_id(call, 0)?;
            let picture = orchestrator.draw_execution(caller, run, format).await?;
            Ok(Answer::text(
                StatusCode::OK,
                "text/plain; charset=utf-8",
                picture,
            ))
        }
        WorkflowOp::Events => live::run_events(shared, call, run_id(call, 0)?).await,
    }
}

async fn execute(shared: &Shared, call: &Call, bytes: &[u8]) -> Result<Answer, Refused> {
    let key = call
        .idempotency_key()?
        .map(|key| (key.to_owned(), Sha256::digest(bytes).into()));
    let request = body::parse_or_default::<ExecuteRequest>(bytes)?;
    let (caller, workflow, wait) = (call.caller()?, call.part(0)?, call.wait()?);
    let orchestrator = &shared.orchestrator;
    let begun = orchestrator.execute_workflow(caller, workflow, request, key, wait);
    let begun = begun.await?;
    // As with tasks, 200 says that nothing was begun by this request.
    let answer = match wait {
        None if begun.fresh => Answer::with_status(StatusCode::ACCEPTED, &begun.run)?,
        None | Some(_) => Answer::json(&orchestrator.execution(caller, begun.run.id).await?)?,
    };
    let answer = answer.at(&format!("/api/v1/executions/{}", begun.run.id));
    Ok(if begun.fresh { answer } else { answer.again() })
}

/// What is no id is the id of nothing.
fn run_id(call: &Call, part: usize) -> Result<TaskId, Refused> {
    call.part(part)?
        .parse()
        .map_err(|_| Refused::not_found("this run"))
}

fn runs(call: &Call, workflow: Option<String>) -> Result<ExecutionQuery, Refused> {
    let query = &call.query;
    Ok(ExecutionQuery {
        workflow,
        status: query.word("status")?,
        user_id: query.text("user_id").map(str::to_owned),
        limit: query.limit()?,
        cursor: query.text("cursor").map(str::to_owned),
    })
}
