//! The waiting room: urgent tasks start first, and each tells what it waits for.
//!
//! The only agent is paused and has one slot, so three tasks wait. `why` says for what. When the
//! agent is resumed it takes them by priority, not by age. Prints both:
//!
//! ```text
//! low: step only waits for an agent that can do file; clerk is paused; resume it
//! started: urgent, normal, low
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use troupe::Node;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder.start().await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let agent = json!({
        "name": "clerk",
        "agent_type": "sleep",
        "capabilities": ["file"],
        "config": {"for": "50ms"},
        "max_tasks": 1,
    });
    let agent = serde_json::from_value(agent)?;
    troupe.register_agent(&me, agent).await?;
    troupe.pause_agent(&me, "clerk").await?;

    let mut waiting = Vec::new();
    for (name, priority) in [("low", 1), ("normal", 5), ("urgent", 9)] {
        let steps = json!([{"id": "only", "capability": "file"}]);
        let task = json!({"description": name, "priority": priority, "steps": steps});
        let task = serde_json::from_value(task)?;
        waiting.push(troupe.submit(&me, task, None, None).await?.task);
    }
    let why = troupe.why(&me, waiting[0].id).await?;
    println!("low: {}", why.summary);

    troupe.resume_agent(&me, "clerk").await?;
    let mut started = Vec::new();
    for task in &waiting {
        let wait = Duration::from_secs(20);
        let task = troupe.await_task(&me, task.id, wait).await?;
        started.push((task.started_at, task.description));
    }
    started.sort();
    let order: Vec<_> = started.iter().map(|(_, name)| name.as_str()).collect();
    println!("started: {}", order.join(", "));

    node.stop(Duration::from_secs(5)).await;
    ensure!(why.summary.contains("paused"), "not what it waited for");
    ensure!(order == ["urgent", "normal", "low"], "another order");
    Ok(())
}
