//! Nodes and tokens, over HTTP. A process has one mesh, so one test of this file has a cluster.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use futures_util::StreamExt;
use protocol::member::NodeRole;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message},
};
use troupe::Node;

/// A node of a cluster, reached as its administrator.
struct Member {
    node: Node,
    client: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Member {
    async fn start(name: &str, join: Option<(&str, String)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let mut node = Node::builder()
            .data_dir(dir.path())
            .name(name)
            .listen(any)
            .mesh(any);
        if let Some((address, token)) = join {
            node = node.roles([NodeRole::Worker, NodeRole::Edge]);
            node = node.join(address, Some(token));
        }
        Self {
            node: node.start().await.unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            _dir: dir,
        }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> support::Answer {
        let url = format!("{}{path}", self.node.url().unwrap());
        let request = self.client.request(method.parse().unwrap(), url);
        let request = request.bearer_auth(self.node.token().unwrap());
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        support::Answer::read(request.send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> support::Answer {
        self.call("GET", path, None).await
    }
}

#[tokio::test]
async fn a_node_that_is_alone_says_so() {
    let node = support::Node::start().await;
    let nodes = node.get("/api/v1/nodes").await.json();
    assert_eq!(nodes["total"], 1);
    assert_eq!(nodes["items"][0]["name"], "testnode");
    let missing = node.get("/api/v1/nodes/nobody").await;
    assert_eq!(
        (missing.status, missing.problem().as_str()),
        (404, "not_found")
    );
    let drain = node.post("/api/v1/nodes/testnode/drain", json!(null)).await;
    assert_eq!((drain.status, drain.problem().as_str()), (409, "alone"));
    let token = node.post("/api/v1/tokens", json!({})).await;
    assert_eq!((token.status, token.problem().as_str()), (409, "no_mesh"));
    assert_eq!(node.get("/api/v1/tokens").await.json()["total"], 0);
}

#[tokio::test]
async fn a_token_lets_one_node_in_and_any_edge_answers_for_the_cluster() {
    let first = Member::start("first", None).await;
    for (request, field) in [
        (json!({"roles": ["control"]}), "roles"),
        (json!({"roles": []}), "roles"),
        (json!({"ttl": "0s"}), "ttl"),
    ] {
        let refused = first.call("POST", "/api/v1/tokens", Some(request)).await;
        assert_eq!((refused.status, refused.field().as_str()), (422, field));
    }
    let request = json!({"roles": ["worker", "edge"], "ttl": "5m"});
    let made = first.call("POST", "/api/v1/tokens", Some(request)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.json();
    let (id, secret) = (
        token["id"].as_str().unwrap(),
        token["token"].as_str().unwrap(),
    );
    assert!(made.header("location").ends_with(id));
    let mesh = first.node.member().mesh.clone().unwrap();
    let join = token["join"].as_str().unwrap();
    assert!(join.contains(&mesh) && join.contains(secret), "{join}");

    let worker = Member::start("w1", Some((&mesh, secret.to_owned()))).await;
    let tokens = worker.get("/api/v1/tokens").await;
    assert!(!tokens.body.contains(secret), "{}", tokens.body);
    let tokens = tokens.json();
    assert_eq!(tokens["items"][0]["used_by"], "w1");
    assert_eq!(tokens["items"][0]["state"], "used");
    let revoked = worker
        .call("DELETE", &format!("/api/v1/tokens/{id}"), None)
        .await;
    assert_eq!(
        (revoked.status, revoked.problem().as_str()),
        (409, "token_used")
    );

    let nodes = worker.get("/api/v1/nodes").await.json();
    let names = nodes["items"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|node| node["name"].clone()).collect();
    assert_eq!(names, ["first", "w1"]);
    assert_eq!(nodes["items"][0]["shards"], 256);
    let live = first.get("/api/v1/nodes/w1").await.json();
    assert_eq!(live["edge"], worker.node.url().unwrap());
    assert_eq!(live["running"], 0);

    both_show_one_tree(&first, &worker).await;
    a_ticket_of_one_counts_once_on_the_other(&first, &worker).await;
    let readers = readers_known_by(&worker, &first).await;

    let drained = worker.call("POST", "/api/v1/nodes/w1/drain", None).await;
    assert_eq!(
        (drained.status, drained.json()["state"].as_str()),
        (202, Some("draining"))
    );
    unready(&worker, "draining").await;
    let back = first.call("POST", "/api/v1/nodes/w1/resume", None).await;
    assert_eq!(
        (back.status, back.json()["state"].as_str()),
        (200, Some("up"))
    );

    for (method, path) in [
        ("POST", "/api/v1/nodes/first/drain"),
        ("DELETE", "/api/v1/nodes/first"),
    ] {
        let refused = first.call(method, path, None).await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (409, "last_control_node")
        );
    }
    let removed = first.call("DELETE", "/api/v1/nodes/w1", None).await;
    assert_eq!(removed.status, 204);
    let why = worker.node.gave_up().await;
    assert!(why.contains("removed this node"), "{why}");
    assert_eq!(worker.node.expelled(), Some(why));
    told_that_they_may_hear_no_more(readers).await;
    assert_eq!(
        first.get("/api/v1/nodes/w1").await.json()["state"],
        "removed"
    );
    // It is not waited for, and what stood there can be looked up.
    let gone = first.get("/api/v1/tree?node=w1").await;
    assert_eq!((gone.status, gone.problem().as_str()), (404, "not_found"));
    for word in ["w1", "removed", "`at`"] {
        assert!(gone.body.contains(word), "{word}: {gone:?}");
    }
}

/// The tree is that of both nodes, whichever is asked.
async fn both_show_one_tree(first: &Member, worker: &Member) {
    for member in [first, worker] {
        let tree = member.get("/api/v1/tree").await.json();
        let rows = tree["nodes"].as_array().unwrap();
        for node in ["first", "w1"] {
            let is_shown = rows
                .iter()
                .any(|row| row["node"] == node && row["path"] == "/system");
            assert!(is_shown, "{node}: {tree}");
        }
        assert_eq!(tree.get("silent"), None, "{tree}");
        let twice = member.get("/api/v1/actors/system").await;
        assert_eq!((twice.status, twice.problem().as_str()), (409, "ambiguous"));
        let one = member.get("/api/v1/actors/system?node=w1").await.json();
        assert_eq!(one["node"], "w1");
    }
}

type Socket = WebSocketStream<TcpStream>;

/// Opens a WebSocket as a web page does: with a ticket and no token.
async fn opened(at: &Member, ticket: &str) -> Result<Socket, u16> {
    let url = at.node.url().unwrap();
    let address = url.strip_prefix("http://").unwrap();
    let request = format!("ws://{address}/ws/client?ticket={ticket}");
    let stream = TcpStream::connect(address).await.unwrap();
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn ticket(of: &Member) -> String {
    let made = of.call("POST", "/api/v1/ws/ticket", None).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["ticket"].as_str().unwrap().to_owned()
}

async fn a_ticket_of_one_counts_once_on_the_other(first: &Member, worker: &Member) {
    for (home, other) in [(first, worker), (worker, first)] {
        let shown = ticket(home).await;
        let mut socket = opened(other, &shown).await.unwrap();
        let told = socket.next().await.unwrap().unwrap();
        assert!(told.to_text().unwrap().contains("worker.status"), "{told}");
        for member in [other, home] {
            assert_eq!(opened(member, &shown).await.err(), Some(401));
        }
        let spent = ticket(home).await;
        drop(opened(home, &spent).await.unwrap());
        assert_eq!(opened(other, &spent).await.err(), Some(401));
    }
}

/// Readers at `at` that are let in by what `home` says of them: a stream and a WebSocket.
async fn readers_known_by(home: &Member, at: &Member) -> (reqwest::Response, Socket) {
    let url = format!("{}/api/v1/life/stream", at.node.url().unwrap());
    let asked = home.client.get(url).bearer_auth(home.node.token().unwrap());
    let stream = asked.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let socket = opened(at, &ticket(home).await).await.unwrap();
    (stream, socket)
}

async fn told_that_they_may_hear_no_more((stream, mut socket): (reqwest::Response, Socket)) {
    let limit = Duration::from_secs(10);
    let told = tokio::time::timeout(limit, stream.text()).await;
    let told = told.unwrap().unwrap();
    let last = told.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.contains("event:problem"), "{last}");
    assert!(last.contains("unauthenticated"), "{last}");
    let closed = tokio::time::timeout(limit, async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    let frame = closed.await.unwrap().unwrap();
    assert_eq!(u16::from(frame.code), 1008, "{frame}");
}

/// Asks until the node is not ready for this reason; each answer is a look at another moment.
async fn unready(member: &Member, code: &str) {
    let asking = async {
        loop {
            let answer = member.get("/health/ready").await;
            if answer.status == 503 && answer.problem() == code {
                return;
            }
        }
    };
    let limit = Duration::from_secs(20);
    let asked = tokio::time::timeout(limit, asking).await;
    assert!(asked.is_ok(), "{code}: it stayed ready");
}
