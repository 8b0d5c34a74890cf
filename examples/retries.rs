//! What is tried again, and what is not: a step's attempts, backoff and effect class.
//!
//! A step that may be repeated is tried up to three times, with growing pauses. A payment is
//! `irreversible`: when its answer is lost, nobody knows whether it was made, so the step ends
//! `unknown` and is never sent twice. Prints the attempts of both:
//!
//! ```text
//! look-up attempt 1: Failed
//! look-up attempt 2: Failed
//! look-up attempt 3: Succeeded
//! look-up is completed
//! pay attempt 1: Lost
//! pay is unknown
//! the payment was sent 1 time(s)
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actors::adapter::CallError;
use anyhow::{Context, ensure};
use examples::function;
use protocol::task::{AttemptStatus, Failure, StepStatus};
use serde_json::json;
use troupe::Node;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A bank whose answers get lost; it counts what it was sent.
    let sent = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&sent);
    let bank = function(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Err(CallError::Lost {
            failure: Failure::new("connection", "the connection broke before the answer"),
            may_have_happened: true,
        })
    });
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder.native("bank", bank).start().await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let flaky = json!({"name": "flaky", "agent_type": "fail", "config": {"times": 2}});
    let bank = json!({"name": "bank", "agent_type": "native"});
    for agent in [flaky, bank] {
        let agent = serde_json::from_value(agent)?;
        troupe.register_agent(&me, agent).await?;
    }

    let retry = json!({"max_attempts": 3, "backoff": "20ms"});
    let spec = serde_json::from_value(json!({"description": "Pay a bill", "steps": [
        {"id": "look-up", "agent": "flaky", "effect": "pure", "retry": retry},
        {"id": "pay", "agent": "bank", "effect": "irreversible", "retry": retry, "needs": ["look-up"]},
    ]}))?;
    let wait = Some(Duration::from_secs(20));
    let task = troupe.submit(&me, spec, None, wait).await?.task;
    node.stop(Duration::from_secs(5)).await;

    let steps = task.plan.context("no plan")?.steps;
    for step in &steps {
        for attempt in &step.attempts {
            println!(
                "{} attempt {}: {:?}",
                step.id, attempt.number, attempt.status
            );
        }
        println!("{} is {}", step.id, step.status.as_str());
    }
    let sent = sent.load(Ordering::Relaxed);
    println!("the payment was sent {sent} time(s)");
    let tried: Vec<_> = steps[0].attempts.iter().map(|tried| tried.status).collect();
    use AttemptStatus::{Failed, Succeeded};
    ensure!(tried == [Failed, Failed, Succeeded], "other attempts");
    ensure!(steps[1].status == StepStatus::Unknown && sent == 1);
    Ok(())
}
