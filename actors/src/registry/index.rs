//! Agents by id, by name and by capability, for each tenant.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use dashmap::DashMap;
use protocol::{agent::Resources, id::AgentId};

use super::Agent;
use crate::planner::{Member, Roster};

/// All agents of the cluster, as this node knows them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    agents: DashMap<AgentId, Arc<Agent>>,
    tenants: RwLock<HashMap<String, Arc<Tenant>>>,
}

/// The agents of one tenant, as they were after the last change to any of them.
#[derive(Debug, Clone, Default)]
pub struct Tenant {
    /// As the planner sees them.
    pub roster: Roster,
    /// By name.
    pub agents: BTreeMap<String, Arc<Agent>>,
}

impl Tenant {
    /// Agents that declare a capability.
    pub fn able(&self, capability: &str) -> impl Iterator<Item = &Arc<Agent>> {
        let able = self.roster.able(capability);
        able.filter_map(|member| self.agents.get(&member.name))
    }

    /// One agent, by name or id.
    #[must_use]
    pub fn agent(&self, name_or_id: &str) -> Option<&Arc<Agent>> {
        self.agents.get(&self.roster.agent(name_or_id)?.name)
    }

    fn insert(&mut self, agent: &Arc<Agent>) {
        self.remove(agent.id);
        self.roster.insert(member(agent));
        self.agents.insert(agent.name.clone(), agent.clone());
    }

    fn remove(&mut self, id: AgentId) {
        if let Some(member) = self.roster.remove(id) {
            self.agents.remove(&member.name);
        }
    }
}

impl Registry {
    /// One agent.
    #[must_use]
    pub fn get(&self, id: AgentId) -> Option<Arc<Agent>> {
        self.0.agents.get(&id).map(|agent| agent.clone())
    }

    /// The agents of a tenant.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> Arc<Tenant> {
        let tenants = self
            .0
            .tenants
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        tenants.get(tenant).cloned().unwrap_or_default()
    }

    /// Every agent of every tenant.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Agent>> {
        self.0.agents.iter().map(|agent| agent.clone()).collect()
    }

    /// What running steps declare to take of this node.
    #[must_use]
    pub fn declared(&self) -> Resources {
        let mut declared = Resources::default();
        for agent in &self.0.agents {
            let running = agent.hosted.gate.taken();
            let each = agent.facts().spec.resources;
            declared.cpu += each.cpu * f64::from(running);
            declared.memory = declared
                .memory
                .saturating_add(each.memory.saturating_mul(u64::from(running)));
        }
        declared
    }

    /// Adds or replaces an entry.
    pub(crate) fn insert(&self, agent: &Arc<Agent>) {
        self.0.agents.insert(agent.id, agent.clone());
        self.change(&agent.tenant, |tenant| tenant.insert(agent));
    }

    /// Removes an entry.
    pub(crate) fn remove(&self, id: AgentId) {
        if let Some((_, agent)) = self.0.agents.remove(&id) {
            self.change(&agent.tenant, |tenant| tenant.remove(id));
        }
    }

    /// Takes in what changed about an entry's capabilities.
    pub(crate) fn reindex(&self, agent: &Arc<Agent>) {
        self.change(&agent.tenant, |tenant| tenant.insert(agent));
    }

    /// Changes a tenant in place, or a copy of it if somebody is just reading.
    fn change(&self, tenant: &str, change: impl FnOnce(&mut Tenant)) {
        let mut tenants = self
            .0
            .tenants
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(tenants.entry(tenant.to_owned()).or_default()));
    }
}

fn member(agent: &Agent) -> Member {
    Member {
        id: agent.id,
        name: agent.name.clone(),
        capabilities: agent.facts().spec.capabilities.clone(),
    }
}
