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
        let body: Vec<usize> = (0..nodes.len())
            .filter(|at| ahead[*at] && before[*at])
            .collect();
        for (at, place) in nodes.iter_mut().enumerate() {
            let comes_out = place
                .incoming
                .iter()
                .any(|edge| body.contains(&edges[*edge].from));
            if comes_out && !body.contains(&at) {
                place.behind.push(index);
            }
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
