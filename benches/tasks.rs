//! Tasks end to end: one release binary, SQLite, HTTP, with the load generator on the same machine.

use std::{path::Path, time::Duration};

use benches::{
    Goal, Latencies, Result, bytes_below,
    calls::{complete, register, spread, until},
    figure,
    http::Connection,
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
    complete(&mut connection, &no_op()).await?;
    let first = watch.elapsed();
    figure(
        "start to first completed task",
        millis(first),
        "ms",
        Goal::Under(1000.0),
    );

    let plan = fan_out();
    complete(&mut connection, &plan).await?;
    let mut runs = Latencies::default();
    for _ in 0..30 {
        let watch = stopwatch();
        complete(&mut connection, &plan).await?;
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
    let name = "  of it not pages of the program";
    figure(name, node.anonymous_mib()?, "MiB", Goal::None);
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
        complete(&mut connection, &no_op()).await?;
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
        register(connection, &agent).await?;
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

/// Runs `tasks` no-op tasks, [`IN_FLIGHT`] at a time.
async fn run(node: &Node, tasks: usize) -> Result<Latencies> {
    spread(
        node,
        IN_FLIGHT,
        tasks,
        &no_op(),
        |mut connection, task| async move {
            complete(&mut connection, &task).await?;
            Ok(connection)
        },
    )
    .await
}

/// Waits until all tasks have left memory.
async fn passivated(connection: &mut Connection) -> Result<()> {
    let left = |active| active <= RESIDENT;
    let otherwise = "tasks stay in memory though nothing asks for them";
    until(
        connection,
        "/api/v1/node",
        "active_entities",
        left,
        otherwise,
    )
    .await
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
