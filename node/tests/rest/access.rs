//! Who may call what.

use protocol::access::Role;
use troupe::edge::{
    access::Access,
    table::{self, Content, Route},
};

use super::support::{Node, Start, bind};

/// A path of the route; nothing of that name exists.
fn path(route: &Route) -> String {
    let path = route
        .path
        .replace("{task}", "task_01980000000070008000000000000001");
    path.replace("{agent}", "nobody")
        .replace("{question}", "question_01980000000070008000000000000001")
        .replace("{node}", "nowhere")
        .replace("{token}", "token_01980000000070008000000000000001")
        .replace("{schedule}", "schedule_01980000000070008000000000000001")
        .replace("{trigger}", "trigger_01980000000070008000000000000001")
        .replace("{template}", "nothing")
        .replace("{step}", "s")
        .replace("{attempt}", "1")
        .replace("{name}", "n")
        .replace("{workflow}", "nothing")
        .replace("{execution}", "task_01980000000070008000000000000001")
        .replace("{path}", "nothing")
}

fn is_endless(route: &Route) -> bool {
    let mut answers = route.answers.iter();
    answers.any(|answer| matches!(answer.content, Content::Feed(_)))
}

#[tokio::test]
async fn every_route_but_health_and_what_is_signed_wants_a_token() {
    let node = Node::start().await;
    for route in table::routes() {
        for wrong in [
            "",
            "Bearer",
            "Bearer wrong",
            "Basic for-tests-only",
            "Bearer for-tests-onlyx",
        ] {
            let headers = [("authorization", wrong)];
            let answer = node
                .send(route.method.as_str(), &path(route), &headers, "")
                .await;
            if route.path.starts_with("/api/v1/hooks/") {
                // Its token is the signature of what is sent.
                assert_eq!(answer.status, 415, "{}: {answer:?}", route.id);
            } else if route.access == Access::Open {
                assert_eq!(answer.status, 200, "{}: {answer:?}", route.id);
            } else {
                assert_eq!(
                    (answer.status, answer.problem().as_str()),
                    (401, "unauthenticated"),
                    "{}",
                    route.id
                );
                assert!(
                    answer.header("www-authenticate").starts_with("Bearer"),
                    "{}",
                    route.id
                );
            }
        }
    }
}

#[tokio::test]
async fn a_role_gets_as_far_as_the_table_says() {
    let node = Node::start().await;
    for route in table::routes() {
        let Access::Least(least) = route.access else {
            continue;
        };
        if is_endless(route) {
            // Its answer has no end to wait for; viewers get it, and there is no role below.
            assert_eq!(least, Role::Viewer, "{}", route.id);
            continue;
        }
        let roles = ["viewer", "developer", "operator"];
        for (rank, role) in roles.into_iter().enumerate() {
            let token = format!("Bearer {role}");
            let headers = [("authorization", token.as_str())];
            let answer = node
                .send(route.method.as_str(), &path(route), &headers, "")
                .await;
            assert_ne!(answer.status, 401, "{} as {role}", route.id);
            if rank < least as usize {
                assert_eq!(
                    (answer.status, answer.problem().as_str()),
                    (403, "forbidden"),
                    "{} as {role}",
                    route.id
                );
            } else {
                assert_ne!(answer.status, 403, "{} as {role}: {answer:?}", route.id);
            }
        }
    }
}

#[tokio::test]
async fn strangers_do_not_learn_what_is_there() {
    let node = Node::start().await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/v1/nothing"),
        ("PATCH", "/api/v1/tasks"),
        ("GET", "/debug"),
    ] {
        let answer = node.send(method, path, &[("authorization", "")], "").await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn health_shows_its_checks_to_callers_only() {
    let node = Node::start().await;
    let stranger = node
        .send("GET", "/health", &[("authorization", "")], "")
        .await
        .json();
    assert_eq!(stranger["node"], "testnode");
    assert!(stranger.get("checks").is_none());
}

#[tokio::test]
async fn a_foreign_host_name_is_misdirected() {
    let node = Node::start().await;
    for (host, status) in [
        ("evil.test", "421"),
        ("evil.test:8000", "421"),
        ("localhost.evil.test", "421"),
        ("192.168.0.1", "421"),
        ("localhost", "200"),
        ("LOCALHOST:1", "200"),
        ("127.0.0.1", "200"),
        ("[::1]:8000", "200"),
    ] {
        let answer = node
            .raw(
                format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
                    .as_bytes(),
            )
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{host}: {answer}"
        );
    }
    for wrong in [
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /health HTTP/1.0\r\n\r\n",
    ] {
        let answer = node.raw(wrong.as_bytes()).await;
        assert!(answer.contains(" 400 "), "{wrong}: {answer}");
    }
    let absolute = node
        .raw(
            b"GET http://evil.test/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(absolute.starts_with("HTTP/1.1 421 "), "{absolute}");
}

#[tokio::test]
async fn a_configured_name_is_answered() {
    let mut start = Start::default();
    start.config.hosts = vec!["troupe.example".to_owned()];
    let node = Node::start_with(start).await;
    let answer = node
        .send("GET", "/health", &[("host", "troupe.example:443")], "")
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn browsers_of_other_origins_get_nothing() {
    let node = Node::start().await;
    for origin in ["https://evil.test", "null", "http://localhost"] {
        let headers = [("origin", origin), ("access-control-request-method", "GET")];
        for method in ["OPTIONS", "GET"] {
            let answer = node.send(method, "/api/v1/tasks", &headers, "").await;
            assert!(
                !answer
                    .headers
                    .keys()
                    .any(|name| name.as_str().starts_with("access-control-")),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_address_that_others_reach_needs_tls() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.168.1.1:0"] {
        let mut start = Start::default();
        start.config.listen = address.parse().unwrap();
        let error = bind(&start, dir.path()).await.unwrap_err().to_string();
        assert!(
            error.contains("[edge.tls]") && error.contains("127.0.0.1"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_with_its_holder() {
    let node = Node::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut start = Start::default();
    start.config.listen = node.address;
    let error = bind(&start, dir.path()).await.unwrap_err().to_string();
    assert!(error.contains(&node.address.to_string()), "{error}");
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
}
