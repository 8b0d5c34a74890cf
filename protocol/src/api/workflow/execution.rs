//! Runs of workflows over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    api::Reach,
    entity::EntityId,
    id::{TaskId, WorkflowId},
    task::{Budget, Failure, Priority, TaskStatus},
    time::Timestamp,
    workflow::{NodeStatus, Origin, Shape},
};

/// `POST /workflows/{id}/execute`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExecuteRequest {
    /// What the run is given, as the definition's `input` says.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// Which version; the newest without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How urgent it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// No node starts before this moment, also after a restart; its time limit counts from then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// Its limits; where one is absent, that of the definition counts.
    #[serde(skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    /// The conversation that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The task that it is a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<TaskId>,
    /// Free JSON, returned unchanged.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// Of which workflow a task is a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunOf {
    /// The workflow.
    pub id: WorkflowId,
    /// Its name.
    pub name: String,
    /// Which version of its definition.
    pub version: u32,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecutionStatus {
    /// Nothing of it has begun.
    #[default]
    Pending,
    /// Its nodes run, or wait for agents.
    Running,
    /// All that it could go on with waits for a person, a moment, or a run of another workflow.
    Waiting,
    /// No node of it starts until it is resumed.
    Paused,
    /// It came to its end.
    Completed,
    /// A node failed for good, or a limit was crossed.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl ExecutionStatus {
    /// Whether it is final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<TaskStatus> for ExecutionStatus {
    /// As far as the task alone tells: one that waits runs.
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Pending | TaskStatus::Planning => Self::Pending,
            TaskStatus::Executing => Self::Running,
            TaskStatus::Paused => Self::Paused,
            TaskStatus::Completed => Self::Completed,
            TaskStatus::Failed => Self::Failed,
            TaskStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// A run as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecutionView {
    /// Its id, which is that of a task.
    pub id: TaskId,
    /// The same, by the name that older clients know.
    pub execution_id: TaskId,
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// The workflow's name.
    pub name: String,
    /// Which version of the definition it keeps to.
    pub version: u32,
    /// What is to be done.
    pub description: String,
    /// What its graph looks like.
    pub workflow_type: Shape,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// From 0 to 100; 100 exactly when completed.
    pub progress: u8,
    /// Who started it.
    pub user_id: String,
    /// What it was given.
    pub input: Value,
    /// What its nodes share.
    pub context: Map<String, Value>,
    /// How often that was written.
    pub context_version: u64,
    /// Its nodes, in the order of the definition.
    pub nodes: Vec<WorkflowNode>,
    /// Its edges, in the order of the definition.
    pub edges: Vec<EdgeView>,
    /// What came of it: `output` of the definition, or what its last nodes gave.
    pub result: Value,
    /// Why it failed.
    pub error: Option<Failure>,
    /// The run that it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The task that it is a part of.
    pub parent_id: Option<TaskId>,
    /// The conversation that it belongs to.
    pub session_id: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// Free JSON.
    pub metadata: Map<String, Value>,
    /// When it was started.
    pub created_at: Timestamp,
    /// The moment before which no node starts, if it was to start later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// When its first node began.
    pub started_at: Option<Timestamp>,
    /// When it was settled.
    pub completed_at: Option<Timestamp>,
    /// Position of its last event: the cursor of `events`.
    pub position: u64,
}

/// A node of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkflowNode {
    /// Names it within its workflow.
    pub node_id: String,
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// For people.
    pub name: String,
    /// What it does.
    pub node_type: String,
    /// Where it stands.
    pub status: NodeStatus,
    /// Which run of it this is, in a loop; 0 before the first.
    pub run: u32,
    /// Who does it, and how, as the definition says.
    pub agent_config: Map<String, Value>,
    /// Nodes that come before it.
    pub dependencies: Vec<String>,
    /// What it is handed; of a node with several calls, what the first one is.
    pub input_data: Value,
    /// What it gave.
    pub output: Value,
    /// Why it did not complete.
    pub error: Option<Failure>,
    /// Attempts beyond the first of each of its calls.
    pub retry_count: u32,
    /// Its calls: how many there are, and how many of these are settled.
    pub calls: u32,
    /// Calls that are settled.
    pub calls_settled: u32,
    /// The agents of its calls that run, or of its only call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitView>,
    /// What its outcome was made of: the candidates of a mixture, the rounds of a director.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
    /// Whether the run that this one was forked from had it; it was not done again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherited: bool,
    /// Whether it was taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compensated: bool,
    /// Its earlier runs, in a loop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<NodeRunView>,
    /// When its turn came.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub completed_at: Option<Timestamp>,
}

/// What a node waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WaitView {
    /// A moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// A question, or a run of another workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub entity: Option<EntityId>,
}

