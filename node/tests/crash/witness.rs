//! A node is killed again and again under load; a witness that forgets nothing judges it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use protocol::{
    api::{StepView, TaskView},
    plan::Effect,
    task::{AttemptStatus, StepStatus, TaskStatus},
    time::Timestamp,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    ledger::{Entries, Ledger},
    process::{Answer, Client, Place, now, pause},
};

/// How often the node is killed.
const KILLS: usize = 55;

/// New tasks between two kills.
const TASKS: u64 = 5;

/// Short waits, so that what was lost is tried again before the next kill.
const CONFIG: &str = "[tasks]\nmax_backoff = \"100ms\"\n[log]\nlevel = \"warn\"\n";

/// Chance that can be repeated: SplitMix64.
struct Chance(u64);

impl Chance {
    /// From `TROUPE_TEST_SEED`, or another one each time; printed either way.
    fn seeded() -> Self {
        let seed = std::env::var("TROUPE_TEST_SEED").ok();
        let seed = seed.map_or_else(|| now().as_micros() as u64, |seed| seed.parse().unwrap());
        println!("TROUPE_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A task that a client wants done, and what it knows of it.
struct Order {
    key: String,
    body: Value,
    /// Whether the first request asks for the end of the task, so that a kill cuts off the answer.
    waits: bool,
    unanswered: u32,
    /// Set when the node acknowledged it.
    id: Option<String>,
    replayed: bool,
    seen: Option<TaskView>,
}

impl Order {
    fn new(number: usize, chance: &mut Chance) -> Self {
        let steps = match chance.below(4) {
            0 => json!([step("only", "witness", &[], chance)]),
            1 => json!([
                step("one", "echo", &[], chance),
                step("two", "witness", &["one"], chance)
            ]),
            2 => json!([
                step("one", "witness", &[], chance),
                step("two", "witness", &["one"], chance),
                step("three", "echo", &["two"], chance),
            ]),
            _ => json!([
                step("top", "echo", &[], chance),
                step("left", "witness", &["top"], chance),
                step("right", "witness", &["top"], chance),
                step("bottom", "witness", &["left", "right"], chance),
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

    /// What the node said of the task now must follow from what it said before.
    fn observe(&mut self, task: TaskView) {
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

fn steps(task: &TaskView) -> &[StepView] {
    task.plan.as_ref().map_or(&[], |plan| &plan.steps)
}

/// What a client learnt from one request.
struct Learnt {
    order: usize,
    answer: reqwest::Result<Answer>,
}

async fn submit(client: Client, number: usize, key: String, body: Value, waits: bool) -> Learnt {
    let path = if waits {
        "/api/v1/tasks?wait=60s"
    } else {
        "/api/v1/tasks"
    };
    let answer = client
        .send(Method::POST, path, Some(&key), Some(&body))
        .await;
    Learnt {
        order: number,
        answer,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_no_effect_doubled_by_kills_at_any_moment() {
    let mut chance = Chance::seeded();
    let place = Place::new(CONFIG);
    let ledger = Ledger::new(&place);
    let agents = [
        ledger.agent("witness", "0.1"),
        json!({ "name": "echo", "agent_type": "echo", "capabilities": ["echo"] }),
    ];
    let mut orders: Vec<Order> = Vec::new();
    let mut kills: Vec<Timestamp> = vec![now()];
    for round in 0..KILLS {
        let node = place.start().await;
        if round == 0 {
            for agent in &agents {
                node.client.register(agent).await.unwrap();
            }
        }
        for _ in 0..TASKS {
            orders.push(Order::new(orders.len(), &mut chance));
        }
        let mut requests = place_orders(&orders, &node.client);
        let again = node.client.clone();
        let agent = agents[round % agents.len()].clone();
        // Registering again changes nothing; the kill may cut it off.
        let registering = tokio::spawn(async move {
            let _ = again.register(&agent).await;
        });
        let looked_at: Vec<usize> = (0..3)
            .map(|_| chance.below(orders.len() as u64) as usize)
            .collect();
        let watching = watch(&orders, looked_at, node.client.clone());
        pause(Duration::from_millis(10 + chance.below(290))).await;
        kills.push(node.kill());
        while let Some(learnt) = requests.join_next().await {
            take(&mut orders, learnt.unwrap());
        }
        registering.await.unwrap();
        for (order, task) in watching.await.unwrap() {
            orders[order].observe(task);
        }
    }

    let node = place.start().await;
    let mut requests = place_orders(&orders, &node.client);
    while let Some(learnt) = requests.join_next().await {
        take(&mut orders, learnt.unwrap());
    }
    for order in &mut orders {
        let id = order.id.clone().expect("a node that is left alone answers");
        order.observe(node.client.settled(&id).await);
    }
    place.until_no_tool_is_left(Duration::from_secs(2)).await;
    let listed = list(&node.client).await;
    assert!(node.terminate().await.success(), "{}", place.log());
    verify_chains(&place);

    let entries = ledger.read();
    judge_orders(&orders, &listed, &entries);
    judge_faults(&orders, &kills);
}

/// Sends every order that was not acknowledged yet.
fn place_orders(orders: &[Order], client: &Client) -> JoinSet<Learnt> {
    let mut requests = JoinSet::new();
    for (number, order) in orders.iter().enumerate() {
        if order.id.is_none() {
            let waits = order.waits && order.unanswered == 0;
            let (key, body) = (order.key.clone(), order.body.clone());
            requests.spawn(submit(client.clone(), number, key, body, waits));
        }
    }
    requests
}

fn take(orders: &mut [Order], learnt: Learnt) {
    let order = &mut orders[learnt.order];
    match learnt.answer {
        Ok(answer) => {
            let task = answer.task();
            order.id = Some(task.id.to_string());
            order.replayed |= answer.replayed;
            order.observe(task);
        }
        Err(_) => order.unanswered += 1,
    }
}

/// Looks at tasks until the node is gone.
fn watch(
    orders: &[Order],
    which: Vec<usize>,
    client: Client,
) -> tokio::task::JoinHandle<Vec<(usize, TaskView)>> {
    let ids: Vec<(usize, String)> = which
        .into_iter()
        .filter_map(|order| Some((order, orders[order].id.clone()?)))
        .collect();
    tokio::spawn(async move {
        let mut seen = Vec::new();
        if ids.is_empty() {
            return seen;
        }
        loop {
            for (order, id) in &ids {
                match client.get(&format!("/api/v1/tasks/{id}")).await {
                    Ok(answer) => seen.push((*order, answer.task())),
                    Err(_) => return seen,
                }
                pause(Duration::from_millis(5)).await;
            }
        }
    })
}

/// The ids of all tasks.
async fn list(client: &Client) -> Vec<String> {
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

fn verify_chains(place: &Place) {
    let verified = place
        .troupe(&["db", "verify", "-o", "json"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "{text}");
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["faults"], json!([]));
}

/// Holds every task against what the witness saw.
fn judge_orders(orders: &[Order], listed: &[String], entries: &Entries) {
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
    let lost = step
        .attempts
        .iter()
        .filter(|attempt| attempt.status == AttemptStatus::Lost)
        .count();
    match step.status {
        StepStatus::Completed => {
            // The attempt that counts is the last one: nothing ran after its receipt.
            assert_eq!(succeeded, [last], "{}", shown());
            assert_eq!(lost + 1, numbers.len(), "{}", shown());
            if step.agent.as_deref() == Some("witness") {
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
            assert_eq!((lost, numbers.len()), (1, 1), "{}", shown());
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
        assert!(lines.len() <= 1 && numbers.len() <= 1, "{}", shown());
    }
    // A step begins after all that it needs were completed.
    if let Some(first) = lines.first() {
        for need in step.needs.iter().filter_map(|need| of(need)) {
            let done = need.last().map(|line| line.place);
            assert!(done < Some(first.place), "{} {need:?}", shown());
        }
    }
}

/// The test proves something only if the kills hurt.
fn judge_faults(orders: &[Order], kills: &[Timestamp]) {
    let lost: Vec<Timestamp> = orders
        .iter()
        .filter_map(|order| order.seen.as_ref())
        .flat_map(steps)
        .flat_map(|step| &step.attempts)
        .filter(|attempt| attempt.status == AttemptStatus::Lost)
        .map(|attempt| attempt.started_at)
        .collect();
    let hits = kills
        .windows(2)
        .filter(|two| lost.iter().any(|at| two[0] < *at && *at < two[1]))
        .count();
    let unanswered: u32 = orders.iter().map(|order| order.unanswered).sum();
    let replayed = orders.iter().filter(|order| order.replayed).count();
    let ends = |wanted| {
        let tasks = orders.iter().filter_map(|order| order.seen.as_ref());
        let steps = tasks.flat_map(steps);
        steps.filter(|step| step.status == wanted).count()
    };
    println!(
        "{hits} of {KILLS} kills hit running attempts and lost {}; {unanswered} requests were cut off, \
         {replayed} of their keys had made a task; of {} tasks, {} steps completed, {} unknown, {} failed, \
         {} skipped",
        lost.len(),
        orders.len(),
        ends(StepStatus::Completed),
        ends(StepStatus::Unknown),
        ends(StepStatus::Failed),
        ends(StepStatus::Skipped),
    );
    assert!(hits * 2 >= KILLS, "too few kills hit anything");
    assert!(
        unanswered > 0 && replayed > 0,
        "no kill fell between commit and reply"
    );
}
