//! What a record of a task tells that triggers may wait for.

use protocol::{
    entity::EntityId,
    record::Record,
    task::{Event, TaskStatus},
    time::Timestamp,
    trigger::Happening,
};
use serde_json::{Value, json};

use crate::task::Task;

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// Of a task, or of a run of a workflow: that is not known from the event alone.
    pub what: What,
    /// Its position in the task's events.
    pub seq: u64,
}

/// What of it the event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It was submitted.
    Submitted,
    /// It reached one of its ends.
    Settled(TaskStatus),
}

impl What {
    /// Whether it is what a trigger waits for, for a task that is a run of a workflow or is not.
    #[must_use]
    pub fn is(self, waited: Happening, is_run: bool) -> bool {
        let meant = match (self, is_run) {
            (Self::Submitted, false) => Happening::TaskSubmitted,
            (Self::Submitted, true) => Happening::WorkflowStarted,
            (Self::Settled(TaskStatus::Completed), false) => Happening::TaskCompleted,
            (Self::Settled(TaskStatus::Completed), true) => Happening::WorkflowCompleted,
            (Self::Settled(TaskStatus::Failed), false) => Happening::TaskFailed,
            (Self::Settled(TaskStatus::Failed), true) => Happening::WorkflowFailed,
            (Self::Settled(TaskStatus::Cancelled), false) => Happening::TaskCancelled,
            (Self::Settled(TaskStatus::Cancelled), true) => Happening::WorkflowCancelled,
            (
                Self::Settled(
                    TaskStatus::Pending
                    | TaskStatus::Planning
                    | TaskStatus::Executing
                    | TaskStatus::Paused,
                ),
                _,
            ) => return false,
        };
        meant == waited
    }
}

/// What a record tells, in order. Events that this build does not know tell nothing.
#[must_use]
pub fn happenings(record: &Record) -> Vec<Happened> {
    // Most records are of attempts: they are not read in full.
    if !record.data.contains("\"submitted\"") && !record.data.contains("\"settled\"") {
        return Vec::new();
    }
    let events: Vec<Value> = serde_json::from_str(&record.data).unwrap_or_default();
    let numbered = events.into_iter().zip(record.seq..);
    let told = numbered.filter_map(|(event, seq)| {
        let what = match event.get("type").and_then(Value::as_str)? {
            "submitted" => What::Submitted,
            "settled" => {
                let Ok(Event::Settled { status, .. }) = serde_json::from_value(event) else {
                    return None;
                };
                What::Settled(status)
            }
            _ => return None,
        };
        Some(Happened { what, seq })
    });
    told.collect()
}

/// How many starts led to a task, as its metadata says.
#[must_use]
pub fn depth(task: &Task) -> u32 {
    let trigger = task.spec.metadata.get("trigger");
    let depth = trigger.and_then(|trigger| trigger.get("depth")?.as_u64());
    depth.map_or(0, |depth| u32::try_from(depth).unwrap_or(u32::MAX))
}

/// The fields of what filters and templates see of an event, of its task and of its run.
pub(super) const OF_EVENT: [&str; 5] = ["event", "id", "at", "task", "workflow"];
pub(super) const OF_TASK: [&str; 12] = [
    "id",
    "description",
    "status",
    "user_id",
    "session_id",
    "parent_id",
    "input",
    "result",
    "error",
    "metadata",
    "created_at",
    "completed_at",
];
pub(super) const OF_WORKFLOW: [&str; 3] = ["id", "name", "version"];
/// The same of what comes to a webhook.
pub(super) const OF_DELIVERY: [&str; 5] = ["event", "id", "at", "body", "headers"];

/// What filters and templates see of it.
#[must_use]
pub fn scope(what: Happening, entity: EntityId, seq: u64, at: Timestamp, task: &Task) -> Value {
    let workflow = task.spec.workflow.as_ref();
    json!({
        "event": what.as_str(),
        "id": format!("{entity}:{seq}"),
        "at": at,
        "task": {
            "id": entity.to_string(),
            "description": task.spec.description,
            "status": task.status.as_str(),
            "user_id": task.user,
            "session_id": task.spec.session_id,
            "parent_id": task.spec.parent_id,
            "input": task.large.loaded(&task.spec.input),
            "result": task.large.loaded(&task.result),
            "error": task.error,
            "metadata": task.spec.metadata,
            "created_at": task.created_at,
            "completed_at": task.settled_at,
        },
        "workflow": workflow.map(|run| json!({
            "id": run.id, "name": run.name, "version": run.version,
        })),
    })
}
