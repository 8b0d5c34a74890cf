//! Tasks through the Rust handle, beside a bare group commit of as many rows on the same disk.

use std::{collections::HashMap, path::Path};

use actors::{Orchestrator, orchestrator::Setup};
use benches::{Goal, Latencies, Result, figure, load, rate, say, scratch, stopwatch};
use protocol::{
    access::Caller,
    agent::{AgentSpec, AgentType},
    plan::{Effect, StepSpec},
    task::{TaskSpec, TaskStatus},
};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

/// Tasks that are submitted at the same time.
const IN_FLIGHT: usize = 64;
const TASKS: usize = 30_000;
const WARM_UP: usize = 1_000;
/// Bytes of a row of the yardstick, about those of a record.
const ROW: usize = 512;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let folder = scratch()?;
    say("handle: tasks through actors::Orchestrator, SQLite with synchronous=FULL");
    let store: runtime::store::Shared =
        std::sync::Arc::new(runtime::store::Sqlite::open(&folder.path().join("troupe.db")).await?);
    let orchestrator = Orchestrator::start(Setup {
        config: actors::Config::default(),
        node: "bench".to_owned(),
        store: std::sync::Arc::clone(&store),
        data_dir: folder.path().to_owned(),
        natives: HashMap::new(),
    })
    .await?;
    let agent = echo()?;
    orchestrator.register_agent(&Caller::admin(), agent).await?;

    run(&orchestrator, WARM_UP).await?;
    let records = store.census().await?.records;
    let watch = stopwatch();
    let calls = run(&orchestrator, TASKS).await?;
    let reached = rate(TASKS, watch.elapsed());
    let appended = store.census().await?.records - records;
    orchestrator.stop(std::time::Duration::from_secs(5)).await;

    let name = format!("durable no-op tasks through the handle, {IN_FLIGHT} in flight");
    figure(&name, reached, "/s", Goal::AtLeast(6000.0));
    figure(
        "the same, submit to result, p99",
        calls.percentile(0.99),
        "ms",
        Goal::None,
    );
    let per_task = appended as f64 / TASKS as f64;
    figure("records appended a task", per_task, "", Goal::None);

    let rows = usize::try_from(appended)?;
    let bare = bare_group_commit(&folder.path().join("bare.db"), rows).await?;
    let name = format!("yardstick: bare sqlx group commit, {IN_FLIGHT} writers");
    figure(&name, bare, "rows/s", Goal::None);
    let share = 100.0 * reached * per_task / bare;
    figure("records appended, of the yardstick", share, "%", Goal::None);
    Ok(())
}

fn echo() -> Result<AgentSpec> {
    let spec = serde_json::json!({
        "name": "echo",
        "agent_type": AgentType::Echo,
        "capabilities": ["echo"],
        "max_tasks": 2 * IN_FLIGHT,
    });
    Ok(serde_json::from_value(spec)?)
}

fn no_op() -> TaskSpec {
    TaskSpec {
        description: "no-op".to_owned(),
        steps: vec![StepSpec {
            id: "only".to_owned(),
            agent: None,
            capability: Some("echo".to_owned()),
            description: None,
            input: serde_json::json!({"n": 1}),
            needs: Vec::new(),
            effect: Effect::default(),
            retry: None,
            timeout: None,
        }],
        ..TaskSpec::default()
    }
}

/// Runs `tasks` no-op tasks, [`IN_FLIGHT`] at a time.
async fn run(orchestrator: &Orchestrator, tasks: usize) -> Result<Latencies> {
    load(vec![orchestrator.clone(); IN_FLIGHT], tasks, submit).await
}

async fn submit(orchestrator: Orchestrator) -> Result<Orchestrator> {
    let wait = Some(std::time::Duration::from_secs(30));
    let done = orchestrator
        .submit(&Caller::admin(), no_op(), None, wait)
        .await?;
    if done.task.status == TaskStatus::Completed {
        Ok(orchestrator)
    } else {
        Err(format!("the task is not done: {:?}", done.task).into())
    }
}

/// As many clients, each waiting for its row, and one writer that commits what has gathered: rows
/// a second.
async fn bare_group_commit(file: &Path, rows: usize) -> Result<f64> {
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await?;
    sqlx::query("CREATE TABLE row (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        .execute(&mut connection)
        .await?;
    let (requests, waiting) = mpsc::channel(1024);
    let watch = stopwatch();
    let clients = load(vec![requests; IN_FLIGHT], rows, insert);
    let (inserted, written) = tokio::join!(clients, write(&mut connection, waiting));
    inserted?;
    written?;
    let took = watch.elapsed();
    connection.close().await?;
    Ok(rate(rows, took))
}

type Requests = mpsc::Sender<oneshot::Sender<()>>;

async fn insert(requests: Requests) -> Result<Requests> {
    let (reply, committed) = oneshot::channel();
    requests.send(reply).await?;
    committed.await?;
    Ok(requests)
}

async fn write(
    connection: &mut SqliteConnection,
    mut waiting: mpsc::Receiver<oneshot::Sender<()>>,
) -> Result<()> {
    let body = "x".repeat(ROW);
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, 256).await > 0 {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for _ in &batch {
            sqlx::query("INSERT INTO row (body) VALUES (?)")
                .bind(&body)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        for reply in batch.drain(..) {
            // A client that ended needs no answer.
            let _ = reply.send(());
        }
    }
    Ok(())
}
