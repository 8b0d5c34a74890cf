//! Tasks end to end: one release binary, SQLite, HTTP, with the load generator on the same machine.

use std::{path::Path, sync::Arc, time::Duration};

use benches::{
    Goal, Latencies, Result, bytes_below, figure,
    http::Connection,
    load,
    node::{Node, build},
    rate, say, scratch, stopwatch,
};
use serde_json::json;

/// Tasks that are submitted at the same time.
const IN_FLIGHT: usize = 64;
/// Tasks of the load run.
const LOAD: usize = 30_000;
/// Tasks one after another.
const ALONE: usize = 1_000;
/// Tasks whose memory is looked at.
const IDLE: usize = 10_000;
/// Steps between the first and the last of a fan-out.
const WIDTH: usize = 100;

/// Entities that stay active without work: the agents.
const RESIDENT: u64 = 8;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let program = build().await?;
    let folder = scratch()?;
    say("tasks: release binary, SQLite with synchronous=FULL, load generator on the same machine");
    first_task_and_fan_out(&program, &folder.path().join("first")).await?;
    memory_load_and_disk(&program, &folder.path().join("load")).await
}

async fn first_task_and_fan_out(program: &Path, data: &Path) -> Result<()> {
    let watch = stopwatch();
    let node = Node::start(program, data).await?;
    let mut connection = node.connect().await?;
    register_agents(&mut connection).await?;
    submit(&mut connection, &no_op()).await?;
    let first = watch.elapsed();
    figure(
        "start to first completed task",
        millis(first),
        "ms",
        Goal::Under(1000.0),
    );

    let plan = fan_out();
    submit(&mut connection, &plan).await?;
    let mut runs = Latencies::default();
    for _ in 0..30 {
        let watch = stopwatch();
        submit(&mut connection, &plan).await?;
        runs.add(watch.elapsed());
    }
    let name = format!("fan-out 1 -> {WIDTH} -> 1, median");
    figure(&name, runs.percentile(0.5), "ms", Goal::Under(40.0));
    figure(
        "fan-out, p90 of 30 runs",
        runs.percentile(0.9),
        "ms",
        Goal::None,
    );
    drop(connection);
    Ok(node.stop().await?)
}

async fn memory_load_and_disk(program: &Path, data: &Path) -> Result<()> {
    let node = Node::start(program, data).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    figure(
        "idle memory",
        node.resident_mib()?,
        "MiB",
        Goal::Under(40.0),
    );
    let mut connection = node.connect().await?;
    register_agents(&mut connection).await?;

    let warm_up = 500;
    run(&node, warm_up).await?;
    passivated(&mut connection).await?;
    let before = node.resident_mib()?;
    run(&node, IDLE).await?;
    passivated(&mut connection).await?;
    let added = node.resident_mib()? - before;
    let name = format!("{IDLE} idle passivated entities add");
    figure(&name, added, "MiB", Goal::Under(20.0));

    let mut alone = Latencies::default();
    for _ in 0..ALONE {
        let watch = stopwatch();
        submit(&mut connection, &no_op()).await?;
        alone.add(watch.elapsed());
    }
    figure(
        "one at a time, POST to result, p50",
        alone.percentile(0.5),
        "ms",
        Goal::None,
    );
    figure(
        "one at a time, POST to result, p99",
        alone.percentile(0.99),
        "ms",
        Goal::Under(10.0),
    );

    let watch = stopwatch();
    let calls = run(&node, LOAD).await?;
    let reached = rate(LOAD, watch.elapsed());
    let name = format!("durable no-op tasks over HTTP, {IN_FLIGHT} in flight");
    figure(&name, reached, "/s", Goal::AtLeast(3000.0));
    figure(
        "the same, POST to result, p50",
        calls.percentile(0.5),
        "ms",
        Goal::None,
    );
    figure(
        "the same, POST to result, p99",
        calls.percentile(0.99),
        "ms",
        Goal::Under(60.0),
    );
    figure(
        "memory after the load",
        node.resident_mib()?,
        "MiB",
        Goal::None,
    );

    drop(connection);
    node.stop().await?;
    let tasks = warm_up + IDLE + ALONE + LOAD;
    let bytes = bytes_below(data) as f64 / tasks as f64;
    figure(
        "bytes on disk per no-op task, after a clean stop",
        bytes,
        "bytes",
        Goal::None,
    );
    Ok(())
}

/// Four agents that share the load, with slots for all of it.
async fn register_agents(connection: &mut Connection) -> Result<()> {
    for number in 1..=4 {
        let agent = json!({
            "name": format!("echo-{number}"),
            "agent_type": "echo",
            "capabilities": ["echo"],
            "max_tasks": IN_FLIGHT,
        });
        let path = "/api/v1/agents/register";
        connection.post(path, &agent.to_string()).await?.json()?;
    }
    Ok(())
}

fn no_op() -> String {
    let step = json!({"id": "only", "capability": "echo", "input": {"n": 1}});
    json!({"description": "no-op", "steps": [step]}).to_string()
}

fn fan_out() -> String {
    let between: Vec<_> = (0..WIDTH).map(|number| format!("part-{number}")).collect();
    let mut steps = vec![json!({"id": "first", "capability": "echo", "input": 1})];
    steps.extend(
        between
            .iter()
            .map(|id| json!({"id": id, "capability": "echo", "input": 1, "needs": ["first"]})),
    );
    steps.push(json!({"id": "last", "capability": "echo", "input": 1, "needs": between}));
    json!({"description": "fan-out", "steps": steps}).to_string()
}

/// Submits a task and waits until it is completed.
async fn submit(connection: &mut Connection, task: &str) -> Result<()> {
    let answer = connection.post("/api/v1/tasks?wait=30s", task).await?;
    let task = answer.json()?;
    if task["status"] == "completed" {
        Ok(())
    } else {
        Err(format!("the task is not done: {task}").into())
    }
}

/// Runs `tasks` no-op tasks, [`IN_FLIGHT`] at a time.
async fn run(node: &Node, tasks: usize) -> Result<Latencies> {
    let mut connections = Vec::new();
    for _ in 0..IN_FLIGHT {
        connections.push(node.connect().await?);
    }
    let task: Arc<str> = no_op().into();
    load(connections, tasks, move |mut connection| {
        let task = Arc::clone(&task);
        async move {
            submit(&mut connection, &task).await?;
            Ok(connection)
        }
    })
    .await
}

/// Waits until all tasks have left memory.
async fn passivated(connection: &mut Connection) -> Result<()> {
    let all_left = async {
        loop {
            let node = connection.get("/api/v1/node").await?;
            let active = node["active_entities"].as_u64();
            if active.is_some_and(|active| active <= RESIDENT) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let patience = Duration::from_secs(180);
    tokio::time::timeout(patience, all_left)
        .await
        .map_err(|_| "tasks stay in memory though nothing asks for them")?
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
