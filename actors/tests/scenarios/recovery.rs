//! What another process makes of what one left behind when it died.

use actors::adapter::Probe;
use protocol::{
    api::{ActorAction, AgentQuery, TaskQuery, TaskView, TreeQuery},
    entity::EntityId,
    id::TaskId,
    task::{AttemptStatus, StepStatus, TaskStatus},
};
use runtime::store::Streams;
use serde_json::{Value, json};

use crate::support::{System, until};

/// A system that died while the only step of a task ran.
async fn died_running(effect: &str) -> (System, TaskId) {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let step = json!({ "id": "a", "agent": "one", "effect": effect });
    let spec = json!({ "description": "x", "steps": [step] });
    let id = system.submit_task(spec).await;
    system.tool("one").is_called(1).await;
    (system, id)
}

fn attempts(task: &TaskView) -> Vec<AttemptStatus> {
    let steps = &task.plan.as_ref().unwrap().steps;
    steps[0]
        .attempts
        .iter()
        .map(|attempt| attempt.status)
        .collect()
}

#[tokio::test]
async fn unfinished_work_goes_on_by_itself_under_the_same_key() {
    for effect in ["pure", "idempotent"] {
        let (system, id) = died_running(effect).await;
        let before = system.tool("one").calls().remove(0);
        let system = system.crash(|tool| tool.release(1)).await;
        let task = system.completed(id).await;
        assert_eq!(
            attempts(&task),
            [AttemptStatus::Lost, AttemptStatus::Succeeded]
        );
        let after = system.tool("one").calls().remove(0);
        assert_eq!(after.idempotency_key, before.idempotency_key);
        assert_eq!(after.attempt, 2);
    }
}

#[tokio::test]
async fn what_is_parked_is_shown_after_a_restart_and_released_from_there() {
    let (system, id) = died_running("pure").await;
    let agent = system.agent_view("one").await.id;
    let reason = "1970-01-01T00:00:01.000000Z it broke";
    for stream in [EntityId::from(id), EntityId::from(agent)] {
        system.life.park(stream, Some(reason)).await.unwrap();
    }
    let system = system.crash(|tool| tool.release(1)).await;
    let task = format!("/tasks/{id}");
    for path in ["/agents/one", task.as_str()] {
        let actor = system.actor(&system.admin, path, None).await.unwrap();
        assert_eq!(actor.row.state, "parked", "{path}");
        assert_eq!(actor.failures[0].error, "it broke");
        let listed = match path {
            "/agents/one" => {
                let one = system.agent_view("one").await;
                let all = system.agents(&system.admin, &AgentQuery::default()).await;
                assert_eq!(all.unwrap().items, std::slice::from_ref(&one));
                assert_eq!((one.id, one.capacity), (agent, 0));
                one.parked
            }
            _ => {
                let all = system.tasks(&system.admin, &TaskQuery::default()).await;
                all.unwrap().items.remove(0).parked
            }
        };
        assert!(listed.is_some_and(|why| why.contains("it broke")), "{path}");
        let why = "mended".to_owned();
        let done = system.act_on_actor(&system.admin, path, None, ActorAction::Release, why);
        assert_eq!(done.await.unwrap().actor.row.state, "running", "{path}");
    }
    assert_eq!(system.agent_view("one").await.parked, None);
    system.completed(id).await;
    let all = system.tasks(&system.admin, &TaskQuery::default()).await;
    assert_eq!(all.unwrap().items[0].parked, None);
}

#[tokio::test]
async fn a_guarded_step_that_was_done_is_not_run_again() {
    let (system, id) = died_running("guarded").await;
    let system = system
        .crash(|tool| tool.set_finding(Probe::Done(json!("it was"))))
        .await;
    let task = system.completed(id).await;
    assert_eq!(task.result, json!("it was"));
    assert_eq!(attempts(&task), [AttemptStatus::Lost]);
    assert_eq!(
        (system.tool("one").begun(), system.tool("one").probes()),
        (0, 1)
    );
}

#[tokio::test]
async fn a_guarded_step_that_was_not_done_is_run_again() {
    let (system, id) = died_running("guarded").await;
    let prepare = |tool: &crate::tool::Tool| {
        tool.set_finding(Probe::NotDone);
        tool.release(1);
    };
    let system = system.crash(prepare).await;
    let task = system.completed(id).await;
    assert_eq!(
        attempts(&task),
        [AttemptStatus::Lost, AttemptStatus::Succeeded]
    );
}

#[tokio::test]
async fn what_may_have_been_done_and_must_not_be_repeated_is_unknown() {
    for effect in ["guarded", "irreversible"] {
        let (system, id) = died_running(effect).await;
        let system = system.crash(|tool| tool.release(1)).await;
        let task = system.settled(id).await;
        assert_eq!(task.status, TaskStatus::Failed);
        let steps = task.plan.unwrap().steps;
        assert_eq!(steps[0].status, StepStatus::Unknown, "{effect}");
        assert_eq!(system.tool("one").begun(), 0);
    }
}

/// Without the names of nodes, which change with each start.
fn without_nodes(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.remove("node");
            for field in fields.values_mut() {
                *field = without_nodes(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_nodes(item.take());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    value
}

#[tokio::test]
async fn a_checkpoint_and_what_came_after_it_give_the_same_task() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let spec = json!({ "description": "x", "steps": [
        { "id": "a", "agent": "one" },
        { "id": "b", "agent": "one", "needs": ["a"] },
    ] });
    let id = system.submit_task(spec).await;
    system.tool("one").release(1);
    system.tool("one").is_called(2).await;
    system.checkpoint_task(&system.admin, id).await.unwrap();
    system.tool("one").release(1);
    let before = serde_json::to_value(system.completed(id).await).unwrap();
    let system = system.crash(|_| ()).await;
    let after = system.task(&system.admin, id).await.unwrap();
    let after = serde_json::to_value(after).unwrap();
    assert_eq!(without_nodes(after), without_nodes(before));
}

#[tokio::test]
async fn an_orderly_stop_lets_attempts_end_and_leaves_the_rest_for_the_next_start() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let first = system.work("first").await;
    let second = system.work("second").await;
    system.tool("one").is_called(1).await;
    system.tool("one").release(1);
    system.completed(first).await;
    system.orchestrator.stop(std::time::Duration::ZERO).await;
    let system = system.crash(|tool| tool.release(1)).await;
    system.completed(second).await;
    assert_eq!(
        system.task(&system.admin, first).await.unwrap().status,
        TaskStatus::Completed
    );
}

#[tokio::test]
async fn work_goes_on_by_itself_when_the_store_was_away_for_a_while() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let tasks = [system.work("first").await, system.work("second").await];
    system.tool("one").is_called(1).await;
    system.life.end();
    system.tool("one").release(1);
    // The second gets the slot, cannot record that, and its actor fails.
    let path = format!("/tasks/{}", tasks[1]);
    until(async || {
        let tree = system.tree(&system.admin, &TreeQuery::default()).await;
        let nodes = tree.unwrap().nodes;
        let mut failed = nodes.iter().filter(|node| node.path == path);
        failed.all(|node| node.state != "running").then_some(())
    })
    .await;
    system.life.back();
    system.tool("one").release(1);
    // Only the index is looked at: a question to the task itself would bring it back.
    until(async || {
        let query = TaskQuery {
            status: Some(TaskStatus::Completed),
            ..TaskQuery::default()
        };
        let page = system.tasks(&system.admin, &query).await.unwrap();
        (page.items.len() == 2).then_some(())
    })
    .await;
}
