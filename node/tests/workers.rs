//! What a client of one node sees of the others, each in a process of its own, and what is measured there.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "other processes live by the machine's clock"
)]
#![expect(clippy::print_stdout, reason = "what was seen belongs to the result")]

#[path = "support/pair.rs"]
mod pair;
#[path = "support/process.rs"]
mod process;

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use pair::{joined, run};
use process::{Node, PATIENCE, Place, pause, until};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// A change is seen so soon after it was made, on a machine that has nothing else to do.
const SOON: Duration = Duration::from_secs(1);
/// What a busy one may take beside.
const SLACK: Duration = Duration::from_secs(1);
/// For so long a node that has no link yet may be about to open one.
const OPENING: Duration = Duration::from_secs(5);

/// A client that follows how nodes are.
struct Follower(WebSocketStream<TcpStream>);

impl Follower {
    async fn of(node: &Node) -> Self {
        let url = fs::read_to_string(node.data.join("edge.url")).unwrap();
        let token = fs::read_to_string(node.data.join("admin.token")).unwrap();
        let address = url.strip_prefix("http://").unwrap();
        let url = format!("ws://{address}/ws/client?types=worker.status");
        let mut request = url.into_client_request().unwrap();
        let token = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", token);
        let stream = TcpStream::connect(address).await.unwrap();
        Self(client_async(request, stream).await.unwrap().0)
    }

    /// Waits until a node is told to be in a state, and answers what was new of it.
    async fn sees(&mut self, name: &str, state: &str) -> Value {
        let seen = async {
            loop {
                let Message::Text(text) = self.0.next().await.unwrap().unwrap() else {
                    continue;
                };
                let told: Value = serde_json::from_str(&text).unwrap();
                let node = &told["data"]["node"];
                if node["name"] == name
                    && node["state"] == state
                    && told["data"]["change"] != "load"
                {
                    return told["data"].clone();
                }
            }
        };
        timeout(PATIENCE, seen).await.unwrap()
    }
}

fn in_time(since: Instant, what: &str) {
    let took = since.elapsed();
    println!("{what} was seen after {took:?}");
    assert!(took < SOON + SLACK, "{what} was seen after {took:?}");
}

#[tokio::test]
async fn a_client_sees_within_a_second_that_a_node_joins_drains_is_lost_and_leaves() {
    let places = ["a", "b"].map(|name| Place::new(&format!("[node]\nname = \"{name}\"\n")));
    let first = run(&places[0], &[]).await;
    let mut follower = Follower::of(&first).await;
    assert_eq!(follower.sees("a", "up").await["change"], "known");

    let begun = Instant::now();
    let second = joined(&places[1], &first).await;
    let since = Instant::now();
    assert_eq!(follower.sees("b", "up").await["change"], "joined");
    in_time(since, "that it joined");
    // The same at the node that has no store.
    let mut there = Follower::of(&second).await;
    for name in ["a", "b"] {
        assert_eq!(there.sees(name, "up").await["change"], "known");
    }

    for (action, state, was) in [("drain", "draining", "up"), ("resume", "up", "draining")] {
        let path = format!("/api/v1/nodes/b/{action}");
        first.client.post(&path, &Value::Null).await.unwrap();
        let since = Instant::now();
        for follower in [&mut follower, &mut there] {
            let told = follower.sees("b", state).await;
            assert_eq!(
                (told["change"].as_str(), told["was"].as_str()),
                (Some("status"), Some(was))
            );
        }
        in_time(since, state);
    }

    pause((begun + 2 * OPENING).duration_since(Instant::now())).await;
    second.kill();
    let since = Instant::now();
    assert_eq!(follower.sees("b", "suspect").await["was"], "up");
    in_time(since, "that it is suspect");
    // Its lease tells when that is: six seconds after it was renewed last.
    follower.sees("b", "dead").await;

    let again = run(
        &places[1],
        &["--roles", "worker,edge", "--join", &mesh_of(&first).await],
    )
    .await;
    assert_eq!(follower.sees("b", "up").await["change"], "joined");
    again.terminate().await;
    let since = Instant::now();
    follower.sees("b", "left").await;
    in_time(since, "that it left");
}

