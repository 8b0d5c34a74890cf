//! One step, then five side by side, then one that takes their results.
//!
//! A step starts when all that it `needs` are completed, and is handed their outputs. The result of
//! a task tells for each output which agent and attempt gave it. Prints that, and the sum:
//!
//! ```text
//! list       by lister  attempt 1: 5
//! square-1   by squarer attempt 1: 1
//! ...
//! sum        by summer  attempt 1: 55
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::ensure;
use examples::function;
use serde_json::{Value, json};
use troupe::Node;

const WIDTH: u64 = 5;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let square = function(|call| Ok(json!(call.input.as_u64().map(|side| side * side))));
    let sum = function(|call| {
        let parts = call.needs.values();
        Ok(parts.filter_map(Value::as_u64).sum::<u64>().into())
    });
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder
        .native("squarer", square)
        .native("summer", sum)
        .start()
        .await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    for agent in [
        json!({"name": "lister", "agent_type": "echo"}),
        json!({"name": "squarer", "agent_type": "native"}),
        json!({"name": "summer", "agent_type": "native"}),
    ] {
        troupe
            .register_agent(&me, serde_json::from_value(agent)?)
            .await?;
    }

    let mut steps = vec![json!({"id": "list", "agent": "lister", "input": WIDTH})];
    let parts: Vec<_> = (1..=WIDTH).map(|side| format!("square-{side}")).collect();
    for (part, side) in parts.iter().zip(1_u64..) {
        steps.push(json!({"id": part, "agent": "squarer", "input": side, "needs": ["list"]}));
    }
    steps.push(json!({"id": "sum", "agent": "summer", "needs": parts}));
    let spec = serde_json::from_value(json!({"description": "Add squares", "steps": steps}))?;
    let wait = Some(Duration::from_secs(20));
    let task = troupe.submit(&me, spec, None, wait).await?.task;

    let result = troupe.task_result(&me, task.id).await?;
    for from in &result.provenance {
        let (step, agent, attempt) = (&from.step, &from.agent, from.attempt);
        println!(
            "{step:<10} by {agent:<7} attempt {attempt}: {}",
            from.output
        );
    }
    node.stop(Duration::from_secs(5)).await;
    ensure!(result.provenance.len() == parts.len() + 2);
    ensure!(result.result == json!(55), "another sum: {}", result.result);
    Ok(())
}
