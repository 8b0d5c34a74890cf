//! What an agent did lately, asked of the node that hosts it.

use protocol::{
    access::{Caller, Role},
    api::AgentLogLine,
    id::{AgentId, NodeId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least};

/// Lines from after a moment.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ReadDiary {
    pub(in super::super) node: NodeId,
    pub(in super::super) agent: AgentId,
    pub(in super::super) since: Timestamp,
}

impl UseCase for ReadDiary {
    type Answer = Vec<AgentLogLine>;
    const NAME: &'static str = "agent.diary";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<AgentLogLine>> {
        at_least(caller, Role::Viewer)?;
        let own = at.0.own.as_ref().map(|own| &own.services.hosts);
        let hosts = own.or_else(|| at.0.worker.as_ref().map(crate::host::Worker::hosts));
        let lines = hosts.and_then(|hosts| hosts.diary(self.agent, &caller.tenant, self.since));
        Ok(lines.unwrap_or_default())
    }
}
