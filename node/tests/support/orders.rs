//! What clients want done, what they were told of it, and how that is held against the witness.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    api::{AttemptView, StepView, TaskView},
    plan::Effect,
    task::{AttemptStatus, StepStatus, TaskStatus},
};
use serde_json::{Value, json};

use super::{
    ledger::Entries,
    process::{Client, now},
};

/// Chance that can be repeated: SplitMix64.
pub(crate) struct Chance(u64);

impl Chance {
    /// From `TROUPE_TEST_SEED`, or another one each time; printed either way.
    pub(crate) fn seeded() -> Self {
        let seed = std::env::var("TROUPE_TEST_SEED").ok();
        let seed = seed.map_or_else(|| now().as_micros() as u64, |seed| seed.parse().unwrap());
        println!("TROUPE_TEST_SEED={seed}");
        Self(seed)
    }

    /// Another chance that follows from this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A task that a client wants done, and what it knows of it.
pub(crate) struct Order {
    pub(crate) key: String,
    pub(crate) body: Value,
    /// Whether the first request asks for the end of the task, so that a kill cuts off the answer.
    pub(crate) waits: bool,
    pub(crate) unanswered: u32,
    /// Set when the node acknowledged it.
    pub(crate) id: Option<String>,
    pub(crate) replayed: bool,
    pub(crate) seen: Option<TaskView>,
}

impl Order {
    /// One of four shapes, done by one of `witnesses` or by an echo.
    pub(crate) fn new(number: usize, witnesses: &[String], chance: &mut Chance) -> Self {
        let witness = &*witnesses[chance.below(witnesses.len() as u64) as usize];
        let steps = match chance.below(4) {
            0 => json!([step("only", witness, &[], chance)]),
            1 => json!([
                step("one", "echo", &[], chance),
                step("two", witness, &["one"], chance)
            ]),
            2 => json!([
                step("one", witness, &[], chance),
                step("two", witness, &["one"], chance),
                step("three", "echo", &["two"], chance),
            ]),
            _ => json!([
                step("top", "echo", &[], chance),
                step("left", witness, &["top"], chance),
                step("right", witness, &["top"], chance),
                step("bottom", witness, &["left", "right"], chance),
            ]),
        };
        Self {
            key: format!("order-{number}"),
            body: json!({ "description": format!("order {number}"), "steps": steps }),
            waits: chance.below(3) == 0,
            unanswered: 0,
            id: None,
            replayed: false,
            seen: None,
        }
    }

    /// One step by one agent, which may be done again.
    pub(crate) fn single(key: &str, agent: &str) -> Self {
        let step = json!({ "id": "only", "agent": agent, "effect": "idempotent", "input": {} });
        Self {
            key: key.to_owned(),
            body: json!({ "description": key, "steps": [step] }),
            waits: false,
            unanswered: 0,
            id: None,
            replayed: false,
            seen: None,
        }
    }

