//! Workflows: versions, names, tenants, and what runs take.

use protocol::{
    access::{Caller, Role},
    api::{
        ContextPatch, ExecuteRequest, ExecutionQuery, ExecutionStatus, ForkRequest, ReplayRequest,
        WorkflowDraft, WorkflowQuery, WorkflowView,
    },
    plan::PlanSource,
    task::TaskSpec,
    workflow::Status,
};
use serde_json::{Value, json, value::RawValue};

use crate::support::{System, user};

fn text(source: &str) -> WorkflowDraft {
    WorkflowDraft {
        dag_definition: Some(RawValue::from_string(source.to_owned()).unwrap()),
        ..WorkflowDraft::default()
    }
}

fn draft(definition: &Value) -> WorkflowDraft {
    text(&definition.to_string())
}

fn definition(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "description": description,
        "input": { "type": "object", "required": ["topic"] },
        "nodes": [{ "id": "a", "type": "task", "capability": "work" }],
        "timeout": "1h",
        "queue_timeout": "5m",
    })
}

async fn made(system: &System, by: &Caller, definition: &Value) -> WorkflowView {
    let made = system.create_workflow(by, draft(definition)).await;
    made.unwrap()
}

fn status(status: Status) -> WorkflowDraft {
    WorkflowDraft {
        status: Some(status),
        ..WorkflowDraft::default()
    }
}

fn asks() -> ExecuteRequest {
    ExecuteRequest {
        input: json!({ "topic": "t" }),
        ..ExecuteRequest::default()
    }
}

#[tokio::test]
async fn a_definition_comes_back_byte_for_byte_also_after_a_crash() {
    let system = System::start(&[]).await;
    let source = "{ \"name\":\"n\",\r\n\t\"nodes\": [{\"id\": \"a\", \"type\":\"parallel\", \"position\": {\"x\": 1.50}}] }";
    let ann = user("ann");
    let made = system.create_workflow(&ann, text(source)).await.unwrap();
    assert_eq!(made.dag_definition.get(), source);
    let system = system.crash(|_| {}).await;
    for by in ["n".to_owned(), made.id.to_string()] {
        let found = system.workflow(&ann, &by, None).await.unwrap();
        assert_eq!(found.dag_definition.get(), source);
        assert_eq!((found.version, found.status), (1, Status::Active));
    }
}

#[tokio::test]
async fn an_update_makes_a_version_and_the_versions_before_stay() {
    let system = System::start(&[]).await;
    let ann = user("ann");
    made(&system, &ann, &definition("n", "first")).await;
    let second = draft(&definition("n", "second"));
    let change = system.update_workflow(&ann, "n", second.clone()).await;
    assert!(change.unwrap().published);
    let again = system.update_workflow(&ann, "n", second).await.unwrap();
    assert_eq!((again.published, again.workflow.version), (false, 2));
    for (version, said) in [(Some(1), "first"), (Some(2), "second"), (None, "second")] {
        let found = system.workflow(&ann, "n", version).await.unwrap();
        assert_eq!(found.description, said);
    }
    let missing = system.workflow(&ann, "n", Some(3)).await.unwrap_err();
    assert_eq!(missing.code(), "invalid");
    let versions = system.workflow_versions(&ann, "n").await.unwrap();
    let numbers: Vec<u32> = versions.iter().map(|version| version.version).collect();
    assert_eq!(numbers, [2, 1]);
}

