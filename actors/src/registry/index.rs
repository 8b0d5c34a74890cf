//! Agents by id, by name and by capability, for each tenant.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
#[derive(Debug, Default)]
pub struct Tenant {
    /// As the planner sees them.
    pub roster: Roster,
    /// By name.
    pub agents: BTreeMap<String, Arc<Agent>>,
    by_capability: HashMap<String, Vec<Arc<Agent>>>,
}

impl Tenant {
    /// Agents that declare a capability.
    #[must_use]
    pub fn able(&self, capability: &str) -> &[Arc<Agent>] {
        self.by_capability
            .get(capability)
            .map_or(&[], Vec::as_slice)
    }

    /// One agent, by name or id.
    #[must_use]
    pub fn agent(&self, name_or_id: &str) -> Option<&Arc<Agent>> {
        self.agents.get(name_or_id).or_else(|| {
            let id: AgentId = name_or_id.parse().ok()?;
            self.agents.values().find(|agent| agent.id == id)
        })
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

    /// Adds or replaces entries.
    pub(crate) fn insert_all(&self, agents: impl Iterator<Item = Arc<Agent>>) {
        let mut tenants = HashSet::new();
        for agent in agents {
            tenants.insert(agent.tenant.clone());
            self.0.agents.insert(agent.id, agent);
        }
        for tenant in tenants {
            self.reindex(&tenant);
        }
    }

    /// Removes an entry.
    pub(crate) fn remove(&self, id: AgentId) {
        if let Some((_, agent)) = self.0.agents.remove(&id) {
            self.reindex(&agent.tenant);
        }
    }

    /// Takes in what changed about names or capabilities.
    pub(crate) fn reindex(&self, tenant: &str) {
        let mut index = Tenant::default();
        for agent in self.0.agents.iter().filter(|agent| agent.tenant == tenant) {
            index.agents.insert(agent.name.clone(), agent.clone());
        }
        for agent in index.agents.values() {
            for capability in &agent.facts().spec.capabilities {
                index
                    .by_capability
                    .entry(capability.clone())
                    .or_default()
                    .push(agent.clone());
            }
        }
        index.roster = index.agents.values().map(|agent| member(agent)).collect();
        let mut tenants = self
            .0
            .tenants
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        tenants.insert(tenant.to_owned(), Arc::new(index));
    }
}

fn member(agent: &Agent) -> Member {
    Member {
        id: agent.id,
        name: agent.name.clone(),
        capabilities: agent.facts().spec.capabilities.clone(),
    }
}
