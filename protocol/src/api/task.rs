//! Tasks over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Consistency, HoldView, RunOf};
use crate::{
    allocation::ScoreCard,
    id::TaskId,
    plan::{Effect, PlanSource},
    task::{AttemptStatus, Failure, Priority, StepStatus, TaskStatus},
    time::Timestamp,
    usage::Usage,
};

/// Which tasks a list holds, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TaskQuery {
    /// Only this status.
    pub status: Option<TaskStatus>,
    /// Only this user's.
    pub user_id: Option<String>,
    /// Only parts of this task.
    pub parent_id: Option<TaskId>,
    /// Only tasks whose description contains this, case aside.
    pub q: Option<String>,
    /// Items a page; 50 when absent, 200 at most.
    pub limit: Option<u32>,
    /// From `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// How fresh the list is to be.
    #[serde(skip_serializing_if = "Consistency::is_eventual")]
    pub consistency: Consistency,
}

/// What a list shows of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskSummary {
    /// Its id.
    pub id: TaskId,
    /// The same, by the name that older clients know.
    pub task_id: TaskId,
    /// What is to be done, cut to 200 characters.
    pub description: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// From 0 to 100; 100 exactly when completed.
    pub progress: u8,
    /// How urgent it is.
    pub priority: Priority,
    /// Who submitted it.
    pub user_id: String,
    /// The conversation that it belongs to.
    pub session_id: Option<String>,
    /// The task that it is a part of.
    pub parent_id: Option<TaskId>,
    /// The workflow that it is a run of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<RunOf>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it was settled.
    pub completed_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Why it is out of service, if it is: the last errors. Nothing of it goes on until a person
    /// releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
}

/// A task with its plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// The same, by the name that older clients know.
    pub task_id: TaskId,
    /// The conversation that it belongs to.
    pub session_id: Option<String>,
    /// Who submitted it.
    pub user_id: String,
    /// The worker that it is bound to.
    pub worker_id: Option<String>,
    /// The workflow that it is a run of.
    pub workflow_id: Option<String>,
    /// The task that it is a part of.
    pub parent_id: Option<TaskId>,
    /// What is to be done.
    pub description: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// From 0 to 100; 100 exactly when completed.
    pub progress: u8,
    /// How urgent it is.
    pub priority: Priority,
    /// Handed to every step.
    pub input: Value,
    /// Its steps; absent until planned.
    pub plan: Option<PlanView>,
    /// What came of it: the output of the last step, or of the last ones by their ids.
    pub result: Value,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Free JSON.
    pub metadata: Map<String, Value>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it was settled.
    pub completed_at: Option<Timestamp>,
    /// Position of its last event.
    pub version: u64,
}

/// A plan as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanView {
    /// Where it came from.
    pub source: PlanSource,
    /// Its steps, each after all that it needs.
    pub steps: Vec<StepView>,
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepView {
    /// Names it within its task.
    pub id: String,
    /// Where it stands.
    pub status: StepStatus,
    /// The agent of its last attempt.
    pub agent: Option<String>,
    /// What the agent must be able to do.
    pub capability: Option<String>,
    /// The node of its last attempt.
    pub node: Option<String>,
    /// Steps that must be completed first.
    pub needs: Vec<String>,
    /// What may be done twice.
    pub effect: Effect,
    /// Every attempt, the first one first.
    pub attempts: Vec<AttemptView>,
    /// What it gave.
    pub output: Value,
    /// Why it did not complete.
    pub error: Option<Failure>,
    /// When the next attempt may start.
    pub retry_at: Option<Timestamp>,
}

/// One try at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttemptView {
    /// The step.
    pub step: String,
    /// The first is 1.
    pub number: u32,
    /// How it ended.
    pub status: AttemptStatus,
    /// The agent.
    pub agent: String,
    /// The node.
    pub node: String,
    /// When its intent was recorded.
    pub started_at: Timestamp,
    /// When its receipt was recorded.
    pub ended_at: Option<Timestamp>,
    /// Why it did not succeed.
    pub error: Option<Failure>,
    /// What it took of models, as far as its agent reported that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// `GET /tasks/{id}/allocation`: the score card of each attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AllocationView {
    /// The step.
    pub step: String,
    /// Which attempt; absent while the step waits.
    pub attempt: Option<u32>,
    /// How the choice came about.
    pub card: ScoreCard,
}

/// `GET /tasks/{id}/result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResultView {
    /// The task.
    pub id: TaskId,
    /// Where it stands; final.
    pub status: TaskStatus,
    /// What came of it.
    pub result: Value,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Where each output came from, in the order of the plan.
    pub provenance: Vec<Provenance>,
}

/// Where one output came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Provenance {
    /// The step.
    pub step: String,
    /// The agent.
    pub agent: String,
    /// Which attempt gave it.
    pub attempt: u32,
    /// What it gave.
    pub output: Value,
}

/// `PUT /tasks/{id}`: what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TaskPatch {
    /// What is to be done.
    pub description: Option<String>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// Free JSON.
    pub metadata: Option<Map<String, Value>>,
}

/// `POST /tasks/{id}/assign`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Name or id of the agent.
    #[serde(alias = "worker_id")]
    pub agent_id: String,
    /// Only this step; every unsettled one when absent.
    #[serde(default)]
    pub step: Option<String>,
}

/// `POST /tasks/{id}/cancel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CancelRequest {
    /// Why, in the client's words.
    pub reason: String,
}

/// `GET /tasks/{id}/tree`: a task and its parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskTree {
    /// The task.
    pub task: TaskSummary,
    /// Its parts, the first submitted first.
    pub children: Vec<Self>,
}

/// `GET /tasks/{id}/why`: what each unsettled step waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhyView {
    /// The task.
    pub id: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// In one sentence.
    pub summary: String,
    /// Each unsettled step.
    pub steps: Vec<WhyStep>,
}

/// What one step waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhyStep {
    /// The step.
    pub step: String,
    /// Where it stands.
    pub status: StepStatus,
    /// What it waits for, and what would make it start.
    pub reason: String,
    /// Each candidate with its first failing filter or its scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<ScoreCard>,
    /// For each candidate that is out of the question, what would let it have the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
    /// What operators hold that keeps the step, or a candidate, from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<HoldView>,
}

/// What would let an agent have a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Remedy {
    /// The agent.
    pub agent: String,
    /// What is in its way, and what would help.
    pub what: String,
}
