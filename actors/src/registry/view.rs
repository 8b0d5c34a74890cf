//! What clients see of agents.

use protocol::api::AgentView;

use super::Agent;

/// The whole agent.
#[must_use]
pub fn agent(agent: &Agent, node: &str) -> AgentView {
    let facts = agent.facts();
    let spec = &facts.spec;
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
        created_at: facts.created_at,
        updated_at: facts.updated_at,
        node: node.to_owned(),
        actor_path: format!("/agents/{}", agent.name),
        running_tasks: agent.gate.taken(),
        capacity: agent.gate.free(),
        health: facts.health.clone(),
        circuit: facts.circuit.as_str().to_owned(),
    }
}
