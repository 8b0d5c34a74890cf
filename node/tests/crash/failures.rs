//! Code that panics and actors that fail: they come back, and what is beside them goes on.

use std::{sync::Arc, time::Duration};

use actors::{
    Rejection,
    adapter::{Adapter, Answer, Call, CallError},
};
use protocol::{
    agent::Health,
    api::{TaskView, TreeNode, TreeQuery},
    entity::EntityId,
    id::{CommandId, TaskId},
    record::{ChainHash, Record},
    task::{AttemptStatus, Event, StepStatus, TaskStatus},
};
use runtime::store::Append;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use troupe::Node;

use super::process::{PATIENCE, until};

/// Panics at its first attempt at each step.
#[derive(Debug)]
struct Panics;

impl Adapter for Panics {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async {
            assert!(call.attempt > 1, "planted");
            Ok(json!("done"))
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(async { Ok("there".to_owned()) })
    }
}

/// Panics at each check.
#[derive(Debug)]
struct Unwell;

impl Adapter for Unwell {
    fn call<'a>(
        &'a self,
        _: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async { Ok(Value::Null) })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(async { panic!("planted in a check") })
    }
}

async fn node(data: &std::path::Path) -> Node {
    let node = Node::builder()
        .data_dir(data)
        .without_edge()
        .native("panics", Arc::new(Panics))
        .native("unwell", Arc::new(Unwell))
        .start()
        .await
        .unwrap();
    let caller = node.caller();
    for agent in [
        json!({ "name": "panics", "agent_type": "native", "config": { "name": "panics" } }),
        json!({ "name": "unwell", "agent_type": "native", "config": { "name": "unwell" } }),
        json!({ "name": "sleep", "agent_type": "sleep" }),
        json!({ "name": "echo", "agent_type": "echo" }),
    ] {
        let agent = serde_json::from_value(agent).unwrap();
        let registered = node.orchestrator().register_agent(&caller, agent);
        match registered.await {
            // After a restart they are there.
            Ok(_) | Err(Rejection::Conflict { .. }) => {}
            Err(rejection) => panic!("{rejection}"),
        }
    }
    node
}

async fn submit(node: &Node, steps: Value) -> TaskId {
    let spec = serde_json::from_value(json!({ "description": "d", "steps": steps })).unwrap();
    let submitted = node
        .orchestrator()
        .submit(&node.caller(), spec, None, None)
        .await;
    submitted.unwrap().task.id
}

async fn settled(node: &Node, id: TaskId) -> TaskView {
    let task = node
        .orchestrator()
        .await_task(&node.caller(), id, PATIENCE)
        .await
        .unwrap();
    assert!(task.status.is_terminal(), "{task:#?}");
    task
}

#[tokio::test]
async fn an_agent_that_panics_costs_its_attempts_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder.path().join("data")).await;
    let step = |effect: &str| json!([{ "id": "one", "agent": "panics", "effect": effect, "retry": { "max_attempts": 3, "backoff": "10ms" } }]);
    let slow = json!([{ "id": "one", "agent": "sleep", "effect": "irreversible", "input": { "for": "500ms" } }]);
    let beside = submit(&node, slow).await;
    let pure = submit(&node, step("pure")).await;
    let once = submit(&node, step("irreversible")).await;

    use AttemptStatus::{Failed, Lost, Succeeded};
    for (id, status, attempts) in [
        (pure, StepStatus::Completed, &[Failed, Succeeded][..]),
        (once, StepStatus::Unknown, &[Lost]),
        (beside, StepStatus::Completed, &[Succeeded]),
    ] {
        let step = settled(&node, id).await.plan.unwrap().steps.remove(0);
        let found: Vec<_> = step.attempts.iter().map(|attempt| attempt.status).collect();
        assert_eq!((step.status, &found[..]), (status, attempts), "{step:#?}");
    }
    node.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_check_that_panics_is_a_failed_check_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder.path().join("data")).await;
    let caller = node.caller();
    for _ in 0..3 {
        let checked = node.orchestrator().check_agent(&caller, "unwell");
        let report = tokio::time::timeout(PATIENCE, checked)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(report.status, Health::Unhealthy, "{report:?}");
    }
    node.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_are_shown_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder.path().join("data")).await;
    let steps: Vec<Value> = (0..40)
        .map(|number| json!({ "id": format!("s{number}"), "agent": "echo", "effect": "irreversible" }))
        .collect();
    let (caller, mut looks) = (node.caller(), 0);
    for _ in 0..5 {
        let id = submit(&node, json!(steps)).await;
        let mut shown = Vec::new();
        while shown
            .last()
            .is_none_or(|task: &TaskView| !task.status.is_terminal())
        {
            shown.push(node.orchestrator().task(&caller, id).await.unwrap());
        }
        looks += shown.len();
        let records = node
            .store()
            .unwrap()
            .read(id.into(), 0, 1000)
            .await
            .unwrap();
        for task in shown {
            let written = records
                .iter()
                .filter(|record| record.head() <= task.version);
            let events: Vec<Event> = written
                .flat_map(|record| serde_json::from_str::<Vec<Event>>(&record.data).unwrap())
                .collect();
            let ended = events
                .iter()
                .filter(|event| matches!(event, Event::AttemptEnded { .. }));
            let steps = task.plan.unwrap().steps;
            let completed = steps
                .iter()
                .filter(|step| step.status == StepStatus::Completed);
            assert_eq!(completed.count(), ended.count(), "at {}", task.version);
        }
    }
    println!("looked {looks} times");
    node.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn agents_are_checked_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = node(&data).await;
    first.stop(Duration::from_secs(5)).await;
    let again = Node::builder().data_dir(&data).without_edge().start();
    let again = again.await.unwrap();
    let caller = again.caller();
    until("the agent was checked", PATIENCE / 4, async || {
        let agent = again.orchestrator().agent(&caller, "echo").await.unwrap();
        agent.health
    })
    .await;
    again.stop(Duration::from_secs(5)).await;
}

