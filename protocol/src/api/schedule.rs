//! Schedules over HTTP, and what they and triggers have started.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ScheduleId, TaskId},
    schedule::{Cause, Passing, ScheduleSpec},
    task::{Failure, TaskStatus},
    time::Timestamp,
    trigger::Occasion,
};

/// Which schedules or triggers a list holds, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleQuery {
    /// Only this status.
    pub status: Option<String>,
    /// Items a page; 50 when absent, 200 at most.
    pub limit: Option<u32>,
    /// From `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A schedule as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScheduleView {
    /// Its id.
    pub id: ScheduleId,
    /// Its name.
    pub name: String,
    /// `active`, `paused` or `finished`.
    pub status: String,
    /// Who made it, and in whose name its runs are started.
    pub user_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it fires next, jitter included; absent while it is paused and when there is no slot any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// When it fired last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// Runs that it was to start, so far.
    pub fired: u64,
    /// Slots that passed, so far.
    pub passed: u64,
    /// Runs that could not be started, so far.
    pub failed: u64,
    /// Slots that wait for the run of an earlier one.
    #[serde(default)]
    pub queued: u32,
    /// Why it is paused, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// What was asked for.
    pub spec: ScheduleSpec,
    /// Position of its last event.
    #[serde(default)]
    pub version: u64,
}

/// `POST /schedules/{id}/pause` and `/triggers/{id}/pause`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PauseReason {
    /// Why, in the client's words.
    pub reason: String,
}

/// How far a start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FiringState {
    /// Its run is being made.
    Starting,
    /// Its run could not be made yet, and will be tried again.
    Retrying,
    /// Its run is there.
    Started,
    /// Its run could not be made.
    NotStarted,
    /// It waits for the run of an earlier slot.
    Queued,
    /// It passed without a run.
    Passed,
}

/// What became of a slot of a schedule, or of what a trigger waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FiringView {
    /// The slot; of several that passed together, the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// What happened, for a trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occasion: Option<Occasion>,
    /// Why it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When that was decided.
    pub at: Timestamp,
    /// How far it has come.
    pub state: FiringState,
    /// The run, a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<TaskId>,
    /// Where the run stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<TaskStatus>,
    /// How often it was tried to make the run without success.
    #[serde(default)]
    pub tries: u32,
    /// Why that failed the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Slots that passed together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Why they passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Passing>,
}
