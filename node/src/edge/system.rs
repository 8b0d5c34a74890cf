//! Handlers of the node itself: health, metrics, store, the document.

use actors::orchestrator::Duty;
use http::StatusCode;
use protocol::api::{HealthView, LogRequest};

use super::{
    Readiness, answer::Answer, body, dispatch::fenced, openapi, problem::Refused, request::Call,
    scrape::MEDIA, shared::Shared, table::SystemOp,
};

pub(super) async fn handle(
    operation: SystemOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let orchestrator = &shared.orchestrator;
    match operation {
        SystemOp::Health => health(shared, call).await,
        SystemOp::Live => Answer::json(&view(shared, "ok")),
        SystemOp::Ready => match shared.readiness() {
            Readiness::Ready => match orchestrator.duty() {
                Duty::Serving => Answer::json(&view(shared, "ok")),
                Duty::Draining => Err(Refused::unavailable("draining", "the node is drained")),
                Duty::Fenced(why) => Err(fenced(why)),
            },
            Readiness::Starting => Err(Refused::unavailable("starting", "the node starts")),
            Readiness::Draining => Err(Refused::unavailable("draining", "the node stops")),
        },
        SystemOp::Metrics => {
            let text = (shared.metrics)();
            Ok(Answer::text(StatusCode::OK, MEDIA, text))
        }
        SystemOp::Node => Answer::json(&orchestrator.node()),
        SystemOp::Log => log(shared, call, None).await,
        SystemOp::SetLog => {
            let LogRequest { level } = body::parse(bytes)?;
            log(shared, call, Some(level)).await
        }
        SystemOp::Store => Answer::json(&orchestrator.store(call.caller()?).await?),
        // It is answered before it gets here.
        SystemOp::Mcp => Err(Refused::bug()),
        SystemOp::OpenApi => Ok(Answer::text(
            StatusCode::OK,
            "application/json",
            openapi::text(),
        )),
    }
}

/// How much a node logs, after it was told.
async fn log(shared: &Shared, call: &Call, level: Option<String>) -> Result<Answer, Refused> {
    let (caller, node) = (call.caller()?, call.query.node()?);
    let view = shared.orchestrator.log_level(caller, node, level).await?;
    Answer::json(&view)
}

/// Strangers learn whether the node is well; callers with a token also learn what is not.
async fn health(shared: &Shared, call: &Call) -> Result<Answer, Refused> {
    let checks = shared.health.checks(&shared.orchestrator).await;
    let status = match (shared.readiness(), shared.orchestrator.duty()) {
        (Readiness::Draining, _) | (Readiness::Ready, Duty::Draining) => "draining",
        (Readiness::Starting, _) | (Readiness::Ready, Duty::Fenced(_)) => "degraded",
        (Readiness::Ready, Duty::Serving) if checks.iter().all(|check| check.ok) => "ok",
        (Readiness::Ready, Duty::Serving) => "degraded",
    };
    let mut view = view(shared, status);
    if call.caller.is_some() {
        view.checks = checks;
    }
    Answer::json(&view)
}

fn view(shared: &Shared, status: &str) -> HealthView {
    HealthView {
        status: status.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: shared.node.clone(),
        checks: Vec::new(),
    }
}
