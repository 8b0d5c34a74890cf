//! What a task does once its decisions are on disk.

use tokio::sync::oneshot;

use super::{Answer, Cx};
use crate::{
    Rejection,
    agent::actor::{self as agent, Run},
    registry::Agent,
    services::Services,
};
use std::sync::Arc;

/// Something that must not happen before the commit.
pub(super) enum Effect {
    /// Hand an attempt to its agent.
    Dispatch(Arc<Agent>, Box<Run>),
    /// Stop an attempt.
    Stop(Arc<Agent>, String),
    /// The task is over: another may come in its place.
    Leave,
    /// Answer a client.
    Reply(Answer, Result<(), Rejection>),
    /// Tell the sender of a result that it may forget it.
    Acknowledge(oneshot::Sender<()>),
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dispatch(..) => "Dispatch",
            Self::Stop(..) => "Stop",
            Self::Leave => "Leave",
            Self::Reply(..) => "Reply",
            Self::Acknowledge(_) => "Acknowledge",
        })
    }
}

/// Carries out everything that waited for the commit.
pub(super) async fn carry_out(cx: &mut Cx) {
    for effect in std::mem::take(&mut cx.volatile.effects) {
        match effect {
            Effect::Dispatch(agent, run) => {
                tell(&cx.services, &agent, agent::Message::Run(run)).await;
            }
            Effect::Stop(agent, token) => {
                tell(&cx.services, &agent, agent::Message::Stop { token }).await;
            }
            Effect::Leave => cx.services.admission.leave(),
            // Nobody waits any more: no answer is needed.
            Effect::Reply(reply, answer) => drop(reply.send(answer)),
            Effect::Acknowledge(sender) => drop(sender.send(())),
        }
    }
    if cx.state.to_probe().next().is_some() {
        super::step::probe_lost(cx).await;
    }
}

/// Tells an agent's proxy something. When it cannot be reached, what the message holds is dropped:
/// a run reports its own loss then.
pub(super) async fn tell(services: &Services, agent: &Agent, message: agent::Message) {
    if let Err(error) = services.agents.tell(agent.id.into(), message).await {
        tracing::warn!(agent = agent.name, %error, "an agent's proxy could not be told");
    }
}
