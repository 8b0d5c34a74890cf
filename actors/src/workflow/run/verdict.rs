//! What comes of a run that is over.

use protocol::{
    task::{Event, Failure, StepStatus, TaskStatus},
    workflow::{NodeStatus, Shape},
};
use serde_json::{Map, Value, json};

use super::{
    decide::{Look, unreadable},
    state::OUTCOME_UNKNOWN,
};
use crate::{
    task::Step,
    workflow::{expression::Uses, graph::Place},
};

/// All nodes are over, and none that is needed failed.
pub(super) fn completed(look: Look<'_>) -> Event {
    let result = match &look.graph.output {
        None => {
            let result = by_shape(&look);
            look.sight.fits(&result).map(|()| result)
        }
        Some(template) => {
            let mut uses = Uses::default();
            template.uses(&mut uses);
            look.sight
                .scope(&uses, Map::new())
                .and_then(|scope| template.render(&scope))
        }
    };
    match result {
        Ok(result) => Event::Settled {
            status: TaskStatus::Completed,
            result,
            error: None,
        },
        Err(error) => Event::Settled {
            status: TaskStatus::Failed,
            result: Value::Null,
            error: Some(unreadable("output", &error)),
        },
    }
}

/// It failed or was cancelled, and nothing of it runs any more.
pub(super) fn broken(look: Look<'_>) -> Event {
    let (run, task) = (look.sight.run, look.sight.task);
    let status = if task.cancelling {
        TaskStatus::Cancelled
    } else {
        TaskStatus::Failed
    };
    let because = run.broke.as_ref().map(|(node, error)| {
        let message = match node.as_str() {
            "" => error.message.clone(),
            node => format!("node {node}: {}", error.message),
        };
        Failure::new(error.code.clone(), message)
    });
    let stuck = not_taken_back(look);
    let mut unknown = unknown(look);
    if let Some(because) = &because {
        unknown.retain(|id| !because.message.contains(&format!("step {id} took effect")));
    }
    let left = [
        ("not_taken_back", "not taken back: ", "", stuck),
        (
            OUTCOME_UNKNOWN,
            "not known whether ",
            " took effect",
            unknown,
        ),
    ];
    let left = left.into_iter().filter(|(.., names)| !names.is_empty());
    // Of one that was cancelled, why it was failing before does not matter.
    let because = because.filter(|_| status == TaskStatus::Failed);
    let error = left.fold(because, |error, (code, before, after, names)| {
        let left = format!("{before}{}{after}", names.join(", "));
        Some(match error {
            Some(error) => Failure::new(error.code, format!("{}; {left}", error.message)),
            None => Failure::new(code, left),
        })
    });
    Event::Settled {
        status,
        result: Value::Null,
        error,
    }
}

/// Nodes that were to be taken back, and surely or maybe were not.
fn not_taken_back(look: Look<'_>) -> Vec<&str> {
    let (run, task) = (look.sight.run, look.sight.task);
    let nodes = run.taking_back.iter().flatten().filter(|id| {
        let undo = run.turn(id).and_then(|turn| turn.undo);
        let step = undo.and_then(|at| task.steps.get(at));
        step.is_none_or(|step| step.status != StepStatus::Completed)
    });
    nodes.map(String::as_str).collect()
}

/// Calls that may have taken effect. Those that take back nodes that are named anyway are not among them.
fn unknown(look: Look<'_>) -> Vec<&str> {
    let run = look.sight.run;
    let is_named = |step: &Step| {
        let of = step.of.filter(|of| of.undo);
        let node = of.and_then(|of| run.at(of.node));
        let taken_back = run.taking_back.iter().flatten();
        node.is_some_and(|turn| taken_back.into_iter().any(|id| *id == turn.id))
    };
    let steps = look.sight.task.steps.iter();
    let steps = steps.filter(|step| step.status == StepStatus::Unknown && !is_named(step));
    steps.map(|step| step.spec.id.as_str()).collect()
}

fn by_shape(look: &Look<'_>) -> Value {
    let output = |place: &Place| {
        let turn = look.sight.run.turn(place.id())?;
        Some(match (&turn.error, turn.status) {
            (Some(error), NodeStatus::Failed) => json!({ "error": error }),
            _ => look.sight.output(turn),
        })
    };
    let ran = |place: &&Place| {
        let turn = look.sight.run.turn(place.id());
        turn.is_some_and(|turn| turn.status != NodeStatus::Skipped)
    };
    if look.graph.shape == Shape::Concurrent {
        let all = look.graph.nodes.iter().map(output);
        return Value::Array(all.map(Option::unwrap_or_default).collect());
    }
    let mut last: Vec<&Place> = look.graph.last().collect();
    if last.len() > 1 {
        last.retain(ran);
    }
    match last.as_slice() {
        [only] => output(only).unwrap_or_default(),
        several => {
            let several = several.iter();
            let named = several.filter_map(|place| Some((place.id().to_owned(), output(place)?)));
            Value::Object(named.collect())
        }
    }
}
