//! Random graphs against a second, simpler way to say what must happen.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use protocol::{task::TaskStatus, workflow::NodeStatus};
use serde_json::{Value, json};

use crate::{
    ends::{lost, settled},
    play::{Play, fails, gives},
};

/// A graph without loops: node `n` has edges from some before it, each with or without a choice.
#[derive(Debug, Clone)]
struct Made {
    nodes: Vec<Node>,
    /// From, to, and what the source must say.
    edges: Vec<(usize, usize, Option<bool>)>,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is chosen by itself")]
struct Node {
    says: bool,
    fails: bool,
    may_fail: bool,
    can_undo: bool,
    /// That its first call is lost, and what a person says who is asked whether it took effect.
    lost: Option<bool>,
}

fn made() -> impl Strategy<Value = Made> {
    (2_usize..12).prop_flat_map(|count| {
        let node = (
            any::<bool>(),
            prop::bool::weighted(0.08),
            any::<bool>(),
            any::<bool>(),
            proptest::option::weighted(0.2, any::<bool>()),
        );
        let node = node.prop_map(|(says, fails, may_fail, can_undo, lost)| Node {
            says,
            fails,
            may_fail,
            can_undo,
            lost,
        });
        let edge = (0..count, 0..count, proptest::option::of(any::<bool>()));
        let nodes = prop::collection::vec(node, count);
        let edges = prop::collection::vec(edge, 0..count * 2);
        (nodes, edges).prop_map(|(nodes, edges)| {
            let mut seen = HashSet::new();
            let forward = edges.into_iter().filter_map(|(a, b, says)| {
                let (from, to) = (a.min(b), a.max(b));
                (from != to && seen.insert((from, to))).then_some((from, to, says))
            });
            Made {
                edges: forward.collect(),
                nodes,
            }
        })
    })
}

fn name(node: usize) -> String {
    format!("n{node}")
}

impl Made {
    fn definition(&self) -> Value {
        let nodes = self.nodes.iter().enumerate().map(|(at, made)| {
            let mut node = json!({ "id": name(at), "type": "agent", "agent": "a" });
            if made.may_fail {
                node["on_error"] = json!("continue");
            }
            if made.can_undo {
                node["compensate"] = json!({ "agent": "u" });
            }
            if made.lost.is_some() {
                node["effect"] = json!("irreversible");
            }
            node
        });
        let nodes: Vec<Value> = nodes.collect();
        let edges = self.edges.iter().map(|(from, to, says)| {
            let mut edge = json!({ "from": name(*from), "to": name(*to) });
            if let Some(says) = says {
                edge["condition"] = json!({ "path": "$", "op": "eq", "value": says });
            }
            edge
        });
        json!({ "name": "made", "nodes": nodes, "edges": edges.collect::<Vec<_>>() })
    }

    /// What becomes of each node, one after the other, if nothing ends the run.
    fn foretold(&self) -> Vec<NodeStatus> {
        let mut said = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let mut before = self.edges.iter().filter(|(_, to, _)| *to == at).peekable();
            let runs = before.peek().is_none() || before.any(|edge| self.is_taken(&said, edge));
            let fails = node.fails && node.lost != Some(true);
            said.push(match (runs, fails) {
                (false, _) => NodeStatus::Skipped,
                (true, true) => NodeStatus::Failed,
                (true, false) => NodeStatus::Completed,
            });
        }
        said
    }

    fn is_taken(
        &self,
        said: &[NodeStatus],
        (from, _, says): &(usize, usize, Option<bool>),
    ) -> bool {
        let node = &self.nodes[*from];
        match (said[*from], says) {
            (NodeStatus::Completed, says) => says.is_none_or(|says| says == node.says),
            // It gave nothing.
            (NodeStatus::Failed, says) => node.may_fail && says.is_none(),
            _ => false,
        }
    }

    fn is_fatal(&self, said: &[NodeStatus]) -> bool {
        let nodes = self.nodes.iter().zip(said);
        nodes
            .into_iter()
            .any(|(node, said)| !node.may_fail && *said == NodeStatus::Failed)
    }

