//! Agents over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Consistency;
use crate::{
    agent::{AgentStatus, AgentType, Health, Placement, Resources, StopMode},
    id::{AgentId, TaskId},
    time::Timestamp,
};

/// One line of what an agent did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentLogLine {
    /// When.
    pub at: Timestamp,
    /// The place to go on from, as `since`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cursor: String,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// What happened, such as `attempt_started`.
    pub event: String,
    /// The agent's name.
    pub agent: String,
    /// In words.
    pub message: String,
    /// On which node; absent for what is recorded of the agent itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// For which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// For which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Which attempt of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// In which trace, as collectors spell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// `PUT /agents/{id}`: what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AgentUpdate {
    /// What it is for.
    pub description: Option<String>,
    /// Where it is reached.
    pub endpoint: Option<String>,
    /// What it can do.
    pub capabilities: Option<Vec<String>>,
    /// How it is called.
    pub config: Option<Map<String, Value>>,
    /// Free JSON.
    pub metadata: Option<Map<String, Value>>,
    /// How many steps it runs at once.
    pub max_tasks: Option<u32>,
    /// What each running step takes of its node.
    pub resources: Option<Resources>,
    /// On which nodes it may be hosted; the agent moves when its node is not among them.
    pub placement: Option<Placement>,
}

/// Which agents a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AgentQuery {
    /// Only this status.
    pub status: Option<AgentStatus>,
    /// Only active, healthy agents with this capability.
    pub capability: Option<String>,
    /// Only this type.
    #[serde(rename = "type")]
    pub agent_type: Option<AgentType>,
    /// Only agents whose metadata has these values, from `meta.KEY=VALUE`.
    pub meta: Vec<(String, String)>,
    /// Items a page; 50 when absent, 200 at most.
    pub limit: Option<u32>,
    /// From `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// How fresh the list is to be.
    #[serde(skip_serializing_if = "Consistency::is_eventual")]
    pub consistency: Consistency,
}

/// An agent as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentView {
    /// Its id.
    pub id: AgentId,
    /// Its unique name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What stands behind it.
    pub agent_type: AgentType,
    /// Where it is reached.
    pub endpoint: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// As discovery sees it.
    pub status: AgentStatus,
    /// How it is called; secrets are named by environment variable, never by value.
    pub config: Map<String, Value>,
    /// Free JSON.
    pub metadata: Map<String, Value>,
    /// Slots.
    pub max_tasks: u32,
    /// What each running step takes of its node.
    pub resources: Resources,
    /// On which nodes it may be hosted.
    #[serde(default, skip_serializing_if = "Placement::is_anywhere")]
    pub placement: Placement,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// The node that its proxy runs on.
    pub node: String,
    /// Where its proxy stands in the supervision tree.
    pub actor_path: String,
    /// Steps that it runs now.
    pub running_tasks: u32,
    /// Steps that it could take now.
    pub capacity: u32,
    /// What the last health check found.
    pub health: Option<HealthReport>,
    /// `closed`, `open` or `half_open`.
    pub circuit: String,
    /// Why it is out of service, if it is: the last errors. It takes nothing until a person releases
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// Whether no node hosts it, so that it takes nothing whatever its status says; `node` is its owner
    /// then. Not said of what is out of service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhosted: bool,
}

/// What a health check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthReport {
    /// The verdict.
    pub status: Health,
    /// How long the check took, in milliseconds.
    pub latency_ms: u64,
    /// When it was made.
    pub checked_at: Timestamp,
    /// In words.
    pub detail: String,
}

/// `POST /agents/{id}/stop`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct StopRequest {
    /// Whether running steps end first.
    pub mode: StopMode,
}

/// How long steps took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DurationStats {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// Nineteen of twenty took no longer, to within an eighth.
    pub p95_ms: f64,
}

/// `GET /agents/stats`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentStats {
    /// Registered agents.
    pub total: u64,
    /// By status.
    pub by_status: std::collections::BTreeMap<String, u64>,
    /// By type.
    pub by_type: std::collections::BTreeMap<String, u64>,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts whose outcome is not known.
    pub lost: u64,
    /// How long attempts took.
    pub duration: DurationStats,
    /// The same for each agent, by name.
    pub agents: std::collections::BTreeMap<String, AgentTotals>,
    /// Tokens that agents reported.
    pub tokens: u64,
    /// Cost that agents reported, in millionths of the currency that they report in.
    pub cost_micros: u64,
}

/// One agent's share of [`AgentStats`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentTotals {
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts whose outcome is not known.
    pub lost: u64,
    /// How long attempts took.
    pub duration: DurationStats,
    /// Tokens that it reported.
    #[serde(default)]
    pub tokens: u64,
    /// Cost that it reported, in millionths of the currency that it reports in.
    #[serde(default)]
    pub cost_micros: u64,
}
