//! Who hears of it when slots come free, and of what proxies find.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use protocol::{
    id::{AgentId, NodeId},
    wire::Service,
};

use super::{Hosted, Hosts, Post, actor};
use crate::{
    agent::actor as agent,
    allocator::NodeLoad,
    cluster::Owner,
    host::message::{Figures, Notice, write},
};

impl Hosts {
    /// A slot is free: this node's allocator hears of it, and others that were refused one.
    pub(super) fn freed(&self, id: AgentId) {
        if let Some(local) = self.0.local.get() {
            local.allocator.freed(id);
        }
        let Some(hosted) = self.known(id) else {
            return;
        };
        let declares = |post: Arc<Post>| !post.order.spec.resources.is_none();
        if hosted.post().is_some_and(declares) {
            // More of the node is free, for whichever of its agents.
            self.news();
        }
        let refused = hosted.refused();
        if !refused.is_empty() && hosted.gate.free() > 0 {
            let figures = hosted.figures();
            for node in refused {
                self.tell_loads(node, vec![figures.clone()], None);
            }
        }
    }

    /// Tells a control node figures; answers whether they are on their way.
    pub(in crate::host) fn tell_loads(
        &self,
        to: NodeId,
        agents: Vec<Figures>,
        node: Option<NodeLoad>,
    ) -> bool {
        let notice = write(&Notice::Loads { agents, node });
        self.around.net.tell(to, Service::AGENT, notice).is_ok()
    }

    /// Tells a control node which agents written in Rust this node has; answers whether it is on its
    /// way.
    pub(in crate::host) fn tell_natives(&self, to: NodeId) -> bool {
        let notice = write(&Notice::Natives(self.own_natives()));
        self.around.net.tell(to, Service::AGENT, notice).is_ok()
    }

    /// The proxy found something: this node's registry hears of it, and the agent's owner.
    pub(in crate::host) fn publish(&self, hosted: &Hosted) {
        let figures = hosted.figures();
        if let Some(local) = self.0.local.get() {
            if let Some(agent) = local.registry.get(hosted.id) {
                agent.report(self.me(), &figures);
            }
            local.allocator.changed();
        }
        match self.owner(hosted.id) {
            Owner::Here => self.tell_owner(&figures),
            Owner::There(node) => {
                self.tell_loads(node, vec![figures], None);
            }
            Owner::Nobody => {}
        }
        self.news();
    }

    /// Every control node hears soon of what is new here.
    fn news(&self) {
        if !self.others().is_empty() {
            let _ = self.0.address.cast(actor::Message::News);
        }
    }

    /// Tells an agent's entity on this node what its host found.
    pub(crate) fn tell_owner(&self, figures: &Figures) {
        if let (Some(local), Some(report)) = (self.0.local.get(), &figures.health) {
            let message = agent::Message::Checked {
                report: report.clone(),
                failures: figures.failures,
            };
            local.agents.tell_active(figures.agent.into(), message);
        }
    }

    /// Tells an agent's entity on this node that another one hosts it unasked.
    pub(crate) fn tell_stray(&self, agent: AgentId, node: NodeId) {
        if let Some(local) = self.0.local.get() {
            let message = agent::Message::Stray(node);
            local.agents.tell_active(agent.into(), message);
        }
    }

    /// How this machine stands, as measured.
    pub(crate) fn observe(&self, load: NodeLoad) {
        *self.0.load.lock().unwrap_or_else(PoisonError::into_inner) = Some(load);
    }

    pub(in crate::host) fn node_load(&self) -> Option<NodeLoad> {
        let mut load = (*self.0.load.lock().unwrap_or_else(PoisonError::into_inner))?;
        for hosted in &self.0.hosted {
            let running = hosted.gate.taken();
            if running > 0
                && let Some(post) = hosted.post()
            {
                let each = post.order.spec.resources;
                load.taken.cpu += each.cpu * f64::from(running);
                let memory = each.memory.saturating_mul(u64::from(running));
                load.taken.memory = load.taken.memory.saturating_add(memory);
            }
        }
        Some(load)
    }

    /// Figures of all that is hosted here which differ from those that were `sent`.
    pub(in crate::host) fn figures_beyond(
        &self,
        sent: &mut HashMap<AgentId, Figures>,
    ) -> Vec<Figures> {
        sent.retain(|id, _| self.0.hosted.contains_key(id));
        let mut news = Vec::new();
        for hosted in self.all() {
            if hosted.post().is_none() {
                sent.remove(&hosted.id);
                continue;
            }
            let figures = hosted.figures();
            let told = sent.get(&hosted.id);
            if told.is_none_or(|told| !told.says_the_same(&figures)) {
                sent.insert(hosted.id, figures.clone());
                news.push(figures);
            }
        }
        news
    }
}
