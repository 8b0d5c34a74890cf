//! What three nodes take of the machine while nothing is asked of them, and what they tell each other,
//! the more so the more entities there are or not.

use std::{sync::Arc, time::Duration};

use benches::{
    Goal, Result,
    calls::{register, spread, submit},
    figure,
    node::Node,
    say, stopwatch,
};
use futures_util::future::try_join_all;
use runtime::testkit::postgres::PrivatePostgres;
use serde_json::json;
use tokio::time::sleep;

use super::{Site, database};

/// For shards and agents to find their places, and tasks that wait to leave memory.
const SETTLE: Duration = Duration::from_secs(20);
/// How long it is watched.
const SPAN: Duration = Duration::from_secs(20);
/// Entities that there are, one count after another: tasks that wait for an agent.
const COUNTS: [usize; 3] = [0, 1_000, 10_000];
const CALLERS: usize = 8;
/// How many times as much traffic still is the same: heartbeats and requests fall on either side of
/// the ends of the span.
const SAME: f64 = 1.25;

pub(super) async fn report(site: Site<'_>) -> Result<()> {
    say("cluster: three control nodes, idle");
    let nodes = site.three().await?;
    let mut empty = f64::NAN;
    let mut there = 0;
    let agent = json!({ "name": "busy", "agent_type": "sleep", "max_tasks": 1 });
    register(&mut nodes[0].connect().await?, &agent).await?;
    for count in COUNTS {
        open(&nodes, count - there).await?;
        there = count;
        sleep(SETTLE).await;
        let told = watched(&nodes, site.server, count).await?;
        if count == 0 {
            empty = told;
        } else {
            let name = format!("  with {count} entities to with none");
            figure(&name, told / empty, "times", Goal::Under(SAME));
        }
    }
    // One task is under way for an hour; to stop in order would mean to wait for it.
    for node in nodes {
        node.kill().await?;
    }
    Ok(())
}

/// What all that is there takes for a while: bytes a second between nodes.
async fn watched(nodes: &[Node], server: &PrivatePostgres, entities: usize) -> Result<f64> {
    let (mut resident, mut proportional) = (0.0, 0.0);
    for node in nodes {
        resident += node.resident_mib()?;
        proportional += node.proportional_mib()?;
    }
    let with = format!("{entities} entities:");
    let state = |what: &str, value: f64, unit: &str| {
        figure(&format!("{with} {what}"), value, unit, Goal::None);
    };
    state("memory of the nodes, RSS of all three", resident, "MiB");
    state("  PSS of all three", proportional, "MiB");
    let database = database::processes(server)?.into_iter();
    let database: f64 = database.flat_map(benches::proportional_mib).sum();
    state("  PSS of PostgreSQL, apart", database, "MiB");

    let before = [spent(nodes)?, database::processor_seconds(server)?];
    let traffic = bytes(nodes).await?;
    let watch = stopwatch();
    sleep(SPAN).await;
    let seconds = watch.elapsed().as_secs_f64();
    let told = (bytes(nodes).await? - traffic) / seconds;
    let after = [spent(nodes)?, database::processor_seconds(server)?];
    for (place, whose) in ["the nodes", "PostgreSQL, apart"].into_iter().enumerate() {
        let share = (after[place] - before[place]) / seconds * 100.0;
        state(&format!("processor of {whose}"), share, "% of one");
    }
    state("frames between all nodes", told, "B/s");
    Ok(told)
}

fn spent(nodes: &[Node]) -> Result<f64> {
    let mut all = 0.0;
    for node in nodes {
        all += node.processor_seconds()?;
    }
    Ok(all)
}

/// Bytes that nodes have sent each other.
async fn bytes(nodes: &[Node]) -> Result<f64> {
    let mut all = 0.0;
    for node in nodes {
        all += node.metric("troupe_mesh_bytes_total", "sent").await?;
    }
    Ok(all)
}

/// Submits tasks that stay open: all wait for the one slot of one agent.
async fn open(nodes: &[Node], count: usize) -> Result<()> {
    let step = json!({ "id": "only", "agent": "busy", "input": { "for": "1h" }, "timeout": "2h" });
    let task = json!({ "description": "waits", "steps": [step] }).to_string();
    let submitted = |mut connection, task: Arc<str>| async move {
        submit(&mut connection, &task).await?;
        Ok(connection)
    };
    let shares = nodes.iter().map(|node| {
        let share = count / nodes.len();
        spread(node, CALLERS, share, &task, submitted)
    });
    try_join_all(shares).await?;
    Ok(())
}
