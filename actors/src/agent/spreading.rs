//! Which agents move to another node, so that nodes host alike, and alike of each kind.

use std::{collections::HashMap, hash::Hash};

use protocol::{agent::AgentSpec, id::AgentId, id::NodeId};

/// Agents that a node may have more than its fair share before some are moved.
const SLACK: usize = 1;

/// How many more of a kind a node has than another before one moves: with one more, a move would only
/// turn them round.
const UNEVEN: usize = 2;

/// Agents that can stand in for each other: of one tenant, with the same capabilities.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    tenant: String,
    capabilities: Vec<String>,
}

impl Kind {
    /// The kind of an agent.
    #[must_use]
    pub fn of(tenant: &str, spec: &AgentSpec) -> Self {
        let mut capabilities = spec.capabilities.clone();
        capabilities.sort_unstable();
        Self {
            tenant: tenant.to_owned(),
            capabilities,
        }
    }
}

/// Where an agent is hosted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted<K> {
    /// The agent.
    pub agent: AgentId,
    /// Who can stand in for it.
    pub kind: K,
    /// The node.
    pub on: NodeId,
}

/// Moves an agent to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Its place in the list of agents.
    pub place: usize,
    /// Where it is to go.
    pub to: NodeId,
}

/// At most `most` moves, each of which `may` be made. First from nodes that host more than their share to
/// those that host less, whatever is doubled there before what is not; once nodes host alike, so that
/// none has two more of a kind than another: a node that is lost should not take all of a kind with
/// it, and what comes in at a node should find its agents there. Carried out again and again it ends.
pub fn moves<K: Eq + Hash>(
    agents: &mut [Hosted<K>],
    nodes: &[NodeId],
    most: usize,
    may: impl Fn(usize, NodeId) -> bool,
) -> Vec<Move> {
    let mut plan = Vec::new();
    while plan.len() < most {
        let Some(best) = best(agents, nodes, &may) else {
            break;
        };
        agents[best.place].on = best.to;
        plan.push(best);
    }
    plan
}

/// How much a move is worth: what it does for the nodes, then what for the kind.
type Worth = (usize, usize);

fn best<K: Eq + Hash>(
    agents: &[Hosted<K>],
    nodes: &[NodeId],
    may: impl Fn(usize, NodeId) -> bool,
) -> Option<Move> {
    let counts = Counts::of(agents, nodes.len())?;
    let mut found: Option<(Worth, Move)> = None;
    for (place, it) in agents.iter().enumerate() {
        for &to in nodes.iter().filter(|to| **to != it.on) {
            let Some(worth) = counts.worth(it, to) else {
                continue;
            };
            if found.is_none_or(|(least, _)| worth > least) && may(place, to) {
                found = Some((worth, Move { place, to }));
            }
        }
    }
    found.map(|(_, best)| best)
}

/// How many agents there are on each node, and of each kind on each.
struct Counts<'a, K> {
    /// The share of each node.
    fair: usize,
    whole: HashMap<NodeId, usize>,
    of_kind: HashMap<(&'a K, NodeId), usize>,
}

impl<'a, K: Eq + Hash> Counts<'a, K> {
    fn of(agents: &'a [Hosted<K>], nodes: usize) -> Option<Self> {
        let mut counts = Self {
            fair: agents.len().checked_div(nodes)?,
            whole: HashMap::new(),
            of_kind: HashMap::new(),
        };
        for it in agents {
            *counts.whole.entry(it.on).or_default() += 1;
            *counts.of_kind.entry((&it.kind, it.on)).or_default() += 1;
        }
        Some(counts)
    }

