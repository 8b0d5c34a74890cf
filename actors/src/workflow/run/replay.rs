//! A recorded run decided again, with nothing done: whether a definition would have led it the same way.

use std::collections::VecDeque;

use protocol::{
    id::TaskId,
    task::Event,
    time::Timestamp,
    workflow::{NodeStatus, RunEvent},
};
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
    /// Which event of the run, the first is 1; one more than there are when it is after them.
    pub seq: usize,
    /// About which node, if it is about one.
    pub node: Option<String>,
    /// What was recorded; nothing when it is after all that was.
    pub recorded: Value,
    /// What is decided now in its place; nothing when no decision is left.
    pub decided: Vec<Value>,
}

/// Decides `recorded` again with `graph`. What came from outside, results, answers, the passing of time,
/// is taken as recorded.
#[must_use]
pub fn replay(graph: &Graph, id: TaskId, recorded: &[(Event, Timestamp)]) -> Replayed {
    let mut again = Again {
        graph,
        id,
        task: Task::default(),
        open: VecDeque::new(),
    };
    let mut same = 0;
    let mut divergence = None;
    for (index, (event, at)) in recorded.iter().enumerate() {
        if let Some((node, decided)) = again.differs(event, *at) {
            divergence = Some(Divergence {
                seq: index + 1,
                node,
                recorded: essence(event),
                decided,
            });
            break;
        }
        same += usize::from(is_decision(&again.task, event));
        again.task.apply(event, *at);
    }
    if let (None, Some((_, last)), 1..) = (&divergence, recorded.last(), same) {
        let decided = again.at_the_end(*last);
        divergence = decided.first().map(|first| Divergence {
            seq: recorded.len() + 1,
            node: node_of(first),
            recorded: Value::Null,
            decided: decided.clone(),
        });
    }
    Replayed {
        events: divergence
            .as_ref()
            .map_or(recorded.len(), |found| found.seq.min(recorded.len())),
        same,
        divergence,
    }
}

/// A run that is decided again.
struct Again<'a> {
    graph: &'a Graph,
    id: TaskId,
    task: Task,
    /// What was decided at once with what was recorded last. It comes next, before any of it changes what
    /// follows.
    open: VecDeque<(Event, Value)>,
}

impl Again<'_> {
    /// What comes next in place of `event`, if that does not, and about which node.
    fn differs(&mut self, event: &Event, at: Timestamp) -> Option<(Option<String>, Vec<Value>)> {
        // As it would be written down now: what is large may be referred to.
        let wanted =
            is_decision(&self.task, event).then(|| essence(&self.task.large.fold(event.clone())));
        let is_wanted = |(_, other): &(Event, Value)| Some(other) == wanted.as_ref();
        if let Some(found) = self.open.iter().position(is_wanted) {
            self.open.remove(found);
            return None;
        }
        // The moment of a record is later than that of its decisions: what came due in between is decided
        // once more.
        let open = std::mem::take(&mut self.open);
        let left = open.into_iter().filter(|(event, _)| !self.is_due(event));
        let left: Vec<Value> = left.map(|(_, essence)| essence).collect();
        if let Some(first) = left.first() {
            return Some((node_of(first), left));
        }
        let wanted = wanted.as_ref()?;
        let mut decided = self.decided(at);
        let Some(found) = decided.iter().position(is_wanted) else {
            let decided = decided.into_iter().map(|(_, essence)| essence);
            return Some((node_of(wanted), decided.collect()));
        };
        decided.remove(found);
        self.open = decided;
        None
    }

    /// What would come after all that was recorded.
    fn at_the_end(&mut self, at: Timestamp) -> Vec<Value> {
        let open = match self.open.is_empty() {
            true => self.decided(at),
            false => std::mem::take(&mut self.open),
        };
        let open = open.into_iter().filter(|(event, _)| !self.is_due(event));
        open.map(|(_, essence)| essence).collect()
    }

    fn decided(&self, at: Timestamp) -> VecDeque<(Event, Value)> {
        let decided = decide(self.graph, self.id, &self.task, at);
        let decided = decided.into_iter().map(|event| {
            let essence = essence(&event);
            (event, essence)
        });
        decided.collect()
    }

    /// Whether time alone leads to it.
    fn is_due(&self, event: &Event) -> bool {
        let Event::Run {
            event: RunEvent::Ended { at, status, .. },
        } = event
        else {
            return false;
        };
        let run = self.task.run.as_deref();
        let turn = run.and_then(|run| run.turn(&at.node));
        let waits = turn.and_then(|turn| turn.waits.as_ref());
        *status == NodeStatus::Completed && matches!(waits, Some(Wait::Until(_)))
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
            RunEvent::Ended { at, status, .. } => {
                let run = task.run.as_deref();
                let turn = run.and_then(|run| run.turn(&at.node));
                let waits = turn.and_then(|turn| turn.waits.as_ref());
                let winds_down = task.cancelling || task.is_broke();
                match waits {
                    // Whoever was asked could not tell.
                    Some(Wait::For { about: Some(_), .. }) if *status == NodeStatus::Failed => {
                        false
                    }
                    Some(Wait::For { .. }) => winds_down,
                    Some(Wait::Until(_)) | None => true,
                }
            }
            // Taking nothing back is what a client asks for; what is to be taken back is decided.
            RunEvent::TakesBack { nodes } => !nodes.is_empty(),
            RunEvent::Started { .. }
            | RunEvent::Waits { .. }
            | RunEvent::Asked { .. }
            | RunEvent::WentBack { .. }
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

fn node_of(essence: &Value) -> Option<String> {
    Some(essence.get("node")?.as_str()?.to_owned())
}
