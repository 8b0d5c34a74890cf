//! What a task does once its decisions are on disk.

use runtime::journal;
use std::sync::Arc;

use protocol::{
    id::{AgentId, NodeId},
    task::TokenHash,
};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Cx};
use crate::{Rejection, hold::News, host::Run, registry::Agent};

/// Something that must not happen before the commit.
pub(super) enum Effect {
    /// Hand an attempt to its agent.
    Dispatch(Arc<Agent>, Box<Run>),
    /// Stop an attempt.
    Stop(NodeId, AgentId, TokenHash),
    /// The task is over: another may come in its place.
    Leave,
    /// Answer a client.
    Reply(Answer, Result<(), Rejection>),
    /// Tell an operator what was done.
    Tell(mpsc::UnboundedSender<News>, News),
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
            Self::Tell(..) => "Tell",
            Self::Acknowledge(_) => "Acknowledge",
        })
    }
}

/// Carries out everything that waited for the commit.
pub(super) fn carry_out(cx: &mut Cx) -> Result<(), journal::Error> {
    cx.owned()?;
    for effect in std::mem::take(&mut cx.volatile.effects) {
        match effect {
            Effect::Dispatch(agent, run) => cx.services.hosts.dispatch(&agent, run),
            Effect::Stop(node, agent, token) => cx.services.hosts.stop(node, agent, token),
            Effect::Leave => cx.services.admission.leave(),
            // Nobody waits any more: no answer is needed.
            Effect::Reply(reply, answer) => drop(reply.send(answer)),
            Effect::Tell(sender, news) => drop(sender.send(news)),
            Effect::Acknowledge(sender) => drop(sender.send(())),
        }
    }
    if cx.state.to_probe().next().is_some() {
        super::step::probe_lost(cx);
    }
    Ok(())
}
