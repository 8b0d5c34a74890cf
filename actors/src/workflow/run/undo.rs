//! The end of a run that failed or was cancelled: nothing new begins, and what can be taken back is.

use protocol::{
    task::{Event, StepStatus},
    workflow::{NodeStatus, RunEvent},
};
use serde_json::{Map, Value};

use super::{
    begin::call,
    decide::{Look, beside, unreadable},
    follow, verdict,
};
use crate::workflow::graph::Place;

/// What comes next; empty while something still runs.
pub(super) fn wind_down(look: Look<'_>) -> Vec<Event> {
    let run = look.sight.run;
    let task = look.sight.task;
    let mut events = Vec::new();
    for turn in run.turns() {
        if matches!(turn.status, NodeStatus::Waiting | NodeStatus::Unknown)
            || turn.status == NodeStatus::Running
                && !turn.is_alone()
                && is_quiet(&look, &turn.steps)
        {
            events.push(RunEvent::Ended {
                at: turn.at(),
                status: NodeStatus::Cancelled,
                output: Value::Null,
                error: turn.error.clone(),
                gathered: false,
                detail: Value::Null,
            });
        }
    }
    if !events.is_empty() {
        return events
            .into_iter()
            .map(|event| Event::Run { event })
            .collect();
    }
    if task.unsettled() > 0 {
        return Vec::new();
    }
    match &run.taking_back {
        None => match completed(&look) {
            nodes if nodes.is_empty() => vec![verdict::broken(look)],
            nodes => vec![Event::Run {
                event: RunEvent::TakesBack { nodes },
            }],
        },
        Some(nodes) => next(&look, nodes),
    }
}

fn is_quiet(look: &Look<'_>, steps: &[usize]) -> bool {
    let mut steps = steps.iter().filter_map(|at| look.sight.task.steps.get(*at));
    steps.all(|step| step.status.is_settled())
}

/// Nodes that completed and say what takes them back, the last one first.
fn completed(look: &Look<'_>) -> Vec<String> {
    let turns = look.graph.nodes.iter().filter(|place| place.undo.is_some());
    let mut done: Vec<_> = turns
        .filter_map(|place| {
            let turn = look.sight.run.turn(place.id())?;
            let is_own = turn.status == NodeStatus::Completed && !turn.inherited;
            is_own.then_some((turn.settled_at, turn.steps.last().copied(), place.id()))
        })
        .collect();
    done.sort_unstable();
    done.into_iter()
        .rev()
        .map(|(.., id)| id.to_owned())
        .collect()
}

/// One after another. One that cannot be taken back does not keep the others from it.
fn next(look: &Look<'_>, nodes: &[String]) -> Vec<Event> {
    for id in nodes {
        let Some(turn) = look.sight.run.turn(id) else {
            continue;
        };
        match turn.undo.and_then(|at| look.sight.task.steps.get(at)) {
            Some(step) if step.status == StepStatus::Unknown => {
                // Of one that says that it failed, nobody who was asked could tell.
                if turn.status != NodeStatus::Completed {
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
    let output = look.sight.output(turn);
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
