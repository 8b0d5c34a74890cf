//! The tree over HTTP: pages, one actor, what is done to it, and streams.

use protocol::api::{ActorMessages, ActorView, EntityState, TreeDelta, TreeView};
use serde_json::{Value, json};

use super::support::{ADMIN, Answer, Node};

async fn with_agent() -> Node {
    let node = Node::start().await;
    let agent = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
    let made = node.post("/api/v1/agents/register", agent).await;
    assert_eq!(made.status, 201, "{made:?}");
    node
}

async fn post_as(node: &Node, role: &str, path: &str) -> Answer {
    let token = format!("Bearer {role}");
    node.send("POST", path, &[("authorization", &token)], "")
        .await
}

#[tokio::test]
async fn the_tree_is_paged_and_an_actor_is_found_by_its_path() {
    let node = with_agent().await;
    let (mut seen, mut after) = (0, String::new());
    loop {
        let page = node.get(&format!("/api/v1/tree?limit=5{after}")).await;
        let page: TreeView = serde_json::from_str(&page.body).unwrap();
        seen += page.nodes.len();
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => {
                assert_eq!(seen as u64, page.total);
                break;
            }
        }
    }
    let actor = node.get("/api/v1/actors/agents/echo").await;
    let actor: ActorView = serde_json::from_str(&actor.body).unwrap();
    assert_eq!(
        (actor.row.path.as_str(), actor.row.kind.as_str()),
        ("/agents/echo", "agent")
    );
    assert_eq!(actor.entity.unwrap().events[0].event["type"], "registered");
    let root = node.get("/api/v1/actors/").await;
    assert_eq!(root.json()["path"], "/");
    let on_node = node.get("/api/v1/actors/agents/echo?node=testnode").await;
    assert_eq!(on_node.status, 200);
}

