//! What comes of a run that is over.

use protocol::{
    task::{Event, Failure, StepStatus, TaskStatus},
    workflow::{NodeStatus, Shape},
};
use serde_json::{Map, Value, json};

use super::decide::{Look, unreadable};
use crate::workflow::{expression::Uses, graph::Place};

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
    let stuck: Vec<&str> = run
        .taking_back
        .iter()
        .flatten()
        .filter_map(|id| {
            let step = run.turn(id)?.undo.and_then(|at| task.steps.get(at));
            let is_undone = step.is_some_and(|step| step.status == StepStatus::Completed);
            (!is_undone).then_some(id.as_str())
        })
        .collect();
    let because = run.broke.as_ref().map(|(node, error)| {
        let message = match node.as_str() {
            "" => error.message.clone(),
            node => format!("node {node}: {}", error.message),
        };
        Failure::new(error.code.clone(), message)
    });
    let error = match (because, stuck.as_slice()) {
        (because, []) => because,
        (because, stuck) => {
            let left = format!("not taken back: {}", stuck.join(", "));
            Some(match because {
                Some(error) => Failure::new(error.code, format!("{}; {left}", error.message)),
                None => Failure::new("not_taken_back", left),
            })
        }
    };
    Event::Settled {
        status,
        result: Value::Null,
        error: error.filter(|error| {
            status == TaskStatus::Failed || error.message.contains("not taken back")
        }),
    }
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
