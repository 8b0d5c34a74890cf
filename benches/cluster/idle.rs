//! What three nodes take of the machine while nothing is asked of them, and what they tell each other,
//! the more so the more entities there are or not.

use std::time::Duration;

use benches::{
    Goal, Result,
    calls::{register, spread},
    figure,
    node::Node,
    say, stopwatch,
};
use runtime::testkit::postgres::PrivatePostgres;
use serde_json::json;
use tokio::time::sleep;

use super::{Site, database};

/// For shards and agents to find their places.
const SETTLE: Duration = Duration::from_secs(10);
/// How long it is watched.
const SPAN: Duration = Duration::from_secs(20);
/// Entities that there are, one count after another.
const COUNTS: [usize; 3] = [0, 1_000, 10_000];
const CALLERS: usize = 16;
/// How many times as much traffic still is the same: heartbeats and requests fall on either side of
/// the ends of the span.
const SAME: f64 = 1.25;

pub(super) async fn report(site: Site<'_>) -> Result<()> {
    say("cluster: three control nodes, idle");
    let nodes = site.three().await?;
    let mut empty = f64::NAN;
    let mut there = 0;
    for count in COUNTS {
        agents(&nodes, there..count).await?;
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
    for node in nodes {
        node.stop().await?;
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
    let database = database::proportional_mib(server)?;
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

/// Registers agents: entities that stay, and that every node may ask for.
async fn agents(nodes: &[Node], numbers: std::ops::Range<usize>) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let count = numbers.len();
    let next = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(numbers.start));
    let registered = move |mut connection: benches::http::Connection, _| {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let agent = json!({ "name": format!("idle-{number}"), "agent_type": "echo" });
            register(&mut connection, &agent).await?;
            Ok(connection)
        }
    };
    let watch = stopwatch();
    spread(&nodes[0], CALLERS, count, "", registered).await?;
    let rate = benches::rate(count, watch.elapsed());
    figure(
        &format!("agents registered, {CALLERS} at a time"),
        rate,
        "/s",
        Goal::None,
    );
    Ok(())
}
