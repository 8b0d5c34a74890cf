//! Each part under `/system` is killed while tasks run: all of them are settled, none twice.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::print_stdout,
    reason = "which part was killed belongs to the result"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actors::adapter::{Adapter, Answer, Call, CallError};
use protocol::{
    api::{TreeNode, TreeView},
    task::{TaskSpec, TaskStatus},
};
use runtime::supervision::Kill;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use troupe::Node;

/// Tasks for each part that is killed, and how many are under way when it is.
const TASKS: usize = 24;
const BEFORE: usize = 8;

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts how often it is called.
#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Adapter for Counter {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(call.input.clone())))
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(std::future::ready(Ok("it counts".to_owned())))
    }
}

async fn start(folder: &std::path::Path, counter: &Arc<Counter>) -> Node {
    let node = Node::builder()
        .data_dir(folder)
        .name("first")
        .mesh("127.0.0.1:0".parse().unwrap())
        .native("counter", counter.clone());
    #[cfg(feature = "edge")]
    let node = node.without_edge();
    let node = node.start().await.unwrap();
    let agent = json!({
        "name": "counter", "agent_type": "native", "capabilities": ["count"], "max_tasks": 4,
    });
    let agent = serde_json::from_value(agent).unwrap();
    let me = node.caller();
    let registered = node.orchestrator().register_agent(&me, agent);
    registered.await.unwrap();
    node
}

fn system(node: &Node) -> Vec<TreeNode> {
    let TreeView { nodes, .. } = node.orchestrator().actors().snapshot("/system", None);
    nodes
}

/// Two steps, one after the other.
fn task(number: usize) -> TaskSpec {
    serde_json::from_value(json!({
        "description": format!("task {number}"),
        "steps": [
            { "id": "a", "capability": "count", "input": number },
            { "id": "b", "capability": "count", "input": number, "needs": ["a"] },
        ],
    }))
    .unwrap()
}

/// Kills the part at `path` while tasks come in, and waits for the end of all of them.
async fn survive(node: &Node, counter: &Counter, path: &str) {
    println!("{path} is killed");
    let before = counter.0.load(Ordering::SeqCst);
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let (troupe, me) = (node.orchestrator().clone(), node.caller());
        let key = format!("{path}-{number}");
        if number == BEFORE {
            let killed = node.orchestrator().actors().kill(path, "chaos");
            assert_eq!(killed, Kill::Ended, "{path}");
        }
        tasks.spawn(async move {
            // Who is told to come back does; the key makes it one task.
            for _ in 0..200 {
                let key = Some((key.clone(), [0; 32]));
                let submitted = troupe.submit(&me, task(number), key, Some(PATIENCE)).await;
                match submitted {
                    Ok(submitted) => return submitted.task,
                    Err(actors::Rejection::Unavailable { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
            panic!("task {number} was never taken")
        });
    }
    let settled = async {
        while let Some(task) = tasks.join_next().await {
            let task = task.unwrap();
            assert_eq!(task.status, TaskStatus::Completed, "{path}: {task:?}");
        }
    };
    let settled = tokio::time::timeout(PATIENCE, settled).await;
    assert!(settled.is_ok(), "{path}: some tasks were not settled");
    let calls = counter.0.load(Ordering::SeqCst) - before;
    assert_eq!(calls, TASKS * 2, "{path}");
    let back = async {
        while !system(node)
            .iter()
            .any(|row| &*row.path == path && row.restarts > 0)
        {
            tokio::task::yield_now().await;
        }
    };
    let back = tokio::time::timeout(PATIENCE, back).await;
    assert!(back.is_ok(), "{path} did not come back: {:?}", system(node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_the_system_is_killed_under_load_and_every_task_is_settled_once() {
    let folder = tempfile::tempdir().unwrap();
    let counter = Arc::new(Counter::default());
    let node = start(folder.path(), &counter).await;
    let parts = system(&node).into_iter();
    let parts = parts.filter(|row| row.kind != "supervisor");
    let parts: Vec<String> = parts.map(|row| row.path).collect();
    for part in [
        "membership",
        "placer",
        "reminders",
        "outbox",
        "allocator",
        "mesh/gateway",
    ] {
        assert!(parts.contains(&format!("/system/{part}")), "{parts:?}");
    }
    // Only the first node of a process has the network; whoever came after it is linked in memory.
    let (network, rest): (Vec<_>, Vec<_>) = parts
        .iter()
        .partition(|path| path.starts_with("/system/mesh/"));
    for path in network {
        survive(&node, &counter, path).await;
    }
    node.stop(Duration::from_secs(5)).await;
    // Each on a node of its own: five in half a minute would be too many for one.
    for path in rest {
        let folder = tempfile::tempdir().unwrap();
        let counter = Arc::new(Counter::default());
        let node = start(folder.path(), &counter).await;
        survive(&node, &counter, path).await;
        node.stop(Duration::from_secs(5)).await;
    }
}
