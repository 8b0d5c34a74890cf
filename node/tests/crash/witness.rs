//! A node is killed again and again under load; a witness that forgets nothing judges it.

use std::time::Duration;

use protocol::{
    api::TaskView,
    task::{AttemptStatus, StepStatus},
    time::Timestamp,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    ledger::Ledger,
    orders::{Chance, Order, judge_orders, list, steps},
    process::{Answer, Client, PATIENCE, Place, now, pause, until},
};

/// How often the node is killed.
const KILLS: usize = 55;

/// New tasks between two kills.
const TASKS: u64 = 5;

/// Short waits, so that what was lost is tried again before the next kill.
const CONFIG: &str = "[tasks]\nmax_backoff = \"100ms\"\n[log]\nlevel = \"warn\"\n";

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
    let ledger = Ledger::new(place.path("ledger"));
    let agents = [
        ledger.agent("witness", "0.1"),
        json!({ "name": "echo", "agent_type": "echo", "capabilities": ["echo"] }),
    ];
    let witnesses = ["witness".to_owned()];
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
            orders.push(Order::new(orders.len(), &witnesses, &mut chance));
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
    until("every settled task has left memory", PATIENCE, async || {
        let tasks = node.client.get("/api/v1/tree?path=/tasks").await.ok()?;
        (tasks.body["total"] == 1).then_some(())
    })
    .await;
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
