//! In which order waiting steps are served.

use proptest::prelude::*;
use protocol::{
    agent::Mode,
    allocation::Weights,
    id::{AgentId, NodeId},
};

use super::{super::Pin, *};
use crate::allocator::Circuit;

const AGEING: Duration = Duration::from_secs(10);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn priority(number: u8) -> Priority {
    Priority::try_from(number).unwrap()
}

fn terms(now: Timestamp) -> Terms<'static> {
    Terms {
        now,
        fresh_for: Duration::MAX,
        weights: Weights::default(),
        memory_limit: 1.0,
        cpu_limit: 1.0,
        disk_limit: 1.0,
        here: NodeId::from_uuid(uuid::Uuid::nil()),
        near: &[],
        nodes: &[],
        held: None,
    }
}

fn agent(name: &str, capabilities: &[&str]) -> AgentSnapshot {
    AgentSnapshot {
        hold: None,
        id: AgentId::from_uuid(uuid::Uuid::from_u128(name.len() as u128)),
        name: name.to_owned(),
        tenant: String::new(),
        capabilities: capabilities.iter().map(|c| (*c).to_owned()).collect(),
        tools: Vec::new(),
        mode: Mode::Started,
        checked: Some((protocol::agent::Health::Healthy, at(0))),
        circuit: Circuit::Passable,
        slots: 5,
        running: 0,
        assigned: 0,
        success_rate: 1.0,
        node: NodeId::from_uuid(uuid::Uuid::nil()),
        resources: protocol::agent::Resources::default(),
    }
}

/// `write` asks for a capability, `@ada` for an agent.
fn asks(text: &str) -> Arc<Requirement> {
    let pin = text.strip_prefix('@');
    Arc::new(Requirement {
        agent: pin.map(Pin::new),
        capability: pin.is_none().then(|| text.to_owned()),
        ..Requirement::default()
    })
}

fn step(key: u32, user: &str, urgency: u8, since: i64) -> Waiting<u32> {
    Waiting {
        key,
        user: user.into(),
        requirement: asks("write"),
        priority: priority(urgency),
        since: at(since),
        until: None,
    }
}

/// Keys in the order in which one agent gets them, one a second from `from` on.
fn served(room: &mut WaitingRoom<u32>, from: i64) -> Vec<u32> {
    let writer = agent("ada", &["write", "read"]);
    let pop = |now| room.pop_for(&writer, &terms(at(now))).map(|step| step.key);
    (from..).map_while(pop).collect()
}

fn room(steps: impl IntoIterator<Item = Waiting<u32>>) -> WaitingRoom<u32> {
    let mut room = WaitingRoom::new(AGEING);
    for step in steps {
        assert_eq!(room.push(step), None);
    }
    room
}

#[test]
fn among_equals_the_first_come_is_the_first_served() {
    let mut room = room((0..5).map(|key| step(key, "u", 5, 0)));
    assert_eq!(served(&mut room, 0), [0, 1, 2, 3, 4]);
    assert!(room.is_empty());
}

#[test]
fn the_higher_priority_comes_first_until_the_lower_has_waited_long_enough() {
    for (late, expected) in [(79, [1, 0]), (81, [0, 1])] {
        let mut room = room([step(0, "u", 1, 0), step(1, "u", 9, late)]);
        assert_eq!(served(&mut room, late), expected, "after {late} s");
    }
}

#[test]
fn a_user_with_one_step_starts_within_two_of_one_with_a_thousand() {
    let crowd = (0..1000).map(|key| step(key, "a", 5, i64::from(key) / 100));
    let mut room = room(crowd);
    let writer = agent("ada", &["write"]);
    for now in 10..40 {
        room.pop_for(&writer, &terms(at(now)));
    }
    room.push(step(1000, "b", 5, 40));
    // Even if the slots come free in the very moment in which it arrives.
    let first: Vec<u32> = (0..2)
        .filter_map(|_| room.pop_for(&writer, &terms(at(40))))
        .map(|step| step.key)
        .collect();
    assert!(first.contains(&1000), "{first:?}");
}

