//! Durable no-op tasks over three control nodes and one PostgreSQL server, all on this machine.

use std::{path::Path, time::Duration};

use benches::{
    Goal, Latencies, Result,
    calls::{complete, register, spread},
    figure,
    node::{Node, build},
    rate, say, scratch, stopwatch,
};
use runtime::testkit::postgres::PrivatePostgres;
use serde_json::json;
use tokio::time::sleep;

const NODES: usize = 3;
/// Tasks that are submitted at the same time, over all nodes.
const IN_FLIGHT: usize = 64;
const LOAD: usize = 12_000;
const ALONE: usize = 500;
/// For shards and agents to find their places.
const SETTLE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let server = PrivatePostgres::start()?;
    runtime.block_on(report(&server))
}

async fn report(server: &PrivatePostgres) -> Result<()> {
    let program = build().await?;
    let folder = scratch()?;
    say("cluster: three control nodes, PostgreSQL with fsync, load generator on the same machine");
    let nodes = start(&program, folder.path(), server).await?;
    sleep(SETTLE).await;
    let idle: f64 = nodes
        .iter()
        .map(|node| node.resident_mib().unwrap_or(0.0))
        .sum();
    figure(
        "memory of an idle node, mean of three",
        idle / NODES as f64,
        "MiB",
        Goal::None,
    );
    let before = processor_seconds(&nodes)?;
    sleep(SETTLE * 2).await;
    let spent = processor_seconds(&nodes)? - before;
    let share = spent / (SETTLE * 2).as_secs_f64() * 100.0;
    figure(
        "processor of the idle cluster, all three nodes",
        share,
        "% of one",
        Goal::None,
    );

    let mut connection = nodes[0].connect().await?;
    for number in 0..6 {
        let agent = json!({
            "name": format!("echo-{number}"),
            "agent_type": "echo",
            "capabilities": ["echo"],
            "max_tasks": IN_FLIGHT,
        });
        register(&mut connection, &agent).await?;
    }
    sleep(SETTLE).await;

    run(&nodes, LOAD / 10).await?;
    let mut alone = Latencies::default();
    for _ in 0..ALONE {
        let watch = stopwatch();
        complete(&mut connection, &no_op()).await?;
        alone.add(watch.elapsed());
    }
    figure(
        "one at a time, POST to result, p50",
        alone.percentile(0.5),
        "ms",
        Goal::None,
    );
    figure(
        "one at a time, POST to result, p99",
        alone.percentile(0.99),
        "ms",
        Goal::None,
    );
    let watch = stopwatch();
    run(&nodes, LOAD).await?;
    let reached = rate(LOAD, watch.elapsed());
    let name = format!("durable no-op tasks over three nodes, {IN_FLIGHT} in flight");
    figure(&name, reached, "/s", Goal::AtLeast(1500.0));
    for node in nodes {
        node.stop().await?;
    }
    Ok(())
}

async fn start(program: &Path, folder: &Path, server: &PrivatePostgres) -> Result<Vec<Node>> {
    let url = server.url();
    let mut nodes: Vec<Node> = Vec::new();
    for number in 1..=NODES {
        let data = folder.join(format!("n{number}"));
        let name = format!("n{number}");
        let node = match nodes.last() {
            None => {
                let variables = [
                    ("TROUPE_STORE__URL", url.as_str()),
                    ("TROUPE_NODE__NAME", &name),
                ];
                Node::start_with(program, &data, &variables).await?
            }
            Some(member) => {
                let (address, token) = member.join_line().await?;
                let variables = [("TROUPE_NODE__NAME", name.as_str())];
                let watch = stopwatch();
                let arguments = ["--join", &address, "--token", &token];
                let node = Node::start_so(program, &data, &variables, &arguments).await?;
                let took = watch.elapsed().as_secs_f64();
                figure(
                    &format!("node {number} joins and serves"),
                    took,
                    "s",
                    Goal::Under(2.0),
                );
                node
            }
        };
        nodes.push(node);
    }
    Ok(nodes)
}

fn processor_seconds(nodes: &[Node]) -> Result<f64> {
    let mut all = 0.0;
    for node in nodes {
        all += node.processor_seconds()?;
    }
    Ok(all)
}

fn no_op() -> String {
    let step = json!({"id": "only", "capability": "echo", "input": {"n": 1}});
    json!({"description": "no-op", "steps": [step]}).to_string()
}

/// Runs `tasks` no-op tasks, as many on each node.
async fn run(nodes: &[Node], tasks: usize) -> Result<()> {
    let body = no_op();
    let shares = nodes.iter().enumerate().map(|(place, node)| {
        let width = IN_FLIGHT / NODES + usize::from(place < IN_FLIGHT % NODES);
        spread(
            node,
            width,
            tasks / NODES,
            &body,
            |mut connection, task| async move {
                complete(&mut connection, &task).await?;
                Ok(connection)
            },
        )
    });
    for share in futures_util::future::join_all(shares).await {
        share?;
    }
    Ok(())
}
