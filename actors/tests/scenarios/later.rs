//! What starts at a moment that was named, and not before.

use std::time::Duration;

use actors::Orchestrator;
use protocol::{
    access::Caller,
    agent::StopMode,
    api::{ExecuteRequest, ExecutionStatus, WorkflowDraft},
    id::TaskId,
    task::TaskStatus,
    time::Timestamp,
};
use runtime::clock::Clock;
use serde_json::json;

use crate::{
    schedules::{Day, soon},
    support::{System, task, within},
};

#[tokio::test]
async fn a_task_that_is_to_start_later_does_also_after_a_restart() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let start = soon(Duration::from_millis(1500));
    let late = json!({
        "description": "later", "start_at": start, "budget": { "wall_time": "10s" },
        "steps": [{ "id": "a", "agent": "one" }, { "id": "b", "agent": "one", "needs": ["a"] }],
    });
    let id = system.submit(&system.admin, task(late), None, None).await;
    let id = id.unwrap().task.id;
    assert!(system.why_not(id).await.contains("starts at"));
    assert_eq!(system.tool("one").begun(), 0);
    let system = system.crash(|_| ()).await;
    within(system.tool("one").is_called(1)).await;
    let now = Clock::system().now();
    assert!(
        now >= start && now.since(start) < Duration::from_secs(1),
        "{now}"
    );
    system.tool("one").release(2);
    system.completed(id).await;
}

/// A run of one node that begins at a moment.
async fn run_at(at: &Orchestrator, admin: &Caller, start_at: Timestamp) -> TaskId {
    let definition = json!({
        "name": "later", "context": { "seen": 0 }, "timeout": "10s",
        "nodes": [{ "id": "a", "type": "agent", "agent": "one" }],
    });
    let draft = WorkflowDraft {
        source: Some(definition.to_string()),
        ..WorkflowDraft::default()
    };
    if at.workflow(admin, "later", None).await.is_err() {
        at.create_workflow(admin, draft).await.unwrap();
    }
    let request = ExecuteRequest {
        start_at: Some(start_at),
        ..ExecuteRequest::default()
    };
    let begun = at.execute_workflow(admin, "later", request, None, None);
    begun.await.unwrap().run.id
}

#[tokio::test]
async fn a_run_that_is_to_start_later_does_also_after_a_restart() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let start = soon(Duration::from_millis(1500));
    let admin = system.admin.clone();
    let id = run_at(&system, &admin, start).await;
    let why = system.why_not(id).await;
    assert!(why.contains("starts at"), "{why}");
    let system = system.crash(|_| ()).await;
    let waits = system.execution(&admin, id).await.unwrap();
    assert_eq!(
        (waits.status, waits.start_at, waits.started_at),
        (ExecutionStatus::Waiting, Some(start), None)
    );
    assert_eq!(system.tool("one").begun(), 0);
    within(system.tool("one").is_called(1)).await;
    let now = Clock::system().now();
    assert!(
        now >= start && now.since(start) < Duration::from_secs(1),
        "{now}"
    );
    system.tool("one").release(1);
    system.completed(id).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_to_start_later_is_paused_and_cancelled_before() {
    let day = Day::begin("2025-01-01T00:00:00Z").await;
    let start: Timestamp = "2025-01-01T03:00:00Z".parse().unwrap();
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(run_at(&day.at, &day.admin, start).await);
    }
    let [on_time, paused, cancelled] = runs[..] else {
        panic!("{runs:?}");
    };
    day.until("2025-01-01T01:00:00Z").await;
    let mode = StopMode::Graceful;
    let change = day
        .at
        .pause_execution(&day.admin, paused, "wait".to_owned(), mode);
    change.await.unwrap();
    let stopped = day
        .at
        .cancel_execution(&day.admin, cancelled, "no".to_owned(), None);
    let stopped = stopped.await.unwrap();
    assert_eq!(stopped.execution.status, ExecutionStatus::Cancelled);
    day.until("2025-01-01T02:59:59Z").await;
    assert_eq!(day.tool.begun(), 0);
    day.until("2025-01-01T03:00:01Z").await;
    assert_eq!(day.tool.begun(), 1);
    let status = async |id| day.at.execution(&day.admin, id).await.unwrap().status;
    assert_eq!(status(on_time).await, ExecutionStatus::Completed);
    assert_eq!(status(paused).await, ExecutionStatus::Paused);
    day.at.resume_execution(&day.admin, paused).await.unwrap();
    day.until("2025-01-01T03:00:02Z").await;
    assert_eq!(status(paused).await, ExecutionStatus::Completed);
    assert_eq!(day.tool.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_to_start_in_days_waits_on_disk() {
    let day = Day::begin("2025-01-01T00:00:00Z").await;
    let late = json!({
        "description": "later", "start_at": "2025-01-01T03:00:00Z",
        "steps": [{ "id": "a", "agent": "one" }],
    });
    let id = day
        .at
        .submit(&day.admin, task(late), None, None)
        .await
        .unwrap()
        .task
        .id;
    day.until("2025-01-01T02:59:59Z").await;
    assert_eq!(day.tool.begun(), 0);
    day.until("2025-01-01T03:00:01Z").await;
    let done = day.at.task(&day.admin, id).await.unwrap();
    assert_eq!((done.status, day.tool.begun()), (TaskStatus::Completed, 1));
}
