//! Questions to people through the Rust handle, SQLite with `synchronous=FULL`: what those that wait keep in
//! memory, and how many answers a second there are.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actors::{Orchestrator, orchestrator::Setup};
use benches::{Goal, Result, figure, load, rate, resident_mib, say, scratch, stopwatch};
use protocol::{
    access::Caller,
    api::QuestionQuery,
    id::{QuestionId, TaskId},
    question::{Asking, QuestionStatus},
    time::Span,
};
use serde_json::json;
use uuid::Uuid;

/// Questions that wait.
const WAITING: usize = 10_000;
/// Of these, how many are asked before memory is looked at.
const WARM_UP: usize = 1_000;
/// Calls that are under way at the same time.
const IN_FLIGHT: usize = 64;
/// The longest that anything may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(report())
}

async fn report() -> Result<()> {
    let folder = scratch()?;
    say("questions: through actors::Orchestrator, SQLite with synchronous=FULL");
    let (orchestrator, task) = start(folder.path()).await?;
    let ids: Arc<Vec<QuestionId>> = {
        let fresh = || QuestionId::from_uuid(Uuid::now_v7());
        Arc::new(std::iter::repeat_with(fresh).take(WARM_UP + WAITING).collect())
    };

    ask(&orchestrator, task, ids[..WARM_UP].into()).await?;
    let before = resident_mib(std::process::id())?;
    let watch = stopwatch();
    ask(&orchestrator, task, ids[WARM_UP..].into()).await?;
    let asked = rate(WAITING, watch.elapsed());
    at_rest(&orchestrator).await?;
    let grown = resident_mib(std::process::id())? - before;
    let each = grown.max(0.0) * 1024.0 / WAITING as f64;
    let name = format!("memory of a question that waits, of {WAITING}");
    figure(&name, each, "KiB", Goal::Under(2.0));
    figure("questions put", asked, "1/s", Goal::None);

    let watch = stopwatch();
    let inbox = QuestionQuery {
        status: Some(QuestionStatus::Open),
        ..QuestionQuery::default()
    };
    let page = orchestrator.questions(&Caller::admin(), &inbox).await?;
    let took = watch.elapsed().as_secs_f64() * 1000.0;
    if page.items.len() < 50 {
        return Err(format!("only {} are in the inbox", page.items.len()).into());
    }
    figure("first page of the inbox", took, "ms", Goal::Under(20.0));

    let next = Arc::new(AtomicUsize::new(0));
    let watch = stopwatch();
    let answered = load(vec![orchestrator.clone(); IN_FLIGHT], WAITING, move |at| {
        let id = ids[next.fetch_add(1, Ordering::Relaxed)];
        async move {
            at.answer_question(&Caller::admin(), id, json!(true)).await?;
            Ok(at)
        }
    })
    .await?;
    figure("answers", rate(WAITING, watch.elapsed()), "1/s", Goal::None);
    figure("  p50", answered.percentile(0.5), "ms", Goal::None);
    figure("  p99", answered.percentile(0.99), "ms", Goal::None);
    orchestrator.stop(Duration::from_secs(1)).await;
    Ok(())
}

/// A node of its own, and a task on it that does not end.
async fn start(data: &Path) -> Result<(Orchestrator, TaskId)> {
    let store = runtime::store::Sqlite::open(&data.join("troupe.db")).await?;
    let orchestrator = Orchestrator::start(Setup {
        config: actors::Config::default(),
        node: "bench".to_owned(),
        store: Arc::new(store),
        data_dir: data.to_owned(),
        natives: HashMap::new(),
    })
    .await?;
    let me = Caller::admin();
    let agent = serde_json::from_value(json!({ "name": "slow", "agent_type": "sleep" }))?;
    orchestrator.register_agent(&me, agent).await?;
    let task = serde_json::from_value(json!({
        "description": "asks", "steps": [{
            "id": "only", "agent": "slow", "input": { "for": "1h" }, "timeout": "2h",
        }],
    }))?;
    let task = orchestrator.submit(&me, task, None, None).await?.task.id;
    Ok((orchestrator, task))
}

async fn ask(orchestrator: &Orchestrator, task: TaskId, ids: Arc<[QuestionId]>) -> Result<()> {
    let (next, count) = (Arc::new(AtomicUsize::new(0)), ids.len());
    let asked = load(vec![orchestrator.clone(); IN_FLIGHT], count, move |at| {
        let id = ids[next.fetch_add(1, Ordering::Relaxed)];
        let asking = Asking {
            text: "May the release go out to everybody tonight?".to_owned(),
            schema: Some(json!({ "type": "boolean" })),
            deadline: Some(Span(Duration::from_hours(72))),
            ..Asking::default()
        };
        async move {
            let me = Caller::admin();
            at.ask_people(&me, id, (task, "only"), asking).await?;
            Ok(at)
        }
    });
    asked.await.map(drop)
}

/// Waits until no question is in memory.
async fn at_rest(orchestrator: &Orchestrator) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let watch = stopwatch();
    while watch.elapsed() < PATIENCE {
        ticks.tick().await;
        let query = serde_json::from_value(json!({ "path": "/questions", "depth": 1 }))?;
        let tree = orchestrator.tree(&Caller::admin(), &query).await?;
        if tree.total <= 1 {
            return Ok(());
        }
    }
    Err("questions stay in memory".into())
}
