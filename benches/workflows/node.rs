//! Runs under way when their node is killed.

use std::path::Path;

use benches::{
    Goal, Result,
    calls::{register, spread, until},
    figure,
    http::Connection,
    node::{Node, build},
    say, stopwatch,
};
use serde_json::json;

/// Runs under way when the node is killed.
const OPEN: usize = 1_000;
const IN_FLIGHT: usize = 32;

pub(super) async fn report(data: &Path) -> Result<()> {
    let program = build().await?;
    say("workflows: release binary after kill -9");
    let node = Node::start(&program, data).await?;
    let mut connection = node.connect().await?;
    for agent in [
        json!({"name": "echo", "agent_type": "echo", "max_tasks": OPEN}),
        json!({"name": "slow", "agent_type": "sleep", "max_tasks": OPEN}),
    ] {
        register(&mut connection, &agent).await?;
    }
    let definition = json!({
        "name": "slow-line",
        "type": "sequential",
        "nodes": [
            { "id": "a", "type": "agent", "agent": "echo" },
            { "id": "b", "type": "agent", "agent": "slow", "input": { "for": "1h" }, "timeout": "2h" },
        ],
    });
    let draft = json!({ "source": definition.to_string() }).to_string();
    connection.post("/api/v1/workflows", &draft).await?.json()?;
    let begin = |mut connection: Connection, body: std::sync::Arc<str>| async move {
        connection
            .post("/api/v1/workflows/slow-line/execute", &body)
            .await?
            .json()?;
        Ok(connection)
    };
    spread(&node, IN_FLIGHT, OPEN, "{}", begin).await?;
    all_run(&mut connection).await?;
    drop(connection);
    node.kill().await?;

    let watch = stopwatch();
    let node = Node::start(&program, data).await?;
    let mut connection = node.connect().await?;
    all_run(&mut connection).await?;
    let moving = watch.elapsed().as_secs_f64();
    let name = format!("{OPEN} runs in flight: all moving again after the restart");
    figure(&name, moving, "s", Goal::Under(3.0));
    Ok(node.kill().await?)
}

async fn all_run(connection: &mut Connection) -> Result<()> {
    let all = |running| running == OPEN as u64;
    let otherwise = "not every run is at its second node";
    until(
        connection,
        "/api/v1/agents/slow",
        "running_tasks",
        all,
        otherwise,
    )
    .await
}
