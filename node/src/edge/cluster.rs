//! Handlers of nodes and of the tokens with which others join.

use http::StatusCode;
use protocol::api::TokenRequest;

use super::{
    answer::Answer, body, problem::Refused, request::Call, shared::Shared, table::ClusterOp,
};

pub(super) async fn handle(
    operation: ClusterOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let orchestrator = &shared.orchestrator;
    let caller = call.caller()?;
    let name = || call.part(0);
    match operation {
        ClusterOp::Nodes => Answer::json(&orchestrator.nodes(caller).await?),
        ClusterOp::Node => Answer::json(&orchestrator.member(caller, name()?).await?),
        ClusterOp::Drain => Answer::with_status(
            StatusCode::ACCEPTED,
            &orchestrator.drain_node(caller, name()?).await?,
        ),
        ClusterOp::Resume => Answer::json(&orchestrator.resume_node(caller, name()?).await?),
        ClusterOp::Remove => {
            orchestrator.remove_node(caller, name()?).await?;
            Ok(Answer::nothing())
        }
        ClusterOp::CreateToken => {
            let request: TokenRequest = body::parse_or_default(bytes)?;
            let made = orchestrator.create_token(caller, request).await?;
            Ok(Answer::with_status(StatusCode::CREATED, &made)?
                .at(&format!("/api/v1/tokens/{}", made.view.id)))
        }
        ClusterOp::Tokens => Answer::json(&orchestrator.tokens(caller).await?),
        ClusterOp::RevokeToken => {
            orchestrator.revoke_token(caller, name()?).await?;
            Ok(Answer::nothing())
        }
    }
}
