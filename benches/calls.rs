//! What the benches ask of a node over one connection.

use std::{future::Future, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{Latencies, Result, http::Connection, load, node::Node};

/// Registers an agent.
///
/// # Errors
///
/// When the node does not take it.
pub async fn register(connection: &mut Connection, agent: &Value) -> Result<()> {
    let path = "/api/v1/agents/register";
    connection.post(path, &agent.to_string()).await?.json()?;
    Ok(())
}

/// Submits a task and gives the node's view of it.
///
/// # Errors
///
/// When the node does not take it.
pub async fn submit(connection: &mut Connection, task: &str) -> Result<Value> {
    Ok(connection.post("/api/v1/tasks", task).await?.json()?)
}

/// Submits a task and waits until it is completed.
///
/// # Errors
///
/// When it is not, within half a minute.
pub async fn complete(connection: &mut Connection, task: &str) -> Result<()> {
    let answer = connection.post("/api/v1/tasks?wait=30s", task).await?;
    completed(&answer.json()?)
}

/// Whether a task, as the node shows it, is completed.
///
/// # Errors
///
/// When it is not.
pub fn completed(task: &Value) -> Result<()> {
    if task["status"] == "completed" {
        Ok(())
    } else {
        Err(format!("the task is not done: {task}").into())
    }
}

/// Makes `calls` calls, over `width` connections at the same time.
///
/// # Errors
///
/// That of the first call that fails.
pub async fn spread<Call>(
    node: &Node,
    width: usize,
    calls: usize,
    body: &str,
    call: impl Fn(Connection, Arc<str>) -> Call + Clone + Send + 'static,
) -> Result<Latencies>
where
    Call: Future<Output = Result<Connection>> + Send,
{
    let mut connections = Vec::new();
    for _ in 0..width {
        connections.push(node.connect().await?);
    }
    let body: Arc<str> = body.into();
    load(connections, calls, move |connection| {
        call(connection, Arc::clone(&body))
    })
    .await
}

/// Waits until the number that a route shows under `key` is what it should be, for three minutes at
/// most.
///
/// # Errors
///
/// When it does not become so in time; `otherwise` says what that means.
pub async fn until(
    connection: &mut Connection,
    path: &str,
    key: &str,
    right: impl Fn(u64) -> bool,
    otherwise: &str,
) -> Result<()> {
    let reached = async {
        loop {
            let found = connection.get(path).await?;
            if found[key].as_u64().is_some_and(&right) {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(180), reached)
        .await
        .map_err(|_| otherwise)?
}
