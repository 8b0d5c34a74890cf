//! An agent that asks another one while it works, wherever that is hosted.
//!
//! The node `billing` has no store and hosts `clerk`; the node `first` hosts `tax`, which `clerk` asks
//! by name. When they ask in a circle, the one that closes it is told so. Prints:
//!
//! ```text
//! clerk on billing: {"net":100,"gross":119}
//! in a circle: step sum: agent clerk waits for this answer itself: clerk asks tax
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{future::ready, sync::Arc, time::Duration};

use actors::{
    Rejection,
    adapter::{Adapter, Answer, Call, CallError, Colleagues},
};
use anyhow::{Context, ensure};
use protocol::{agent::AgentSpec, member::NodeRole, task::Failure};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use troupe::Node;

const GRACE: Duration = Duration::from_secs(5);

/// A node always gives colleagues; only a program that calls an agent itself may not.
fn alone() -> CallError {
    CallError::Failed {
        failure: Failure::new("alone", "this agent needs others to ask"),
        retryable: false,
    }
}

/// Asks `tax` for what it does not know itself.
#[derive(Debug)]
struct Clerk;

impl Adapter for Clerk {
    fn call<'a>(
        &'a self,
        _: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(ready(Err(alone())))
    }

    fn call_among<'a>(
        &'a self,
        call: &'a Call,
        colleagues: &'a Colleagues,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let tax = colleagues.ask("tax", call.input.clone()).await?;
            Ok(json!({ "net": call.input["net"], "gross": tax["gross"] }))
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok("a part of this program".to_owned())))
    }
}

/// Knows the rate; a careless question sends it back to the clerk.
#[derive(Debug)]
struct Tax;

impl Adapter for Tax {
    fn call<'a>(
        &'a self,
        _: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(ready(Err(alone())))
    }

    fn call_among<'a>(
        &'a self,
        call: &'a Call,
        colleagues: &'a Colleagues,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            match call.input["net"].as_u64() {
                Some(net) => Ok(json!({ "gross": net + net * 19 / 100 })),
                None => Ok(colleagues.ask("clerk", Value::Null).await?),
            }
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(ready(Ok("a part of this program".to_owned())))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Node::builder()
        .data_dir(folder.path().join("first"))
        .name("first")
        .mesh("127.0.0.1:0".parse()?)
        .native("tax", Arc::new(Tax))
        .without_edge()
        .start()
        .await?;
    let mesh = first.member().mesh.clone().context("no mesh")?;
    let billing = Node::builder()
        .data_dir(folder.path().join("billing"))
        .name("billing")
        .roles([NodeRole::Worker, NodeRole::Edge])
        .mesh("127.0.0.1:0".parse()?)
        .join(mesh, Some(first.join_token().await?))
        .native("clerk", Arc::new(Clerk))
        .without_edge()
        .start()
        .await?;

    let (troupe, me) = (billing.orchestrator(), billing.caller());
    for (name, node) in [("tax", "first"), ("clerk", "billing")] {
        let agent = json!({
            "name": name, "agent_type": "native", "capabilities": [name],
            "placement": {"node": node},
        });
        let agent: AgentSpec = serde_json::from_value(agent)?;
        // The first node hears of a new one within half a second, and only then of its code.
        for tries in 0.. {
            match troupe.register_agent(&me, agent.clone()).await {
                Ok(_) => break,
                Err(Rejection::Invalid { .. }) if tries < 20 => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let wait = Some(Duration::from_secs(20));
    let mut results = Vec::new();
    for input in [json!({"net": 100}), json!({"net": "?"})] {
        let task = json!({
            "description": "An invoice",
            "steps": [{"id": "sum", "agent": "clerk", "input": input}],
        });
        let task = serde_json::from_value(task)?;
        results.push(troupe.submit(&me, task, None, wait).await?.task);
    }
    let attempts = troupe.attempts(&me, results[0].id).await?;
    println!("clerk on {}: {}", attempts[0].node, results[0].result);
    let error = results[1].error.clone().context("a circle was closed")?;
    println!("in a circle: {}", error.message);

    billing.stop(GRACE).await;
    first.stop(GRACE).await;
    ensure!(results[0].result == json!({"net": 100, "gross": 119}));
    ensure!(attempts[0].node == "billing", "it ran elsewhere");
    ensure!(error.message.contains("waits for this answer itself"));
    Ok(())
}
