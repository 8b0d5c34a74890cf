//! What happens in the cluster over HTTP: server-sent events, and the same over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::Request, protocol::CloseFrame},
};

use troupe::edge::config::TokenEntry;

use super::support::{ADMIN, Node, Start};

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap()
}

/// The other end of a WebSocket.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    fn request(node: &Node, path: &str, token: &str) -> Request<()> {
        let url = format!("ws://{}{path}", node.address);
        let mut request = url.into_client_request().unwrap();
        let token = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", token);
        request
    }

    /// What a web page sends: it has no token to give.
    fn of_page(node: &Node, path: &str, origin: &str) -> Request<()> {
        let mut request = Self::request(node, path, "");
        request.headers_mut().remove("authorization");
        let origin = origin.parse().unwrap();
        request.headers_mut().insert("origin", origin);
        request
    }

    async fn open(node: &Node, path: &str, token: &str) -> Self {
        Self::with(node, Self::request(node, path, token))
            .await
            .unwrap()
    }

    async fn with(node: &Node, request: Request<()>) -> Result<Self, tungstenite::Error> {
        let stream = TcpStream::connect(node.address).await.unwrap();
        let (socket, _) = client_async(request, stream).await?;
        Ok(Self(socket))
    }

    /// The next event.
    async fn next(&mut self) -> Value {
        loop {
            match soon(self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next of this name.
    async fn next_of(&mut self, name: &str) -> Value {
        loop {
            let told = self.next().await;
            if told["event"] == name {
                return told;
            }
        }
    }

    async fn say(&mut self, what: Value) {
        self.0.send(Message::text(what.to_string())).await.unwrap();
    }

    async fn closed(&mut self) -> Option<CloseFrame> {
        while let Some(Ok(told)) = soon(self.0.next()).await {
            if let Message::Close(frame) = told {
                return frame;
            }
        }
        None
    }
}

async fn with_agent() -> Node {
    let node = Node::start().await;
    let agent = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
    let made = node.post("/api/v1/agents/register", agent).await;
    assert_eq!(made.status, 201, "{made:?}");
    node
}

async fn work(node: &Node) -> String {
    let task = json!({ "description": "x", "steps": [{ "id": "a", "agent": "echo" }] });
    let made = node.post("/api/v1/tasks?wait=10s", task).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_recorded_and_how_nodes_are_is_told_over_a_websocket() {
    let node = with_agent().await;
    for path in ["/ws/client", "/api/v1/ws", "/api/ws"] {
        let mut socket = Socket::open(&node, path, ADMIN).await;
        let worker = socket.next_of("worker.status").await;
        assert_eq!(worker["data"]["node"]["name"], "testnode", "{path}");
        assert_eq!(worker["data"]["change"], "known");
        let task = work(&node).await;
        let submitted = socket.next_of("task.submitted").await;
        assert_eq!(submitted["data"]["entity"], task.as_str());
        assert!(submitted["id"].is_string());
        let settled = socket.next_of("task.settled").await;
        assert_eq!(settled["data"]["event"]["status"], "completed");
    }
}

#[tokio::test]
async fn a_reader_that_was_cut_off_goes_on_after_the_last_event_and_hears_each_once() {
    let node = with_agent().await;
    let task = work(&node).await;
    let path = "/ws/client?types=task.*&since=0";
    let mut all = Vec::new();
    let mut socket = Socket::open(&node, path, ADMIN).await;
    loop {
        let told = socket.next().await;
        let over = told["event"] == "task.settled";
        all.push(told);
        if over {
            break;
        }
    }
    assert!(
        all.iter()
            .all(|told| told["data"]["entity"] == task.as_str())
    );
    let numbers: Vec<_> = all
        .iter()
        .map(|told| told["data"]["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    for (place, told) in all.iter().enumerate().take(all.len() - 1) {
        let since = told["id"].as_str().unwrap();
        let path = format!("/ws/client?types=task.*&since={since}");
        let mut socket = Socket::open(&node, &path, ADMIN).await;
        assert_eq!(socket.next().await, all[place + 1], "after {since}");
    }
}

#[tokio::test]
async fn the_first_message_narrows_and_what_is_none_is_refused() {
    let node = with_agent().await;
    let mut socket = Socket::open(&node, "/ws/client", ADMIN).await;
    socket.say(json!({ "types": "task.settled" })).await;
    socket.next_of("filtered").await;
    work(&node).await;
    let told = socket.next().await;
    assert_eq!(told["event"], "task.settled", "{told}");
    socket.say(json!({ "types": "robots.*" })).await;
    let problem = socket.next_of("problem").await;
    assert_eq!(problem["data"]["errors"][0]["field"], "types");
    socket.0.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(u16::from(socket.closed().await.unwrap().code), 1003);
}

#[tokio::test]
async fn a_websocket_takes_a_token_a_name_of_the_node_and_an_upgrade() {
    let node = Node::start().await;
    let refused = async |request: Request<()>| match Socket::with(&node, request).await {
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => 101,
    };
    let wrong = Socket::request(&node, "/ws/client", "wrong");
    assert_eq!(refused(wrong).await, 401);
    let mut foreign = Socket::request(&node, "/ws/client", ADMIN);
    let evil = "https://evil.test".parse().unwrap();
    foreign.headers_mut().insert("origin", evil);
    assert_eq!(refused(foreign).await, 403);
    let mut ours = Socket::request(&node, "/ws/client", "viewer");
    let own = format!("http://{}", node.address).parse().unwrap();
    ours.headers_mut().insert("origin", own);
    assert_eq!(refused(ours).await, 101);
    assert_eq!(
        refused(Socket::request(&node, "/ws/client?types=x", ADMIN)).await,
        400
    );
    let plain = node.get("/api/v1/ws").await;
    assert_eq!(
        (plain.status, plain.problem().as_str()),
        (426, "upgrade_required")
    );
}

#[tokio::test]
async fn a_node_that_stops_says_so_and_waits_for_no_reader() {
    let mut node = Node::start().await;
    let mut socket = Socket::open(&node, "/ws/client", ADMIN).await;
    socket.next_of("worker.status").await;
    node.begin_stop();
    assert_eq!(u16::from(socket.closed().await.unwrap().code), 1001);
    soon(node.stop()).await;
}

#[tokio::test]
async fn the_same_comes_as_server_sent_events_to_who_may_see_it() {
    let node = with_agent().await;
    let task = work(&node).await;
    let stream = async |token: &str, path: &str| {
        let url = format!("{}{path}", node.url);
        let asked = node
            .client
            .get(url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(asked.status(), 200);
        asked.bytes_stream()
    };
    let read = async |token: &str, path: &str, until: &str| {
        let mut pieces = stream(token, path).await;
        let mut text = String::new();
        while !text.contains(until) {
            let piece = soon(pieces.next()).await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        text
    };
    let text = read(
        ADMIN,
        "/api/v1/events?types=task.*,worker.status&since=0",
        "task.settled",
    )
    .await;
    assert!(
        text.contains("event:worker.status") && text.contains(&task),
        "{text}"
    );
    assert!(!text.contains("event:agent."), "{text}");
    // Another user's tasks are not told; what is, comes after them.
    let paused = node.post("/api/v1/agents/echo/pause", json!(null)).await;
    assert_eq!(paused.status, 200, "{paused:?}");
    let other = read(
        "developer",
        "/api/v1/events?since=0",
        "event:agent.mode_set",
    )
    .await;
    assert!(!other.contains(&task), "{other}");
    for (path, field) in [("events?types=x", "types"), ("events?since=x", "since")] {
        let wrong = node.get(&format!("/api/v1/{path}")).await;
        assert_eq!((wrong.status, wrong.field().as_str()), (400, field));
    }
}

/// The status with which a request for a WebSocket is refused.
async fn refused(node: &Node, request: Request<()>) -> u16 {
    match Socket::with(node, request).await {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

async fn ticket(node: &Node, token: &str) -> String {
    let token = format!("Bearer {token}");
    let headers = [("authorization", token.as_str())];
    let made = node.send("POST", "/api/v1/ws/ticket", &headers, "").await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_page_opens_a_websocket_by_a_ticket_that_counts_once() {
    let node = with_agent().await;
    let origin = format!("http://{}", node.address);
    for path in ["/ws/client", "/api/v1/ws"] {
        let path = format!("{path}?types=task.*&ticket={}", ticket(&node, ADMIN).await);
        let page = || Socket::of_page(&node, &path, &origin);
        let mut socket = Socket::with(&node, page()).await.unwrap();
        let task = work(&node).await;
        let submitted = socket.next_of("task.submitted").await;
        assert_eq!(submitted["data"]["entity"], task.as_str());
        assert_eq!(refused(&node, page()).await, 401, "{path}");
    }
    let page = |query: &str| Socket::of_page(&node, &format!("/ws/client?{query}"), &origin);
    assert_eq!(refused(&node, page("")).await, 401);
    assert_eq!(refused(&node, page("ticket=troupe_ticket_00")).await, 401);
    // A token has no business in an address.
    assert_eq!(refused(&node, page(&format!("token={ADMIN}"))).await, 401);
    assert_eq!(refused(&node, page(&format!("ticket={ADMIN}"))).await, 401);
    // Who gets hold of one with a page of another site has spent it.
    let stolen = format!("ticket={}", ticket(&node, ADMIN).await);
    let theirs = Socket::of_page(
        &node,
        &format!("/ws/client?{stolen}"),
        "http://evil.example",
    );
    assert_eq!(refused(&node, theirs).await, 403);
    assert_eq!(refused(&node, page(&stolen)).await, 401);
    // Two are none, and so is one beside a token that is none; they are spent all the same.
    let (one, other) = (ticket(&node, ADMIN).await, ticket(&node, ADMIN).await);
    let both = format!("ticket={one}&ticket={other}");
    assert_eq!(refused(&node, page(&both)).await, 401);
    let third = ticket(&node, ADMIN).await;
    let beside = Socket::request(&node, &format!("/ws/client?ticket={third}"), "wrong");
    assert_eq!(refused(&node, beside).await, 401);
    for spent in [one, other, third] {
        let again = page(&format!("ticket={spent}"));
        assert_eq!(refused(&node, again).await, 401);
    }
    // It opens nothing else.
    let path = format!("/api/v1/tasks?ticket={}", ticket(&node, ADMIN).await);
    let answer = node.send("GET", &path, &[("authorization", "")], "").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_ticket_shows_what_its_tenant_may_see() {
    let foreigner: TokenEntry = serde_json::from_value(json!({
        "user": "fay", "role": "operator", "tenant": "abroad",
        "sha256": "a9391007239d7d05cdaa2103a344cdded734017b64d01468962f031a55017fa8",
    }))
    .unwrap();
    let mut start = Start::default();
    start.config.tokens.push(foreigner);
    let node = Node::start_with(start).await;
    let path = format!(
        "/ws/client?types=task.*&ticket={}",
        ticket(&node, "foreigner").await
    );
    let request = Socket::of_page(&node, &path, &format!("http://{}", node.address));
    let mut foreign = Socket::with(&node, request).await.unwrap();
    let mut tasks = Vec::new();
    for token in [ADMIN, "foreigner"] {
        let token = format!("Bearer {token}");
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
        ];
        let send = async |path, body: Value| {
            let made = node.send("POST", path, &headers, &body.to_string()).await;
            assert_eq!(made.status, 201, "{made:?}");
            made.json()
        };
        let agent = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
        send("/api/v1/agents/register", agent).await;
        let task = json!({ "description": "x", "steps": [{ "id": "a", "agent": "echo" }] });
        let task = send("/api/v1/tasks?wait=10s", task).await;
        tasks.push(task["id"].clone());
    }
    // What was recorded first is another tenant's.
    let told = foreign.next_of("task.submitted").await;
    assert_eq!(told["data"]["entity"], tasks[1]);
}
