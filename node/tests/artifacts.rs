//! Files that steps left on one node, asked for at another.

#![cfg(feature = "edge")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{path::PathBuf, sync::Arc, time::Duration};

use actors::adapter::{Adapter, Answer, Call, CallError};
use protocol::{id::TaskId, member::NodeRole};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use troupe::Node;

const LENGTH: usize = 3 * 1024 * 1024 + 5;

/// Leaves a file among its artifacts, as a program does.
#[derive(Debug)]
struct Writer {
    data_dir: PathBuf,
}

fn content() -> Vec<u8> {
    (0..LENGTH).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

impl Writer {
    fn place(&self, task: TaskId) -> PathBuf {
        self.data_dir.join(format!("artifacts/{task}/a/1"))
    }
}

impl Adapter for Writer {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        _: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        let place = self.place(call.task);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("big.bin"), content()).unwrap();
        let sha256 = "b01669d77761c4dfdfc8fb927821087bcf5c9ef1f917c4f1f8504e529f19edab";
        let file = json!({ "name": "big.bin", "bytes": LENGTH, "sha256": sha256 });
        Box::pin(std::future::ready(Ok(json!({ "artifacts": [file] }))))
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(std::future::ready(Ok("as told".to_owned())))
    }
}

struct Two {
    control: Node,
    worker: Node,
    _folders: [tempfile::TempDir; 2],
    writer: Arc<Writer>,
}

/// A control node, and one without a store that hosts the agent and serves HTTP.
async fn two() -> Two {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let free = "127.0.0.1:0".parse().unwrap();
    let writer = Arc::new(Writer {
        data_dir: folders[1].path().to_owned(),
    });
    let control = Node::builder()
        .data_dir(folders[0].path())
        .name("control")
        .listen(free)
        .mesh(free)
        .native("writer", writer.clone());
    let control = control.start().await.unwrap();
    let mesh = control.member().mesh.clone().unwrap();
    let token = control.join_token().await.unwrap();
    let worker = Node::builder()
        .data_dir(folders[1].path())
        .name("worker")
        .listen(free)
        .roles([NodeRole::Worker, NodeRole::Edge])
        .join(mesh, Some(token))
        .native("writer", writer.clone());
    let worker = worker.start().await.unwrap();
    Two {
        control,
        worker,
        _folders: folders,
        writer,
    }
}

impl Two {
    /// A task whose one step left a file on the worker.
    async fn done(&self) -> TaskId {
        let (orchestrator, caller) = (self.control.orchestrator(), self.control.caller());
        let spec = json!({
            "name": "writer", "agent_type": "native", "placement": { "node": "worker" },
        });
        let spec = serde_json::from_value(spec).unwrap();
        orchestrator.register_agent(&caller, spec).await.unwrap();
        let spec = json!({ "description": "write", "steps": [{ "id": "a", "agent": "writer" }] });
        let spec = serde_json::from_value(spec).unwrap();
        let submitted = orchestrator.submit(&caller, spec, None, None).await;
        let id = submitted.unwrap().task.id;
        let wait = Duration::from_secs(30);
        let task = orchestrator.await_task(&caller, id, wait).await.unwrap();
        assert_eq!(task.status.as_str(), "completed", "{task:?}");
        id
    }

    async fn get(&self, at: &Node, path: &str) -> reqwest::Response {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/v1/tasks/{path}", at.url().unwrap());
        // The worker serves under a token of its own.
        let request = client.get(url).bearer_auth(at.token().unwrap());
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn a_file_is_served_by_any_node_and_gone_with_the_one_that_has_it() {
    let two = two().await;
    let id = two.done().await;
    let path = format!("{id}/artifacts/a/1/big.bin");
    for node in [&two.control, &two.worker] {
        let answer = two.get(node, &path).await;
        assert_eq!(answer.status(), 200, "{}", node.name());
        assert_eq!(answer.content_length(), Some(LENGTH as u64));
        let body = answer.bytes().await.unwrap();
        assert!(body == content(), "{}", node.name());
    }
    for outside in [
        "a/1/absent",
        "a/1/%2e%2e",
        "a/1/..%2f..%2fnode",
        "%2e%2e/1/x",
        "a/2/big.bin",
    ] {
        let answer = two
            .get(&two.control, &format!("{id}/artifacts/{outside}"))
            .await;
        assert_eq!(answer.status(), 404, "{outside}");
    }
    let place = two.writer.place(id);
    std::os::unix::fs::symlink(place.join("big.bin"), place.join("link")).unwrap();
    let link = two
        .get(&two.control, &format!("{id}/artifacts/a/1/link"))
        .await;
    assert_eq!(link.status(), 404);

    // One byte is another: the end of the file does not come.
    let mut other = content();
    other[LENGTH / 2] ^= 1;
    std::fs::write(place.join("big.bin"), other).unwrap();
    let answer = two.get(&two.control, &path).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err());

    two.worker.stop(Duration::from_secs(5)).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/tasks/{path}", two.control.url().unwrap());
    let token = two.control.token().unwrap();
    // Until the others know that it left, they only cannot reach it.
    let gone = async {
        loop {
            let request = client.get(&url).bearer_auth(token);
            let answer = request.send().await.unwrap();
            match answer.status().as_u16() {
                410 => return answer,
                other => assert_eq!(other, 503),
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), gone).await;
    let answer = answer.unwrap();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "node_gone");
    assert!(problem["message"].as_str().unwrap().contains("worker"));
}
