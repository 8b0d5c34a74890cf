//! Whole runs of workflows: what is seen of them, and what clients do to them.

use std::time::Duration;

use actors::Rejection;
use protocol::{
    agent::StopMode,
    api::{
        ContextPatch, ExecuteRequest, ExecutionQuery, ExecutionStatus, ExecutionView, ForkRequest,
        QuestionQuery, ReplayRequest,
    },
    entity::EntityKind,
    id::TaskId,
    task::{Budget, TaskStatus},
};
use serde_json::{Value, json};

use crate::{
    support::{System, until, user, within},
    workflows::made,
};

/// A system in which agents give back what they are handed.
pub(crate) async fn echoing() -> System {
    let system = System::start(&[]).await;
    let echo = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
    system.agent(echo).await;
    system
}

pub(crate) async fn run(system: &System, definition: &Value, input: Value) -> ExecutionView {
    let admin = &system.admin;
    let name = made(system, admin, definition).await.name;
    let request = ExecuteRequest {
        input,
        ..ExecuteRequest::default()
    };
    let wait = Some(Duration::from_secs(20));
    let begun = system.execute_workflow(admin, &name, request, None, wait);
    let id = within(begun).await.unwrap().run.id;
    system.execution(admin, id).await.unwrap()
}

/// Runs of a workflow of which the list says that they have this status.
async fn listed(system: &System, workflow: &str, status: ExecutionStatus) -> Vec<TaskId> {
    let query = ExecutionQuery {
        workflow: Some(workflow.to_owned()),
        status: Some(status),
        ..ExecutionQuery::default()
    };
    let page = system.executions(&system.admin, &query).await.unwrap();
    assert!(page.items.iter().all(|run| run.status == status));
    page.items.into_iter().map(|run| run.id).collect()
}

#[tokio::test]
async fn a_run_shows_what_each_node_was_handed_and_gave_and_which_edges_were_taken() {
    let system = echoing().await;
    let definition = json!({
        "name": "n",
        "context": { "seen": 0 },
        "nodes": [
            { "id": "a", "type": "transform", "output": { "good": "$.input.good" } },
            { "id": "b", "type": "agent", "agent": "echo", "input": "yes", "set": { "seen": 1 } },
            { "id": "c", "type": "agent", "agent": "echo", "input": "no" },
        ],
        "edges": [
            { "from": "a", "to": "b", "condition": { "path": "$.good", "op": "eq", "value": true } },
            { "from": "a", "to": "c", "condition": { "path": "$.good", "op": "eq", "value": false } },
        ],
    });
    let run = run(&system, &definition, json!({ "good": true })).await;
    assert_eq!(run.status, ExecutionStatus::Completed, "{:?}", run.error);
    let statuses: Vec<&str> = run.nodes.iter().map(|node| node.status.as_str()).collect();
    assert_eq!(statuses, ["completed", "completed", "skipped"]);
    let taken: Vec<Option<bool>> = run.edges.iter().map(|edge| edge.taken).collect();
    assert_eq!(taken, [Some(true), Some(false)]);
    assert_eq!(run.edges[0].condition["op"], "eq");
    let node = &run.nodes[1];
    assert_eq!(
        (&node.input_data, &node.output),
        (&json!("yes"), &json!("yes"))
    );
    assert_eq!(
        (node.node_type.as_str(), node.dependencies.as_slice()),
        ("agent", &["a".to_owned()][..])
    );
    assert_eq!(
        (run.context["seen"].clone(), run.context_version),
        (json!(1), 1)
    );
    assert!(node.started_at.is_some() && node.completed_at >= node.started_at);
}

