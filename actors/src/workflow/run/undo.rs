//! The end of a run that failed or was cancelled: nothing new begins, and what can be taken back is.
//!
//! It waits until people have said of each call whether it took effect: what did is taken back too.

use protocol::{
    task::{Event, StepStatus},
    workflow::{NodeStatus, RunEvent},
};
use serde_json::{Map, Value};

use super::{
    begin::call,
    decide::{Look, beside, unreadable},
    follow,
    scope::given,
    state::Turn,
    verdict,
};
use crate::{task::Step, workflow::graph::Place};

/// What comes next; empty while something still runs.
pub(super) fn wind_down(look: Look<'_>) -> Vec<Event> {
    let run = look.sight.run;
    let task = look.sight.task;
    let mut events = Vec::new();
    let mut in_doubt = false;
    for turn in run.turns() {
        if !task.is_terminated() && look.is_in_doubt(turn) {
            in_doubt = true;
            let asked = turn.waits.is_none().then(|| follow::ask_about(&look, turn));
            events.extend(asked.flatten());
        } else {
            events.extend(ends(&look, turn));
        }
    }
    if !events.is_empty() {
        return events
            .into_iter()
            .map(|event| Event::Run { event })
            .collect();
    }
    if in_doubt || task.unsettled() > 0 {
        return Vec::new();
    }
    match &run.taking_back {
        None => match done(&look) {
            nodes if nodes.is_empty() => vec![verdict::broken(look)],
            nodes => vec![Event::Run {
                event: RunEvent::TakesBack { nodes },
            }],
        },
        Some(nodes) => next(&look, nodes),
    }
}

/// A node that waits for anything else, or of whose calls none is made any more.
fn ends(look: &Look<'_>, turn: &Turn) -> Option<RunEvent> {
    let are = |is: fn(StepStatus) -> bool| look.sight.calls(turn).all(|step| is(step.status));
    match turn.status {
        NodeStatus::Waiting | NodeStatus::Unknown => {}
        NodeStatus::Running if !turn.is_alone() && are(StepStatus::is_settled) => {}
        NodeStatus::Pending
        | NodeStatus::Running
        | NodeStatus::Completed
        | NodeStatus::Failed
        | NodeStatus::Skipped
        | NodeStatus::Cancelled => return None,
    }
    // All that it called was done: so is the node, unless more calls were to follow from that.
    let is_done = turn.status == NodeStatus::Running && are(|it| it == StepStatus::Completed);
    let place = look.graph.place(&turn.id).filter(|_| is_done);
    let follows = place.and_then(|at| follow::follow(look, &look.graph.nodes[at], turn));
    let done = follows.filter(
        |event| matches!(event, RunEvent::Ended { status, .. } if *status == NodeStatus::Completed),
    );
    Some(done.unwrap_or_else(|| RunEvent::Ended {
        at: turn.at(),
        status: NodeStatus::Cancelled,
        output: Value::Null,
        error: turn.error.clone(),
        gathered: false,
        detail: Value::Null,
    }))
}

/// Nodes that did something and say what takes them back, the last one first.
fn done(look: &Look<'_>) -> Vec<String> {
    let turns = look.graph.nodes.iter().filter(|place| place.undo.is_some());
    let mut done: Vec<_> = turns
        .filter_map(|place| {
            let turn = look.sight.run.turn(place.id())?;
            let is_own = !turn.inherited && has_done(look, turn);
            is_own.then_some((turn.settled_at, turn.steps.last().copied(), place.id()))
        })
        .collect();
    done.sort_unstable();
    done.into_iter()
        .rev()
        .map(|(.., id)| id.to_owned())
        .collect()
}

/// Whether a node completed, or broke after some of its several calls did.
fn has_done(look: &Look<'_>, turn: &Turn) -> bool {
    let is_completed = |step: &Step| step.status == StepStatus::Completed;
    let is_in_part = !turn.is_alone() && look.sight.calls(turn).any(is_completed);
    turn.status == NodeStatus::Completed || is_in_part
}

/// One after another. One that cannot be taken back does not keep the others from it.
fn next(look: &Look<'_>, nodes: &[String]) -> Vec<Event> {
    for id in nodes {
        let Some(turn) = look.sight.run.turn(id) else {
            continue;
        };
        match turn.undo.and_then(|at| look.sight.task.steps.get(at)) {
            Some(step) if step.status == StepStatus::Unknown => {
                // Nobody who was asked could tell.
                if !turn.is_in_doubt(step) {
                    continue;
                }
                let asked = turn.waits.is_none().then(|| follow::ask_about(look, turn));
                let asked = asked.flatten().into_iter();
                return asked.map(|event| Event::Run { event }).collect();
            }
            Some(_) => {}
            None => {
                let place = look.graph.place(id).map(|at| &look.graph.nodes[at]);
                let Some(event) = place.and_then(|place| take_back(look, place)) else {
                    continue;
                };
                return vec![Event::Run { event }];
            }
        }
    }
    vec![verdict::broken(*look)]
}

fn take_back(look: &Look<'_>, place: &Place) -> Option<RunEvent> {
    let (caller, input) = place.undo.as_ref()?;
    let turn = look.sight.run.turn(place.id())?;
    let output = gave(look, turn);
    let name = format!("{}~undo", turn.at());
    let seen: Map<String, Value> = beside("output", output.clone());
    let handed = match input {
        Some(template) => super::begin::render(look, template, seen.clone()),
        None => Ok(output),
    };
    let made = handed.and_then(|handed| call(look, place, caller, (&name, handed, seen)));
    match made {
        Ok(step) => Some(RunEvent::Undoes {
            node: place.id().to_owned(),
            call: Box::new(step),
        }),
        Err(error) => {
            let why = unreadable("compensate", &error);
            tracing::warn!(
                node = place.id(),
                why = why.message,
                "it cannot be taken back"
            );
            None
        }
    }
}

/// What a node gave: of one that broke, what each of its calls gave, or why it gave nothing.
fn gave(look: &Look<'_>, turn: &Turn) -> Value {
    if turn.status == NodeStatus::Completed {
        return look.sight.output(turn);
    }
    Value::Array(look.sight.calls(turn).map(given).collect())
}
