//! What is wrong with a request, and what each answer carries.

use std::sync::Arc;

use serde_json::json;
use troupe::edge::Readiness;

use super::support::{ADMIN, Node, Start};

const JSON: (&str, &str) = ("content-type", "application/json");
const RUN: &str = "task_01980000000070008000000000000001";
const TASK: &str = "/api/v1/tasks/task_01980000000070008000000000000001";

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let node = Node::start().await;
    for path in [
        "/",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v1/tasks/",
        "/api/v2/tasks",
        "/api/v1/tasks/x/y/z",
    ] {
        let answer = node.get(path).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    let answer = node.get("/api/v1/tasks/not-an-id").await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (404, "not_found")
    );
}

#[tokio::test]
async fn a_method_that_a_path_lacks_is_told_with_those_that_it_has() {
    let node = Node::start().await;
    for (method, path, allow) in [
        ("PATCH", TASK, "GET, HEAD, PUT, DELETE"),
        ("DELETE", "/api/v1/tasks", "POST, GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", "/api/v1/jobs", "POST, GET, HEAD"),
        ("GET", &format!("{TASK}/cancel"), "POST"),
        ("DELETE", "/api/v1/agents/stats", "GET, HEAD"),
        ("PUT", "/api/v1/agents/register", "POST"),
    ] {
        let answer = node.send(method, path, &[], "").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, allow),
            "{method} {path}"
        );
        assert_eq!(answer.problem(), "method_not_allowed");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let mut node = Node::start().await;
    let full = node.get("/health/live").await.body.len().to_string();
    for _ in ["HTTP/1.1", "HTTP/2"] {
        let answer = node.send("HEAD", "/health/live", &[], "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(answer.header("content-length"), full);
        node.client = reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .build()
            .unwrap();
    }
}

