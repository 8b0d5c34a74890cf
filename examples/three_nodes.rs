//! Three nodes in one process: one that keeps the tasks, and two that run them; one of those is lost.
//!
//! The agent `worker` is hosted by one of the two. While its attempt runs there, that node is dropped,
//! which stops it as a crash would. When its lease is over, the other one hosts the agent, and the
//! attempt, of which nobody has a receipt, is made again. Prints what moved:
//!
//! ```text
//! sort, attempt 1: runs on east
//! east is lost
//! agent worker: from east to west
//! sort, attempt 1 on east: Lost
//! sort, attempt 2 on west: Succeeded
//! completed: "sorted on west"
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{fmt, path::Path, sync::Arc, time::Duration};

use actors::adapter::{Adapter, Answer, Call, CallError};
use anyhow::{Context, ensure};
use protocol::{
    member::NodeRole,
    task::{AttemptStatus, TaskStatus},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use troupe::{Config, Node};

/// An agent whose first attempt never ends; it says where each attempt runs.
struct Worker {
    node: &'static str,
    runs: mpsc::UnboundedSender<(&'static str, u32)>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({})", self.node)
    }
}

impl Adapter for Worker {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancelled: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            // Nobody listens once the program is about to end.
            let _ = self.runs.send((self.node, call.attempt));
            if call.attempt == 1 {
                cancelled.cancelled().await;
            }
            Ok(json!(format!("{}ed on {}", call.step, self.node)))
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(std::future::ready(Ok(format!("runs on {}", self.node))))
    }
}

/// What all three nodes are told: a lease so short that nobody waits long for a lost node.
fn config() -> Config {
    let mut config = Config::default();
    config.cluster.lease = protocol::time::Span(Duration::from_secs(2));
    config
}

async fn join(
    first: &Node,
    folder: &Path,
    name: &'static str,
    runs: &mpsc::UnboundedSender<(&'static str, u32)>,
) -> anyhow::Result<Node> {
    let mesh = first.member().mesh.clone().context("no mesh")?;
    let runs = runs.clone();
    let node = Node::builder()
        .config(config())
        .data_dir(folder.join(name))
        .name(name)
        .roles([NodeRole::Worker])
        .mesh("127.0.0.1:0".parse()?)
        .join(mesh, Some(first.join_token().await?))
        .native("worker", Arc::new(Worker { node: name, runs }));
    Ok(node.start().await?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Node::builder()
        .config(config())
        .data_dir(folder.path().join("first"))
        .name("first")
        .roles([NodeRole::Control])
        .mesh("127.0.0.1:0".parse()?)
        .start()
        .await?;
    let (runs, mut running) = mpsc::unbounded_channel();
    let mut workers = Vec::new();
    for name in ["east", "west"] {
        workers.push(join(&first, folder.path(), name, &runs).await?);
    }

    let (troupe, me) = (first.orchestrator(), first.caller());
    let agent = json!({"name": "worker", "agent_type": "native"});
    troupe
        .register_agent(&me, serde_json::from_value(agent)?)
        .await?;
    let task = json!({
        "description": "Sort a file",
        "steps": [{"id": "sort", "agent": "worker", "effect": "pure"}],
    });
    let task = troupe.submit(&me, serde_json::from_value(task)?, None, None);
    let task = task.await?.task;

    let (lost, attempt) = running.recv().await.context("nothing ran")?;
    println!("sort, attempt {attempt}: runs on {lost}");
    workers.retain(|node| node.name() != lost);
    println!("{lost} is lost");

    let (found, attempt) = running.recv().await.context("nothing ran again")?;
    println!("agent worker: from {lost} to {found}");
    let task = troupe
        .await_task(&me, task.id, Duration::from_secs(10))
        .await?;
    let attempts = troupe.attempts(&me, task.id).await?;
    for attempt in &attempts {
        println!(
            "{}, attempt {} on {}: {:?}",
            attempt.step, attempt.number, attempt.node, attempt.status
        );
    }
    println!("{}: {}", task.status.as_str(), task.result);

    for node in workers {
        node.stop(Duration::from_secs(1)).await;
    }
    first.stop(Duration::from_secs(1)).await;
    ensure!(lost != found && attempt == 2, "it ran where it had run");
    let ends: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    ensure!(
        ends == [AttemptStatus::Lost, AttemptStatus::Succeeded],
        "other attempts"
    );
    ensure!(task.status == TaskStatus::Completed, "{:?}", task.error);
    Ok(())
}
