//! What callers wait for: the service goals of the specification, over HTTP, on one release binary.

use std::{path::Path, sync::Arc, time::Duration};

use benches::{
    Goal, Latencies, Result,
    calls::{complete, completed, register, spread, submit},
    figure,
    http::serve,
    node::{Node, build},
    say, scratch, stopwatch,
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

/// How long an agent of the trials takes for a step.
const STEP: &str = "100ms";
/// Tasks that are to be executed at the same time.
const AT_ONCE: usize = 150;
const AGENTS: usize = 1_000;
/// Requests a second of the mixed load, over so many connections, and how long it lasts.
const PACE: u32 = 100;
const CALLERS: u32 = 20;
const ROUNDS: u32 = 50;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let program = build().await?;
    let folder = scratch()?;
    say("service: release binary, SQLite with synchronous=FULL, callers on the same machine");
    let stub = serve(r#"{"status": "success", "result": {}}"#).await?;
    let allow = format!("[\"{stub}\"]");
    let variables = [("TROUPE_EGRESS__ALLOW", allow.as_str())];
    let data = folder.path().join("service");
    let node = Node::start_with(&program, &data, &variables).await?;
    let mut connection = node.connect().await?;
    let echo = json!({"name": "echo", "agent_type": "echo", "max_tasks": 64});
    register(&mut connection, &echo).await?;
    let slow = json!({"name": "slow", "agent_type": "sleep", "max_tasks": 200});
    register(&mut connection, &slow).await?;

    drop(connection);

    // Each has connections of its own: one that lies idle for a minute is closed.
    creation(&node).await?;
    steps(&node).await?;
    at_once(&node).await?;
    mixed(&node).await?;
    registration(&node, &format!("http://{stub}")).await?;
    node.stop().await?;
    many_agents(&program, &folder.path().join("agents")).await
}

fn p95(name: &str, calls: &Latencies, goal: f64) {
    figure(name, calls.percentile(0.95), "ms", Goal::Under(goal));
}

/// A task whose steps follow one another, each asleep for so long.
fn sleeping(steps: usize, span: &str) -> String {
    let steps: Vec<Value> = (0..steps)
        .map(|number| {
            let before = number.checked_sub(1).map(|before| format!("step-{before}"));
            let needs = Vec::from_iter(before);
            let id = format!("step-{number}");
            json!({"id": id, "agent": "slow", "input": {"for": span}, "needs": needs})
        })
        .collect();
    json!({"description": "sleep", "steps": steps}).to_string()
}

fn no_op() -> String {
    let step = json!({"id": "only", "agent": "echo", "input": 1});
    json!({"description": "no-op", "steps": [step]}).to_string()
}

async fn creation(node: &Node) -> Result<()> {
    let task = no_op();
    for width in [1, 64] {
        let created = |mut connection, task: Arc<str>| async move {
            submit(&mut connection, &task).await?;
            Ok(connection)
        };
        let calls = spread(node, width, 2_000, &task, created).await?;
        p95(
            &format!("S6 task creation, {width} in flight, p95"),
            &calls,
            100.0,
        );
    }
    Ok(())
}

async fn steps(node: &Node) -> Result<()> {
    let mut connection = node.connect().await?;
    let mut simple = Latencies::default();
    for _ in 0..20 {
        let watch = stopwatch();
        complete(&mut connection, &sleeping(1, STEP)).await?;
        simple.add(watch.elapsed());
    }
    p95("S8 task of one step of 100 ms, p95", &simple, 2_000.0);
    let mut chain = Latencies::default();
    for _ in 0..3 {
        let watch = stopwatch();
        complete(&mut connection, &sleeping(10, STEP)).await?;
        chain.add(watch.elapsed());
    }
    let name = "S9 task of ten such steps in a row, longest of 3";
    figure(name, chain.percentile(1.0), "ms", Goal::Under(30_000.0));
    Ok(())
}

async fn at_once(node: &Node) -> Result<()> {
    let mut connection = node.connect().await?;
    let mut tasks = JoinSet::new();
    let task = sleeping(1, "3s");
    for _ in 0..AT_ONCE {
        let (mut own, task) = (node.connect().await?, task.clone());
        tasks.spawn(async move { complete(&mut own, &task).await });
    }
    let mut most = 0;
    let mut done = 0;
    while !tasks.is_empty() {
        let executing = connection
            .get("/api/v1/tasks?status=executing&limit=200")
            .await?;
        most = most.max(executing["items"].as_array().map_or(0, Vec::len));
        while let Some(task) = tasks.try_join_next() {
            task??;
            done += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let goal = Goal::AtLeast(AT_ONCE as f64);
    figure("S11 tasks executing at once", most as f64, "", goal);
    let lost = (AT_ONCE - done) as f64;
    figure("S11 of them lost", lost, "", Goal::Under(1.0));
    Ok(())
}

/// Every caller keeps its pace, however long an answer takes; a late start counts as waiting.
async fn mixed(node: &Node) -> Result<()> {
    let mut callers = JoinSet::new();
    let between = Duration::from_secs(1) * CALLERS / PACE;
    let start = Instant::now() + Duration::from_millis(100);
    for number in 0..CALLERS {
        let mut connection = node.connect().await?;
        let first = start + between * number / CALLERS;
        callers.spawn(async move {
            let mut waits = Vec::new();
            let mut last = submit(&mut connection, &no_op()).await?;
            for round in 0..ROUNDS {
                let due = first + between * round;
                tokio::time::sleep_until(due).await;
                let id = last["id"].as_str().unwrap_or_default().to_owned();
                match round % 5 {
                    0 => last = submit(&mut connection, &no_op()).await?,
                    1 => drop(connection.get(&format!("/api/v1/tasks/{id}")).await?),
                    2 => drop(connection.get("/api/v1/tasks").await?),
                    3 => drop(connection.get("/api/v1/agents").await?),
                    _ => drop(connection.get(&format!("/api/v1/tasks/{id}/why")).await?),
                }
                waits.push(due.elapsed());
            }
            Result::Ok(waits)
        });
    }
    let mut calls = Latencies::default();
    while let Some(waits) = callers.join_next().await {
        waits??.into_iter().for_each(|wait| calls.add(wait));
    }
    let name = format!("S10 mixed requests, {PACE} a second, p95");
    p95(&name, &calls, 200.0);
    Ok(())
}

async fn registration(node: &Node, endpoint: &str) -> Result<()> {
    let mut connection = node.connect().await?;
    let mut calls = Latencies::default();
    for number in 0..200 {
        let agent = json!({
            "name": format!("verified-{number}"),
            "agent_type": "api",
            "endpoint": endpoint,
            "verify": true,
        });
        let watch = stopwatch();
        register(&mut connection, &agent).await?;
        calls.add(watch.elapsed());
    }
    p95(
        "S7 agent registration with verification, p95",
        &calls,
        500.0,
    );
    Ok(())
}

async fn many_agents(program: &Path, data: &Path) -> Result<()> {
    let node = Node::start(program, data).await?;
    let mut connection = node.connect().await?;
    for number in 0..AGENTS {
        let capability = format!("kind-{}", number % 10);
        let name = format!("agent-{number}");
        let agent = json!({"name": name, "agent_type": "echo", "capabilities": [capability]});
        register(&mut connection, &agent).await?;
    }
    for (what, query) in [("list", "limit=50"), ("list, longest page", "limit=200")]
        .into_iter()
        .chain([("discovery", "capability=kind-3&limit=200")])
    {
        let mut calls = Latencies::default();
        for _ in 0..200 {
            let watch = stopwatch();
            connection.get(&format!("/api/v1/agents?{query}")).await?;
            calls.add(watch.elapsed());
        }
        p95(&format!("S12 {AGENTS} agents, {what}, p95"), &calls, 200.0);
    }
    // Among all of them, one is found for a step.
    let step = json!({"id": "only", "capability": "kind-7", "input": 1});
    let task = json!({"description": "find one", "steps": [step]}).to_string();
    let answer = connection.post("/api/v1/tasks?wait=30s", &task).await?;
    completed(&answer.json()?)?;
    drop(connection);
    Ok(node.stop().await?)
}