/// An earlier run of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeRunView {
    /// The first is 1.
    pub run: u32,
    /// How it ended.
    pub status: NodeStatus,
    /// What it gave, if it made one call.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// Attempts beyond the first of each of its calls.
    pub retry_count: u32,
    /// When its turn came.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub completed_at: Option<Timestamp>,
}

/// An edge of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EdgeView {
    /// Names it.
    pub edge_id: String,
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// The node that is over before.
    pub from_node_id: String,
    /// The node that comes after.
    pub to_node_id: String,
    /// Taken only if this holds.
    pub condition: Value,
    /// For people.
    pub label: String,
    /// Whether it was taken; absent while that is open.
    pub taken: Option<bool>,
    /// Of one that goes back: how often it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// What a list shows of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecutionSummary {
    /// Its id, which is that of a task.
    pub id: TaskId,
    /// The same, by the name that older clients know.
    pub execution_id: TaskId,
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// The workflow's name.
    pub name: String,
    /// Which version of the definition it keeps to.
    pub version: u32,
    /// Where it stands; one that waits for a person or a moment counts as `running` here.
    pub status: ExecutionStatus,
    /// From 0 to 100; 100 exactly when completed.
    pub progress: u8,
    /// Who started it.
    pub user_id: String,
    /// The task that it is a part of.
    pub parent_id: Option<TaskId>,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it was settled.
    pub completed_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// Which runs a list holds, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExecutionQuery {
    /// Only runs of this workflow, by name or id.
    pub workflow: Option<String>,
    /// Only this status; `running` means those of which something runs, `waiting` the others that go on.
    pub status: Option<ExecutionStatus>,
    /// Only this user's.
    pub user_id: Option<String>,
    /// Items a page; 50 when absent, 200 at most.
    pub limit: Option<u32>,
    /// From `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// `GET /executions/{id}/context`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContextView {
    /// How often it was written.
    pub version: u64,
    /// What the nodes share.
    pub values: Map<String, Value>,
}

/// `PUT /executions/{id}/context`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContextPatch {
    /// The version that this was made from; a conflict when the context was written since.
    pub version: u64,
    /// Keys with their new values; `null` removes one, what is absent stays.
    pub values: Map<String, Value>,
}

/// What pausing or resuming all runs of a workflow came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkflowReach {
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// The runs, the newest first.
    pub executions: Vec<TaskId>,
    /// How far it got.
    #[serde(flatten)]
    pub reach: Reach,
}

/// A run that was paused, resumed or cancelled, and how far that got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecutionChange {
    /// The run.
    #[serde(flatten)]
    pub execution: ExecutionView,
    /// Its parts among them.
    #[serde(default)]
    pub reach: Reach,
}

/// `POST /executions/{id}/fork`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// The node from which on everything is done anew; what comes before it is taken over.
    pub from_node: String,
    /// What that node is handed in place of what its definition says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// That nodes may be done again which called something irreversible; without it a fork that would is a
    /// conflict, which names them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
}

/// `POST /executions/{id}/replay?dry`: with which definition; the run's own when all are absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ReplayRequest {
    /// Another version of its workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Or a definition that is not published.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::workflow::Definition>")
    )]
    pub dag_definition: Option<Box<RawValue>>,
    /// The same as a text, JSON or YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What deciding a recorded run anew came to; nothing was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplayView {
    /// The run.
    pub execution_id: TaskId,
    /// Events that were looked at.
    pub events: u64,
    /// Decisions among them that were taken the same way.
    pub same: u64,
    /// The first that was not; absent when all were.
    pub divergence: Option<DivergenceView>,
}

/// `POST /workflows/{id}/check`: the definition that is to be adopted; the newest version when all of the
/// first three are absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CheckRequest {
    /// A version of the workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Or a definition that is not published.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::workflow::Definition>")
    )]
    pub dag_definition: Option<Box<RawValue>>,
    /// The same as a text, JSON or YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many of the newest runs are decided anew; 20 when absent, 200 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<u32>,
}

/// What deciding the last runs of a workflow anew came to; nothing was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckView {
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// Runs that were looked at.
    pub runs: u64,
    /// Those among them that would go the same way.
    pub same: u64,
    /// The others, the newest first, each with its first divergence.
    pub diverged: Vec<ReplayView>,
}

/// Where a run would have gone another way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DivergenceView {
    /// Position of the event.
    pub seq: u64,
    /// About which node, if it is about one.
    pub node: Option<String>,
    /// What was recorded.
    pub recorded: Value,
    /// What is decided now in its place; nothing when no decision is left.
    pub decided: Vec<Value>,
}
