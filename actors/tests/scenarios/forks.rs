//! Forks and replays of runs.

use protocol::{
    api::{ExecutionView, ForkRequest, ReplayRequest, ReplayView},
    id::TaskId,
};
use serde_json::{Value, json};

use crate::{
    runs::{echoing, run},
    support::System,
    workflows::made,
};

fn fork_at(node: &str) -> ForkRequest {
    ForkRequest {
        from_node: node.to_owned(),
        input: None,
        confirm: false,
    }
}

fn confirmed(node: &str) -> ForkRequest {
    ForkRequest {
        confirm: true,
        ..fork_at(node)
    }
}

async fn forked(system: &System, of: TaskId, request: ForkRequest) -> ExecutionView {
    let admin = system.admin.clone();
    let begun = system.fork_execution(&admin, of, request).await.unwrap();
    system.completed(begun.run.id).await;
    system.execution(&admin, begun.run.id).await.unwrap()
}

async fn refused(system: &System, of: TaskId, request: ForkRequest) -> (&'static str, String) {
    let refused = system.fork_execution(&system.admin, of, request).await;
    let refused = refused.unwrap_err();
    (refused.code(), refused.to_string())
}

async fn replayed(system: &System, id: TaskId) -> ReplayView {
    let admin = &system.admin;
    let replayed = system.replay_execution(admin, id, ReplayRequest::default());
    replayed.await.unwrap()
}

/// Two payments after each other, and what comes before and after them.
fn payments() -> Value {
    json!({
        "name": "pay", "type": "sequential",
        "nodes": [
            { "id": "a", "type": "agent", "agent": "echo", "input": 1 },
            { "id": "pay", "type": "agent", "agent": "echo", "effect": "irreversible" },
            { "id": "tip", "type": "agent", "agent": "echo", "effect": "irreversible" },
            { "id": "z", "type": "agent", "agent": "echo" },
        ],
    })
}

#[tokio::test]
async fn a_fork_does_what_cannot_be_taken_back_again_only_when_that_is_confirmed() {
    let system = echoing().await;
    let first = run(&system, &payments(), Value::Null).await;
    let (code, told) = refused(&system, first.id, fork_at("pay")).await;
    assert_eq!(code, "irreversible");
    assert!(told.contains("pay, tip"), "{told}");
    let (_, told) = refused(&system, first.id, fork_at("tip")).await;
    assert!(told.contains(": tip;"), "{told}");
    let after = forked(&system, first.id, fork_at("z")).await;
    assert!(after.nodes[2].inherited && after.nodes[2].calls == 0);
    // What the first run called, a fork of the fork calls again all the same.
    let (code, told) = refused(&system, after.id, fork_at("a")).await;
    assert_eq!(code, "irreversible");
    assert!(told.contains("pay, tip"), "{told}");
    let again = forked(&system, first.id, confirmed("tip")).await;
    assert!(again.nodes[1].inherited && again.nodes[2].calls == 1);
}

#[tokio::test]
async fn a_fork_is_told_of_what_cannot_be_taken_back_within_a_run_of_another_workflow() {
    let system = echoing().await;
    made(&system, &system.admin, &payments()).await;
    let outer = json!({
        "name": "outer", "type": "sequential",
        "nodes": [
            { "id": "before", "type": "agent", "agent": "echo", "input": 1 },
            { "id": "shop", "type": "subworkflow", "workflow": "pay" },
            { "id": "after", "type": "agent", "agent": "echo" },
        ],
    });
    let first = run(&system, &outer, Value::Null).await;
    let (code, told) = refused(&system, first.id, fork_at("before")).await;
    assert_eq!(code, "irreversible");
    assert!(told.contains("shop"), "{told}");
    let after = forked(&system, first.id, fork_at("after")).await;
    assert_eq!(replayed(&system, after.id).await.divergence, None);
}

