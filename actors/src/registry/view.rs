//! What clients see of agents.

use protocol::{
    agent::{AgentSpec, AgentStatus},
    api::AgentView,
    entity::path,
    id::AgentId,
    time::Timestamp,
};
use runtime::{redact::redact, store::StreamRow};
use serde::Deserialize;
use serde_json::{Map, Value};

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
        parked: None,
        unhosted: facts.host.is_none(),
    }
}

/// What the index says of an agent beside how it was registered.
#[derive(Deserialize)]
struct Indexed {
    status: AgentStatus,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// An agent that is out of service, as the index has it; `node` owns it. Nothing when the index cannot
/// be read.
#[must_use]
pub fn parked(row: &StreamRow, node: &str) -> Option<AgentView> {
    let mut body: Map<String, Value> = serde_json::from_str(&row.summary.body).ok()?;
    let beside =
        ["status", "created_at", "updated_at"].map(|name| (name.to_owned(), body.remove(name)));
    let beside = beside
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let indexed: Indexed = serde_json::from_value(Value::Object(beside.collect())).ok()?;
    let spec: AgentSpec = serde_json::from_value(Value::Object(body)).ok()?;
    Some(AgentView {
        id: AgentId::from_uuid(row.stream.key()),
        actor_path: path_of(&row.tenant, &spec.name),
        name: spec.name,
        description: spec.description,
        agent_type: spec.agent_type,
        endpoint: spec.endpoint,
        capabilities: spec.capabilities,
        status: indexed.status,
        config: spec.config,
        metadata: spec.metadata,
        max_tasks: spec.max_tasks,
        resources: spec.resources,
        placement: spec.placement,
        created_at: indexed.created_at,
        updated_at: indexed.updated_at,
        node: node.to_owned(),
        running_tasks: 0,
        capacity: 0,
        health: None,
        circuit: "closed".to_owned(),
        parked: row.parked.as_deref().map(|why| redact(why).into_owned()),
        unhosted: false,
    })
}