#[tokio::test]
async fn a_run_makes_no_more_attempts_than_its_budget_has() {
    let system = echoing().await;
    let admin = &system.admin;
    let node = |id: &str| json!({ "id": id, "type": "agent", "agent": "echo" });
    let definition = json!({
        "name": "bud", "type": "sequential", "nodes": [node("a"), node("b"), node("c")],
    });
    made(&system, admin, &definition).await;
    let of = |most| ExecuteRequest {
        budget: Budget {
            max_attempts: Some(most),
            ..Budget::default()
        },
        ..ExecuteRequest::default()
    };
    let wait = Some(Duration::from_secs(20));
    let refused = system.execute_workflow(admin, "bud", of(0), None, wait);
    let refused = within(refused).await.unwrap_err();
    let Rejection::Invalid { errors, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(errors[0].field, "budget.max_attempts");
    let begun = system.execute_workflow(admin, "bud", of(2), None, wait);
    let id = within(begun).await.unwrap().run.id;
    let run = system.execution(admin, id).await.unwrap();
    assert_eq!(run.status, ExecutionStatus::Failed);
    assert_eq!(run.error.unwrap().code, "attempt_limit");
    let statuses: Vec<&str> = run.nodes.iter().map(|node| node.status.as_str()).collect();
    assert_eq!(statuses, ["completed", "completed", "failed"]);
}

#[tokio::test]
async fn a_run_that_only_waits_says_for_what_and_a_crash_does_not_change_that() {
    let system = System::start(&[]).await;
    let admin = system.admin.clone();
    let definition = json!({
        "name": "n", "nodes": [{ "id": "a", "type": "wait", "for": "1h" }],
    });
    made(&system, &admin, &definition).await;
    let begun = system.execute_workflow(&admin, "n", ExecuteRequest::default(), None, None);
    let id = begun.await.unwrap().run.id;
    let shown = system.execution(&admin, id).await.unwrap();
    assert_eq!(shown.status, ExecutionStatus::Waiting);
    assert!(shown.nodes[0].waits_for.as_ref().unwrap().until.is_some());
    assert_eq!(listed(&system, "n", ExecutionStatus::Waiting).await, [id]);
    assert_eq!(listed(&system, "n", ExecutionStatus::Running).await, []);
    let system = system.crash(|_| {}).await;
    let again = system.execution(&admin, id).await.unwrap();
    assert_eq!(
        (again.status, &again.nodes),
        (ExecutionStatus::Waiting, &shown.nodes)
    );
    assert_eq!(listed(&system, "n", ExecutionStatus::Waiting).await, [id]);
    let stopped = system.cancel_execution(&admin, id, String::new(), None);
    stopped.await.unwrap();
    assert_eq!(listed(&system, "n", ExecutionStatus::Waiting).await, []);
}

#[tokio::test]
async fn all_runs_of_a_workflow_are_paused_and_go_on() {
    let system = System::start(&[]).await;
    let admin = system.admin.clone();
    for name in ["n", "m"] {
        let definition =
            json!({ "name": name, "nodes": [{ "id": "a", "type": "wait", "for": "1h" }] });
        made(&system, &admin, &definition).await;
    }
    let mut runs = Vec::new();
    for name in ["n", "n", "m"] {
        let begun = system.execute_workflow(&admin, name, ExecuteRequest::default(), None, None);
        runs.push(begun.await.unwrap().run.id);
    }
    let mode = StopMode::Graceful;
    let paused = system
        .pause_workflow(&admin, "n", "why".to_owned(), mode)
        .await
        .unwrap();
    assert_eq!(paused.executions, [runs[1], runs[0]]);
    let status = async |at: usize| system.execution(&admin, runs[at]).await.unwrap().status;
    assert_eq!(status(0).await, ExecutionStatus::Paused);
    assert_eq!(status(2).await, ExecutionStatus::Waiting);
    let resumed = system.resume_workflow(&admin, "n").await.unwrap();
    assert_eq!(resumed.executions.len(), 2);
    assert_eq!(status(0).await, ExecutionStatus::Waiting);
}

/// A run of three nodes after each other, of which the last one is given what the second one gave.
async fn three(system: &System) -> ExecutionView {
    let definition = json!({
        "name": "n", "type": "sequential",
        "nodes": [
            { "id": "a", "type": "agent", "agent": "echo", "input": { "n": "$.input" }, "set": { "a": "$.output.n" } },
            { "id": "b", "type": "agent", "agent": "echo", "set": { "b": "$.output" } },
            { "id": "c", "type": "transform", "output": { "c": "$.nodes.b.output" } },
        ],
    });
    let run = run(system, &definition, json!(7)).await;
    assert_eq!(run.status, ExecutionStatus::Completed, "{:?}", run.error);
    run
}

#[tokio::test]
async fn a_fork_takes_over_what_was_done_before_a_node_and_calls_none_of_it_again() {
    let system = echoing().await;
    let first = three(&system).await;
    let request = ForkRequest {
        from_node: "b".to_owned(),
        input: Some(json!("edited")),
        confirm: false,
    };
    let admin = system.admin.clone();
    let forked = system
        .fork_execution(&admin, first.id, request)
        .await
        .unwrap();
    let id = forked.run.id;
    system.completed(id).await;
    let forked = system.execution(&admin, id).await.unwrap();
    let [a, b, _] = &forked.nodes[..] else {
        panic!("{:?}", forked.nodes);
    };
    assert!(a.inherited && a.calls == 0, "{a:?}");
    assert_eq!(a.output, json!({ "n": 7 }));
    assert_eq!((b.inherited, &b.input_data), (false, &json!("edited")));
    assert_eq!(forked.result, json!({ "c": "edited" }));
    assert_eq!(forked.context["a"], json!(7));
    assert_eq!(forked.origin.unwrap().run, first.id);
    let attempts = system.attempts(&admin, id).await.unwrap();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    let wrong = ForkRequest {
        from_node: "z".to_owned(),
        input: None,
        confirm: false,
    };
    let refused = system
        .fork_execution(&admin, first.id, wrong)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("a, b, c"), "{refused}");
}

