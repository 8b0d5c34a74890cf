//! How fast a cluster of three notices that one is killed or frozen, and goes on with its tasks.

use std::{path::Path, time::Duration};

use benches::{
    Goal, Latencies, Result,
    calls::{register, submit},
    figure,
    http::Connection,
    node::{Node, build},
    say, scratch, stopwatch,
};
use protocol::{api::TaskView, time::Timestamp};
use runtime::{clock::Clock, testkit::postgres::PrivatePostgres};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// Agents, so that each node hosts some.
const AGENTS: usize = 9;
/// Tasks that are under way when a node is lost.
const OPEN: usize = 90;
/// How long each of their steps takes: longer than it takes to go on without the lost node.
const STEP: &str = "20s";
/// For shards and agents to find their places.
const SETTLE: Duration = Duration::from_secs(3);
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a node is lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Killed,
    Frozen,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let program = build().await?;
    for loss in [Loss::Killed, Loss::Frozen] {
        let server = PrivatePostgres::start()?;
        let folder = scratch()?;
        say(&format!(
            "cluster: three control nodes on PostgreSQL, one is {loss:?} with {OPEN} tasks under way"
        ));
        lose(&program, folder.path(), &server, loss).await?;
    }
    Ok(())
}

async fn start(program: &Path, folder: &Path, server: &PrivatePostgres) -> Result<[Node; 3]> {
    let url = server.url();
    let founder = [("TROUPE_STORE__URL", &*url), ("TROUPE_NODE__NAME", "n1")];
    let first = Node::start_with(program, &folder.join("n1"), &founder).await?;
    let second = join(program, folder, &first, "n2").await?;
    let third = join(program, folder, &second, "n3").await?;
    Ok([first, second, third])
}

async fn join(program: &Path, folder: &Path, host: &Node, name: &str) -> Result<Node> {
    let (address, token) = host.join_line().await?;
    let watch = stopwatch();
    let arguments = ["--join", &*address, "--token", &*token];
    let named = [("TROUPE_NODE__NAME", name)];
    let node = Node::start_so(program, &folder.join(name), &named, &arguments).await?;
    let took = watch.elapsed().as_secs_f64();
    figure("a node joins and serves", took, "s", Goal::Under(2.0));
    Ok(node)
}

async fn lose(program: &Path, folder: &Path, server: &PrivatePostgres, loss: Loss) -> Result<()> {
    let [first, second, third] = start(program, folder, server).await?;
    let mut connection = first.connect().await?;
    for number in 0..AGENTS {
        let name = format!("slow-{number}");
        let agent = json!({ "name": name, "agent_type": "sleep", "max_tasks": OPEN });
        register(&mut connection, &agent).await?;
    }
    sleep(SETTLE).await;
    let mut tasks = Vec::new();
    let mut connections = [connection, second.connect().await?, third.connect().await?];
    for number in 0..OPEN {
        let step = json!({
            "id": "only", "agent": format!("slow-{}", number % AGENTS), "effect": "idempotent",
            "input": { "for": STEP }, "timeout": "5m",
        });
        let task = json!({ "description": "under way", "steps": [step] }).to_string();
        let taken = submit(&mut connections[number % 3], &task).await?;
        tasks.push(serde_json::from_value::<TaskView>(taken)?.id.to_string());
    }
    sleep(SETTLE).await;

    let said = first.log()?.len();
    let (clock, watch) = (Clock::system(), stopwatch());
    let at = clock.now();
    // A frozen process still ends when it is dropped.
    let _frozen = match loss {
        Loss::Killed => {
            third.kill().await?;
            None
        }
        Loss::Frozen => {
            third.freeze().await?;
            Some(third)
        }
    };
    let missed = async {
        while !first.log()?[said..].contains("peer is down peer=n3") {
            sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, std::io::Error>(watch.elapsed().as_secs_f64())
    };
    let (missing, resuming) = match loss {
        Loss::Killed => (Goal::Under(3.0), Goal::Under(10_000.0)),
        Loss::Frozen => (Goal::Under(20.0), Goal::Under(20_000.0)),
    };
    let missed = timeout(PATIENCE, missed).await??;
    figure("the loss is noticed by its links", missed, "s", missing);
    let [mut connection, ..] = connections;
    let resumed = resumed(&mut connection, &tasks, at).await?;
    figure(
        "attempts that it ran begin anew, p50",
        resumed.percentile(0.5),
        "ms",
        Goal::None,
    );
    figure(
        "attempts that it ran begin anew, p99",
        resumed.percentile(0.99),
        "ms",
        resuming,
    );
    first.stop().await?;
    second.stop().await?;
    Ok(())
}

/// How long after `lost` each task whose attempt was lost got another.
async fn resumed(
    connection: &mut Connection,
    tasks: &[String],
    lost: Timestamp,
) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for id in tasks {
        let path = format!("/api/v1/tasks/{id}");
        let found = async {
            loop {
                let task: TaskView = serde_json::from_value(connection.get(&path).await?)?;
                let steps = task.plan.map(|plan| plan.steps).unwrap_or_default();
                let Some(step) = steps.into_iter().next() else {
                    return Err("a task without a plan".into());
                };
                let again = step.attempts.iter().find(|attempt| attempt.number > 1);
                if let Some(again) = again {
                    return Result::Ok(Some(again.started_at.since(lost)));
                }
                // What another node ran goes on where it was.
                if step.attempts.iter().any(|attempt| attempt.node != "n3") {
                    return Ok(None);
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        if let Some(took) = timeout(PATIENCE, found).await?? {
            latencies.add(took);
        }
    }
    Ok(latencies)
}
