//! Which nodes an edge that goes back repeats, and who must wait until it is certain that it will not.

use super::{Back, Link, Place};

/// Fills in what follows from the edges that go back.
pub(super) fn close(nodes: &mut [Place], edges: &mut [Link]) {
    let loops: Vec<usize> = (0..edges.len())
        .filter(|index| edges[*index].back.is_some())
        .collect();
    for index in loops {
        let (source, target) = (edges[index].from, edges[index].to);
        let ahead = reach(
            nodes,
            target,
            |place| &place.outgoing,
            |edge| edge.to,
            edges,
        );
        let before = reach(
            nodes,
            source,
            |place| &place.incoming,
            |edge| edge.from,
            edges,
        );
        let is_inside = |at: usize| ahead[at] && before[at];
        let body: Vec<usize> = (0..nodes.len()).filter(|at| is_inside(*at)).collect();
        let mut behind: Vec<usize> = body
            .iter()
            .flat_map(|at| &nodes[*at].outgoing)
            .map(|edge| edges[*edge].to)
            .filter(|to| !is_inside(*to))
            .collect();
        behind.sort_unstable();
        behind.dedup();
        for at in behind {
            nodes[at].behind.push(index);
        }
        if let Some(Back { body: known, .. }) = &mut edges[index].back {
            *known = body;
        }
    }
}

/// The nodes that can be reached over edges that go on, the first one among them.
fn reach(
    nodes: &[Place],
    from: usize,
    over: fn(&Place) -> &Vec<usize>,
    to: fn(&Link) -> usize,
    edges: &[Link],
) -> Vec<bool> {
    let mut found = vec![false; nodes.len()];
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut found[at], true) {
            open.extend(over(&nodes[at]).iter().map(|edge| to(&edges[*edge])));
        }
    }
    found
}