#[tokio::test]
async fn a_replay_with_its_own_definition_is_the_same_and_with_another_names_the_first_divergence()
{
    let system = echoing().await;
    let run = three(&system).await;
    let admin = system.admin.clone();
    let own = system.replay_execution(&admin, run.id, ReplayRequest::default());
    let own = own.await.unwrap();
    assert_eq!(own.divergence, None);
    assert!(own.same >= 4, "{own:?}");
    assert_eq!(own.events, run.position);
    let other = json!({
        "name": "n", "type": "sequential",
        "nodes": [
            { "id": "a", "type": "agent", "agent": "echo", "input": { "n": "$.input" }, "set": { "a": "$.output.n" } },
            { "id": "b", "type": "agent", "agent": "echo", "input": "other", "set": { "b": "$.output" } },
            { "id": "c", "type": "transform", "output": { "c": "$.nodes.b.output" } },
        ],
    });
    let request = ReplayRequest {
        source: Some(other.to_string()),
        ..ReplayRequest::default()
    };
    let replayed = system
        .replay_execution(&admin, run.id, request)
        .await
        .unwrap();
    let found = replayed.divergence.unwrap();
    assert_eq!(found.node.as_deref(), Some("b"));
    assert!(found.seq > 1 && found.seq <= run.position);
    let missing = ReplayRequest {
        version: Some(5),
        ..ReplayRequest::default()
    };
    let missing = system.replay_execution(&admin, run.id, missing).await;
    assert_eq!(missing.unwrap_err().code(), "invalid");
}

#[tokio::test]
async fn the_context_of_a_run_is_written_once_from_each_version() {
    let system = System::start(&[]).await;
    let admin = system.admin.clone();
    let definition = json!({
        "name": "n", "context": { "k": 1 }, "nodes": [{ "id": "a", "type": "wait", "for": "1h" }],
    });
    made(&system, &admin, &definition).await;
    let begun = system.execute_workflow(&admin, "n", ExecuteRequest::default(), None, None);
    let id = begun.await.unwrap().run.id;
    let context = system.context(&admin, id).await.unwrap();
    assert_eq!((context.version, &context.values["k"]), (0, &json!(1)));
    let patch = |value: Value| ContextPatch {
        version: 0,
        values: serde_json::from_value(json!({ "k": null, "l": value })).unwrap(),
    };
    let (first, second) = futures_util::join!(
        system.write_context(&admin, id, patch(json!("first"))),
        system.write_context(&admin, id, patch(json!("second"))),
    );
    let written = first.unwrap();
    assert_eq!(written.version, 1);
    assert_eq!(Value::Object(written.values), json!({ "l": "first" }));
    assert_eq!(second.unwrap_err().code(), "context_changed");
    let other = system
        .write_context(&user("bob"), id, patch(json!("third")))
        .await;
    assert_eq!(other.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn a_cancelled_run_is_taken_back_and_a_terminated_one_is_not() {
    let system = echoing().await;
    let admin = system.admin.clone();
    let definition = json!({
        "name": "n", "type": "sequential",
        "nodes": [
            { "id": "a", "type": "agent", "agent": "echo", "input": 1, "compensate": { "agent": "echo" } },
            { "id": "b", "type": "wait", "for": "1h" },
        ],
    });
    made(&system, &admin, &definition).await;
    for (terminate, compensated) in [(false, true), (true, false)] {
        let begun = system.execute_workflow(&admin, "n", ExecuteRequest::default(), None, None);
        let id = begun.await.unwrap().run.id;
        until(|| async {
            let run = system.execution(&admin, id).await.unwrap();
            (run.status == ExecutionStatus::Waiting).then_some(())
        })
        .await;
        let ended = match terminate {
            true => {
                system
                    .terminate_execution(&admin, id, String::new(), None)
                    .await
            }
            false => {
                system
                    .cancel_execution(&admin, id, String::new(), None)
                    .await
            }
        };
        ended.unwrap();
        let task = system.settled(id).await;
        assert_eq!(task.status, TaskStatus::Cancelled);
        let run = system.execution(&admin, id).await.unwrap();
        assert_eq!(run.nodes[0].compensated, compensated, "{:?}", run.nodes);
    }
}

#[tokio::test]
async fn a_node_that_is_a_run_of_another_workflow_gives_what_that_gave() {
    let system = echoing().await;
    let admin = system.admin.clone();
    let inner = json!({ "name": "inner", "nodes": [{ "id": "x", "type": "agent", "agent": "echo", "input": "$.input" }] });
    made(&system, &admin, &inner).await;
    let outer = json!({
        "name": "outer", "nodes": [{ "id": "sub", "type": "subworkflow", "workflow": "inner", "input": [1, 2] }],
    });
    let run = run(&system, &outer, Value::Null).await;
    assert_eq!(
        (run.status, &run.result),
        (ExecutionStatus::Completed, &json!([1, 2])),
        "{run:?}"
    );
    let query = ExecutionQuery {
        workflow: Some("inner".to_owned()),
        ..ExecutionQuery::default()
    };
    let parts = system.executions(&admin, &query).await.unwrap().items;
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].parent_id, Some(run.id));
}

