//! Handlers that stop, pause and resume scopes, and hold dependencies.

use protocol::api::{HoldRequest, ScopeRequest, ScopeTurn};

use super::{answer::Answer, body, problem::Refused, request::Call, shared::Shared, table::HoldOp};

pub(super) async fn handle(
    operation: HoldOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let orchestrator = &shared.orchestrator;
    let caller = call.caller()?;
    match operation {
        HoldOp::Stop => {
            let ScopeTurn { scope, reason } = body::parse(bytes)?;
            Answer::json(&orchestrator.stop_scope(caller, scope, reason).await?)
        }
        HoldOp::Pause => {
            let ScopeRequest {
                scope,
                reason,
                mode,
            } = body::parse(bytes)?;
            let paused = orchestrator
                .pause_scope(caller, scope, reason, mode)
                .await?;
            Answer::json(&paused)
        }
        HoldOp::Resume => {
            let ScopeTurn { scope, .. } = body::parse(bytes)?;
            Answer::json(&orchestrator.resume_scope(caller, scope).await?)
        }
        HoldOp::List => Answer::json(&orchestrator.holds(caller).await?),
        HoldOp::Place => {
            let HoldRequest {
                target,
                reason,
                ahead,
            } = body::parse(bytes)?;
            let held = match ahead {
                true => orchestrator.hold_ahead(caller, target, reason).await?,
                false => orchestrator.hold(caller, target, reason).await?,
            };
            Answer::json(&held)
        }
        HoldOp::Lift => {
            let id = call.part(0)?.parse();
            let id = id.map_err(|_| Refused::not_found("this hold"))?;
            Answer::json(&orchestrator.lift(caller, id).await?)
        }
    }
}