    fn worth(&self, it: &'a Hosted<K>, to: NodeId) -> Option<Worth> {
        let whole = |node| self.whole.get(&node).copied().unwrap_or(0);
        let of_kind = |node| self.of_kind.get(&(&it.kind, node)).copied().unwrap_or(0);
        let more = of_kind(it.on).saturating_sub(of_kind(to));
        let is_rich = whole(it.on) > self.fair + SLACK;
        let is_poor = whole(to) < self.fair;
        let mixes = more >= UNEVEN && whole(to) < self.fair + SLACK;
        match (is_rich && is_poor, mixes) {
            (true, _) => Some((whole(it.on) - whole(to), more)),
            (false, true) => Some((0, more)),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn node(number: u128) -> NodeId {
        NodeId::from_uuid(Uuid::from_u128(number))
    }

    /// So many of each kind on each node: `counts[kind][node]`.
    fn hosted(counts: &[&[usize]]) -> Vec<Hosted<usize>> {
        let mut agents = Vec::new();
        for (kind, nodes) in counts.iter().enumerate() {
            for (on, count) in nodes.iter().enumerate() {
                for _ in 0..*count {
                    agents.push(Hosted {
                        agent: AgentId::from_uuid(Uuid::from_u128(agents.len() as u128)),
                        kind,
                        on: node(on as u128),
                    });
                }
            }
        }
        agents
    }

    fn counts(agents: &[Hosted<usize>], kinds: usize, nodes: usize) -> Vec<Vec<usize>> {
        let mut counts = vec![vec![0; nodes]; kinds];
        for it in agents {
            let on = (0..nodes).find(|on| node(*on as u128) == it.on).unwrap();
            counts[it.kind][on] += 1;
        }
        counts
    }

    fn nodes(count: usize) -> Vec<NodeId> {
        (0..count).map(|number| node(number as u128)).collect()
    }

    #[test]
    fn a_newcomer_is_given_some_at_a_time_and_nearly_equal_nodes_are_left_alone() {
        let mut agents = hosted(&[&[60, 60, 0]]);
        let plan = moves(&mut agents, &nodes(3), 8, |_, _| true);
        assert_eq!(plan.len(), 8);
        assert!(plan.iter().all(|it| it.to == node(2)));
        let mut near = hosted(&[&[21, 20, 20]]);
        assert_eq!(moves(&mut near, &nodes(3), 8, |_, _| true), []);
        let mut none = hosted(&[]);
        assert_eq!(moves(&mut none, &[], 8, |_, _| true), []);
    }

    #[test]
    fn no_node_is_left_without_a_kind_that_others_have_twice() {
        let mut agents = hosted(&[&[6, 0, 0], &[0, 3, 3]]);
        moves(&mut agents, &nodes(3), 100, |_, _| true);
        assert_eq!(counts(&agents, 2, 3), [[2, 2, 2], [2, 2, 2]]);
    }

    #[test]
    fn what_may_not_move_stays_and_something_else_goes() {
        let mut agents = hosted(&[&[4, 0]]);
        let plan = moves(&mut agents, &nodes(2), 100, |place, _| place > 1);
        let moved: Vec<_> = plan.iter().map(|it| it.place).collect();
        assert_eq!(moved, [2, 3]);
    }

    proptest! {
        #[test]
        fn it_ends_with_all_nodes_near_their_share_and_no_kind_in_a_heap_that_room_is_left_for(
            table in proptest::collection::vec(proptest::collection::vec(0usize..6, 3), 1..5)
        ) {
            let table: Vec<&[usize]> = table.iter().map(Vec::as_slice).collect();
            let mut agents = hosted(&table);
            let most = agents.len() * 4;
            let plan = moves(&mut agents, &nodes(3), most + 1, |_, _| true);
            prop_assert!(plan.len() <= most, "{} moves", plan.len());
            let fair = agents.len() / 3;
            let after = counts(&agents, table.len(), 3);
            let whole: Vec<usize> = (0..3).map(|on| after.iter().map(|of| of[on]).sum()).collect();
            let poorest = whole.iter().min().unwrap();
            prop_assert!(whole.iter().all(|it| *it <= fair + SLACK || *poorest >= fair), "{whole:?}");
            for of in &after {
                for (from, to) in (0..3).flat_map(|from| (0..3).map(move |to| (from, to))) {
                    prop_assert!(
                        of[from] < of[to] + UNEVEN || whole[to] > fair,
                        "{after:?}"
                    );
                }
            }
        }
    }
}