#[tokio::test]
async fn a_name_is_one_workflow_of_a_tenant_until_that_is_removed() {
    let system = System::start(&[]).await;
    let ann = user("ann");
    let first = made(&system, &ann, &definition("n", "a")).await;
    let second = system.create_workflow(&ann, draft(&definition("n", "b")));
    assert_eq!(second.await.unwrap_err().code(), "name_taken");
    let abroad = Caller {
        tenant: "acme".to_owned(),
        ..user("ann")
    };
    assert_eq!(
        system
            .workflow(&abroad, "n", None)
            .await
            .unwrap_err()
            .code(),
        "not_found"
    );
    let id = first.id.to_string();
    assert_eq!(
        system
            .workflow(&abroad, &id, None)
            .await
            .unwrap_err()
            .code(),
        "not_found"
    );
    let theirs = made(&system, &abroad, &definition("n", "theirs")).await;
    assert_ne!(theirs.id, first.id);
    system.delete_workflow(&ann, "n").await.unwrap();
    assert_eq!(
        system.workflow(&ann, "n", None).await.unwrap_err().code(),
        "not_found"
    );
    let third = made(&system, &ann, &definition("n", "c")).await;
    let found = system.workflow(&ann, "n", None).await.unwrap();
    assert_eq!(found.id, third.id);
}

#[tokio::test]
async fn only_its_user_and_operators_change_a_workflow_and_everybody_reads_it() {
    let system = System::start(&[]).await;
    let (ann, bob) = (user("ann"), user("bob"));
    made(&system, &ann, &definition("n", "a")).await;
    let by_bob = system.update_workflow(&bob, "n", draft(&definition("n", "b")));
    assert_eq!(by_bob.await.unwrap_err().code(), "forbidden");
    let by_bob = system.delete_workflow(&bob, "n").await;
    assert_eq!(by_bob.unwrap_err().code(), "forbidden");
    let viewer = Caller {
        role: Role::Viewer,
        ..user("eve")
    };
    let by_eve = system.create_workflow(&viewer, draft(&definition("m", "a")));
    assert_eq!(by_eve.await.unwrap_err().code(), "forbidden");
    assert!(system.workflow(&viewer, "n", None).await.is_ok());
    let by_operator = system.update_workflow(&system.admin, "n", status(Status::Archived));
    assert_eq!(by_operator.await.unwrap().workflow.status, Status::Archived);
}

#[tokio::test]
async fn workflows_are_listed_the_newest_first_and_by_status() {
    let system = System::start(&[]).await;
    let ann = user("ann");
    for number in 0..5 {
        made(&system, &ann, &definition(&format!("n{number}"), "d")).await;
    }
    let archived = system.update_workflow(&ann, "n1", status(Status::Archived));
    archived.await.unwrap();
    let mut query = WorkflowQuery {
        limit: Some(2),
        ..WorkflowQuery::default()
    };
    let mut names = Vec::new();
    loop {
        let page = system.workflows(&ann, &query).await.unwrap();
        names.extend(page.items.into_iter().map(|item| item.name));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, ["n4", "n3", "n2", "n1", "n0"]);
    let query = WorkflowQuery {
        status: Some(Status::Archived),
        ..WorkflowQuery::default()
    };
    let page = system.workflows(&ann, &query).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].name, "n1");
}

#[tokio::test]
async fn a_run_keeps_its_version_and_gets_the_limits_of_its_definition() {
    let system = System::start(&[]).await;
    let ann = user("ann");
    let made = made(&system, &ann, &definition("n", "first")).await;
    let run = system.execute_workflow(&ann, "n", asks(), None, None).await;
    let run = run.unwrap();
    assert!(run.fresh);
    assert_eq!((run.run.workflow_id, run.run.version), (made.id, 1));
    let task = system.task(&ann, run.run.id).await.unwrap();
    assert_eq!(task.workflow_id, Some(made.id.to_string()));
    assert_eq!(task.plan.unwrap().source, PlanSource::Workflow);
    let run = system.execution(&ann, run.run.id).await.unwrap();
    assert_eq!((run.version, run.description.as_str()), (1, "first"));
    let second = draft(&definition("n", "second"));
    system.update_workflow(&ann, "n", second).await.unwrap();
    let later = system.execute_workflow(&ann, "n", asks(), None, None);
    assert_eq!(later.await.unwrap().run.version, 2);
    let first = ExecuteRequest {
        version: Some(1),
        ..asks()
    };
    let first = system.execute_workflow(&ann, "n", first, None, None).await;
    assert_eq!(first.unwrap().run.version, 1);
    let query = ExecutionQuery {
        workflow: Some("n".to_owned()),
        ..ExecutionQuery::default()
    };
    let listed = system.executions(&ann, &query).await.unwrap();
    let versions: Vec<u32> = listed.items.iter().map(|run| run.version).collect();
    assert_eq!(versions, [1, 2, 1]);
    assert_eq!(
        system.executions(&user("bob"), &query).await.unwrap().items,
        []
    );
}

