//! What is meant by a name: which agent, which node.

use protocol::{
    access::Caller,
    entity::EntityKind,
    id::{AgentId, NodeId},
};
use runtime::store::StreamRow;

use super::{Answer, Orchestrator};
use crate::naming;

impl Orchestrator {
    /// The id of an agent of this name or id, as this node or the store knows it.
    pub(super) async fn agent_id(&self, caller: &Caller, agent: &str) -> Answer<Option<AgentId>> {
        let own = self.own()?;
        if let Some(found) = own.services.registry.tenant(&caller.tenant).agent(agent) {
            return Ok(Some(found.id));
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        // Others own it, or it is parked and in nobody's memory.
        if agent.len() > 64 || !agent.chars().all(named) {
            return Ok(None);
        }
        if let Ok(id) = agent.parse::<AgentId>() {
            let row = own.journal.store().stream(id.into()).await?;
            let seen = |row: &StreamRow| row.tenant == caller.tenant && !row.summary.hidden;
            return Ok(row.filter(seen).map(|_| id));
        }
        let row = self.entity_named(caller, EntityKind::Agent, agent).await?;
        Ok(row.map(|row| AgentId::from_uuid(row.stream.key())))
    }

    /// The entity of the caller's tenant that has this name.
    pub(super) async fn entity_named(
        &self,
        caller: &Caller,
        kind: EntityKind,
        name: &str,
    ) -> Answer<Option<StreamRow>> {
        let store = self.own()?.journal.store();
        Ok(naming::named(store, &caller.tenant, kind, name).await?)
    }

    /// A node by name, this one or one whose lease runs.
    pub(super) fn node_named(&self, name: &str) -> Option<NodeId> {
        if name == &*self.0.name {
            return Some(self.0.id);
        }
        self.company().get(name).copied()
    }

    /// How many nodes with the store this one can pass its use cases on to.
    pub(super) fn controls_in_reach(&self) -> Result<String, String> {
        let Some(member) = &self.0.member else {
            return Err("this node has no store and knows no other".to_owned());
        };
        let (controls, peers) = (member.placement.controls(), member.peers.peers());
        let reached = controls
            .iter()
            .filter(|control| peers.iter().any(|peer| peer.node == **control))
            .count();
        let found = format!(
            "{reached} of {} control nodes can be reached",
            controls.len()
        );
        if reached > 0 { Ok(found) } else { Err(found) }
    }
}