#[tokio::test]
async fn what_is_wrong_in_a_query_is_named() {
    let node = Node::start().await;
    for (path, field) in [
        ("tree?limit=0", "limit"),
        ("tree?limit=10001", "limit"),
        ("tree?depth=x", "depth"),
        ("tree?at=yesterday", "at"),
        ("tree?at=2999-01-01T00:00:00Z", "at"),
        ("tree?at=2020-01-01T00:00:00Z", "at"),
        ("tree?path=agents", "path"),
        ("tree?pat=/agents", "pat"),
        ("tree?node=", "node"),
        ("tree/diff?from=2026-01-01T00:00:00Z&node=", "node"),
        ("life?node=", "node"),
        ("node/log?node=", "node"),
        ("life?kind=", "kind"),
        ("life/stream?kind=,", "kind"),
        ("actors/agents?node=", "node"),
        ("tree/diff", "from"),
        ("tree/diff?from=2020-01-01T00:00:00Z", "from"),
        (
            "tree/diff?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
            "from",
        ),
        ("tree/stream?path=x", "path"),
        ("life?path=x", "path"),
        ("life?kind=a%20b", "kind"),
        ("life?kind=failed,nonsense", "kind"),
        ("life/stream?kind=nonsense", "kind"),
        ("tree?after=nonsense", "after"),
        ("life?limit=0", "limit"),
        ("life/stream?path=x", "path"),
    ] {
        let answer = node.get(&format!("/api/v1/{path}")).await;
        assert_eq!(
            (answer.status, answer.field().as_str()),
            (400, field),
            "{path}"
        );
    }
    for path in [
        "tree?node=nowhere",
        "tree?path=/nope",
        "tree/stream?path=/nope",
        "life?node=nowhere",
        "actors/nothing",
        "actors/agents/x?node=nowhere",
    ] {
        let answer = node.get(&format!("/api/v1/{path}")).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    for way in ["stop", "resume"] {
        let body = json!({ "scope": { "agent": "echo" }, "mode": "now" });
        let answer = node.post(&format!("/api/v1/{way}"), body).await;
        assert_eq!(answer.status, 422, "{way} {answer:?}");
        assert!(answer.body.contains("`mode`"), "{way} {answer:?}");
    }
    let body = json!({ "reasn": "x" });
    let answer = node.post("/api/v1/actors/agents/echo/stop", body).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    for path in ["life/stream", "tree/stream", "events"] {
        let cut_off = [("last-event-id", "garbage")];
        let answer = node
            .send("GET", &format!("/api/v1/{path}"), &cut_off, "")
            .await;
        assert_eq!(
            (answer.status, answer.field().as_str()),
            (400, "Last-Event-ID"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_a_query_may_say_is_told_with_what_is_wrong_in_it() {
    let node = with_agent().await;
    for (path, told) in [
        (
            "life?kind=faild",
            "kind: there is no kind `faild`; did you mean `failed`?",
        ),
        (
            "tree?depth=-1",
            "depth: must be a whole number from 0 to 4294967295, and is `-1`",
        ),
        (
            "agents?limit=",
            "limit: must be a whole number from 1 to 200, and is empty",
        ),
        (
            "questions?mine=perhaps",
            "mine: must be `true` or `false`, and is `perhaps`",
        ),
        (
            "actors/agents/echo/messages?wait=5h",
            "wait: 5h is more than 30s, the longest that is waited here",
        ),
        (
            "events?types=worker.*&since=garbage",
            "since: is not the `id` of an event",
        ),
    ] {
        let answer = node.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert_eq!(answer.json()["message"], told, "{path}");
    }
    // Every kind of actor that there is can be asked for.
    let tree = node.get("/api/v1/tree").await;
    let tree: TreeView = serde_json::from_str(&tree.body).unwrap();
    for row in tree.nodes {
        let kind = row.kind;
        let answer = node.get(&format!("/api/v1/life?kind={kind}")).await;
        assert_eq!(answer.status, 200, "{kind}: {answer:?}");
    }
}

#[tokio::test]
async fn operators_act_on_actors_and_viewers_only_look() {
    let node = with_agent().await;
    let path = "/api/v1/actors/agents/echo";
    for role in ["viewer", "developer"] {
        for action in ["restart", "stop", "kill", "pause", "resume", "release"] {
            let refused = post_as(&node, role, &format!("{path}/{action}")).await;
            assert_eq!(refused.status, 403, "{role} {action}");
        }
    }
    let paused = node
        .post(&format!("{path}/pause"), json!({ "reason": "a test" }))
        .await;
    assert_eq!(
        (paused.status, &paused.json()["action"]),
        (200, &json!("pause"))
    );
    let after: ActorView = serde_json::from_str(&paused.body).unwrap();
    assert_eq!(after.row.path, "/agents/echo");
    let agent = node.get("/api/v1/agents/echo").await.json();
    assert_eq!(agent["status"], "paused");
    assert_eq!(
        post_as(&node, "operator", &format!("{path}/resume"))
            .await
            .status,
        200
    );
    assert_eq!(
        post_as(&node, "operator", &format!("{path}/restart"))
            .await
            .status,
        200
    );
    let refused = post_as(&node, "operator", &format!("{path}/release")).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "not_parked")
    );
    let refused = node.post("/api/v1/actors/system/pause", json!({})).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "not_applicable")
    );
}

/// The data of the frames of a stream, as they come.
struct Frames {
    answer: reqwest::Response,
    text: String,
}

impl Frames {
    async fn open(node: &Node, path: &str) -> Self {
        let request = node.client.get(format!("{}{path}", node.url));
        let answer = request.bearer_auth(ADMIN).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let text = String::new();
        Self { answer, text }
    }

    async fn next(&mut self) -> (String, String) {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| {
                    let mut lines = frame.lines();
                    lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                let found = (line("id:"), line("data:"));
                self.text = rest.to_owned();
                if let (Some(id), Some(data)) = found {
                    return (id, data);
                }
                continue;
            }
            let chunk = self.answer.chunk();
            let chunk = tokio::time::timeout(std::time::Duration::from_secs(20), chunk).await;
            let chunk = chunk.unwrap().unwrap().unwrap();
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

#[tokio::test]
async fn a_stream_tells_all_rows_then_what_changes_and_ends_with_the_node() {
    let node = with_agent().await;
    let mut frames = Frames::open(&node, "/api/v1/tree/stream?path=/agents").await;
    let (cursor, data) = frames.next().await;
    let delta: TreeDelta = serde_json::from_str(&data).unwrap();
    assert!(delta.reset && delta.rows.iter().any(|row| row.path == "/agents/echo"));
    assert!(cursor.starts_with("testnode="), "{cursor}");
    let mut life = Frames::open(&node, "/api/v1/life/stream?path=/agents/**&kind=started").await;
    let agent = json!({ "name": "late", "agent_type": "echo" });
    node.post("/api/v1/agents/register", agent).await;
    loop {
        let (_, data) = frames.next().await;
        let delta: TreeDelta = serde_json::from_str(&data).unwrap();
        assert!(!delta.reset);
        if delta.rows.iter().any(|row| row.path == "/agents/late") {
            break;
        }
    }
    let again = node
        .client
        .get(format!("{}/api/v1/tree/stream?path=/agents", node.url));
    let again = again.bearer_auth(ADMIN).header("last-event-id", &cursor);
    let mut again = Frames {
        answer: again.send().await.unwrap(),
        text: String::new(),
    };
    let (_, data) = again.next().await;
    let delta: TreeDelta = serde_json::from_str(&data).unwrap();
    assert!(!delta.reset, "{data}");
    // The stream may have begun to listen after the first of them.
    for number in 0.. {
        let agent = json!({ "name": format!("later-{number}"), "agent_type": "echo" });
        node.post("/api/v1/agents/register", agent).await;
        let heard = tokio::time::timeout(std::time::Duration::from_secs(2), life.next()).await;
        if let Ok((_, data)) = heard {
            let event: Value = serde_json::from_str(&data).unwrap();
            assert_eq!(
                (&event["what"], &event["node"]),
                (&json!("started"), &json!("testnode"))
            );
            break;
        }
    }
    tokio::time::timeout(std::time::Duration::from_secs(5), node.stop())
        .await
        .unwrap();
    frames.answer.text().await.unwrap();
}

#[tokio::test]
async fn the_messages_of_an_actor_are_told_from_the_first_question_on() {
    let node = with_agent().await;
    let path = "/api/v1/actors/agents/echo/messages";
    let first: ActorMessages = serde_json::from_str(&node.get(path).await.body).unwrap();
    assert_eq!(
        (first.path.as_str(), first.messages.len()),
        ("/agents/echo", 0)
    );
    let paused = post_as(&node, "operator", "/api/v1/actors/agents/echo/pause").await;
    assert_eq!(paused.status, 200, "{paused:?}");
    let told = node.get(path).await;
    let told: ActorMessages = serde_json::from_str(&told.body).unwrap();
    assert_eq!(told.since, first.since);
    let names: Vec<_> = told.messages.iter().map(|it| it.message.as_str()).collect();
    assert!(names.contains(&"Change"), "{names:?}");
    assert!(told.handled >= first.handled + told.messages.len() as u64);
    let listened = node.get(&format!("{path}?wait=10ms")).await;
    assert_eq!(listened.status, 200, "{listened:?}");
    for (query, field) in [
        ("wait=31s", "wait"),
        ("wait=soon", "wait"),
        ("for=1s", "for"),
    ] {
        let refused = node.get(&format!("{path}?{query}")).await;
        assert_eq!((refused.status, refused.field().as_str()), (400, field));
    }
    let nobody = node.get("/api/v1/actors/agents/nobody/messages").await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn the_state_of_an_entity_is_told_as_of_each_of_its_events() {
    let node = with_agent().await;
    let task = json!({ "description": "x", "steps": [{ "id": "a", "agent": "echo" }] });
    let made = node.post("/api/v1/tasks?wait=10s", task).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    // It runs nowhere any more.
    let path = format!("/api/v1/actors/tasks/{id}/state");
    let state = async |query: &str| -> EntityState {
        let told = node.get(&format!("{path}{query}")).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert!(!told.body.contains("token"), "{}", told.body);
        serde_json::from_str(&told.body).unwrap()
    };
    let last = state("").await;
    assert_eq!(
        (last.position, last.state["status"].as_str()),
        (last.head, Some("completed"))
    );
    let first = state("?at=1").await;
    assert_eq!((first.position, first.head), (1, last.head));
    assert_eq!(first.state["spec"]["description"], "x");
    assert_ne!(first.state["status"], "completed");
    assert!(first.at <= last.at);
    for at in ["0".to_owned(), (last.head + 1).to_string(), "x".to_owned()] {
        let refused = node.get(&format!("{path}?at={at}")).await;
        assert_eq!(
            (refused.status, refused.field().as_str()),
            (400, "at"),
            "{at}"
        );
    }
    // Another user's task is not there, nor is what has no events.
    let token = [("authorization", "Bearer developer")];
    assert_eq!(node.send("GET", &path, &token, "").await.status, 404);
    let no_entity = node.get("/api/v1/actors/system/allocator/state").await;
    assert_eq!(no_entity.status, 404);
}
