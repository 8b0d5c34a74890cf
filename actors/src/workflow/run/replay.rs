//! A recorded run decided again, with nothing done: whether a definition would have led it the same way.

use protocol::{id::TaskId, task::Event, time::Timestamp, workflow::RunEvent};
use runtime::journal::EventSourced;
use serde_json::Value;

use super::{Wait, decide};
use crate::{task::Task, workflow::graph::Graph};

/// What a replay found.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Events that were looked at.
    pub events: usize,
    /// Decisions among them that were taken the same way.
    pub same: usize,
    /// The first that was not.
    pub divergence: Option<Divergence>,
}

/// Where a run would have gone another way.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// Which event of the run, the first is 1.
    pub seq: usize,
    /// About which node, if it is about one.
    pub node: Option<String>,
    /// What was recorded.
    pub recorded: Value,
    /// What is decided now in its place; nothing when no decision is left.
    pub decided: Vec<Value>,
}

/// Decides `recorded` again with `graph`. What came from outside, results, answers, the passing of time,
/// is taken as recorded.
#[must_use]
pub fn replay(graph: &Graph, id: TaskId, recorded: &[(Event, Timestamp)]) -> Replayed {
    let mut task = Task::default();
    let mut same = 0;
    for (index, (event, at)) in recorded.iter().enumerate() {
        if is_decision(&task, event) {
            let decided = decide(graph, id, &task, *at);
            let wanted = essence(event);
            if !decided.iter().any(|other| essence(other) == wanted) {
                let divergence = Divergence {
                    seq: index + 1,
                    node: node_of(event),
                    recorded: wanted,
                    decided: decided.iter().map(essence).collect(),
                };
                return Replayed {
                    events: index + 1,
                    same,
                    divergence: Some(divergence),
                };
            }
            same += 1;
        }
        task.apply(event, *at);
    }
    Replayed {
        events: recorded.len(),
        same,
        divergence: None,
    }
}

/// Whether the rules of runs led to it, not something from outside.
fn is_decision(task: &Task, event: &Event) -> bool {
    match event {
        Event::Settled { .. } => true,
        Event::Run { event } => match event {
            RunEvent::Settled { .. } | RunEvent::Forked { .. } => false,
            // Its time was up.
            RunEvent::Broke { node, .. } => !node.is_empty(),
            RunEvent::Wrote { node, version, .. } => node.is_some() || *version == 0,
            RunEvent::Ended { at, .. } => {
                let run = task.run.as_deref();
                let turn = run.and_then(|run| run.turn(&at.node));
                let waits = turn.and_then(|turn| turn.waits.as_ref());
                let winds_down = task.cancelling || task.is_broke();
                winds_down || !matches!(waits, Some(Wait::For { .. }))
            }
            RunEvent::Started { .. }
            | RunEvent::Waits { .. }
            | RunEvent::Asked { .. }
            | RunEvent::WentBack { .. }
            | RunEvent::TakesBack { .. }
            | RunEvent::Undoes { .. } => true,
        },
        Event::Submitted { .. }
        | Event::Planned { .. }
        | Event::AttemptStarted { .. }
        | Event::AttemptEnded { .. }
        | Event::Probed { .. }
        | Event::RetryScheduled { .. }
        | Event::StepSettled { .. }
        | Event::ResultCameLate { .. }
        | Event::Amended { .. }
        | Event::Assigned { .. }
        | Event::CancelRequested { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::AttemptInterrupted { .. }
        | Event::Replied { .. }
        | Event::Deleted { .. } => false,
    }
}

/// A decision without what depends on the moment at which it was taken.
fn essence(event: &Event) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("entity");
        fields.remove("until");
    }
    value
}

fn node_of(event: &Event) -> Option<String> {
    let value = serde_json::to_value(event).ok()?;
    Some(value.get("node")?.as_str()?.to_owned())
}