#[test]
fn users_of_one_priority_take_turns() {
    let mut room = room((0..9).map(|key| step(key, ["a", "b", "c"][key as usize / 3], 5, 0)));
    let order = served(&mut room, 1);
    let users: Vec<u32> = order.iter().map(|key| key / 3).collect();
    assert_eq!(users, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn an_agent_gets_only_what_it_may_have() {
    let mut room = room([
        Waiting {
            requirement: asks("@bob"),
            ..step(0, "u", 9, 0)
        },
        Waiting {
            requirement: asks("paint"),
            ..step(1, "u", 9, 0)
        },
        step(2, "u", 1, 0),
        Waiting {
            requirement: asks("@agent_00000000000000000000000000000003"),
            ..step(3, "u", 2, 0)
        },
    ]);
    let ada = agent("ada", &["write"]);
    let full = AgentSnapshot { running: 5, ..ada };
    assert_eq!(room.pop_for(&full, &terms(at(0))), None);
    let lines: usize = room.lines().map(|line| line.len).sum();
    assert_eq!((room.lines().count(), lines), (4, 4));
    assert_eq!(served(&mut room, 0), [3, 2]);
    assert_eq!(room.len(), 2);
    let painter = agent("x", &["paint"]);
    assert_eq!(room.pop_for(&painter, &terms(at(0))).unwrap().key, 1);
    let bob = AgentSnapshot {
        id: painter.id,
        ..agent("bob", &[])
    };
    assert_eq!(room.pop_for(&bob, &terms(at(0))).unwrap().key, 0);
    assert_eq!(room.lines().count(), 0);
}

#[test]
fn a_step_can_be_removed_reprioritised_replaced_and_put_back() {
    let mut room = room((0..4).map(|key| step(key, "u", 5, i64::from(key))));
    assert_eq!(room.remove(&0).unwrap().key, 0);
    assert_eq!(room.remove(&0), None);
    assert_eq!(room.reprioritise(&3, priority(9)), Some(priority(5)));
    assert_eq!(room.reprioritise(&7, priority(9)), None);
    assert_eq!(room.get(&3).unwrap().since, at(3));
    assert_eq!(room.oldest(), Some(at(1)));
    let writer = agent("ada", &["write"]);
    let refused = room.pop_for(&writer, &terms(at(4))).unwrap();
    assert_eq!(refused.key, 3);
    room.push(refused);
    let replaced = room.push(step(1, "u", 5, 9)).unwrap();
    assert_eq!(replaced.since, at(1));
    assert_eq!(room.len(), 3);
    assert_eq!(served(&mut room, 10), [3, 2, 1]);
}

#[test]
fn a_step_waits_no_longer_than_it_may() {
    let until = |key, end| Waiting {
        until: Some(at(end)),
        ..step(key, "u", 5, 0)
    };
    let mut room = room([until(0, 5), until(1, 3), step(2, "u", 5, 0), until(3, 9)]);
    assert_eq!(room.next_deadline(), Some(at(3)));
    assert_eq!(room.expire(at(2)), []);
    room.remove(&3);
    let expired: Vec<u32> = room.expire(at(5)).iter().map(|step| step.key).collect();
    assert_eq!(expired, [1, 0]);
    assert_eq!(room.next_deadline(), None);
    assert_eq!(served(&mut room, 6), [2]);
}

/// The same rule without any of the structure that makes it fast.
#[derive(Default)]
struct Model {
    waiting: Vec<(u64, Waiting<u32>)>,
    served: std::collections::BTreeMap<(Arc<str>, Priority), Timestamp>,
    turns: HashMap<Arc<str>, u64>,
    next: u64,
    turn: u64,
}

impl Model {
    fn push(&mut self, step: Waiting<u32>) {
        let user = Arc::clone(&step.user);
        self.waiting.retain(|(_, other)| other.key != step.key);
        self.waiting.push((self.next, step));
        self.next += 1;
        self.forget(Some(&user));
    }

    /// Users without anything waiting have no history.
    fn forget(&mut self, but: Option<&Arc<str>>) {
        let waiting = &self.waiting;
        let known = |user: &Arc<str>| {
            but == Some(user) || waiting.iter().any(|(_, step)| step.user == *user)
        };
        self.served.retain(|(user, _), _| known(user));
        self.turns.retain(|user, _| known(user));
    }

    fn remove(&mut self, key: u32) {
        self.waiting.retain(|(_, other)| other.key != key);
        self.forget(None);
    }

    fn dated(step: &Waiting<u32>, from: Timestamp) -> i64 {
        from.as_micros() - i64::from(step.priority.get()) * 10_000_000
    }

    fn pop_for(&mut self, agent: &AgentSnapshot, now: Timestamp) -> Option<u32> {
        let fits = |step: &Waiting<u32>| eligible(&step.requirement, agent, &terms(now)).is_none();
        let open = || self.waiting.iter().filter(|(_, step)| fits(step));
        // The first of each flow and line makes its claim; the others' are no better.
        let (_, best) = open().min_by_key(|(number, step)| {
            let first = open()
                .filter(|(_, other)| other.user == step.user && other.priority == step.priority)
                .filter(|(_, other)| other.requirement == step.requirement)
                .map(|(number, other)| (other.since, *number))
                .min();
            let (since, first) = first.unwrap_or((step.since, *number));
            let last = self.served.get(&(Arc::clone(&step.user), step.priority));
            let from = last.map_or(since, |last| since.max(*last));
            let turn = self.turns.get(&step.user).copied().unwrap_or(0);
            (Self::dated(step, from), turn, first)
        })?;
        let (user, urgency) = (Arc::clone(&best.user), best.priority);
        let (_, chosen) = open()
            .filter(|(_, step)| step.user == user)
            .min_by_key(|(number, step)| (Self::dated(step, step.since), *number))?;
        let key = chosen.key;
        self.turn += 1;
        self.turns.insert(Arc::clone(&user), self.turn);
        let last = self.served.entry((user, urgency)).or_insert(now);
        *last = now.max(*last);
        self.remove(key);
        Some(key)
    }
}

#[derive(Debug, Clone)]
enum Act {
    Push(u32, usize, u8, usize, i64),
    Remove(u32),
    Reprioritise(u32, u8),
    Pop(usize),
    Pass(i64),
}

fn any_act() -> impl Strategy<Value = Act> {
    let keys = 0..12_u32;
    prop_oneof![
        6 => (keys.clone(), 0..3_usize, 0..10_u8, 0..3_usize, 0..20_i64)
            .prop_map(|(key, user, urgency, asks, ago)| Act::Push(key, user, urgency, asks, ago)),
        1 => keys.clone().prop_map(Act::Remove),
        1 => (keys, 0..10_u8).prop_map(|(key, urgency)| Act::Reprioritise(key, urgency)),
        4 => (0..3_usize).prop_map(Act::Pop),
        2 => (0..30_i64).prop_map(Act::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_room_serves_as_the_plain_rule_does(
        acts in proptest::collection::vec(any_act(), 0..80),
    ) {
        let agents = [agent("ada", &["write", "read"]), agent("bo", &["read"]), agent("c", &[])];
        let mut room = WaitingRoom::new(AGEING);
        let mut model = Model::default();
        let mut now = 100;
        for act in acts {
            match act {
                Act::Push(key, user, urgency, needs, ago) => {
                    let step = Waiting {
                        requirement: asks(["write", "read", "@ada"][needs]),
                        ..step(key, ["a", "b", "c"][user], urgency, now - ago)
                    };
                    room.push(step.clone());
                    model.push(step);
                }
                Act::Remove(key) => {
                    room.remove(&key);
                    model.remove(key);
                }
                Act::Reprioritise(key, urgency) => {
                    room.reprioritise(&key, priority(urgency));
                    let found = model.waiting.iter().find(|(_, step)| step.key == key).cloned();
                    if let Some((_, step)) = found {
                        model.push(Waiting { priority: priority(urgency), ..step });
                    }
                }
                Act::Pop(which) => {
                    let popped = room.pop_for(&agents[which], &terms(at(now)));
                    let expected = model.pop_for(&agents[which], at(now));
                    prop_assert_eq!(popped.map(|step| step.key), expected);
                }
                Act::Pass(seconds) => now += seconds,
            }
            prop_assert_eq!(room.len(), model.waiting.len());
            let lined: usize = room.lines().map(|line| line.len).sum();
            prop_assert_eq!(lined, room.len());
            let oldest = model.waiting.iter().map(|(_, step)| step.since).min();
            prop_assert_eq!(room.oldest(), oldest);
        }
        // Nothing is lost and nothing comes twice: what remains is served once each.
        let mut left: Vec<u32> = model.waiting.iter().map(|(_, step)| step.key).collect();
        let mut rest = served(&mut room, now);
        left.sort_unstable();
        rest.sort_unstable();
        prop_assert_eq!(rest, left);
        // Lines that were left by all take no room.
        let kept = room.lines().count();
        prop_assert_eq!(room.doors.all().count(), kept);
    }

    #[test]
    fn of_steps_of_one_age_no_lower_priority_starts_before_a_higher(
        steps in proptest::collection::vec((0..4_usize, 0..10_u8), 1..40),
    ) {
        let keys = 0_u32..;
        let steps: Vec<_> = keys
            .zip(&steps)
            .map(|(key, (user, urgency))| step(key, ["a", "b", "c", "d"][*user], *urgency, 0))
            .collect();
        let mut room = room(steps);
        let writer = agent("ada", &["write"]);
        let mut order = Vec::new();
        while let Some(step) = room.pop_for(&writer, &terms(at(0))) {
            order.push(step.priority);
        }
        prop_assert!(order.is_sorted_by(|a, b| a >= b), "{:?}", order);
    }

    #[test]
    fn the_lowest_priority_starts_in_bounded_time_under_constant_load_of_the_highest(
        others in 1..5_usize,
        low in 0..9_u8,
    ) {
        let mut room = WaitingRoom::new(AGEING);
        room.push(step(0, "low", low, 0));
        let writer = agent("ada", &["write"]);
        let users: Vec<String> = (0..others).map(|user| format!("u{user}")).collect();
        let bound = AGEING.as_secs() as i64 * i64::from(9 - low) + others as i64 + 1;
        let mut key = 0;
        let started = (0..=bound).find(|&now| {
            // Every second each of the others brings two, and one is served.
            for user in users.iter().chain(&users) {
                key += 1;
                room.push(step(key, user, 9, now));
            }
            room.pop_for(&writer, &terms(at(now))).is_some_and(|step| step.key == 0)
        });
        prop_assert!(started.is_some(), "not within {} s", bound);
    }
}
