//! Which nodes have which agents written in Rust.

use protocol::{agent::AgentSpec, api::FieldError, id::NodeId};

use super::Hosts;
use crate::{
    adapter::{for_agent, native_name},
    agent::actor as agent,
};

/// Whether a node can call an agent's tool at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It can.
    Made,
    /// It has not the Rust code.
    Lacking,
    /// It has not said yet which it has.
    Unknown,
}

impl Hosts {
    /// Whether a node can host this agent, as far as code goes.
    pub(crate) fn offer(&self, node: NodeId, spec: &AgentSpec) -> Offer {
        let Some(name) = native_name(spec) else {
            return Offer::Made;
        };
        if node == self.me() {
            return match self.doors.native(&name) {
                Some(_) => Offer::Made,
                None => Offer::Lacking,
            };
        }
        match self.0.natives.get(&node) {
            None => Offer::Unknown,
            Some(natives) if natives.contains(&name) => Offer::Made,
            Some(_) => Offer::Lacking,
        }
    }

    /// Checks what is registered. Code that this node lacks may be on another, now or later: also on one
    /// that has just joined, and of which this node has not heard yet.
    pub(crate) fn check_spec(&self, spec: &AgentSpec) -> Result<(), Vec<FieldError>> {
        let me = &self.around.me;
        let named = spec.placement.node.as_ref();
        let elsewhere = named.is_some_and(|node| **node != *me.name)
            || self
                .around
                .cluster
                .sites()
                .iter()
                .any(|site| site.node != me.node);
        if elsewhere && native_name(spec).is_some() {
            return Ok(());
        }
        for_agent(spec, &self.doors).map(drop)
    }

    /// What operators hear of an agent whose code no node has; nothing when one may have it.
    pub(crate) fn lacking(&self, spec: &AgentSpec) -> Option<String> {
        let name = native_name(spec)?;
        let sites = self.around.cluster.sites();
        let lacks = |node| self.offer(node, spec) == Offer::Lacking;
        if !sites.iter().all(|site| lacks(site.node)) {
            return None;
        }
        let nodes: Vec<&str> = sites.iter().map(|site| &*site.name).collect();
        Some(format!(
            "no node has a native agent `{name}` of its own; {} lack it: start one whose program registers it",
            nodes.join(", ")
        ))
    }

    /// Another node said which it has.
    pub(crate) fn learn_natives(&self, node: NodeId, names: Vec<String>) {
        let names = names.into_iter().collect();
        if self
            .0
            .natives
            .get(&node)
            .is_some_and(|known| *known == names)
        {
            return;
        }
        self.0.natives.insert(node, names);
        if let Some(local) = self.local() {
            local.agents.broadcast(|| agent::Message::Place);
        }
    }

    /// Which this node has.
    pub(in crate::host) fn own_natives(&self) -> Vec<String> {
        self.doors.natives()
    }
}
