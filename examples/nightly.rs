//! A workflow that a schedule starts each night, and once by hand to see that it works.
//!
//! Each slot fires once in the whole cluster, also when a node goes down at that moment: which run it
//! starts is on disk before the run is. Prints when it fires next, and what came of the run:
//!
//! ```text
//! next     2026-11-22T02:00:00.000000Z
//! started  because of Request
//! result   {"removed":3}
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::{Context, ensure};
use examples::function;
use protocol::api::{ExecutionStatus, WorkflowDraft};
use serde_json::json;
use tokio::time::{Instant, sleep};
use troupe::Node;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let janitor = function(|call| Ok(json!({ "removed": call.input["older_than_days"] })));
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder.native("janitor", janitor).start().await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    let agent = json!({ "name": "janitor", "agent_type": "native" });
    troupe
        .register_agent(&me, serde_json::from_value(agent)?)
        .await?;
    let definition = json!({
        "name": "tidy-up",
        "type": "sequential",
        "nodes": [{ "id": "sweep", "type": "agent", "agent": "janitor" }],
    });
    let draft = WorkflowDraft {
        source: Some(definition.to_string()),
        ..WorkflowDraft::default()
    };
    troupe.create_workflow(&me, draft).await?;

    // At three in the morning of Berlin, whatever the clocks do; what was missed is made up for once.
    let schedule = json!({
        "name": "nightly",
        "cron": "0 3 * * *",
        "tz": "Europe/Berlin",
        "missed": "once",
        "overlap": "skip",
        "target": { "workflow": "tidy-up", "input": { "older_than_days": 3 } },
    });
    let schedule = troupe
        .create_schedule(&me, serde_json::from_value(schedule)?)
        .await?;
    println!("next     {}", schedule.next_at.context("it never fires")?);
    let (_, run) = troupe.fire_schedule(&me, schedule.id).await?;
    let run = run.context("nothing was started")?;
    let until = Instant::now() + Duration::from_secs(20);
    let ended = loop {
        // It is made beside the answer.
        match troupe.execution(&me, run).await {
            Ok(run) if run.status.is_terminal() => break run,
            Ok(_) | Err(_) => {}
        }
        ensure!(Instant::now() < until, "the run does not end");
        sleep(Duration::from_millis(20)).await;
    };
    let firings = troupe.schedule_runs(&me, schedule.id).await?.items;
    let firing = firings.first().context("no firing")?;
    println!(
        "started  because of {:?}",
        firing.cause.context("no cause")?
    );
    println!("result   {}", ended.result);
    node.stop(Duration::from_secs(5)).await;
    ensure!(
        ended.status == ExecutionStatus::Completed,
        "{:?}",
        ended.error
    );
    ensure!(ended.result == json!({ "removed": 3 }), "{}", ended.result);
    Ok(())
}