    fn answer(&self) -> crate::play::Answer {
        let nodes: BTreeMap<String, (bool, bool)> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| (name(at), (node.says, node.fails)))
            .collect();
        Box::new(move |step| match nodes.get(&step.spec.id) {
            Some((_, true)) => fails("odd"),
            Some((yes, false)) => gives(json!(yes)),
            None => gives(json!("undone")),
        })
    }

    fn node(&self, id: &str) -> &Node {
        let at: usize = id[1..].parse().unwrap();
        &self.nodes[at]
    }

    /// Plays with the steps ending, and people answering, in the order that `picks` chooses.
    fn play(&self, picks: &[usize]) -> Play {
        let mut play = Play::of(self.definition(), Value::Null, self.answer());
        let mut picks = picks.iter().cycle();
        loop {
            play.start();
            let mut open = play.running();
            let running = open.len();
            open.extend(play.asked().into_iter().map(str::to_owned));
            if open.is_empty() {
                return play;
            }
            let pick = picks.next().map_or(0, |pick| pick % open.len());
            let chosen = &open[pick];
            play.now = play.now.plus(std::time::Duration::from_millis(1));
            if pick >= running {
                let node = self.node(chosen);
                let took_effect = node.lost == Some(true);
                play.record(settled(chosen, took_effect.then(|| json!(node.says))));
                play.decide();
            } else if !chosen.ends_with("~undo")
                && self.node(chosen).lost.is_some()
                && play.step(chosen).attempts.len() == 1
            {
                play.end(chosen, &lost());
            } else {
                play.answer(chosen);
            }
        }
    }
}

/// What was taken back, each after all that began when it was over.
fn undone_in_order(play: &Play) {
    let at = |name: &str| play.calls.iter().position(|call| call == name);
    let undone: Vec<&str> = play
        .calls
        .iter()
        .filter_map(|call| call.strip_suffix("~undo"))
        .collect();
    let ended: HashMap<&str, _> = undone
        .iter()
        .map(|id| {
            (
                *id,
                play.task.run.as_ref().unwrap().turn(id).unwrap().settled_at,
            )
        })
        .collect();
    for pair in undone.windows(2) {
        assert!(ended[pair[0]] >= ended[pair[1]], "{:?}", play.calls);
        assert!(at(pair[0]) < at(&format!("{}~undo", pair[0])));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_node_runs_or_is_skipped_as_its_edges_say(
        made in made(),
        picks in prop::collection::vec(0_usize..8, 1..20),
    ) {
        let play = made.play(&picks);
        prop_assert!(play.is_settled());
        let foretold = made.foretold();
        if made.is_fatal(&foretold) {
            prop_assert_eq!(play.task.status, TaskStatus::Failed);
            undone_in_order(&play);
        } else {
            prop_assert_eq!(play.task.status, TaskStatus::Completed);
            for (at, status) in foretold.iter().enumerate() {
                prop_assert_eq!(play.status(&name(at)), *status, "{}", at);
            }
        }
        // Whatever came of it: nothing ran before all that comes before it was over, or twice.
        let began = |id: &str| play.calls.iter().position(|call| call == id);
        let last = |id: &str| play.calls.iter().rposition(|call| call == id);
        for (from, to, _) in &made.edges {
            if let (Some(from), Some(to)) = (last(&name(*from)), began(&name(*to))) {
                prop_assert!(from < to);
            }
        }
        let broke = play.task.status == TaskStatus::Failed;
        for (id, status) in play.statuses() {
            let calls = play.calls.iter().filter(|call| **call == id).count();
            // Again only what surely took no effect, and not once the run has failed.
            let again = made.node(&id).lost == Some(false) && status != NodeStatus::Cancelled;
            prop_assert!(calls <= 1 + usize::from(again), "{} {}", id, calls);
            let undo = format!("{id}~undo");
            let must = broke && status == NodeStatus::Completed && made.node(&id).can_undo;
            prop_assert_eq!(began(&undo).is_some(), must, "{}", id);
            prop_assert_eq!(began(&undo), last(&undo), "{}", id);
        }
        play.replays();
    }

    #[test]
    fn the_order_in_which_steps_end_does_not_change_the_result(
        made in made(),
        one in prop::collection::vec(0_usize..8, 1..20),
        other in prop::collection::vec(0_usize..8, 1..20),
    ) {
        let (one, other) = (made.play(&one), made.play(&other));
        if one.task.status == TaskStatus::Completed {
            prop_assert_eq!(one.statuses(), other.statuses());
            prop_assert_eq!(&one.task.result, &other.task.result);
        } else {
            prop_assert_eq!(one.task.status, other.task.status);
        }
    }
}
