//! Nodes that host agents without a store.

use std::{path::Path, time::Duration};

use actors::cluster::Lease;
use protocol::{
    access::Caller,
    task::{AttemptStatus, TaskStatus},
    wire::Service,
};
use serde_json::json;

use super::{
    by,
    town::{Hand, LONG, Town},
};
use crate::{
    past::end_below,
    support::{until, within},
};

const PROXY: &str = "/agents/one/proxy";

/// The lease of a worker that stood still is over.
fn slept(worker: &Hand) {
    worker.fence.lower();
    worker.lease.send_replace(Lease::Lost);
}

/// A worker with an agent.
async fn one_at_a_worker(folder: &Path) -> (Town, Hand) {
    let mut town = Town::of(&["a"]).await;
    let worker = town.hire("w", folder).await;
    town.agent("a", "one", "w", 5).await;
    (town, worker)
}

#[tokio::test]
async fn a_proxy_that_ends_with_the_lease_of_its_node_says_so() {
    // It comes back and hears that its agent went elsewhere, or it ends for good.
    for comes_back in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (town, worker) = one_at_a_worker(folder.path()).await;
        let mut changes = worker.worker.actors().changes();
        until(async || worker.worker.actors().actor(PROXY)).await;
        changes.take_life();
        town.board.cut(worker.id);
        slept(&worker);
        town.lapse(worker.id);
        if comes_back {
            worker.fence.extend(LONG);
            worker.lease.send_replace(Lease::Held);
            town.board.heal(worker.id);
        } else {
            worker.worker.stop(Duration::ZERO).await;
        }
        let ended = end_below(&mut changes, PROXY).await;
        let why = ended.reason.unwrap_or_default();
        assert!(why.starts_with("lease: "), "{comes_back}: {why}");
    }
}

#[tokio::test]
async fn a_proxy_whose_agent_is_moved_later_is_not_said_to_end_with_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let (town, worker) = one_at_a_worker(folder.path()).await;
    let mut changes = worker.worker.actors().changes();
    until(async || worker.worker.actors().actor(PROXY)).await;
    slept(&worker);
    worker.fence.extend(LONG);
    worker.lease.send_replace(Lease::Held);
    changes.take_life();
    town.drain(worker.id);
    assert_eq!(end_below(&mut changes, PROXY).await.reason, None);
}

#[tokio::test]
async fn an_attempt_on_another_node_says_who_cancelled_its_task() {
    let folder = tempfile::tempdir().unwrap();
    let (town, worker) = one_at_a_worker(folder.path()).await;
    let id = town.work("a", by("one")).await;
    worker.tool.is_called(1).await;
    let mut changes = worker.worker.actors().changes();
    changes.take_life();
    town.cancel("a", id).await;
    let ended = end_below(&mut changes, "/agents/one/").await;
    let why = "cancelled by admin: why not";
    assert_eq!(ended.reason.as_deref(), Some(why));
}

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