    /// What the node said of the task now must follow from what it said before.
    pub(crate) fn observe(&mut self, task: TaskView) {
        if let Some(seen) = &self.seen {
            assert!(task.version >= seen.version, "{}: went back", task.id);
            if seen.status.is_terminal() {
                assert_eq!(task.status, seen.status, "{} changed its end", task.id);
            }
            for (then, now) in steps(seen).iter().zip(steps(&task)) {
                if then.status.is_settled() {
                    assert_eq!(then, now, "{}: a settled step changed", task.id);
                }
            }
        }
        self.seen = Some(task);
    }
}

fn step(id: &str, agent: &str, needs: &[&str], chance: &mut Chance) -> Value {
    let effects = ["pure", "idempotent", "irreversible"];
    let effect = effects[chance.below(3) as usize];
    json!({ "id": id, "agent": agent, "needs": needs, "effect": effect, "input": { "from": id } })
}

pub(crate) fn steps(task: &TaskView) -> &[StepView] {
    task.plan.as_ref().map_or(&[], |plan| &plan.steps)
}

/// The ids of all tasks.
pub(crate) async fn list(client: &Client) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/tasks?limit=200{cursor}");
        let page = client.get(&path).await.unwrap().body;
        let items = page["items"].as_array().unwrap();
        ids.extend(
            items
                .iter()
                .map(|task| task["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

/// Holds every task against what the witness saw.
pub(crate) fn judge_orders(orders: &[Order], listed: &[String], entries: &Entries) {
    let ids: BTreeMap<&String, &String> = orders
        .iter()
        .filter_map(|order| Some((order.id.as_ref()?, &order.key)))
        .collect();
    assert_eq!(ids.len(), orders.len(), "two keys made one task");
    let known: BTreeSet<&String> = ids.keys().copied().collect();
    let there: BTreeSet<&String> = listed.iter().collect();
    let lost: Vec<_> = known.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged, but not there: {lost:?}");
    let extra: Vec<_> = there.difference(&known).collect();
    assert!(extra.is_empty(), "one key made two tasks: {extra:?}");
    assert_eq!(listed.len(), there.len(), "the list repeats itself");
    for (task, step) in entries.keys() {
        assert!(ids.contains_key(task), "{task} {step}: nobody asked for it");
    }
    for task in orders.iter().filter_map(|order| order.seen.as_ref()) {
        assert!(task.status.is_terminal(), "{task:?}");
        let completed = steps(task)
            .iter()
            .all(|step| step.status == StepStatus::Completed);
        assert_eq!(completed, task.status == TaskStatus::Completed, "{task:?}");
        for step in steps(task) {
            judge_step(task, step, entries);
        }
    }
}

fn judge_step(task: &TaskView, step: &StepView, entries: &Entries) {
    let of = |step: &str| entries.get(&(task.id.to_string(), step.to_owned()));
    let lines = of(&step.id).map_or(&[][..], Vec::as_slice);
    let shown = || format!("{} {step:?}\n{lines:?}", task.id);
    let numbers: Vec<u32> = step.attempts.iter().map(|attempt| attempt.number).collect();
    let expected: Vec<u32> = (1..=numbers.len() as u32).collect();
    assert_eq!(numbers, expected, "{}", shown());

    let key = format!("{}/{}", task.id, step.id);
    assert!(lines.iter().all(|line| line.key == key), "{}", shown());
    // Each attempt took effect once at most, and never after a later one had begun.
    let rising = lines.windows(2).all(|two| two[0].attempt < two[1].attempt);
    assert!(rising, "{}", shown());
    let last = numbers.last().copied().unwrap_or(0);
    assert!(lines.iter().all(|line| line.attempt <= last), "{}", shown());

    let succeeded: Vec<u32> = step
        .attempts
        .iter()
        .filter(|attempt| attempt.status == AttemptStatus::Succeeded)
        .map(|attempt| attempt.number)
        .collect();
    // Nobody asks to stop anything here: a host that lost its lease stops what runs on it, and may
    // be a member again before it is given up.
    let gone = [AttemptStatus::Lost, AttemptStatus::Cancelled];
    let attempts = step.attempts.iter();
    let lost = attempts
        .filter(|attempt| gone.contains(&attempt.status))
        .count();
    // Refused by a host that was about to go: nothing ran, so whatever it does may be tried elsewhere.
    let unrun = |attempt: &AttemptView| {
        attempt.status == AttemptStatus::Failed
            && attempt
                .error
                .as_ref()
                .is_some_and(|error| error.code == "not_started")
    };
    let unrun: Vec<u32> = (step.attempts.iter().filter(|attempt| unrun(attempt)))
        .map(|attempt| attempt.number)
        .collect();
    assert!(
        lines.iter().all(|line| !unrun.contains(&line.attempt)),
        "{}",
        shown()
    );
    let ran = numbers.len() - unrun.len();
    match step.status {
        StepStatus::Completed => {
            // The attempt that counts is the last one: nothing ran after its receipt.
            assert_eq!(succeeded, [last], "{}", shown());
            assert_eq!(lost + 1, ran, "{}", shown());
            if step
                .agent
                .as_deref()
                .is_some_and(|agent| agent.starts_with("witness"))
            {
                let line = format!("{} {} {last} {key}", task.id, step.id);
                assert_eq!(step.output["stdout"].as_str(), Some(&*line), "{}", shown());
                assert_eq!(
                    lines.last().map(|line| line.attempt),
                    Some(last),
                    "{}",
                    shown()
                );
            }
        }
        StepStatus::Unknown => {
            assert_eq!(step.effect, Effect::Irreversible, "{}", shown());
            assert_eq!((lost, ran), (1, 1), "{}", shown());
        }
        // Given up after as many losses as the configuration allows.
        StepStatus::Failed => {
            assert_ne!(step.effect, Effect::Irreversible, "{}", shown());
            assert_eq!(lost, 10, "{}", shown());
        }
        StepStatus::Skipped => assert_eq!(succeeded, [0; 0], "{}", shown()),
        StepStatus::Pending | StepStatus::Queued | StepStatus::Running | StepStatus::Cancelled => {
            panic!("{}", shown())
        }
    }
    if step.effect == Effect::Irreversible {
        assert!(lines.len() <= 1 && ran <= 1, "{}", shown());
    }
    // A step begins after all that it needs were completed.
    if let Some(first) = lines.first() {
        for need in step.needs.iter().filter_map(|need| of(need)) {
            let done = need.last().map(|line| line.place);
            assert!(done < Some(first.place), "{} {need:?}", shown());
        }
    }
}
