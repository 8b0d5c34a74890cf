//! Runs of workflows through the Rust handle, SQLite with `synchronous=FULL`, beside plain tasks of as many
//! steps; what waiting runs keep in memory; how long a long history takes to be decided again.

#[path = "workflows/history.rs"]
mod history;
#[path = "workflows/node.rs"]
mod node;

use std::{collections::HashMap, path::Path, time::Duration};

use actors::{Orchestrator, orchestrator::Setup};
use benches::{Goal, Latencies, Result, figure, load, rate, resident_mib, say, scratch, stopwatch};
use protocol::{
    access::Caller,
    agent::{AgentSpec, AgentType},
    api::{ExecuteRequest, ExecutionStatus, WorkflowDraft},
    task::{TaskSpec, TaskStatus},
};
use serde_json::{Value, json};

/// Runs that are under way at the same time.
const IN_FLIGHT: usize = 64;
/// Nodes of the run that is measured most.
const LINE: usize = 5;
const RUNS: usize = 4_000;
const WARM_UP: usize = 300;
/// Runs one after another.
const ALONE: usize = 300;
/// Calls between the first and the last of a fan-out.
const WIDTH: usize = 1_000;
/// Runs that wait for a person or a moment.
const WAITING: usize = 10_000;
/// The longest that one call may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let folder = scratch()?;
    say("workflows: runs through actors::Orchestrator, SQLite with synchronous=FULL");
    throughput(&folder.path().join("load")).await?;
    length(&folder.path().join("length")).await?;
    waiting(&folder.path().join("waiting")).await?;
    history::report()?;
    node::report(&folder.path().join("killed")).await
}

/// A node of its own with one agent that answers at once.
async fn start(data: &Path) -> Result<Orchestrator> {
    std::fs::create_dir_all(data)?;
    let store = runtime::store::Sqlite::open(&data.join("troupe.db")).await?;
    let orchestrator = Orchestrator::start(Setup {
        config: actors::Config::default(),
        node: "bench".to_owned(),
        store: std::sync::Arc::new(store),
        data_dir: data.to_owned(),
        natives: HashMap::new(),
    })
    .await?;
    let agent: AgentSpec = serde_json::from_value(json!({
        "name": "echo",
        "agent_type": AgentType::Echo,
        "capabilities": ["echo"],
        "max_tasks": 2 * WIDTH,
    }))?;
    orchestrator.register_agent(&Caller::admin(), agent).await?;
    Ok(orchestrator)
}

async fn publish(orchestrator: &Orchestrator, definition: &Value) -> Result<()> {
    let draft = WorkflowDraft {
        source: Some(definition.to_string()),
        ..WorkflowDraft::default()
    };
    orchestrator
        .create_workflow(&Caller::admin(), draft)
        .await?;
    Ok(())
}

/// So many nodes one after another that do nothing.
pub(crate) fn line(nodes: usize) -> Value {
    let nodes: Vec<Value> = (0..nodes)
        .map(|at| json!({ "id": format!("n{at}"), "type": "task", "capability": "echo" }))
        .collect();
    let name = format!("line-{}", nodes.len());
    json!({ "name": name, "type": "sequential", "nodes": nodes })
}

fn steps(count: usize) -> Result<TaskSpec> {
    let steps: Vec<Value> = (0..count)
        .map(|at| {
            let needs: Vec<String> = at.checked_sub(1).map(|at| format!("n{at}")).into_iter().collect();
            json!({ "id": format!("n{at}"), "capability": "echo", "input": { "n": 1 }, "needs": needs })
        })
        .collect();
    let spec = json!({ "description": "as many steps", "steps": steps });
    Ok(serde_json::from_value(spec)?)
}

async fn execute(orchestrator: Orchestrator, name: &str, input: Value) -> Result<Orchestrator> {
    let request = ExecuteRequest {
        input,
        ..ExecuteRequest::default()
    };
    let begun = orchestrator
        .execute_workflow(&Caller::admin(), name, request, None, Some(PATIENCE))
        .await?;
    match begun.run.status {
        ExecutionStatus::Completed => Ok(orchestrator),
        _ => Err(format!("the run is not done: {:?}", begun.run).into()),
    }
}

async fn runs(orchestrator: &Orchestrator, count: usize, name: &'static str) -> Result<Latencies> {
    let clients = vec![orchestrator.clone(); IN_FLIGHT];
    load(clients, count, move |client| {
        execute(client, name, json!({ "n": 1 }))
    })
    .await
}

async fn tasks(orchestrator: &Orchestrator, count: usize) -> Result<Latencies> {
    let spec = steps(LINE)?;
    load(
        vec![orchestrator.clone(); IN_FLIGHT],
        count,
        move |client| {
            let spec = spec.clone();
            async move {
                let done = client
                    .submit(&Caller::admin(), spec, None, Some(PATIENCE))
                    .await?;
                match done.task.status {
                    TaskStatus::Completed => Ok(client),
                    _ => Err(format!("the task is not done: {:?}", done.task).into()),
                }
            }
        },
    )
    .await
}

