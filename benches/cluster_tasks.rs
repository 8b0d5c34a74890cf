//! Durable no-op tasks over three control nodes and one PostgreSQL server, all on this machine.

#[path = "cluster_tasks/bare.rs"]
mod bare;
#[path = "cluster/database.rs"]
mod database;
#[path = "cluster_tasks/quota.rs"]
mod quota;

use std::{path::Path, time::Duration};

use benches::{
    Goal, Latencies, Result, Rounds,
    calls::{complete, register, spread},
    figure,
    node::{Node, build},
    processor_seconds, rate, say, say_load, scratch, stopwatch,
};
use runtime::testkit::postgres::PrivatePostgres;
use serde_json::json;
use tokio::time::sleep;

use self::quota::Quota;

const NODES: usize = 3;
/// Tasks that are submitted at the same time, over all nodes.
const IN_FLIGHT: usize = 64;
const LOAD: usize = 9_000;
const ROUNDS: usize = 3;
const ALONE: usize = 500;
/// Agents that do nothing, so that every node hosts some.
const AGENTS: usize = 6;
/// For shards and agents to find their places: agents move a few at a time, every five seconds.
const SETTLE: Duration = Duration::from_secs(12);
/// What a node gets of one processor where machines are small: three of them, PostgreSQL and the load
/// generator then fit on two.
const SHARE: f64 = 0.2;

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
    say("cluster: control nodes, PostgreSQL with fsync, load generator on the same machine");
    bare::report(server).await?;
    say_load();
    let mut nodes = vec![founder(&program, folder.path(), server).await?];
    sleep(SETTLE).await;
    let solo = Tasks::of(&nodes, "solo").await?;
    solo.run(&nodes, LOAD / 10).await?;
    let one = full(server, &nodes, &solo).await?;
    let small_one = small(&nodes, &solo).await;

    for number in 2..=NODES {
        nodes.push(join(&program, folder.path(), &nodes[0], number).await?);
    }
    sleep(SETTLE).await;
    let spread = Tasks::of(&nodes, "spread").await?;
    sleep(SETTLE).await;
    spread.run(&nodes, LOAD / 10).await?;
    alone(&nodes[0], &spread).await?;
    let three = full(server, &nodes, &spread).await?;
    let name = "three nodes to one, on processors that were busy with one";
    figure(name, three / one, "times", Goal::None);
    match (small_one, small(&nodes, &spread).await) {
        (Ok(one), Ok(three)) => {
            let name = "R6 three small nodes to one";
            figure(name, three / one, "times", Goal::AtLeast(2.0));
        }
        (Err(error), _) | (_, Err(error)) => {
            say(&format!("R6 small nodes were not measured: {error}"));
        }
    }
    for node in nodes {
        node.stop().await?;
    }
    Ok(())
}

/// Rounds at full speed, and what a task took of whom: tasks a second.
async fn full(server: &PrivatePostgres, nodes: &[Node], tasks: &Tasks) -> Result<f64> {
    let goal = match nodes.len() {
        NODES => Goal::AtLeast(1500.0),
        _ => Goal::None,
    };
    let spent = || -> Result<[f64; 3]> {
        let mut all = 0.0;
        for node in nodes {
            all += node.processor_seconds()?;
        }
        let own = processor_seconds(std::process::id())?;
        Ok([all, database::processor_seconds(server)?, own])
    };
    let mut reached = Rounds::default();
    let before = (spent()?, appends(nodes).await?);
    for _ in 0..ROUNDS {
        reached.add(tasks.run(nodes, LOAD).await?);
    }
    let after = (spent()?, appends(nodes).await?);
    let name = format!("{} nodes, {IN_FLIGHT} in flight", nodes.len());
    reached.report(&format!("durable no-op tasks, {name}"), "/s", goal);
    let whole = (LOAD * ROUNDS) as f64;
    for (place, whose) in ["nodes", "PostgreSQL", "load generator"]
        .into_iter()
        .enumerate()
    {
        let micros = (after.0[place] - before.0[place]) * 1e6 / whole;
        let name = format!("  processor time a task, {whose}");
        figure(&name, micros, "µs", Goal::None);
    }
    let [appended, commits] = [0, 1].map(|place| after.1[place] - before.1[place]);
    figure("  appends a task", appended / whole, "", Goal::None);
    figure("  appends a commit", appended / commits, "", Goal::None);
    say_load();
    Ok(reached.most())
}

