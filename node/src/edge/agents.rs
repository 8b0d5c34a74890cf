//! Handlers of agents.

use http::StatusCode;
use protocol::{
    agent::AgentSpec,
    api::{AgentQuery, AgentUpdate, Consistency, StopRequest},
};

use super::{
    answer::Answer, body, live, problem::Refused, request::Call, shared::Shared, table::AgentOp,
};

pub(super) async fn handle(
    operation: AgentOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let orchestrator = &shared.orchestrator;
    let caller = call.caller()?;
    let agent = || call.part(0);
    match operation {
        AgentOp::Register => {
            let view = orchestrator
                .register_agent(caller, body::parse::<AgentSpec>(bytes)?)
                .await?;
            Ok(Answer::with_status(StatusCode::CREATED, &view)?
                .at(&format!("/api/v1/agents/{}", view.id)))
        }
        AgentOp::List => Answer::json(&orchestrator.agents(caller, &query(call)?).await?),
        AgentOp::Stats => {
            let stats = orchestrator.agent_stats(caller, call.consistency()?);
            Answer::json(&stats.await?)
        }
        AgentOp::Get => {
            match call.consistency()? {
                Consistency::Eventual => {}
                Consistency::Strong => orchestrator.agent_caught_up(caller, agent()?).await?,
            }
            Answer::json(&orchestrator.agent(caller, agent()?).await?)
        }
        AgentOp::Update => Answer::json(
            &orchestrator
                .update_agent(caller, agent()?, body::parse(bytes)?)
                .await?,
        ),
        AgentOp::Delete => {
            orchestrator.delete_agent(caller, agent()?).await?;
            Ok(Answer::nothing())
        }
        AgentOp::Start => {
            let (view, fresh) = orchestrator.start_agent(caller, agent()?).await?;
            let status = if fresh {
                StatusCode::ACCEPTED
            } else {
                StatusCode::OK
            };
            Answer::with_status(status, &view)
        }
        AgentOp::Stop => {
            let StopRequest { mode } = body::parse_or_default(bytes)?;
            let view = orchestrator.stop_agent(caller, agent()?, mode).await?;
            Answer::with_status(StatusCode::ACCEPTED, &view)
        }
        AgentOp::Pause => Answer::json(&orchestrator.pause_agent(caller, agent()?).await?),
        AgentOp::Resume => Answer::json(&orchestrator.resume_agent(caller, agent()?).await?),
        AgentOp::Check => Answer::json(&orchestrator.check_agent(caller, agent()?).await?),
        AgentOp::Config => Answer::json(&orchestrator.agent_config(caller, agent()?).await?),
        AgentOp::SetConfig => {
            let update = AgentUpdate {
                config: Some(body::parse(bytes)?),
                ..AgentUpdate::default()
            };
            Answer::json(
                &orchestrator
                    .update_agent(caller, agent()?, update)
                    .await?
                    .config,
            )
        }
        AgentOp::Logs => live::agent_logs(shared, call, agent()?).await,
        AgentOp::Events => {
            let after = call.query.get("since")?.unwrap_or(0);
            let limit = call.query.limit()?.unwrap_or(50);
            Answer::json(
                &orchestrator
                    .agent_events(caller, agent()?, after, limit)
                    .await?,
            )
        }
    }
}

fn query(call: &Call) -> Result<AgentQuery, Refused> {
    let query = &call.query;
    Ok(AgentQuery {
        status: query.word("status")?,
        capability: query.text("capability").map(str::to_owned),
        agent_type: query.word("type")?,
        meta: query.starting("meta."),
        limit: query.limit()?,
        cursor: query.text("cursor").map(str::to_owned),
        consistency: call.consistency()?,
    })
}