#[tokio::test]
async fn a_fork_does_not_take_over_what_failed_or_was_taken_back() {
    let system = echoing().await;
    let definition = json!({
        "name": "n", "type": "sequential",
        "nodes": [
            { "id": "book", "type": "agent", "agent": "echo", "input": 1, "compensate": { "agent": "echo" } },
            { "id": "odd", "type": "transform", "output": "${nodes.book.output.x.y + 1}" },
            { "id": "z", "type": "agent", "agent": "echo" },
        ],
    });
    let first = run(&system, &definition, Value::Null).await;
    assert!(first.nodes[0].compensated, "{:?}", first.nodes);
    let (code, told) = refused(&system, first.id, fork_at("odd")).await;
    assert_eq!(code, "taken_back");
    assert!(told.contains("`book`"), "{told}");
}

/// A loop, a map, what both write into the context, and more after them.
fn busy() -> Value {
    json!({
        "name": "busy", "context": { "tries": 0, "seen": [] },
        "nodes": [
            { "id": "try", "type": "transform", "output": "${context.tries + 1}", "set": { "tries": "$.output" } },
            { "id": "aside", "type": "agent", "agent": "echo", "input": "aside" },
            { "id": "look", "type": "agent", "agent": "echo", "input": { "n": "$.context.tries" }, "needs": ["try"] },
            { "id": "all", "type": "map", "over": [{ "i": 1 }, { "i": 2 }, { "i": 3 }], "each": { "agent": "echo", "prompt": "${context.tries}: ${item.i}" }, "max_parallel": 2, "set": { "seen": "$.output" }, "needs": ["look"] },
            { "id": "join", "type": "join", "needs": ["all", "aside"] },
            { "id": "end", "type": "agent", "agent": "echo", "input": { "seen": "$.context.seen", "look": "$.nodes.look.run" }, "needs": ["join"] },
        ],
        "edges": [
            { "from": "look", "to": "try", "condition": "context.tries < 3", "loop": { "max_iterations": 5 } },
        ],
    })
}

#[tokio::test]
async fn a_run_with_loops_maps_and_context_is_replayed_and_so_is_each_fork_of_it() {
    let system = echoing().await;
    let first = run(&system, &busy(), Value::Null).await;
    assert_eq!(first.result["look"], json!(3), "{:?}", first.error);
    assert_eq!(replayed(&system, first.id).await.divergence, None);
    for node in ["try", "aside", "look", "all", "join", "end"] {
        let fork = forked(&system, first.id, fork_at(node)).await;
        let seen = replayed(&system, fork.id).await;
        assert_eq!((node, seen.divergence), (node, None));
        assert!(seen.same > 0 && seen.events == fork.position, "{node}");
        assert_eq!(fork.result["seen"][2]["i"], json!(3), "{node}");
        let again = forked(&system, fork.id, fork_at("end")).await;
        assert_eq!(again.result, fork.result, "{node}");
        assert_eq!(replayed(&system, again.id).await.divergence, None, "{node}");
    }
}

#[tokio::test]
async fn a_node_that_another_definition_has_more_is_the_first_divergence() {
    let system = echoing().await;
    let first = run(&system, &payments(), Value::Null).await;
    let mut other = payments();
    other["type"] = json!("graph");
    let nodes = other["nodes"].as_array_mut().unwrap();
    for (at, before) in ["a", "pay", "tip"].into_iter().enumerate() {
        nodes[at + 1]["needs"] = json!([before]);
    }
    nodes.push(json!({ "id": "audit", "type": "agent", "agent": "echo", "needs": ["pay"] }));
    let request = ReplayRequest {
        source: Some(other.to_string()),
        ..ReplayRequest::default()
    };
    let found = system.replay_execution(&system.admin, first.id, request);
    let found = found.await.unwrap().divergence.unwrap();
    assert_eq!(found.node.as_deref(), Some("audit"), "{found:?}");
    assert_eq!(found.decided[0]["what"], json!("started"));
}
