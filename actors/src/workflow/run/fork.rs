//! A run that begins with what another one had.

use std::collections::HashSet;

use protocol::{
    id::TaskId,
    task::Event,
    workflow::{Inherited, NodeStatus, RunEvent},
};
use serde_json::Map;

use super::{Sight, state::Turn};
use crate::{Rejection, task::Task, workflow::graph::Graph};

/// What a fork of `task` at `node` takes over: all that is over there and does not come after `node`.
/// `recorded` is all that was recorded of it.
///
/// # Errors
///
/// When it is no run, has no such node, or something before that node is not over: it would be done again.
pub fn inherited<'a>(
    graph: &Graph,
    (id, task): (TaskId, &Task),
    node: &str,
    recorded: impl Iterator<Item = &'a Event>,
) -> Result<RunEvent, Rejection> {
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
        let before = graph.nodes[at].id();
        let is_over = run.turn(before).is_some_and(is_over);
        if at != from && !is_over {
            return Err(Rejection::Conflict {
                code: "not_over",
                message: format!(
                    "node `{before}` comes before `{node}` and is not over; fork at `{before}`, or wait"
                ),
            });
        }
    }
    let sight = Sight { id, task, run };
    let mut kept = HashSet::new();
    let mut nodes = Vec::new();
    for (at, place) in graph.nodes.iter().enumerate() {
        let Some(turn) = run.turn(place.id()).filter(|turn| is_over(turn)) else {
            continue;
        };
        if !after.contains(&at) {
            kept.insert(place.id());
            nodes.push(Inherited {
                at: turn.at(),
                status: turn.status,
                output: sight.output(turn),
                error: turn.error.clone(),
                settled_at: turn.settled_at.unwrap_or_default(),
            });
        }
    }
    // What later nodes wrote is not there yet.
    let mut context = Map::new();
    for event in recorded {
        let Event::Run { event } = event else {
            continue;
        };
        if let RunEvent::Forked { context: first, .. } = event {
            context.clone_from(first);
        }
        if let RunEvent::Wrote { node, values, .. } = event
            && node.as_deref().is_none_or(|node| kept.contains(node))
        {
            context.extend(values.clone());
        }
    }
    context.retain(|_, value| !value.is_null());
    Ok(RunEvent::Forked { nodes, context })
}

fn is_over(turn: &Turn) -> bool {
    matches!(
        turn.status,
        NodeStatus::Completed | NodeStatus::Failed | NodeStatus::Skipped
    )
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