async fn mesh_of(node: &Node) -> String {
    let node = node.client.get("/api/v1/nodes/a").await.unwrap();
    node.body["mesh"].as_str().unwrap().to_owned()
}

/// Two nodes without a store have no link to each other.
#[tokio::test]
async fn a_file_that_a_step_left_on_one_node_is_served_by_another_without_a_link_to_it() {
    let places = ["a", "b", "c"].map(|name| Place::new(&format!("[node]\nname = \"{name}\"\n")));
    let first = run(&places[0], &[]).await;
    let second = joined(&places[1], &first).await;
    let third = joined(&places[2], &first).await;
    let agent = json!({
        "name": "writer", "agent_type": "command", "placement": { "node": "b" },
        "config": { "argv": ["sh", "-c", "printf hello > artifacts/a.txt"], "timeout": "10s" },
    });
    let agents = "/api/v1/agents/register";
    first.client.post(agents, &agent).await.unwrap();
    let task = json!({ "description": "write", "steps": [{ "id": "s", "agent": "writer" }] });
    let path = "/api/v1/tasks?wait=30s";
    let task = first.client.post(path, &task).await.unwrap().body;
    assert_eq!(task["plan"]["steps"][0]["node"], "b", "{task}");
    let id = task["id"].as_str().unwrap();
    for node in [&first, &second, &third] {
        let url = fs::read_to_string(node.data.join("edge.url")).unwrap();
        let token = fs::read_to_string(node.data.join("admin.token")).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{url}/api/v1/tasks/{id}/artifacts/s/1/a.txt");
        let answer = client.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
}

/// An address that was free a moment ago.
fn free() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    port.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn measurements_have_an_address_of_their_own_without_a_token_and_nothing_else_there() {
    let place = Place::new("[node]\nname = \"a\"\n");
    let address = free();
    let port = address.split(':').nth(1).unwrap();
    let node = run(&place, &["--metrics-addr", port]).await;
    let ask = async |method: &str, path: &str| {
        let request = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = request.request(method.parse().unwrap(), format!("http://{address}{path}"));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    // A gauge that the node sets while it works.
    let told = until("the view's lag is told", PATIENCE, async || {
        let (status, text) = ask("GET", "/metrics").await;
        assert_eq!(status, 200);
        text.contains("troupe_projection_lag_seconds{view=\"agent_totals\"} 0")
            .then_some(text)
    })
    .await;
    let edge = node.client.get("/metrics").await.unwrap();
    let names = |text: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(names(&told).len() > 20);
    let at_the_edge = names(edge.body.as_str().unwrap());
    assert!(names(&told).iter().all(|name| at_the_edge.contains(name)));
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/api/v1/tasks", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/metrics", 200),
    ] {
        assert_eq!(ask(method, path).await.0, status, "{method} {path}");
    }
    let rebound = reqwest::Client::builder().no_proxy().build().unwrap();
    let rebound = rebound
        .get(format!("http://{address}/metrics"))
        .header("host", "evil.test");
    assert_eq!(rebound.send().await.unwrap().status(), 421);

    // Another node cannot have it, and says so before it does anything else.
    let other = Place::new("[node]\nname = \"b\"\n");
    let mut start = other.troupe(&["start", "--listen", "127.0.0.1:0", "--mesh", "127.0.0.1:0"]);
    let refused = start.args(["--metrics-addr", &address]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(
        said.contains(&format!(
            "{address}, where measurements were to be served, is in use"
        )) && said.contains("--metrics-addr"),
        "{said}"
    );
    assert!(!other.data().join("troupe.db").exists());
}
