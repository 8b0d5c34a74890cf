//! What clients see of agents.

use protocol::{api::AgentView, entity::path};

use super::Agent;

/// Where an agent stands in the supervision tree, and above what is hosted of it.
#[must_use]
pub fn path_of(tenant: &str, name: &str) -> String {
    path("agents", tenant, name)
}

/// The whole agent; `node` is shown while no node hosts it.
#[must_use]
pub fn agent(agent: &Agent, node: &str) -> AgentView {
    let facts = agent.facts();
    let spec = &facts.spec;
    let load = agent.load(&facts);
    AgentView {
        id: agent.id,
        name: agent.name.clone(),
        description: spec.description.clone(),
        agent_type: spec.agent_type,
        endpoint: spec.endpoint.clone(),
        capabilities: spec.capabilities.clone(),
        status: facts.status(),
        config: spec.config.clone(),
        metadata: spec.metadata.clone(),
        max_tasks: spec.max_tasks,
        resources: spec.resources,
        placement: spec.placement.clone(),
        created_at: facts.created_at,
        updated_at: facts.updated_at,
        node: facts
            .host
            .as_ref()
            .map_or(node, |(_, name)| name)
            .to_owned(),
        actor_path: path_of(&agent.tenant, &agent.name),
        running_tasks: load.taken,
        capacity: load.limit.saturating_sub(load.taken),
        health: facts.health.clone(),
        circuit: facts.circuit.as_str().to_owned(),
    }
}