/// Appends to a task's stream behind the back of its actor, whose next commit fails then.
async fn depose(node: &Node, id: TaskId, event: Value) {
    let store = node.store().unwrap();
    let stream = EntityId::from(id);
    let row = store.stream(stream).await.unwrap().unwrap();
    let last = store.read(stream, 0, 1000).await.unwrap().pop().unwrap();
    let mut record = Record {
        seq: last.head() + 1,
        count: 1,
        cmd_id: CommandId::from_uuid(uuid::Uuid::from_u128(7)),
        data: json!([event]).to_string(),
        hash: ChainHash::default(),
        ..last.clone()
    };
    record.hash = record.chain(last.hash);
    let append = Append {
        record,
        summary: row.summary,
        idempotency: None,
        reminders: Vec::new(),
        outbox: Vec::new(),
    };
    store.append(&[append]).await.unwrap()[0].clone().unwrap();
}

async fn row(node: &Node, id: TaskId) -> Option<TreeNode> {
    let query = TreeQuery {
        path: Some(format!("/tasks/{id}")),
        ..TreeQuery::default()
    };
    let caller = node.caller();
    match node.orchestrator().tree(&caller, &query).await {
        Ok(view) => view.nodes.into_iter().next(),
        Err(rejection) => {
            assert_eq!(rejection.code(), "not_found");
            None
        }
    }
}

#[tokio::test]
async fn a_task_whose_stream_cannot_be_read_is_parked_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = node(&data).await;
    let steps =
        json!([{ "id": "one", "agent": "sleep", "effect": "pure", "input": { "for": "300ms" } }]);
    let (id, beside) = (
        submit(&node, steps.clone()).await,
        submit(&node, steps.clone()).await,
    );
    depose(&node, id, json!({ "type": "nonsense" })).await;
    let parked = until("the task is parked", PATIENCE, async || {
        row(&node, id).await.filter(|row| row.state == "parked")
    })
    .await;
    let error = parked.last_error.unwrap();
    assert!(error.contains("nonsense"), "{error}");
    assert_eq!(settled(&node, beside).await.status, TaskStatus::Completed);
    node.stop(Duration::from_secs(5)).await;

    let again = self::node(&data).await;
    let after = submit(&again, steps).await;
    assert_eq!(settled(&again, after).await.status, TaskStatus::Completed);
    let caller = again.caller();
    let waited = again.orchestrator().await_task(&caller, id, PATIENCE).await;
    let refused = waited.unwrap_err().to_string();
    assert!(refused.contains("out of service"), "{refused}");
    again.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_task_whose_actor_fails_comes_back_as_its_stream_says_and_the_tree_tells() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder.path().join("data")).await;
    let steps = json!([
        { "id": "one", "agent": "sleep", "effect": "irreversible", "input": { "for": "300ms" } },
        { "id": "two", "agent": "sleep", "effect": "irreversible", "input": { "for": "1s" }, "needs": ["one"] },
    ]);
    let (id, beside) = (
        submit(&node, steps.clone()).await,
        submit(&node, steps).await,
    );
    let seen = json!({ "type": "amended", "description": null, "priority": null, "metadata": { "seen": true } });
    depose(&node, id, seen).await;
    let row = until("the task's actor is back", PATIENCE, async || {
        let row = row(&node, id).await;
        row.filter(|row| row.restarts > 0 && row.state == "running")
    })
    .await;
    let error = row.last_error.unwrap();
    assert!(
        error.contains("not where the append expected it"),
        "{error}"
    );

    for (id, seen) in [(id, Some(&json!(true))), (beside, None)] {
        let task = settled(&node, id).await;
        assert_eq!(task.status, TaskStatus::Completed, "{task:#?}");
        assert_eq!(task.metadata.get("seen"), seen);
        for step in task.plan.unwrap().steps {
            assert_eq!(step.attempts.len(), 1, "{step:#?}");
        }
    }
    until("the settled task has left memory", PATIENCE, async || {
        self::row(&node, id).await.is_none().then_some(())
    })
    .await;
    node.stop(Duration::from_secs(5)).await;
}
