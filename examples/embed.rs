//! A node inside your service: no process of its own, no HTTP, one handle to call.
//!
//! The service has an agent written in Rust, and joins a cluster with one call:
//!
//! ```text
//! cargo run -p examples --example embed -- --join HOST:PORT TOKEN
//! ```
//!
//! Without arguments the cluster is in this process as well: a first node that keeps the tasks, and
//! the service's, which runs them. Prints where the step ran and what came of the task:
//!
//! ```text
//! billing runs file: completed {"filed":42}
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{env, path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use examples::function;
use protocol::{member::NodeRole, task::TaskStatus};
use serde_json::json;
use troupe::Node;

const GRACE: Duration = Duration::from_secs(5);

/// The service's node: it hosts the agent `clerk`, whose work is a function of this program, and as an
/// `edge` it may ask for tasks.
async fn join(folder: &Path, address: &str, token: String) -> anyhow::Result<Node> {
    let clerk = function(|call| Ok(json!({"filed": call.input["invoice"]})));
    let node = Node::builder()
        .data_dir(folder)
        .name("billing")
        .roles([NodeRole::Worker, NodeRole::Edge])
        .mesh("127.0.0.1:0".parse()?)
        .join(address, Some(token))
        .native("clerk", clerk)
        .without_edge();
    Ok(node.start().await?)
}

/// Joins a cluster that is there, and works for it until Ctrl-C.
async fn serve(folder: &Path, address: &str, token: String) -> anyhow::Result<()> {
    let node = join(folder, address, token).await?;
    println!("{} works for the cluster at {address}", node.name());
    tokio::signal::ctrl_c().await?;
    node.stop(GRACE).await;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A service keeps one directory, with which it comes back without a token.
    let folder = tempfile::tempdir()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {}
        [join, address, token] if join == "--join" => {
            return serve(&folder.path().join("billing"), address, token.clone()).await;
        }
        _ => bail!("usage: embed [--join HOST:PORT TOKEN]"),
    }

    let first = Node::builder()
        .data_dir(folder.path().join("first"))
        .name("first")
        .roles([NodeRole::Control])
        .mesh("127.0.0.1:0".parse()?)
        .without_edge()
        .start()
        .await?;
    let mesh = first.member().mesh.clone().context("no mesh")?;
    let token = first.join_token().await?;
    let billing = join(&folder.path().join("billing"), &mesh, token).await?;

    // Any edge takes requests. Specifications are plain structs; as JSON they read as over HTTP.
    let (troupe, me) = (billing.orchestrator(), billing.caller());
    let agent = json!({
        "name": "clerk", "agent_type": "native", "capabilities": ["file"],
        // No other program has the function.
        "placement": {"node": "billing"},
    });
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
    let attempts = troupe.attempts(&me, task.id).await?;
    for attempt in &attempts {
        let status = task.status.as_str();
        println!(
            "{} runs {}: {status} {}",
            attempt.node, attempt.step, task.result
        );
    }

    billing.stop(GRACE).await;
    first.stop(GRACE).await;
    ensure!(task.status == TaskStatus::Completed, "{:?}", task.error);
    ensure!(
        attempts.iter().all(|attempt| attempt.node == "billing"),
        "it ran elsewhere"
    );
    ensure!(task.result == json!({"filed": 42}), "another result");
    Ok(())
}
