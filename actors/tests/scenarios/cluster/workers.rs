//! Nodes that host agents without a store.

use protocol::{
    access::Caller,
    task::{AttemptStatus, TaskStatus},
    wire::Service,
};
use serde_json::json;

use super::{by, town::Town};
use crate::support::{until, within};

#[tokio::test]
async fn a_worker_that_comes_back_hands_over_what_it_had_not_and_its_token_still_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let worker = town.hire("w", folder.path()).await;
    town.agent("a", "one", "w", 5).await;
    let done = town.work("a", by("one")).await;
    worker.tool.is_called(1).await;
    town.board.cut(worker.id);
    worker.tool.release(1);
    until(async || {
        let journal = std::fs::read_to_string(folder.path().join("attempts.jsonl")).unwrap();
        journal.contains("{\"ended\"").then_some(())
    })
    .await;
    // The old process is never heard of again; the new one has its folder.
    let _later = town.hire("w", folder.path()).await;
    let task = town.settled("a", done).await;
    assert_eq!(task.status, TaskStatus::Completed);
    assert_eq!(town.attempts("a", done).await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_comes_back_tells_at_once_what_it_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let worker = town.hire("w", folder.path()).await;
    town.agent("a", "one", "w", 5).await;
    let id = town.work("a", by("one")).await;
    worker.tool.is_called(1).await;
    town.board.cut(worker.id);
    let later = town.hire("w", folder.path()).await;
    until(async || {
        let attempts = town.attempts("a", id).await;
        (attempts[0].status == AttemptStatus::Lost).then_some(())
    })
    .await;
    town.bury(worker.id);
    later.tool.release(1);
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
}

#[tokio::test]
async fn a_worker_can_neither_give_orders_nor_speak_for_attempts_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a", "b"]).await;
    let worker = town.hire("w", folder.path()).await;
    town.agent("a", "one", "b", 5).await;
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    let order = json!({ "query": { "attempts": [] } });
    let answer = within(town.ask(worker.id, "b", Service::HOST, &order)).await;
    assert!(answer.is_err(), "{answer:?}");
    let forged = json!({
        "task": id, "step": "a", "number": 1, "token": "0".repeat(32), "agent": "one",
        "outcome": { "outcome": "succeeded", "output": "mine" },
    });
    let _ = within(town.ask(worker.id, "a", Service::TASK, &forged)).await;
    let removed = json!({ "removed": {
        "agent": town["a"].agent(&Caller::admin(), "one").await.unwrap().id,
        "stamp": { "epoch": 99, "moment": 0 },
    } });
    let answer = within(town.ask(worker.id, "b", Service::AGENT, &removed)).await;
    assert!(answer.is_err(), "{answer:?}");
    town["b"].tool.release(1);
    let task = town.settled("a", id).await;
    assert_eq!(task.result, json!({ "did": "a" }));
    assert!(town["b"].agent(&Caller::admin(), "one").await.is_ok());
}