/// Appends and commits so far.
async fn appends(nodes: &[Node]) -> Result<[f64; 2]> {
    let mut all = [0.0; 2];
    for node in nodes {
        all[0] += node.metric("troupe_appends_total", "").await?;
        all[1] += node.metric("troupe_append_batch_count", "").await?;
    }
    Ok(all)
}

/// The same where each node has a small part of a processor to itself: tasks a second.
async fn small(nodes: &[Node], tasks: &Tasks) -> Result<f64> {
    let mut quotas = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let quota = Quota::new(&number.to_string(), SHARE)?;
        quota.hold(node.process()?)?;
        quotas.push((quota, node.process()?));
    }
    tasks.run(nodes, LOAD / 20).await?;
    let mut reached = Rounds::default();
    for _ in 0..ROUNDS {
        reached.add(tasks.run(nodes, LOAD / 6).await?);
    }
    let name = format!("{} nodes of {SHARE} processors each", nodes.len());
    reached.report(&name, "/s", Goal::None);
    for (quota, process) in quotas {
        quota.free(process)?;
    }
    Ok(reached.most())
}

async fn alone(node: &Node, tasks: &Tasks) -> Result<()> {
    let mut connection = node.connect().await?;
    let mut alone = Latencies::default();
    for _ in 0..ALONE {
        let watch = stopwatch();
        complete(&mut connection, &tasks.0).await?;
        alone.add(watch.elapsed());
    }
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        let name = format!("one at a time, POST to result, {name}");
        figure(&name, alone.percentile(share), "ms", Goal::None);
    }
    Ok(())
}

async fn founder(program: &Path, folder: &Path, server: &PrivatePostgres) -> Result<Node> {
    let url = server.url();
    let variables = [
        ("TROUPE_STORE__URL", url.as_str()),
        ("TROUPE_NODE__NAME", "n1"),
    ];
    Ok(Node::start_with(program, &folder.join("n1"), &variables).await?)
}

async fn join(program: &Path, folder: &Path, host: &Node, number: usize) -> Result<Node> {
    let name = format!("n{number}");
    let (address, token) = host.new_token().await?;
    let variables = [("TROUPE_NODE__NAME", name.as_str())];
    let arguments = ["--join", &address, "--token", &token];
    let watch = stopwatch();
    let node = Node::start_so(program, &folder.join(&name), &variables, &arguments).await?;
    let took = watch.elapsed().as_secs_f64();
    let name = format!("node {number} joins and serves");
    figure(&name, took, "s", Goal::Under(2.0));
    Ok(node)
}

/// Tasks of one step that does nothing, for agents of their own.
struct Tasks(String);

impl Tasks {
    /// Registers the agents that run them.
    async fn of(nodes: &[Node], capability: &str) -> Result<Self> {
        for number in 0..AGENTS {
            let agent = json!({
                "name": format!("{capability}-{number}"),
                "agent_type": "echo",
                "capabilities": [capability],
                "max_tasks": IN_FLIGHT,
            });
            let mut connection = nodes[number % nodes.len()].connect().await?;
            register(&mut connection, &agent).await?;
        }
        let step = json!({"id": "only", "capability": capability, "input": {"n": 1}});
        let task = json!({"description": "no-op", "steps": [step]});
        Ok(Self(task.to_string()))
    }

    /// Runs so many, as many on each node: tasks a second.
    async fn run(&self, nodes: &[Node], tasks: usize) -> Result<f64> {
        let watch = stopwatch();
        let shares = nodes.iter().enumerate().map(|(place, node)| {
            let count = nodes.len();
            let width = IN_FLIGHT / count + usize::from(place < IN_FLIGHT % count);
            let completed = |mut connection, task: std::sync::Arc<str>| async move {
                complete(&mut connection, &task).await?;
                Ok(connection)
            };
            spread(node, width, tasks / count, &self.0, completed)
        });
        futures_util::future::try_join_all(shares).await?;
        Ok(rate(tasks, watch.elapsed()))
    }
}
