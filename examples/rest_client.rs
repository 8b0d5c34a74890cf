//! A node that serves HTTP, and a client that calls it.
//!
//! [`Client`] is what the command line uses; every method is one route, so any other HTTP client
//! can do the same. A request is repeated with the same idempotency key, as after a lost answer, and
//! makes one task. Prints health, result and what a refusal says:
//!
//! ```text
//! health: ok
//! completed: "hello"
//! the same task: true
//! 404: agent nobody was not found
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use protocol::task::{TaskSpec, TaskStatus};
use serde_json::json;
use troupe::{Node, client::Client};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path());
    // Port 0 takes one that is free; the node tells which, and the token to come with.
    let node = builder.listen(([127, 0, 0, 1], 0).into()).start().await?;
    let url = node.url().context("nothing is served")?;
    let token = node.token().context("there is no token")?;
    let client = Client::new(url, token)?;

    let health = client.health().await?;
    println!("health: {}", health.status);

    let agent = json!({"name": "echo", "agent_type": "echo", "capabilities": ["say"]});
    client
        .register_agent(&serde_json::from_value(agent)?)
        .await?;

    let step = json!({"id": "say", "capability": "say", "input": "hello"});
    let spec: TaskSpec = serde_json::from_value(json!({"description": "Greet", "steps": [step]}))?;
    let wait = Some(Duration::from_secs(10));
    let task = client.submit(&spec, Some("greeting-1"), wait).await?;
    println!("{}: {}", task.status.as_str(), task.result);
    let again = client.submit(&spec, Some("greeting-1"), wait).await?;
    println!("the same task: {}", task.id == again.id);

    let Err(refused) = client.agent("nobody").await else {
        bail!("an agent that nobody registered was found");
    };
    println!("{}: {refused}", refused.status().context("not refused")?);

    node.stop(Duration::from_secs(5)).await;
    ensure!(task.status == TaskStatus::Completed && task.id == again.id);
    ensure!(refused.status() == Some(404));
    Ok(())
}
