//! Random graphs against a second, simpler way to say what must happen.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use protocol::{task::TaskStatus, workflow::NodeStatus};
use serde_json::{Value, json};

use crate::play::{Play, fails, gives};

/// A graph without loops: node `n` has edges from some before it, each with or without a choice.
#[derive(Debug, Clone)]
struct Made {
    /// Per node: whether it says yes, whether it fails, whether that may be, whether it can be undone.
    nodes: Vec<(bool, bool, bool, bool)>,
    /// From, to, and what the source must say.
    edges: Vec<(usize, usize, Option<bool>)>,
}

fn made() -> impl Strategy<Value = Made> {
    (2_usize..12).prop_flat_map(|count| {
        let node = (
            any::<bool>(),
            prop::bool::weighted(0.08),
            any::<bool>(),
            any::<bool>(),
        );
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
        let nodes = self
            .nodes
            .iter()
            .enumerate()
            .map(|(at, (_, _, may, undo))| {
                let mut node = json!({ "id": name(at), "type": "agent", "agent": "a" });
                if *may {
                    node["on_error"] = json!("continue");
                }
                if *undo {
                    node["compensate"] = json!({ "agent": "u" });
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
        for (at, (_, fails, _, _)) in self.nodes.iter().enumerate() {
            let mut before = self.edges.iter().filter(|(_, to, _)| *to == at).peekable();
            let runs = before.peek().is_none() || before.any(|edge| self.is_taken(&said, edge));
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
        let (yes, _, may, _) = self.nodes[*from];
        match (said[*from], says) {
            (NodeStatus::Completed, says) => says.is_none_or(|says| says == yes),
            // It gave nothing.
            (NodeStatus::Failed, says) => may && says.is_none(),
            _ => false,
        }
    }

    fn is_fatal(&self, said: &[NodeStatus]) -> bool {
        let nodes = self.nodes.iter().zip(said);
        nodes
            .into_iter()
            .any(|((_, _, may, _), said)| !may && *said == NodeStatus::Failed)
    }

    fn answer(&self) -> crate::play::Answer {
        let nodes: BTreeMap<String, (bool, bool)> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(at, (yes, fails, _, _))| (name(at), (*yes, *fails)))
            .collect();
        Box::new(move |step| match nodes.get(&step.spec.id) {
            Some((_, true)) => fails("odd"),
            Some((yes, false)) => gives(json!(yes)),
            None => gives(json!("undone")),
        })
    }

    /// Plays with the steps ending in the order that `picks` chooses.
    fn play(&self, picks: &[usize]) -> Play {
        let mut play = Play::of(self.definition(), Value::Null, self.answer());
        let mut picks = picks.iter().cycle();
        loop {
            play.start();
            let running = play.running();
            let Some(first) = running.first() else {
                return play;
            };
            let pick = picks.next().map_or(0, |pick| pick % running.len());
            let chosen = running.get(pick).unwrap_or(first).clone();
            play.now = play.now.plus(std::time::Duration::from_millis(1));
            play.answer(&chosen);
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
        let began: HashMap<&str, usize> = play.calls.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        prop_assert_eq!(began.len(), play.calls.len());
        for (from, to, _) in &made.edges {
            if let (Some(from), Some(to)) = (began.get(&*name(*from)), began.get(&*name(*to))) {
                prop_assert!(from < to);
            }
        }
        let can_undo = |id: &str| {
            let at: usize = id[1..].parse().unwrap();
            made.nodes[at].3
        };
        for (id, status) in play.statuses() {
            let undone = began.contains_key(&*format!("{id}~undo"));
            let must = play.task.status == TaskStatus::Failed && status == NodeStatus::Completed && can_undo(&id);
            prop_assert_eq!(undone, must, "{}", id);
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