#[tokio::test]
async fn a_run_under_one_key_begins_once() {
    let system = System::start(&[]).await;
    let ann = user("ann");
    made(&system, &ann, &definition("n", "d")).await;
    let key = Some(("k".to_owned(), [7; 32]));
    let first = system.execute_workflow(&ann, "n", asks(), key.clone(), None);
    let first = first.await.unwrap();
    let again = system.execute_workflow(&ann, "n", asks(), key, None);
    let again = again.await.unwrap();
    assert!(first.fresh && !again.fresh);
    assert_eq!(first.run.id, again.run.id);
    let other = Some(("k".to_owned(), [8; 32]));
    let other = system.execute_workflow(&ann, "n", asks(), other, None);
    assert_eq!(other.await.unwrap_err().code(), "idempotency_mismatch");
}

#[tokio::test]
async fn what_a_run_is_given_must_fit_and_its_workflow_must_be_active() {
    let system = System::start(&[]).await;
    let ann = user("ann");
    made(&system, &ann, &definition("n", "d")).await;
    let without = ExecuteRequest::default();
    let refused = system.execute_workflow(&ann, "n", without, None, None);
    assert_eq!(refused.await.unwrap_err().code(), "invalid_input");
    for wrong in [Status::Draft, Status::Archived] {
        system
            .update_workflow(&ann, "n", status(wrong))
            .await
            .unwrap();
        let refused = system.execute_workflow(&ann, "n", asks(), None, None);
        assert_eq!(refused.await.unwrap_err().code(), "not_active");
    }
    system
        .update_workflow(&ann, "n", status(Status::Active))
        .await
        .unwrap();
    let taken = system.execute_workflow(&ann, "n", asks(), None, None);
    assert!(taken.await.is_ok());
}

#[tokio::test]
async fn a_client_cannot_make_a_task_a_run_by_itself() {
    let system = System::start(&[]).await;
    let spec: TaskSpec = serde_json::from_value(json!({
        "description": "d",
        "workflow": { "id": "workflow_01980000000070008000000000000001", "name": "n", "version": 1 },
    }))
    .unwrap();
    let refused = system
        .submit(&system.admin, spec, None, None)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("/execute"), "{refused}");
}

/// A system in which agents give back what they are handed.
async fn echoing() -> System {
    let system = System::start(&[]).await;
    let echo = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
    system.agent(echo).await;
    system
}

async fn run(system: &System, definition: &Value, input: Value) -> protocol::api::ExecutionView {
    let admin = &system.admin;
    let name = made(system, admin, definition).await.name;
    let request = ExecuteRequest {
        input,
        ..ExecuteRequest::default()
    };
    let wait = Some(std::time::Duration::from_secs(20));
    let begun = system.execute_workflow(admin, &name, request, None, wait);
    let id = crate::support::within(begun).await.unwrap().run.id;
    system.execution(admin, id).await.unwrap()
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
    let system = system.crash(|_| {}).await;
    let again = system.execution(&admin, id).await.unwrap();
    assert_eq!(
        (again.status, &again.nodes),
        (ExecutionStatus::Waiting, &shown.nodes)
    );
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
    let mode = protocol::agent::StopMode::Graceful;
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
async fn three(system: &System) -> protocol::api::ExecutionView {
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
        crate::support::until(|| async {
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
        assert_eq!(task.status, protocol::task::TaskStatus::Cancelled);
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
