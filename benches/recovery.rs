//! What a node does after kill -9, on one release binary: open tasks go on, long histories are read.

use std::path::Path;

use benches::{
    Goal, Result,
    calls::{register, spread, submit, until},
    figure,
    http::Connection,
    node::{Node, build},
    say, scratch, stopwatch,
};
use serde_json::json;

/// Tasks under way when the node is killed.
const OPEN: usize = 1_000;
/// Events of the long history.
const EVENTS: usize = 10_000;
const IN_FLIGHT: usize = 32;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let program = build().await?;
    let folder = scratch()?;
    say("recovery: release binary after kill -9, SQLite with synchronous=FULL");
    open_tasks(&program, &folder.path().join("open")).await?;
    long_history(&program, &folder.path().join("long")).await
}

/// A task that is under way until it is stopped.
fn endless() -> String {
    let step = json!({"id": "only", "agent": "slow", "input": {"for": "1h"}, "timeout": "2h"});
    json!({"description": "endless", "steps": [step]}).to_string()
}

/// Starts a node with an agent that runs so many endless tasks.
async fn start(program: &Path, data: &Path) -> Result<(Node, Connection)> {
    let node = Node::start(program, data).await?;
    let mut connection = node.connect().await?;
    let slow = json!({"name": "slow", "agent_type": "sleep", "max_tasks": OPEN});
    register(&mut connection, &slow).await?;
    Ok((node, connection))
}

async fn all_run(connection: &mut Connection) -> Result<()> {
    let all = |running| running == OPEN as u64;
    let otherwise = "not every open task runs";
    until(
        connection,
        "/api/v1/agents/slow",
        "running_tasks",
        all,
        otherwise,
    )
    .await
}

async fn open_tasks(program: &Path, data: &Path) -> Result<()> {
    let (node, mut connection) = start(program, data).await?;
    let submitted = |mut connection: Connection, task: std::sync::Arc<str>| async move {
        submit(&mut connection, &task).await?;
        Ok(connection)
    };
    spread(&node, IN_FLIGHT, OPEN, &endless(), submitted).await?;
    all_run(&mut connection).await?;
    drop(connection);
    node.kill().await?;

    let watch = stopwatch();
    let node = Node::start(program, data).await?;
    let ready = watch.elapsed().as_secs_f64();
    let mut connection = node.connect().await?;
    all_run(&mut connection).await?;
    let moving = watch.elapsed().as_secs_f64();
    let name = format!("start with {OPEN} open tasks, until it listens");
    figure(&name, ready, "s", Goal::None);
    figure(
        "the same, until all run again",
        moving,
        "s",
        Goal::Under(30.0),
    );
    Ok(node.kill().await?)
}

async fn long_history(program: &Path, data: &Path) -> Result<()> {
    let (node, mut connection) = start(program, data).await?;
    let task = submit(&mut connection, &endless()).await?;
    let id = task["id"].as_str().ok_or("a task without an id")?;
    let place = format!("/api/v1/tasks/{id}");
    let amended = |mut connection: Connection, place: std::sync::Arc<str>| async move {
        let patch = r#"{"metadata": {"note": "changed once more"}}"#;
        connection.request("PUT", &place, patch).await?.json()?;
        Ok(connection)
    };
    spread(&node, IN_FLIGHT, EVENTS, &place, amended).await?;
    // Settled, so that nothing brings it back to memory before it is asked for.
    let cancel = format!("{place}/cancel");
    // The first connection may have lain idle for too long.
    connection = node.connect().await?;
    connection.post(&cancel, "{}").await?.json()?;
    drop(connection);
    node.kill().await?;

    let node = Node::start(program, data).await?;
    let mut connection = node.connect().await?;
    let watch = stopwatch();
    let task = connection.get(&place).await?;
    let took = watch.elapsed().as_secs_f64() * 1000.0;
    let events = task["version"].as_u64().unwrap_or_default();
    if events < EVENTS as u64 {
        return Err(format!("only {events} events are left").into());
    }
    let name = format!("J3 task of {events} events, first read after the restart");
    figure(&name, took, "ms", Goal::Under(1000.0));
    drop(connection);
    Ok(node.stop().await?)
}
