//! Large values within runs: kept once, whoever they are handed to.

use protocol::{
    api::{ExecuteRequest, ForkRequest, ReplayRequest},
    id::TaskId,
};
use runtime::store::Store;
use serde_json::{Value, json};

use crate::{
    runs::echoing,
    support::{System, until},
    workflows::made,
};

const COUNT: usize = 100;

/// 4 MiB, in a list.
fn list() -> Value {
    let one = |at: usize| json!({ "at": at, "text": format!("{at:04}").repeat(10 << 10) });
    Value::Array((0..COUNT).map(one).collect())
}

/// Five nodes that hand it on, one that waits for the test, one call for each element, and what is
/// made of that.
fn definition() -> Value {
    json!({
        "name": "n", "type": "sequential",
        "nodes": [
            { "id": "one", "type": "agent", "agent": "echo" },
            { "id": "two", "type": "agent", "agent": "echo", "set": { "list": "$.output" } },
            { "id": "three", "type": "transform", "output": { "list": "$.context.list", "n": "${len(context.list)}" } },
            { "id": "four", "type": "agent", "agent": "echo", "input": "$.nodes.three.output.list" },
            { "id": "gate", "type": "agent", "agent": "gate" },
            { "id": "five", "type": "parallel", "input": "$.nodes.four.output" },
            { "id": "all", "type": "map", "over": "$.nodes.five.output", "each": { "agent": "echo" } },
            { "id": "end", "type": "transform", "output": { "n": "${len(nodes.all.output)}", "last": "${nodes.all.output[99].at}", "first": "$.nodes.all.output[0].text" } },
        ],
    })
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}

/// What is written of a run, as bytes.
async fn written(system: &System, id: TaskId) -> usize {
    let store: &dyn Store = &*system.life;
    let mut sum = 0;
    let mut after = 0;
    loop {
        let records = store.read(id.into(), after, 100).await.unwrap();
        let Some(last) = records.last() else {
            break;
        };
        after = last.head();
        sum += records
            .iter()
            .map(|record| record.data.len())
            .sum::<usize>();
    }
    sum
}

fn right(result: &Value) {
    assert_eq!((&result["n"], &result["last"]), (&json!(COUNT), &json!(99)));
    assert_eq!(result["first"], list()[0]["text"]);
}

#[tokio::test]
async fn four_mebibytes_through_five_nodes_and_a_map_are_written_once_also_over_a_crash_and_in_a_fork()
 {
    let system = System::start(&["gate"]).await;
    let echo = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
    system.agent(echo).await;
    system.native("gate", 1).await;
    let admin = system.admin.clone();
    made(&system, &admin, &definition()).await;
    let request = ExecuteRequest {
        input: list(),
        ..ExecuteRequest::default()
    };
    let begun = system.execute_workflow(&admin, "n", request, None, None);
    let id = begun.await.unwrap().run.id;
    system.tool("gate").is_called(1).await;
    assert_eq!(system.tool("gate").calls()[0].input, list());
    let system = system.crash(|gate| gate.release(100)).await;
    system.completed(id).await;
    assert_eq!(system.tool("gate").calls()[0].input, list());
    let run = system.execution(&admin, id).await.unwrap();
    right(&run.result);
    let once = length(&list());
    let journal = written(&system, id).await;
    assert!(journal < once * 5 / 4, "{journal} where {once} is once");
    // What is shown refers to it; who wants it asks for it.
    let shown = &run.nodes[0].output;
    assert_eq!(shown["bytes"], json!(once), "{shown}");
    let digest = shown["$large"].as_str().unwrap().to_owned();
    let value = system.execution_value(&admin, id, digest).await.unwrap();
    assert_eq!(value, list());
    let missing = system.execution_value(&admin, id, "0".repeat(32)).await;
    assert_eq!(missing.unwrap_err().code(), "not_found");
    let request = ForkRequest {
        from_node: "four".to_owned(),
        input: None,
        confirm: false,
    };
    let fork = system.fork_execution(&admin, id, request).await.unwrap();
    let fork = fork.run.id;
    system.completed(fork).await;
    right(&system.execution(&admin, fork).await.unwrap().result);
    let journal = written(&system, fork).await;
    assert!(journal < once * 5 / 4, "{journal} where {once} is once");
    for run in [id, fork] {
        let replayed = system.replay_execution(&admin, run, ReplayRequest::default());
        assert_eq!(replayed.await.unwrap().divergence, None, "{run}");
    }
}

#[tokio::test]
async fn a_run_of_another_workflow_is_handed_the_value_and_not_a_reference() {
    let system = echoing().await;
    let admin = system.admin.clone();
    let inner = json!({ "name": "inner", "nodes": [{ "id": "x", "type": "agent", "agent": "echo", "input": "$.input" }] });
    made(&system, &admin, &inner).await;
    let outer = json!({
        "name": "outer", "type": "sequential",
        "nodes": [
            { "id": "a", "type": "agent", "agent": "echo" },
            { "id": "sub", "type": "subworkflow", "workflow": "inner" },
        ],
    });
    made(&system, &admin, &outer).await;
    let request = ExecuteRequest {
        input: list(),
        ..ExecuteRequest::default()
    };
    let begun = system.execute_workflow(&admin, "outer", request, None, None);
    let id = begun.await.unwrap().run.id;
    system.completed(id).await;
    let run = system.execution(&admin, id).await.unwrap();
    assert_eq!(run.result, list());
    let parts = until(|| async {
        let parts = system
            .executions(&admin, &Default::default())
            .await
            .unwrap();
        parts
            .items
            .into_iter()
            .find(|part| part.parent_id == Some(id))
    })
    .await;
    let part = system.execution(&admin, parts.id).await.unwrap();
    assert_eq!((&part.input, &part.result), (&list(), &list()));
    let both = written(&system, id).await + written(&system, part.id).await;
    assert!(both < length(&list()) * 9 / 4, "{both}");
}