#[tokio::test]
async fn a_workflow_that_begins_itself_comes_to_an_end() {
    let system = echoing().await;
    let admin = system.admin.clone();
    let itself = json!({
        "name": "itself", "nodes": [{ "id": "sub", "type": "subworkflow", "workflow": "itself" }],
    });
    let run = run(&system, &itself, Value::Null).await;
    assert_eq!(run.status, ExecutionStatus::Failed, "{run:?}");
    let query = ExecutionQuery {
        limit: Some(100),
        ..ExecutionQuery::default()
    };
    let runs = system.executions(&admin, &query).await.unwrap().items;
    assert_eq!(runs.len(), 16);
    let deepest = runs.iter().max_by_key(|run| run.id).unwrap();
    let deepest = system.execution(&admin, deepest.id).await.unwrap();
    let why = deepest.nodes[0]
        .error
        .as_ref()
        .map(|error| error.code.as_str());
    assert_eq!(why, Some("depth"), "{deepest:?}");
}

#[tokio::test]
async fn a_chain_of_runs_ends_from_the_outermost_on() {
    let system = echoing().await;
    let admin = system.admin.clone();
    let wait = json!({ "name": "ch0", "nodes": [{ "id": "a", "type": "wait", "for": "1h" }] });
    made(&system, &admin, &wait).await;
    for (name, inner) in [("ch1", "ch0"), ("ch2", "ch1"), ("ch3", "ch2")] {
        let chain = json!({
            "name": name, "nodes": [{ "id": "sub", "type": "subworkflow", "workflow": inner }],
        });
        made(&system, &admin, &chain).await;
    }
    for _ in 0..10 {
        let begun = system.execute_workflow(&admin, "ch3", ExecuteRequest::default(), None, None);
        let id = begun.await.unwrap().run.id;
        until(|| async {
            let innermost = listed(&system, "ch0", ExecutionStatus::Waiting).await;
            (innermost.len() == 1).then_some(())
        })
        .await;
        let ended = within(system.cancel_execution(&admin, id, String::new(), None)).await;
        let ended = ended.unwrap();
        assert_eq!(ended.reach.unconfirmed, [], "{ended:?}");
        assert_eq!(ended.execution.status, ExecutionStatus::Cancelled);
        for (name, status) in [
            ("ch0", ExecutionStatus::Waiting),
            ("ch0", ExecutionStatus::Running),
            ("ch1", ExecutionStatus::Running),
            ("ch2", ExecutionStatus::Running),
        ] {
            assert_eq!(listed(&system, name, status).await, [], "{name}");
        }
    }
}

#[tokio::test]
async fn a_question_that_is_just_being_put_when_its_run_is_cancelled_is_taken_back() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let admin = system.admin.clone();
    // What runs beside it keeps the run in memory.
    let definition = json!({
        "name": "n", "nodes": [
            { "id": "a", "type": "human", "question": "Go on?" },
            { "id": "b", "type": "agent", "agent": "one" },
        ],
    });
    made(&system, &admin, &definition).await;
    // It is put again after a pause that is longer each time.
    system.life.lose_rows(EntityKind::Question, 5);
    let begun = system.execute_workflow(&admin, "n", ExecuteRequest::default(), None, None);
    let id = begun.await.unwrap().run.id;
    within(system.tool("one").is_called(1)).await;
    until(async || (system.life.rows_to_lose() == 0).then_some(())).await;
    let stopped = system.cancel_execution(&admin, id, "no".to_owned(), None);
    let stopped = stopped.await.unwrap().execution;
    assert_eq!(stopped.status, ExecutionStatus::Cancelled);
    let question = until(async || {
        let query = QuestionQuery {
            task: Some(id),
            ..QuestionQuery::default()
        };
        let page = system.questions(&admin, &query).await.unwrap();
        page.items.into_iter().next()
    })
    .await;
    system.is_withdrawn(question.id).await;
}