async fn throughput(data: &Path) -> Result<()> {
    let orchestrator = start(data).await?;
    publish(&orchestrator, &line(LINE)).await?;
    tasks(&orchestrator, WARM_UP).await?;
    let watch = stopwatch();
    tasks(&orchestrator, RUNS).await?;
    let name = format!("yardstick: tasks of {LINE} steps, {IN_FLIGHT} in flight");
    figure(&name, rate(RUNS, watch.elapsed()), "/s", Goal::None);

    runs(&orchestrator, WARM_UP, "line-5").await?;
    let watch = stopwatch();
    let calls = runs(&orchestrator, RUNS, "line-5").await?;
    let reached = rate(RUNS, watch.elapsed());
    let name = format!("sequential workflows of {LINE} no-ops, {IN_FLIGHT} in flight");
    figure(&name, reached, "/s", Goal::AtLeast(1000.0));
    figure(
        "  nodes",
        reached * LINE as f64,
        "/s",
        Goal::AtLeast(5000.0),
    );
    figure(
        "  begin to end, p99",
        calls.percentile(0.99),
        "ms",
        Goal::None,
    );

    let mut alone = Latencies::default();
    for _ in 0..ALONE {
        let watch = stopwatch();
        execute(orchestrator.clone(), "line-5", json!({ "n": 1 })).await?;
        alone.add(watch.elapsed());
    }
    figure(
        "one at a time, p50",
        alone.percentile(0.5),
        "ms",
        Goal::Under(10.0),
    );
    figure(
        "one at a time, p99",
        alone.percentile(0.99),
        "ms",
        Goal::None,
    );

    let each = json!({ "capability": "echo", "with": "${item}" });
    let nodes = json!([
        { "id": "first", "type": "task", "capability": "echo" },
        { "id": "all", "type": "map", "needs": ["first"], "over": "$.input", "each": each },
        { "id": "last", "type": "task", "capability": "echo", "needs": ["all"], "input": "${len(nodes.all.output)}" },
    ]);
    publish(&orchestrator, &json!({ "name": "wide", "nodes": nodes })).await?;
    let input = json!((0..WIDTH).collect::<Vec<_>>());
    execute(orchestrator.clone(), "wide", input.clone()).await?;
    let mut wide = Latencies::default();
    for _ in 0..10 {
        let watch = stopwatch();
        execute(orchestrator.clone(), "wide", input.clone()).await?;
        wide.add(watch.elapsed());
    }
    let name = format!("fan-out 1 -> {WIDTH} -> 1, median of 10");
    figure(&name, wide.percentile(0.5), "ms", Goal::Under(400.0));
    orchestrator.stop(Duration::from_secs(5)).await;
    Ok(())
}

/// What a node costs in short and in long runs.
async fn length(data: &Path) -> Result<()> {
    let orchestrator = start(data).await?;
    let mut costs = Vec::new();
    for (nodes, name, count) in [
        (10, "line-10", 50),
        (100, "line-100", 5),
        (1_000, "line-1000", 1),
    ] {
        publish(&orchestrator, &line(nodes)).await?;
        execute(orchestrator.clone(), name, json!({ "n": 1 })).await?;
        let watch = stopwatch();
        for _ in 0..count {
            execute(orchestrator.clone(), name, json!({ "n": 1 })).await?;
        }
        let cost = watch.elapsed().as_secs_f64() * 1e6 / (nodes * count) as f64;
        let name = format!("a node of a run of {nodes}, one run at a time");
        figure(&name, cost, "µs", Goal::None);
        costs.push(cost);
    }
    let times = costs[2] / costs[0];
    figure("  of 1,000 to of 10", times, "times", Goal::Under(1.25));
    orchestrator.stop(Duration::from_secs(5)).await;
    Ok(())
}

/// What runs keep in memory that wait for a person or for a moment.
async fn waiting(data: &Path) -> Result<()> {
    let orchestrator = start(data).await?;
    let question = json!({ "id": "ask", "type": "human", "question": "Well?" });
    let wait = json!({ "id": "wait", "type": "wait", "for": "30d" });
    publish(
        &orchestrator,
        &json!({ "name": "asks", "nodes": [question] }),
    )
    .await?;
    publish(&orchestrator, &json!({ "name": "waits", "nodes": [wait] })).await?;
    for name in ["asks", "waits"] {
        begin(&orchestrator, 500, name).await?;
        settle(&orchestrator).await?;
        let before = resident_mib(std::process::id())?;
        begin(&orchestrator, WAITING, name).await?;
        settle(&orchestrator).await?;
        let added = (resident_mib(std::process::id())? - before) * 1024.0 * 1024.0;
        let name = format!("memory that a run {name} and waits adds, of {WAITING}");
        figure(&name, added / WAITING as f64, "bytes", Goal::Under(2048.0));
    }
    orchestrator.stop(Duration::from_secs(5)).await;
    Ok(())
}

async fn begin(orchestrator: &Orchestrator, count: usize, name: &'static str) -> Result<()> {
    load(
        vec![orchestrator.clone(); IN_FLIGHT],
        count,
        move |client| async move {
            let request = ExecuteRequest::default();
            client
                .execute_workflow(&Caller::admin(), name, request, None, None)
                .await?;
            Ok(client)
        },
    )
    .await?;
    Ok(())
}

/// Until nothing but the agent is in memory.
async fn settle(orchestrator: &Orchestrator) -> Result<()> {
    let until = tokio::time::Instant::now() + PATIENCE;
    while orchestrator.node().active_entities > 4 {
        if tokio::time::Instant::now() > until {
            return Err("runs stay in memory though they only wait".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
