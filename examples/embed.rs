//! A node inside your service: no process of its own, no HTTP, one handle to call.
//!
//! The node runs on the service's tokio runtime and keeps everything in one directory. A task is on
//! disk before `submit` returns. Prints where the task stands and what came of it:
//!
//! ```text
//! completed: {"invoice":42}
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::ensure;
use protocol::task::TaskStatus;
use serde_json::json;
use troupe::Node;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let node = Node::builder()
        .data_dir(folder.path())
        .name("billing")
        .without_edge()
        .start()
        .await?;
    let (troupe, me) = (node.orchestrator(), node.caller());

    // Specifications are plain structs; written as JSON they read as they do over HTTP.
    let agent = json!({"name": "clerk", "agent_type": "echo", "capabilities": ["file"]});
    troupe
        .register_agent(&me, serde_json::from_value(agent)?)
        .await?;

    let task = json!({
        "description": "File an invoice",
        "steps": [{"id": "file", "capability": "file", "input": {"invoice": 42}}],
    });
    let wait = Some(Duration::from_secs(10));
    let task = troupe
        .submit(&me, serde_json::from_value(task)?, None, wait)
        .await?
        .task;
    println!("{}: {}", task.status.as_str(), task.result);

    node.stop(Duration::from_secs(5)).await;
    ensure!(task.status == TaskStatus::Completed, "{:?}", task.error);
    ensure!(task.result == json!({"invoice": 42}), "another result");
    Ok(())
}
