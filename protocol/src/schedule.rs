//! What starts something at given times: what a client writes down, and what is recorded of it.
//!
//! The moments at which a schedule is to start something are its *slots*. A slot *fires* when a run is
//! recorded for it; it is decided once, whether it fires or passes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::TaskId,
    plan::RetryPolicy,
    task::{Failure, TaskSpec},
    time::{Span, Timestamp},
};

/// Version of [`Event`] that this build writes.
pub const EVENT_VERSION: u16 = 1;

/// When something is started, and what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Names it; unique among the schedules of a tenant.
    pub name: String,
    /// Its slots as five or six fields: second (optional), minute, hour, day of month, month, day of
    /// week. One of `cron`, `at` and `every` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone that `cron` is meant in, as `Europe/Berlin`; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "time_zone")]
    pub tz: Option<String>,
    /// Its only slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The time between two slots, counted from `starts`, or from when it was made; 1 s at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Each slot fires up to this much later, as its id and the slot decide; a day at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// No slot comes before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// No slot comes at this moment or after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// What becomes of slots at which nobody was there to fire.
    #[serde(default)]
    pub missed: Missed,
    /// How many slots `missed: all` makes up for at most, the latest ones; 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_limit: Option<u32>,
    /// What becomes of a slot while the run of an earlier one goes on.
    #[serde(default)]
    pub overlap: Overlap,
    /// How often a run is tried that could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// What is started.
    pub target: Target,
}

/// What becomes of slots that are missed: a slot is, when the next one is due before it was decided, or
/// when it is more than a minute late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They pass.
    Skip,
    /// The latest of all that are due fires, in place of the others.
    #[default]
    Once,
    /// Each fires, the latest `missed_limit` of them.
    All,
}

/// What becomes of a slot while the run of an earlier one goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It fires beside it.
    #[default]
    Allow,
    /// It passes.
    Skip,
    /// It fires when the other is over; a hundred wait at most.
    Queue,
    /// It fires, and the other is cancelled.
    CancelPrevious,
}

/// What is started: a workflow, a task, or a task that is made of a template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The name of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Which version of it; the one that is current then when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// What the run is handed.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// A task, in place of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<TaskSpec>>,
    /// The name or id of a task template, in place of both: what it says then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What fills the blanks of the template.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}

/// Why something was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its time had come.
    Slot,
    /// Its time had come while nobody was there.
    Missed,
    /// It waited for the run of an earlier slot.
    Queued,
    /// A person asked for it.
    Request,
}

/// Why a slot passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Passing {
    /// Nobody was there, and `missed` says so.
    Missed,
    /// The run of an earlier slot went on, and `overlap` says so.
    Overlap,
}

/// A fact about a schedule. New kinds may be added; a kind that was released never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A client made it.
    Created {
        /// What was asked for.
        spec: Box<ScheduleSpec>,
        /// Who asked, and in whose name runs are started.
        user: String,
    },
    /// A client changed it; slots before this moment stay as they were decided.
    Changed {
        /// What it is from now on.
        spec: Box<ScheduleSpec>,
        /// Who asked.
        user: String,
    },
    /// A slot's run is about to be made: under this id, and only once.
    Fired {
        /// The slot.
        slot: Timestamp,
        /// The run.
        run: TaskId,
        /// Why now.
        cause: Cause,
        /// The run that is cancelled for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cancels: Option<TaskId>,
    },
    /// A run is there.
    Started {
        /// The run.
        run: TaskId,
    },
    /// A run could not be made.
    NotStarted {
        /// The run.
        run: TaskId,
        /// Why.
        error: Failure,
        /// When it is tried again; never when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// A slot waits until the run of an earlier one is over.
    Queued {
        /// The slot.
        slot: Timestamp,
    },
    /// Slots passed without a run, up to and with this one.
    Passed {
        /// The last of them.
        slot: Timestamp,
        /// How many they were.
        count: u64,
        /// Why.
        why: Passing,
    },
    /// No slot fires until it is resumed.
    Paused {
        /// Who asked.
        user: String,
        /// Why, in the client's words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Slots fire again; those of the meantime have passed.
    Resumed {
        /// Who asked.
        user: String,
    },
    /// It has no slot any more, and every run was started.
    Finished,
    /// A client removed it; what it started goes on.
    Deleted {
        /// Who asked.
        user: String,
    },
}
