//! Following a task: its events as they happen, and again from where one stopped.
//!
//! Every event has a position in its task's stream. A follower keeps the last one it saw as its
//! cursor, and gets what came after: nothing twice, nothing missed. The feed ends with the task.
//! Prints the events before and after a break:
//!
//! ```text
//! 1 submitted
//! 2 planned
//! 3 attempt_started
//! -- a break --
//! 4 attempt_ended
//! ...
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt};
use protocol::api::EventView;
use serde_json::json;
use troupe::Node;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder.start().await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let agent = json!({"name": "slow", "agent_type": "sleep", "config": {"for": "50ms"}});
    troupe
        .register_agent(&me, serde_json::from_value(agent)?)
        .await?;
    let steps = json!([
        {"id": "first", "agent": "slow"},
        {"id": "second", "agent": "slow", "needs": ["first"]},
    ]);
    let spec = serde_json::from_value(json!({"description": "Two naps", "steps": steps}))?;
    let task = troupe.submit(&me, spec, None, None).await?.task;

    let feed = troupe.task_events(&me, task.id, 0).await?;
    let mut seen: Vec<EventView> = feed.take(3).try_collect().await?;
    seen.iter().for_each(show);
    println!("-- a break --");

    let cursor = seen.last().map_or(0, |event| event.seq);
    let mut feed = troupe.task_events(&me, task.id, cursor).await?;
    while let Some(event) = feed.try_next().await? {
        show(&event);
        seen.push(event);
    }
    node.stop(Duration::from_secs(5)).await;
    let without_gaps = seen.iter().map(|event| event.seq).eq(1..=seen.len() as u64);
    ensure!(without_gaps, "an event is missing or came twice");
    let last = seen.last().map(|event| &event.event);
    ensure!(last.is_some_and(|last| last["type"] == "settled" && last["status"] == "completed"));
    Ok(())
}

fn show(event: &EventView) {
    let kind = event.event["type"].as_str().unwrap_or("?");
    println!("{} {kind}", event.seq);
}
