//! The life of an agent over HTTP.

use serde_json::json;

use super::support::Node;

async fn with_agent(name: &str) -> Node {
    let node = Node::start().await;
    let spec = json!({"name": name, "agent_type": "echo", "capabilities": ["talk"], "metadata": {"team": "red"}});
    let made = node.post("/api/v1/agents/register", spec).await;
    assert_eq!(made.status, 201, "{made:?}");
    node
}

#[tokio::test]
async fn an_agent_is_registered_and_found_by_id_and_name() {
    let node = with_agent("ann").await;
    let by_name = node.get("/api/agents/ann").await.json();
    let id = by_name["id"].as_str().unwrap();
    assert_eq!(
        node.get(&format!("/api/v1/agents/{id}")).await.json()["name"],
        "ann"
    );
    assert_eq!(by_name["status"], "active");
    for path in [
        "/api/v1/agents",
        "/api/v1/agents?meta.team=red&type=echo&capability=talk&limit=1",
    ] {
        let list = node.get(path).await.json();
        assert_eq!(
            (list["items"][0]["name"].as_str(), list["total"].as_u64()),
            (Some("ann"), Some(1)),
            "{path}"
        );
    }
    assert_eq!(
        node.get("/api/v1/agents?meta.team=blue").await.json()["total"],
        0
    );
    let again = node
        .post(
            "/api/v1/agents/register",
            json!({"name": "ann", "agent_type": "echo"}),
        )
        .await;
    assert_eq!(again.status, 409, "{again:?}");
}

#[tokio::test]
async fn a_name_that_is_another_path_is_no_name() {
    let node = Node::start().await;
    for name in ["stats", "register", ".", ".."] {
        let spec = json!({"name": name, "agent_type": "echo"});
        let refused = node.post("/api/v1/agents/register", spec).await;
        assert_eq!(
            (refused.status, refused.field().as_str()),
            (422, "name"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_repeated_registration_gets_the_answer_of_the_first() {
    let node = Node::start().await;
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
    ];
    let body = json!({"name": "ann", "agent_type": "echo"}).to_string();
    let first = node
        .send("POST", "/api/v1/agents/register", &headers, &body)
        .await;
    let second = node
        .send("POST", "/api/v1/agents/register", &headers, &body)
        .await;
    assert_eq!(
        (first.status, second.status),
        (201, 201),
        "{first:?} {second:?}"
    );
    assert_eq!(first.body, second.body);
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(
        (
            first.header("idempotent-replay"),
            second.header("idempotent-replay")
        ),
        ("", "true")
    );
    let other = json!({"name": "bob", "agent_type": "echo"}).to_string();
    let mismatch = node
        .send("POST", "/api/v1/agents/register", &headers, &other)
        .await;
    assert_eq!(
        (mismatch.status, mismatch.problem().as_str()),
        (422, "idempotency_mismatch")
    );
}

#[tokio::test]
async fn an_agent_is_started_stopped_paused_and_resumed() {
    let node = with_agent("ann").await;
    for (call, status, state) in [
        ("start", 200, "active"),
        ("pause", 200, "paused"),
        ("resume", 200, "active"),
        ("stop", 202, "inactive"),
        ("start", 202, "active"),
    ] {
        let answer = node
            .send("POST", &format!("/api/v1/agents/ann/{call}"), &[], "")
            .await;
        assert_eq!(answer.status, status, "{call}: {answer:?}");
        assert_eq!(answer.json()["status"], state, "{call}");
    }
    let events = node.get("/api/v1/agents/ann/events").await.json();
    assert_eq!(events[0]["event"]["type"], "registered");
    let later = node
        .get("/api/v1/agents/ann/events?since=1&limit=1")
        .await
        .json();
    assert_eq!(later.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_agent_is_changed_checked_and_removed() {
    let node = with_agent("ann").await;
    let json = [("content-type", "application/json")];
    let changed = node
        .send("PUT", "/api/v1/agents/ann", &json, "{\"max_tasks\": 7}")
        .await;
    assert_eq!(changed.json()["max_tasks"], 7, "{changed:?}");
    let config = node
        .send("PUT", "/api/v1/agents/ann/config", &json, "{}")
        .await;
    assert_eq!((config.status, config.body.as_str()), (200, "{}"));
    assert_eq!(node.get("/api/v1/agents/ann/config").await.body, "{}");
    let health = node
        .send("POST", "/api/v1/agents/ann/health", &[], "")
        .await;
    assert_eq!(health.json()["status"], "healthy", "{health:?}");
    assert_eq!(node.get("/api/v1/agents/stats").await.json()["total"], 1);
    let gone = node.send("DELETE", "/api/v1/agents/ann", &[], "").await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    assert_eq!(node.get("/api/v1/agents/ann").await.status, 404);
}
