//! Holds, and what stopping, pausing and resuming reached, over HTTP.

use serde::{Deserialize, Serialize};

use super::{AgentView, TaskView};
use crate::{agent::StopMode, hold::Target, id::HoldId, time::Timestamp};

/// `POST /holds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// What is to be held: an agent, an agent type, a tool or a provider.
    pub target: Target,
    /// Why, in the operator's words.
    #[serde(default)]
    pub reason: String,
    /// Whether it may be something that is not there yet. Else a name that nothing has is refused.
    #[serde(default)]
    pub ahead: bool,
}

/// `POST /stop` and `/resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScopeTurn {
    /// A session, a user, an agent, a node, or the whole cluster.
    pub scope: Target,
    /// Why, in the operator's words.
    #[serde(default)]
    pub reason: String,
}

/// `POST /pause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScopeRequest {
    /// A session, a user, an agent, a node, or the whole cluster.
    pub scope: Target,
    /// Why, in the operator's words.
    #[serde(default)]
    pub reason: String,
    /// Whether running attempts go on to their end, or are ended and tried again.
    #[serde(default)]
    pub mode: StopMode,
}

/// `POST /tasks/{id}/pause`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PauseRequest {
    /// Why, in the client's words.
    pub reason: String,
    /// Whether running attempts go on to their end, or are ended and tried again.
    pub mode: StopMode,
}

/// What is kept from starting, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HoldView {
    /// Its id.
    pub id: HoldId,
    /// What is held.
    pub target: Target,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who placed it.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

/// How far a stop, a pause or a resume got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reach {
    /// Control nodes that said that they act on it.
    pub nodes: u32,
    /// Tasks that it changed.
    pub tasks: u32,
    /// Attempts and questions between agents that it ended; they are gone, and so is all that they ran.
    pub ended: u32,
    /// Attempts and questions between agents that go on to their end.
    pub running: u32,
    /// What could not be confirmed in time. Nothing there starts anew all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<Unconfirmed>,
}

impl Reach {
    /// Counts what another stop reached as well.
    pub fn add(&mut self, other: Self) {
        self.nodes = self.nodes.max(other.nodes);
        self.tasks += other.tasks;
        self.ended += other.ended;
        self.running += other.running;
        self.unconfirmed.extend(other.unconfirmed);
    }
}

/// Something whose end was not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unconfirmed {
    /// The node that did not say so.
    pub node: String,
    /// What may go on there.
    pub what: String,
    /// By when the node's lease ends it, if the node does not renew that: one that is merely out of reach does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a stop, a pause or a resume of a scope came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScopeView {
    /// The scope.
    pub scope: Target,
    /// What keeps it from going on: placed by a pause, lifted by a resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldView>,
    /// How far it got.
    #[serde(flatten)]
    pub reach: Reach,
}

/// A hold that was placed or lifted, and how far that got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HoldChange {
    /// The hold.
    #[serde(flatten)]
    pub hold: HoldView,
    /// How far it got.
    pub reach: Reach,
    /// Said when nothing is there now that it could keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A cancelled task, and what of it is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CancelView {
    /// The task.
    #[serde(flatten)]
    pub task: TaskView,
    /// Its parts among them: attempts, questions between agents, and what they ran.
    #[serde(default)]
    pub reach: Reach,
}

/// A task that was paused or resumed, and how far that got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskChange {
    /// The task.
    #[serde(flatten)]
    pub task: TaskView,
    /// Its parts among them.
    #[serde(default)]
    pub reach: Reach,
}

/// An agent that was stopped, and what of it is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentChange {
    /// The agent.
    #[serde(flatten)]
    pub agent: AgentView,
    /// What it ran.
    #[serde(default)]
    pub reach: Reach,
}
