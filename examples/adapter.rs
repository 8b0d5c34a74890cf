//! A tool of your own: an [`Adapter`], registered as an agent of type `native`.
//!
//! The node calls it as any other agent: it gets slots, health checks, retries and a place in the
//! supervision tree. Here it counts words, and refuses what is no text. Prints how both ended:
//!
//! ```text
//! completed: {"words":5}
//! failed: step count: only texts have words
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{future::ready, sync::Arc, time::Duration};

use actors::adapter::{Adapter, Answer, Call, CallError};
use anyhow::ensure;
use protocol::task::{Failure, TaskStatus};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use troupe::Node;

#[derive(Debug)]
struct CountWords;

impl Adapter for CountWords {
    // A call that takes time selects on the token as well, and answers `Cancelled` when it fires.
    fn call<'a>(
        &'a self,
        call: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        let answer = match call.input.as_str() {
            Some(text) => Ok(json!({"words": text.split_whitespace().count()})),
            None => Err(CallError::Failed {
                failure: Failure::new("no_text", "only texts have words"),
                retryable: false,
            }),
        };
        Box::pin(ready(answer))
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok("counts".to_owned())))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder
        .native("counter", Arc::new(CountWords))
        .start()
        .await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let agent = json!({"name": "counter", "agent_type": "native"});
    troupe
        .register_agent(&me, serde_json::from_value(agent)?)
        .await?;

    let mut ends = Vec::new();
    for input in [json!("the quick brown fox jumps"), json!(7)] {
        let step = json!({"id": "count", "agent": "counter", "input": input});
        let spec = serde_json::from_value(json!({"description": "Count", "steps": [step]}))?;
        let wait = Some(Duration::from_secs(10));
        let task = troupe.submit(&me, spec, None, wait).await?.task;
        let said = task.error.as_ref().map(|error| error.message.clone());
        let said = said.unwrap_or_else(|| task.result.to_string());
        println!("{}: {said}", task.status.as_str());
        ends.push(task.status);
    }
    node.stop(Duration::from_secs(5)).await;
    ensure!(ends == [TaskStatus::Completed, TaskStatus::Failed]);
    Ok(())
}
