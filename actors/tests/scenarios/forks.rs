//! Forks and replays of runs.

use protocol::{
    api::{
        CheckRequest, ExecuteRequest, ExecutionQuery, ExecutionView, ForkRequest, ReplayRequest,
        ReplayView,
    },
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

#[tokio::test]
async fn the_last_runs_of_a_workflow_are_checked_against_a_definition_that_is_to_be_adopted() {
    let system = echoing().await;
    let admin = system.admin.clone();
    let choice = |than: u32| {
        json!({
            "name": "choice",
            "nodes": [
                { "id": "a", "type": "agent", "agent": "echo", "input": "$.input" },
                { "id": "small", "type": "agent", "agent": "echo" },
                { "id": "big", "type": "agent", "agent": "echo" },
            ],
            "edges": [
                { "from": "a", "to": "small", "condition": format!("output < {than}") },
                { "from": "a", "to": "big", "condition": format!("output >= {than}") },
            ],
        })
    };
    made(&system, &admin, &choice(10)).await;
    for input in [1, 7, 12, 3, 9] {
        let request = ExecuteRequest {
            input: json!(input),
            ..ExecuteRequest::default()
        };
        let begun = system.execute_workflow(&admin, "choice", request, None, None);
        system.completed(begun.await.unwrap().run.id).await;
    }
    let check = async |definition: Option<Value>, runs: Option<u32>| {
        let request = CheckRequest {
            source: definition.map(|definition| definition.to_string()),
            runs,
            ..CheckRequest::default()
        };
        let checked = system.check_workflow(&admin, "choice".to_owned(), request);
        checked.await.unwrap()
    };
    let own = check(None, None).await;
    assert_eq!((own.runs, own.same, own.diverged.len()), (5, 5, 0));
    let other = check(Some(choice(5)), None).await;
    assert_eq!((other.runs, other.same), (5, 3), "{other:?}");
    for run in &other.diverged {
        let found = run.divergence.as_ref().unwrap();
        assert_eq!(found.recorded["what"], json!("started"));
        assert_eq!(found.node.as_deref(), Some("small"));
    }
    let last = check(Some(choice(5)), Some(1)).await;
    assert_eq!((last.runs, last.diverged.len()), (1, 1));
    // Nothing was done.
    let query = ExecutionQuery::default();
    assert_eq!(
        system.executions(&admin, &query).await.unwrap().items.len(),
        5
    );
}
