//! Workflows: versions, names, tenants, and what runs take.

use protocol::{
    access::{Caller, Role},
    api::{ExecuteRequest, ExecutionQuery, WorkflowDraft, WorkflowQuery, WorkflowView},
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

pub(crate) async fn made(system: &System, by: &Caller, definition: &Value) -> WorkflowView {
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
async fn a_key_that_began_one_workflow_begins_no_other() {
    let system = System::start(&[]).await;
    let ann = user("ann");
    let first = made(&system, &ann, &definition("n", "d")).await;
    made(&system, &ann, &definition("m", "d")).await;
    let execute = |name: &str| {
        let key = Some(("k".to_owned(), [7; 32]));
        let (system, ann, name) = (&system, &ann, name.to_owned());
        async move { system.execute_workflow(ann, &name, asks(), key, None).await }
    };
    let begun = execute("n").await.unwrap();
    let other = execute("m").await.unwrap_err();
    assert_eq!(other.code(), "idempotency_mismatch");
    // Its id names the same workflow as its name.
    let again = execute(&first.id.to_string()).await.unwrap();
    assert_eq!((again.run.id, again.fresh), (begun.run.id, false));
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