#[tokio::test]
async fn only_json_is_taken() {
    let node = Node::start().await;
    for media in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
    ] {
        let answer = node
            .send("POST", "/api/v1/tasks", &[("content-type", media)], "{}")
            .await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (415, "unsupported_media_type"),
            "{media}"
        );
    }
    let answer = node
        .send(
            "POST",
            &format!("{TASK}/cancel"),
            &[("content-type", "text/plain")],
            "x",
        )
        .await;
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn malformed_json_is_answered_with_its_place() {
    let node = Node::start().await;
    for (body, code) in [
        ("{\"description\":\n }", "malformed_json"),
        ("not json", "malformed_json"),
        (
            "{\"description\": \"a\", \"description\": \"b\"}",
            "json_limit",
        ),
        ("{\"metadata\": {\"a\": 1, \"a\": 2}}", "json_limit"),
        (&"[".repeat(60_000), "json_limit"),
        (
            &format!(
                "{{\"description\": \"d\", \"input\": [{}1]}}",
                "1,".repeat(10_000)
            ),
            "json_limit",
        ),
    ] {
        let answer = node.send("POST", "/api/v1/tasks", &[JSON], body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, code),
            "{answer:?}"
        );
        assert!(
            answer.body.contains("line ") && answer.body.contains("column "),
            "{answer:?}"
        );
    }
    let latin = b"{\"description\": \"\xe4\"}";
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        latin.len()
    );
    let answer = node.raw(&[head.as_bytes(), latin].concat()).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("not_utf8"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let node = Node::start().await;
    for (method, path, body, field) in [
        (
            "POST",
            "/api/v1/tasks",
            json!({"description": "d", "status": "completed"}),
            "status",
        ),
        (
            "POST",
            "/api/tasks",
            json!({"description": "d", "tenant": "x"}),
            "tenant",
        ),
        (
            "POST",
            "/api/v1/jobs",
            json!({"description": "d", "steps": [{"id": "a", "needs": [7]}]}),
            "steps[0].needs[0]",
        ),
        (
            "POST",
            "/api/v1/agents/register",
            json!({"name": "a"}),
            "agent_type",
        ),
        (
            "POST",
            "/api/v1/agents/register",
            json!({"name": "a", "agent_type": "echo", "owner": "b"}),
            "owner",
        ),
        ("PUT", TASK, json!({"priority": "high"}), "priority"),
        (
            "POST",
            &format!("{TASK}/assign"),
            json!({"agent_id": "a", "role": "admin"}),
            "role",
        ),
        (
            "POST",
            "/api/v1/agents/a/stop",
            json!({"mode": "soon"}),
            "mode",
        ),
        (
            "PUT",
            "/api/v1/agents/a",
            json!({"max_tasks": -1}),
            "max_tasks",
        ),
        ("PUT", "/api/v1/agents/a/config", json!([]), "body"),
        ("POST", "/api/v1/tasks", json!(["x"]), "body"),
        ("POST", "/api/v1/stop", json!([{"user": "ada"}]), "body"),
    ] {
        let answer = node.send(method, path, &[JSON], &body.to_string()).await;
        assert_eq!(
            (answer.status, answer.field().as_str()),
            (422, field),
            "{method} {path}: {answer:?}"
        );
        answer.problem();
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let node = Node::start().await;
    for (path, field) in [
        ("/api/v1/tasks?limit=0", "limit"),
        ("/api/v1/tasks?limit=201", "limit"),
        ("/api/v1/tasks?status=done", "status"),
        ("/api/v1/tasks?state=failed", "state"),
        ("/api/v1/tasks?parent_id=x", "parent_id"),
        ("/api/v1/tasks?cursor=forged", "cursor"),
        ("/api/v1/tasks?limit=1&limit=2", "limit"),
        ("/api/v1/agents?type=robot", "type"),
        ("/api/v1/agents?meta=x", "meta"),
        ("/api/v1/tree?depth=-1", "depth"),
        ("/api/v1/schedules?status=done", "status"),
        ("/api/v1/triggers?status=done", "status"),
        ("/health?x=1", "x"),
        (&format!("{TASK}?wait=soon"), "wait"),
        (&format!("{TASK}?wait=1d"), "wait"),
        (&format!("{TASK}?consistency=none"), "consistency"),
        (&format!("{TASK}/events?since=-1"), "since"),
    ] {
        let answer = node.get(path).await;
        assert_eq!(
            (answer.status, answer.field().as_str()),
            (400, field),
            "{path}: {answer:?}"
        );
    }
    let answer = node
        .send(
            "GET",
            &format!("{TASK}/events"),
            &[("last-event-id", "x")],
            "",
        )
        .await;
    assert_eq!(
        (answer.status, answer.field().as_str()),
        (400, "Last-Event-ID")
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_in_plain_words() {
    let node = Node::start().await;
    for (path, body, told) in [
        (
            "tasks",
            json!(["x"]),
            "body: is an array, where an object is expected",
        ),
        (
            "tasks",
            json!({"description": 7}),
            "description: is the number 7, where a text is expected",
        ),
        (
            "tasks",
            json!({"description": "d", "budget": "much"}),
            "budget: is the text \"much\", where an object is expected",
        ),
        (
            "tasks",
            json!({"description": "d", "steps": [{"id": "a", "retry": {"max_attempts": -1}}]}),
            "steps[0].retry.max_attempts: is the number -1, where a whole number from 0 to 4294967295 is expected",
        ),
    ] {
        let answer = node.post(&format!("/api/v1/{path}"), body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(answer.json()["message"], told, "{body}");
    }
    let answer = node.get("/api/v1/tasks?status=done").await;
    let told = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(
        told.starts_with("status: `done` is not known here; expected one of `"),
        "{told}"
    );
}

#[tokio::test]
async fn a_body_where_none_is_taken_is_refused() {
    let node = Node::start().await;
    for (method, path) in [
        ("POST", format!("{TASK}/resume")),
        ("POST", "/api/v1/agents/a/pause".to_owned()),
        ("DELETE", "/api/v1/tokens/x".to_owned()),
    ] {
        for body in [r#"{"reason": 1}"#, "nonsense", "[]"] {
            let answer = node.send(method, &path, &[JSON], body).await;
            assert_eq!(
                (answer.status, answer.field().as_str()),
                (400, "body"),
                "{method} {path} {body}: {answer:?}"
            );
        }
        for body in ["", "{}", " {\n} "] {
            let answer = node.send(method, &path, &[JSON], body).await;
            assert_eq!(answer.status, 404, "{method} {path} {body}: {answer:?}");
        }
    }
    let answer = node
        .post(
            &format!("/api/v1/executions/{RUN}/replay?dry=perhaps"),
            json!({}),
        )
        .await;
    assert_eq!((answer.status, answer.field().as_str()), (400, "dry"));
}

#[tokio::test]
async fn a_wrong_idempotency_key_is_named() {
    let node = Node::start().await;
    for key in ["", &"k".repeat(256)] {
        for (path, body) in [
            ("/api/v1/tasks", "{\"description\": \"d\"}"),
            ("/api/v1/agents/a/pause", ""),
        ] {
            let answer = node
                .send("POST", path, &[JSON, ("idempotency-key", key)], body)
                .await;
            assert_eq!(
                (answer.status, answer.field().as_str()),
                (400, "Idempotency-Key"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_has_a_limit_to_the_byte() {
    let node = Node::start().await;
    for (path, limit) in [
        ("/api/v1/agents/register", 64 * 1024),
        ("/api/v1/tasks", 1024 * 1024),
    ] {
        // Blanks are no data, but they are bytes.
        let fits = format!("[]{}", " ".repeat(limit - 2));
        let answer = node.send("POST", path, &[JSON], &fits).await;
        assert_eq!(answer.status, 422, "{path}");
        let answer = node.send("POST", path, &[JSON], &format!("{fits} ")).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (413, "too_large"),
            "{path}"
        );

        for (length, status) in [(limit, "422"), (limit + 1, "413")] {
            let chunked = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n[]{}\r\n0\r\n\r\n",
                " ".repeat(length - 2),
            );
            let answer = node.raw(chunked.as_bytes()).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{path}: {}",
                &answer[..80.min(answer.len())]
            );
        }
    }
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let node = Node::start().await;
    let answer = node
        .send("GET", "/health", &[("x-request-id", "my.req_7-A")], "")
        .await;
    assert_eq!(answer.header("x-request-id"), "my.req_7-A");
    let answer = node
        .send("GET", "/nothing", &[("x-request-id", "bad id")], "")
        .await;
    assert!(
        answer.header("x-request-id").starts_with("req_"),
        "{answer:?}"
    );
    answer.problem();
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let node = Node::start().await;
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/nothing"),
        ("GET", "/metrics"),
        ("POST", "/api/v1/tasks"),
    ] {
        let answer = node.send(method, path, &[], "").await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'none'"),
            "{path}"
        );
        assert_eq!(answer.header("server"), "", "{path}");
    }
}

#[tokio::test]
async fn readiness_follows_the_node() {
    let node = Node::start().await;
    for (readiness, status) in [
        (Readiness::Starting, 503),
        (Readiness::Ready, 200),
        (Readiness::Draining, 503),
    ] {
        node.ready.send(readiness).unwrap();
        assert_eq!(
            node.get("/health/ready").await.status,
            status,
            "{readiness:?}"
        );
        assert_eq!(node.get("/health/live").await.status, 200, "{readiness:?}");
    }
    assert_eq!(node.get("/health").await.json()["status"], "draining");
}

#[tokio::test]
async fn a_handler_that_panics_is_a_problem_and_the_node_lives() {
    let metrics = Arc::new(|| -> String { panic!("on purpose") });
    let node = Node::start_with(Start {
        metrics,
        ..Start::default()
    })
    .await;
    for _ in 0..3 {
        let answer = node
            .send("GET", "/metrics", &[("x-request-id", "the-one")], "")
            .await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (500, "internal")
        );
        assert_eq!(answer.header("x-request-id"), "the-one");
        assert!(!answer.body.contains("on purpose"), "{answer:?}");
    }
    assert_eq!(node.get("/health").await.status, 200);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .unwrap();
    let start = Start {
        metrics: Arc::new(move || recorder.render()),
        ..Start::default()
    };
    let node = Node::start_with(start).await;
    node.get("/api/v1/agents/somebody-special/config").await;
    node.get("/made-up").await;
    let text = node.get("/metrics").await;
    assert!(text.header("content-type").starts_with("text/plain"));
    for part in [
        "troupe_http_requests_total{route=\"/api/v1/agents/{agent}/config\",method=\"GET\",status=",
        "troupe_http_requests_total{route=\"unmatched\",method=\"unmatched\",status=\"404\"}",
        "# HELP troupe_http_requests_total",
        "# TYPE troupe_http_request_seconds",
    ] {
        assert!(text.body.contains(part), "{part} in {}", text.body);
    }
    assert!(
        !text.body.contains("somebody-special") && !text.body.contains("made-up"),
        "{}",
        text.body
    );
}
