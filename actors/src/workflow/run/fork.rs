//! A run that begins with what another one had.

use std::collections::{BTreeSet, HashSet};

use protocol::{
    id::TaskId,
    plan::Effect,
    task::Event,
    workflow::{Inherited, NodeStatus, RunEvent},
};
use serde_json::Map;

use super::{Sight, state::Turn};
use crate::{
    Rejection,
    task::Task,
    workflow::{
        graph::{Graph, Place},
        large::Large,
    },
};

/// How a fork begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Fork {
    /// What it takes over.
    pub event: RunEvent,
    /// Nodes that it does anew although what they called cannot be taken back.
    pub again: Vec<String>,
}

/// What a fork of `task` at `node` takes over: all that is over there and does not come after `node`.
/// `recorded` is all that was recorded of it, `within` are nodes whose own runs called something irreversible.
///
/// # Errors
///
/// When it is no run, has no such node, or something before that node is not over: it would be done again.
pub fn inherited<'a>(
    graph: &Graph,
    (id, task): (TaskId, &Task),
    node: &str,
    recorded: impl Iterator<Item = &'a Event>,
    within: BTreeSet<String>,
) -> Result<Fork, Rejection> {
    let wrong = |why: String| Rejection::field("from_node", why);
    let Some(run) = task.run.as_deref() else {
        return Err(wrong(format!("{id} is no run of a workflow")));
    };
    let Some(from) = graph.place(node) else {
        let all: Vec<&str> = graph.nodes.iter().map(|place| place.id()).collect();
        let all = all.join(", ");
        return Err(wrong(format!("there is no node `{node}`; nodes are {all}")));
    };
    let after = reached(graph, from, Way::Onwards);
    for at in reached(graph, from, Way::Back) {
        let place = &graph.nodes[at];
        let stands = run
            .turn(place.id())
            .map_or(Stands::Open, |turn| stands(turn, place));
        if at != from {
            stands.or_conflict(place.id(), node)?;
        }
    }
    let sight = Sight { id, task, run };
    let mut kept = HashSet::new();
    let mut nodes = Vec::new();
    // As the fork will have it: its input, then each large value where it comes first.
    let mut large = Large::default();
    large.take_over(task.large.loaded(&task.spec.input));
    for (at, place) in graph.nodes.iter().enumerate() {
        let Some(turn) = run.turn(place.id()) else {
            continue;
        };
        if !after.contains(&at) && stands(turn, place) == Stands::Yes {
            kept.insert(place.id());
            nodes.push(Inherited {
                at: turn.at(),
                status: turn.status,
                output: large.take_over(task.large.loaded(&sight.output(turn))),
                error: turn.error.clone(),
                settled_at: turn.settled_at.unwrap_or_default(),
            });
        }
    }
    // What later nodes wrote is not there yet.
    let mut context = Map::new();
    let mut called = within;
    called.extend(irreversible(task));
    for event in recorded {
        let Event::Run { event } = event else {
            continue;
        };
        if let RunEvent::Forked {
            context: first,
            called: before,
            ..
        } = event
        {
            context.clone_from(first);
            called.extend(before.iter().cloned());
        }
        if let RunEvent::Wrote { node, values, .. } = event
            && node.as_deref().is_none_or(|node| kept.contains(node))
        {
            context.extend(values.clone());
        }
    }
    context.retain(|_, value| !value.is_null());
    for value in context.values_mut() {
        *value = large.take_over(task.large.loaded(value));
    }
    let again = called.iter().filter(|node| !kept.contains(node.as_str()));
    let again = again.cloned().collect();
    let called = called.into_iter().collect();
    Ok(Fork {
        event: RunEvent::Forked {
            nodes,
            context,
            called,
        },
        again,
    })
}

/// Nodes of which something irreversible was called, or may have been.
pub fn irreversible(task: &Task) -> impl Iterator<Item = String> {
    let run = task.run.as_deref();
    let steps = task.steps.iter();
    let called =
        steps.filter(|step| step.spec.effect == Effect::Irreversible && !step.attempts.is_empty());
    called.filter_map(move |step| Some(run?.at(step.of?.node)?.id.clone()))
}

/// Whether what a node did can be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Yes,
    /// It is not over.
    Open,
    /// It failed, and the run with it.
    Failed,
    /// It was taken back.
    TakenBack,
}

fn stands(turn: &Turn, place: &Place) -> Stands {
    match turn.status {
        NodeStatus::Completed if turn.undo.is_some() => Stands::TakenBack,
        NodeStatus::Completed | NodeStatus::Skipped => Stands::Yes,
        NodeStatus::Failed if place.is_needed() => Stands::Failed,
        NodeStatus::Failed if turn.undo.is_some() => Stands::TakenBack,
        NodeStatus::Failed => Stands::Yes,
        NodeStatus::Pending
        | NodeStatus::Running
        | NodeStatus::Waiting
        | NodeStatus::Unknown
        | NodeStatus::Cancelled => Stands::Open,
    }
}

impl Stands {
    fn or_conflict(self, before: &str, node: &str) -> Result<(), Rejection> {
        let (code, what) = match self {
            Self::Yes => return Ok(()),
            Self::Open => ("not_over", "is not over"),
            Self::Failed => ("failed", "failed"),
            Self::TakenBack => ("taken_back", "was taken back"),
        };
        let message =
            format!("node `{before}` comes before `{node}` and {what}; fork at `{before}`");
        Err(Rejection::Conflict { code, message })
    }
}

/// In which direction edges are followed.
#[derive(Clone, Copy)]
enum Way {
    Onwards,
    Back,
}

/// Every node that can be reached, `from` among them.
fn reached(graph: &Graph, from: usize, way: Way) -> HashSet<usize> {
    let mut found = HashSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if !found.insert(at) {
            continue;
        }
        let place = &graph.nodes[at];
        let edges = match way {
            Way::Onwards => &place.outgoing,
            Way::Back => &place.incoming,
        };
        open.extend(edges.iter().map(|edge| match way {
            Way::Onwards => graph.edges[*edge].to,
            Way::Back => graph.edges[*edge].from,
        }));
    }
    found
}
