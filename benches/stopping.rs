//! The stop button: how long it takes until a task of a thousand, which run on three nodes, is gone.
//!
//! Three processes, once with a store in the first of them and two workers, once as control nodes over
//! PostgreSQL, where each node owns a third of the tasks.

use std::{path::Path, time::Duration};

use benches::{
    Goal, Result, Rounds,
    calls::{register, submit},
    figure,
    http::Connection,
    node::{Node, build},
    say, say_load, scratch, stopwatch,
};
use futures_util::future::try_join_all;
use runtime::testkit::postgres::PrivatePostgres;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// The root, what it is made of, and what that is made of: a thousand tasks, each with an attempt.
const MIDDLE: usize = 9;
const LEAVES: usize = 110;
const TASKS: usize = 1 + MIDDLE + MIDDLE * LEAVES;
const NODES: [&str; 3] = ["n1", "n2", "n3"];
const ROUNDS: usize = 3;
/// For shards and agents to find their places.
const SETTLE: Duration = Duration::from_secs(5);
/// The longest that a thousand tasks may take to begin.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let program = build().await?;
    let folder = scratch()?;
    say("stopping: a task of 1,000 over three processes is cancelled at the first, over HTTP");
    let own = three(&program, &folder.path().join("own"), None).await?;
    measure("one store, two workers", &own).await?;
    drop(own);
    let server = PrivatePostgres::start()?;
    let url = server.url();
    let shared = three(&program, &folder.path().join("shared"), Some(&url)).await?;
    measure("three control nodes on PostgreSQL", &shared).await?;
    say_load();
    Ok(())
}

/// The nodes, each with an agent that rests.
async fn three(program: &Path, folder: &Path, store: Option<&str>) -> Result<Vec<Node>> {
    let mut nodes: Vec<Node> = Vec::new();
    for name in NODES {
        let mut variables = vec![("TROUPE_NODE__NAME", name)];
        let joined = match nodes.first() {
            Some(first) => first.new_token().await?,
            None => Default::default(),
        };
        let mut arguments = Vec::new();
        if nodes.is_empty() {
            variables.extend(store.map(|url| ("TROUPE_STORE__URL", url)));
        } else {
            arguments.extend(["--join", &joined.0, "--token", &joined.1]);
        }
        let at = folder.join(name);
        nodes.push(Node::start_so(program, &at, &variables, &arguments).await?);
    }
    sleep(SETTLE).await;
    let mut connection = nodes[0].connect().await?;
    for name in NODES {
        let agent = json!({
            "name": format!("rest-{name}"), "agent_type": "sleep", "capabilities": ["rest"],
            "max_tasks": TASKS, "placement": { "node": name },
        });
        register(&mut connection, &agent).await?;
    }
    sleep(SETTLE).await;
    Ok(nodes)
}

async fn measure(name: &str, nodes: &[Node]) -> Result<()> {
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.add(round(nodes).await?);
    }
    let name = format!("cancel of {TASKS} to all gone, {name}");
    rounds.report(&name, "s", Goal::Under(1.0));
    figure("  longest", rounds.most(), "s", Goal::Under(1.0));
    Ok(())
}

/// Seconds from the request to the answer that says that all of it is gone.
async fn round(nodes: &[Node]) -> Result<f64> {
    let mut first = nodes[0].connect().await?;
    let root = part(&mut first, None, 0).await?;
    let mut middle = Vec::new();
    for number in 0..MIDDLE {
        middle.push(part(&mut first, Some(&root), number).await?);
    }
    let leaves = nodes.iter().zip(0..).map(async |(node, at)| {
        let mut connection = node.connect().await?;
        for parent in &middle {
            for number in (0..LEAVES).filter(|number| number % NODES.len() == at) {
                part(&mut connection, Some(parent), number).await?;
            }
        }
        Result::Ok(())
    });
    try_join_all(leaves).await?;
    // The other one may have been silent for too long.
    let mut first = nodes[0].connect().await?;
    running(&mut first, |count| count == TASKS as u64).await?;
    let path = format!("/api/v1/tasks/{root}/cancel");
    let watch = stopwatch();
    let ended = first.post(&path, "{}").await?.json()?;
    let took = watch.elapsed().as_secs_f64();
    let reach = &ended["reach"];
    if reach["ended"] != TASKS || reach.get("unconfirmed").is_some() {
        return Err(format!("not all of it is gone: {reach}").into());
    }
    running(&mut first, |count| count == 0).await?;
    Ok(took)
}

/// A task that rests on one of the nodes; its id.
async fn part(at: &mut Connection, parent: Option<&str>, number: usize) -> Result<String> {
    let agent = format!("rest-{}", NODES[number % NODES.len()]);
    let mut task = json!({
        "description": "rest",
        "steps": [{ "id": "only", "agent": agent, "input": { "for": "1000s" } }],
    });
    if let Some(parent) = parent {
        task["parent_id"] = Value::from(parent);
    }
    let made = submit(at, &task.to_string()).await?;
    let id = made["id"].as_str();
    Ok(id.ok_or("a task without an id")?.to_owned())
}

/// Waits until the nodes say that they run as many attempts as they should.
async fn running(at: &mut Connection, right: impl Fn(u64) -> bool) -> Result<()> {
    let reached = async {
        loop {
            let nodes = at.get("/api/v1/nodes").await?;
            let items = nodes["items"].as_array().into_iter().flatten();
            let count = items.filter_map(|node| node["running"].as_u64()).sum();
            if right(count) {
                return Result::Ok(());
            }
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, reached)
        .await
        .map_err(|_| "the nodes do not run what they should")?
}
