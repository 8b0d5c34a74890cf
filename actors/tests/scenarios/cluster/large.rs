//! Inputs and results that are larger than a message between nodes.

use protocol::{access::Caller, task::TaskStatus, wire::Service};
use serde_json::{Value, json};

use super::{board::Fate, by, town::Town};
use crate::support::task;

const MIB: usize = 1024 * 1024;

/// The second step finds what the first one answered.
fn relay() -> Value {
    json!({ "description": "relay", "steps": [
        { "id": "first", "agent": "one" },
        { "id": "second", "agent": "one", "needs": ["first"] },
    ] })
}

#[tokio::test]
async fn inputs_and_results_of_many_sizes_cross_nodes_also_when_pieces_are_lost() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let admin = Caller::admin();
    for size in [MIB, 15 * MIB] {
        town.board.harm(Service::HOST, "yyyy", Fate::Dropped, 2);
        town.board.harm(Service::HOST, "yyyy", Fate::Unanswered, 2);
        town.board.harm(Service::TASK, "yyyy", Fate::Unanswered, 2);
        let text = json!("y".repeat(size));
        town["b"].tool.answer(text.clone());
        town["b"].tool.release(2);
        let submitted = town["a"].submit(&admin, task(relay()), None, None);
        let id = submitted.await.unwrap().task.id;
        let task = town.settled("a", id).await;
        assert_eq!(task.status, TaskStatus::Completed, "{:?}", task.error);
        assert!(task.result == text);
        let calls = town["b"].tool.calls();
        assert!(calls.last().unwrap().needs["first"] == text);
        assert_eq!(town.attempts("a", id).await.len(), 2);
    }
}

#[tokio::test]
async fn a_result_that_is_too_large_for_nodes_says_what_to_do() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    town["b"].tool.answer(json!("y".repeat(16 * MIB)));
    town["b"].tool.release(1);
    let id = town.work("a", by("one")).await;
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Failed);
    let error = task.error.unwrap();
    assert_eq!(error.code, "too_large");
    assert!(error.message.contains("artifacts"), "{error:?}");
    town.knows(&town["b"], "one", 5).await;
}

#[tokio::test]
async fn an_agent_with_a_long_description_is_hosted_elsewhere_and_known_everywhere() {
    let town = Town::of(&["a", "b"]).await;
    let spec = json!({
        "name": "one", "agent_type": "native", "placement": { "node": "b" },
        "metadata": { "notes": "n".repeat(MIB) },
    });
    let spec = serde_json::from_value(spec).unwrap();
    let admin = Caller::admin();
    town["a"].register_agent(&admin, spec).await.unwrap();
    town.knows(&town["a"], "one", 5).await;
    town.knows(&town["b"], "one", 5).await;
    town["b"].tool.release(1);
    let id = town.work("a", by("one")).await;
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
}
