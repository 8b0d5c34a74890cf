//! Runs that end while people are asked: their questions are waited for, or taken back.

use protocol::{
    api::{ExecuteRequest, ExecutionStatus},
    entity::EntityKind,
    id::TaskId,
    task::TaskStatus,
    workflow::NodeStatus,
};
use serde_json::{Value, json};

use crate::{
    support::{System, until, within},
    workflows::made,
};

async fn begun(system: &System, definition: &Value) -> TaskId {
    let admin = &system.admin;
    made(system, admin, definition).await;
    let begun = system.execute_workflow(admin, "n", ExecuteRequest::default(), None, None);
    begun.await.unwrap().run.id
}

#[tokio::test]
async fn a_question_of_a_node_is_taken_back_though_the_process_dies_before_that() {
    let system = System::start(&[]).await;
    let nodes = json!([{ "id": "a", "type": "human", "question": "Go on?" }]);
    let id = begun(&system, &json!({ "name": "n", "nodes": nodes })).await;
    let question = system.waiting(id).await;
    // What is on disk now is not done in this life.
    system.life.lose_rows(EntityKind::Question, usize::MAX);
    let stopped = system.cancel_execution(&system.admin, id, "no".to_owned(), None);
    let stopped = stopped.await.unwrap().execution;
    assert_eq!(stopped.status, ExecutionStatus::Cancelled);
    let system = system.crash(|_| {}).await;
    system.is_withdrawn(question.id).await;
}

/// A run that failed while nobody knows whether it paid, after a crash.
async fn in_doubt() -> (System, TaskId) {
    let system = System::start(&["one", "odd"]).await;
    for name in ["one", "odd"] {
        system.native(name, 1).await;
    }
    let pay = json!({
        "id": "pay", "type": "agent", "agent": "one", "effect": "irreversible",
        "compensate": { "agent": "odd", "input": "$.output" },
    });
    // Nothing is neither true nor false: the run fails.
    let b = json!({ "id": "b", "type": "agent", "agent": "odd" });
    let c =
        json!({ "id": "c", "type": "condition", "needs": ["b"], "condition": "output.nothing" });
    let id = begun(&system, &json!({ "name": "n", "nodes": [pay, b, c] })).await;
    within(system.tool("one").is_called(1)).await;
    let system = system.crash(|tool| tool.release(5)).await;
    until(async || {
        let run = system.execution(&system.admin, id).await.unwrap();
        (run.nodes[1].status == NodeStatus::Completed).then_some(())
    })
    .await;
    (system, id)
}

#[tokio::test]
async fn a_run_that_failed_takes_back_what_a_person_says_was_done() {
    let (system, id) = in_doubt().await;
    let question = system.waiting(id).await;
    let answer = json!({ "took_effect": true, "output": "receipt" });
    let answered = system.answer_question(&system.admin, question.id, answer);
    answered.await.unwrap();
    let task = system.settled(id).await;
    assert_eq!(task.status, TaskStatus::Failed);
    let run = system.execution(&system.admin, id).await.unwrap();
    assert_eq!(run.nodes[0].status, NodeStatus::Completed);
    assert!(run.nodes[0].compensated, "{:?}", run.nodes);
    assert_eq!(system.tool("one").begun(), 0);
}

#[tokio::test]
async fn a_run_that_failed_names_what_a_person_cannot_tell_about() {
    let (system, id) = in_doubt().await;
    let question = system.waiting(id).await;
    let answer = json!({ "took_effect": null });
    let answered = system.answer_question(&system.admin, question.id, answer);
    answered.await.unwrap();
    let error = system.settled(id).await.error.unwrap();
    assert!(
        error
            .message
            .ends_with("; not known whether pay took effect"),
        "{error:?}"
    );
    assert_eq!(system.tool("one").begun(), 0);
}

#[tokio::test]
async fn a_run_that_is_terminated_takes_its_question_back() {
    let (system, id) = in_doubt().await;
    let question = system.waiting(id).await;
    let stopped = system.terminate_execution(&system.admin, id, "no".to_owned(), None);
    stopped.await.unwrap();
    system.is_withdrawn(question.id).await;
    let error = system.settled(id).await.error.unwrap();
    assert_eq!(error.message, "not known whether pay took effect");
}

#[tokio::test]
async fn a_run_that_is_terminated_takes_back_its_question_whether_something_was_taken_back() {
    let system = System::start(&["one", "odd"]).await;
    for name in ["one", "odd"] {
        system.native(name, 1).await;
        system.tool(name).release(1);
    }
    let pay = json!({
        "id": "pay", "type": "agent", "agent": "one", "effect": "irreversible",
        "compensate": { "agent": "one" },
    });
    let c =
        json!({ "id": "c", "type": "condition", "needs": ["pay"], "condition": "output.nothing" });
    let id = begun(&system, &json!({ "name": "n", "nodes": [pay, c] })).await;
    within(system.tool("one").is_called(2)).await;
    let system = system.crash(|_| {}).await;
    let question = system.waiting(id).await;
    assert_eq!(question.node, "pay~undo");
    let stopped = system.terminate_execution(&system.admin, id, "no".to_owned(), None);
    stopped.await.unwrap();
    system.is_withdrawn(question.id).await;
}

#[tokio::test]
async fn what_a_person_says_was_done_is_not_done_again_after_a_crash() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let pay = json!({ "id": "pay", "type": "agent", "agent": "one", "effect": "irreversible" });
    let go = json!({ "id": "go", "type": "human", "question": "Go on?", "needs": ["pay"] });
    let id = begun(&system, &json!({ "name": "n", "nodes": [pay, go] })).await;
    within(system.tool("one").is_called(1)).await;
    let system = system.crash(|_| {}).await;
    // Said without what it gave, which nobody has to know.
    let doubt = system.waiting(id).await;
    let answered = system.answer_question(&system.admin, doubt.id, json!({ "took_effect": true }));
    answered.await.unwrap();
    let question = until(async || {
        let question = system.waiting(id).await;
        (question.node == "go").then_some(question)
    })
    .await;
    let system = system.crash(|tool| tool.release(5)).await;
    let answered = system.answer_question(&system.admin, question.id, json!(true));
    answered.await.unwrap();
    assert_eq!(system.settled(id).await.status, TaskStatus::Completed);
    assert_eq!(system.tool("one").begun(), 0);
}
