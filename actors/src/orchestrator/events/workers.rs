//! What is new of the cluster's nodes since somebody was told.

use std::{collections::BTreeMap, time::Duration};

use protocol::{
    api::{MemberView, WorkerChange, WorkerStatus},
    time::Timestamp,
};

/// Load and capacity of one node are told no more often than this.
const PACE: Duration = Duration::from_secs(2);

/// A smaller change of the machine's load is none.
const NOTABLE: f64 = 0.05;

/// What one reader was told of each node.
#[derive(Debug, Default)]
pub(in super::super) struct Workers {
    told: BTreeMap<String, Told>,
    begun: bool,
}

#[derive(Debug)]
struct Told {
    node: MemberView,
    at: Timestamp,
}

impl Workers {
    /// What is new when the nodes are like this. Where a node stands is told at once.
    pub(in super::super) fn learn(
        &mut self,
        nodes: &[MemberView],
        now: Timestamp,
    ) -> Vec<WorkerStatus> {
        let mut news = Vec::new();
        for node in nodes {
            let told = self.told.get(&node.name);
            let change = match told {
                None if self.begun => Some(WorkerChange::Joined),
                None => Some(WorkerChange::Known),
                Some(told) if told.node.id != node.id => Some(WorkerChange::Joined),
                Some(told) if told.node.state != node.state => Some(WorkerChange::Status),
                Some(told) if now.since(told.at) >= PACE && differs(&told.node, node) => {
                    Some(WorkerChange::Load)
                }
                Some(_) => None,
            };
            let Some(change) = change else { continue };
            news.push(WorkerStatus {
                at: now,
                change,
                was: told.map(|told| told.node.state),
                node: node.clone(),
            });
            let told = Told {
                node: node.clone(),
                at: now,
            };
            self.told.insert(node.name.clone(), told);
        }
        self.told
            .retain(|name, _| nodes.iter().any(|node| node.name == *name));
        self.begun = true;
        news
    }
}

/// Whether a node has notably more or less to do, or to offer.
fn differs(one: &MemberView, other: &MemberView) -> bool {
    let counts = |node: &MemberView| {
        (
            node.actors,
            node.tasks,
            node.agents,
            node.running,
            node.shards,
        )
    };
    let offers = |node: &MemberView| (node.roles.clone(), node.region.clone(), node.edge.clone());
    let moved = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() >= NOTABLE,
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    counts(one) != counts(other)
        || offers(one) != offers(other)
        || moved(one.cpu, other.cpu)
        || moved(one.memory, other.memory)
}

#[cfg(test)]
mod tests {
    use protocol::{api::MemberStatus, id::NodeId, member::Roles};
    use uuid::Uuid;

    use super::*;

    fn node(number: u128, name: &str, state: MemberStatus) -> MemberView {
        MemberView {
            id: NodeId::from_uuid(Uuid::from_u128(number)),
            name: name.to_owned(),
            state,
            roles: Roles::all(),
            region: String::new(),
            version: "1".to_owned(),
            mesh: None,
            edge: None,
            started_at: Timestamp::default(),
            actors: Some(10),
            tasks: Some(1),
            agents: Some(1),
            running: Some(0),
            cpu: Some(0.5),
            memory: Some(0.5),
            rtt_ms: Some(1.0),
            lease_left_ms: Some(5_000),
            shards: Some(4),
        }
    }

    fn told(news: &[WorkerStatus]) -> Vec<(&str, WorkerChange, MemberStatus)> {
        let told = news.iter();
        told.map(|it| (it.node.name.as_str(), it.change, it.node.state))
            .collect()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn each_step_of_a_nodes_life_is_told_at_once_and_once() {
        use MemberStatus::{Dead, Draining, Left, Suspect, Up};
        use WorkerChange::{Joined, Known, Status};
        let mut workers = Workers::default();
        let a = node(1, "a", Up);
        assert_eq!(
            told(&workers.learn(std::slice::from_ref(&a), at(0))),
            [("a", Known, Up)]
        );
        let mut now = 0;
        for (number, state, change) in [
            (2, Up, Joined),
            (2, Suspect, Status),
            (2, Dead, Status),
            (3, Up, Joined),
            (3, Draining, Status),
            (3, Left, Status),
        ] {
            now += 1;
            let nodes = [a.clone(), node(number, "b", state)];
            let news = workers.learn(&nodes, at(now));
            assert_eq!(told(&news), [("b", change, state)]);
            assert_eq!(workers.learn(&nodes, at(now)), []);
        }
    }

    #[test]
    fn load_is_told_at_a_bounded_rate_and_never_forgotten() {
        let mut workers = Workers::default();
        workers.learn(&[node(1, "a", MemberStatus::Up)], at(0));
        let mut busy = node(1, "a", MemberStatus::Up);
        busy.running = Some(3);
        assert_eq!(workers.learn(&[busy.clone()], at(1_999)), []);
        let news = workers.learn(&[busy.clone()], at(2_000));
        assert_eq!(told(&news), [("a", WorkerChange::Load, MemberStatus::Up)]);
        // What changes all the time and says nothing is no news.
        busy.lease_left_ms = Some(1);
        busy.rtt_ms = None;
        busy.cpu = Some(0.54);
        assert_eq!(workers.learn(&[busy.clone()], at(9_000)), []);
        busy.cpu = Some(0.56);
        assert_eq!(workers.learn(&[busy], at(9_000)).len(), 1);
    }
}
