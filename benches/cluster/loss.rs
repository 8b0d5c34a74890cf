//! How fast a cluster of three notices that one is killed or frozen, and goes on with its tasks.

use std::time::Duration;

use benches::{
    Goal, Latencies, Result,
    calls::{register, submit},
    figure,
    http::Connection,
    node::Node,
    say, stopwatch,
};
use protocol::{
    api::{MemberStatus, MemberView, TaskView},
    time::Timestamp,
};
use runtime::clock::Clock;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::Site;

/// What a cluster does when one of its nodes is lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Each node hosts some.
    agents: usize,
    /// Tasks under way.
    tasks: usize,
}

impl Load {
    pub(super) const FEW: Self = Self {
        agents: 9,
        tasks: 90,
    };
    pub(super) const THOUSAND: Self = Self {
        agents: 1_000,
        tasks: 1_000,
    };
}

/// How long each of their steps takes: longer than it takes to go on without the lost node.
const STEP: &str = "40s";
/// For shards and agents to find their places: longer than a link may take to open.
const SETTLE: Duration = Duration::from_secs(6);
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// How a node is lost.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    Killed,
    Frozen,
}

impl Loss {
    /// Within how many seconds it is to be noticed, and tasks are to go on.
    const fn goals(self) -> [f64; 2] {
        match self {
            Self::Killed => [3.0, 10.0],
            Self::Frozen => [20.0, 20.0],
        }
    }
}

pub(super) async fn report(site: Site<'_>, loss: Loss, load: Load) -> Result<()> {
    let Load { agents, tasks } = load;
    say(&format!(
        "cluster: three control nodes, one is {loss:?} with {agents} agents, {tasks} tasks under way"
    ));
    let [first, second, third] = site.three().await?;
    let tasks = begin([&first, &second, &third], load).await?;
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
    let [noticed, resumed] = loss.goals();
    let mut connection = first.connect().await?;
    until(&mut connection, |lost| lost.state != MemberStatus::Up).await?;
    let name = "`nodes` of a survivor shows the loss";
    let took = watch.elapsed().as_secs_f64();
    figure(name, took, "s", Goal::Under(noticed));
    until(&mut connection, |lost| lost.shards.unwrap_or(0) == 0).await?;
    let name = "all its shards have other owners";
    let moved = watch.elapsed().as_secs_f64();
    figure(name, moved, "s", Goal::Under(resumed));
    let begun = begun_anew(&mut connection, &tasks, at).await?;
    let name = "tasks whose attempt it ran";
    figure(name, begun.count() as f64, "", Goal::None);
    for (share, name, goal) in [
        (0.5, "their next attempt begins, p50", Goal::None),
        (0.99, "their next attempt begins, p99", Goal::Under(resumed)),
    ] {
        figure(name, begun.percentile(share) / 1000.0, "s", goal);
    }
    let told = recovery([&first, &second]).await?;
    let name = "the mean of `recovery_seconds`";
    figure(name, told, "s", Goal::None);
    let name = "  which differs from what was seen here by";
    figure(name, (told - moved).abs(), "s", Goal::Under(0.5));
    // To stop in order would mean to wait for those tasks.
    first.kill().await?;
    second.kill().await?;
    Ok(())
}

/// What the survivors say of how long each entity of the lost node was away.
async fn recovery(survivors: [&Node; 2]) -> Result<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for node in survivors {
        sum += node.metric("troupe_recovery_seconds_sum", "").await?;
        count += node.metric("troupe_recovery_seconds_count", "").await?;
    }
    Ok(sum / count)
}

/// Starts tasks on all nodes, and waits until each is under way.
async fn begin(nodes: [&Node; 3], load: Load) -> Result<Vec<String>> {
    let mut connections = Vec::new();
    for node in nodes {
        connections.push(node.connect().await?);
    }
    for number in 0..load.agents {
        let name = format!("slow-{number}");
        let agent = json!({ "name": name, "agent_type": "sleep", "max_tasks": load.tasks });
        register(&mut connections[number % 3], &agent).await?;
    }
    sleep(SETTLE).await;
    let mut tasks = Vec::new();
    for number in 0..load.tasks {
        let step = json!({
            "id": "only", "agent": format!("slow-{}", number % load.agents), "effect": "idempotent",
            "input": { "for": STEP }, "timeout": "5m",
        });
        let task = json!({ "description": "under way", "steps": [step] }).to_string();
        let taken = submit(&mut connections[number % 3], &task).await?;
        tasks.push(serde_json::from_value::<TaskView>(taken)?.id.to_string());
    }
    sleep(SETTLE).await;
    Ok(tasks)
}

/// Waits until the lost node is shown so.
async fn until(connection: &mut Connection, shown: impl Fn(&MemberView) -> bool) -> Result<()> {
    let looking = async {
        loop {
            let mut answer = connection.get("/api/v1/nodes").await?;
            let nodes: Vec<MemberView> = serde_json::from_value(answer["items"].take())?;
            let lost = nodes.iter().find(|node| node.name == "n3");
            if lost.is_none_or(&shown) {
                return Result::Ok(());
            }
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, looking).await?
}

/// How long after `lost` each task whose attempt was lost got another.
async fn begun_anew(
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
                sleep(LOOK).await;
            }
        };
        if let Some(took) = timeout(PATIENCE, found).await?? {
            latencies.add(took);
        }
    }
    Ok(latencies)
}
