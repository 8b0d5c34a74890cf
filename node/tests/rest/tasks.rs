//! The life of a task over HTTP.

use serde_json::{Value, json};

use super::support::{Answer, Node};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn with_agents() -> Node {
    let node = Node::start().await;
    for kind in ["echo", "sleep"] {
        let made = node
            .post(
                "/api/v1/agents/register",
                json!({"name": kind, "agent_type": kind}),
            )
            .await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    node
}

fn echo() -> Value {
    json!({"description": "say hi", "steps": [{"id": "a", "agent": "echo", "input": "hi"}]})
}

fn long() -> Value {
    json!({"description": "sleep", "steps": [{"id": "a", "agent": "sleep", "input": {"for": "1h"}}]})
}

fn path(made: &Answer) -> String {
    format!("/api/v1/tasks/{}", made.json()["id"].as_str().unwrap())
}

/// When the first step of a task runs.
async fn runs(node: &Node, made: &Answer) {
    let runs = async {
        while node.get(&path(made)).await.json()["plan"]["steps"][0]["status"] != "running" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), runs)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_task_is_submitted_and_awaited() {
    let node = with_agents().await;
    let made = node.post("/api/v1/tasks?wait=30s", echo()).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("location"), path(&made));
    let task = made.json();
    assert_eq!(
        (task["status"].as_str(), task["progress"].as_u64()),
        (Some("completed"), Some(100)),
        "{task}"
    );
    for prefix in ["/api/tasks", "/api/v1/jobs", "/api/jobs"] {
        let same = node
            .get(&path(&made).replace("/api/v1/tasks", prefix))
            .await;
        assert_eq!(same.json()["id"], task["id"], "{prefix}");
    }
    for part in ["result", "allocation", "attempts", "why", "tree"] {
        let answer = node.get(&format!("{}/{part}", path(&made))).await;
        assert_eq!(answer.status, 200, "{part}: {answer:?}");
    }
    let strong = node
        .get(&format!("{}?consistency=strong&wait=1s", path(&made)))
        .await;
    assert_eq!(strong.json()["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_submission_makes_one_task() {
    let node = with_agents().await;
    let headers = [JSON, ("idempotency-key", "order 66")];
    let first = node
        .send("POST", "/api/v1/tasks", &headers, &echo().to_string())
        .await;
    let second = node
        .send("POST", "/api/v1/tasks", &headers, &echo().to_string())
        .await;
    assert_eq!(
        (first.status, second.status),
        (201, 200),
        "{first:?} {second:?}"
    );
    assert_eq!(second.header("idempotent-replay"), "true");
    assert_eq!(first.json()["id"], second.json()["id"]);
    let other = node
        .send("POST", "/api/v1/tasks", &headers, &long().to_string())
        .await;
    assert_eq!(other.status, 422, "{other:?}");

    // Nothing is left of the others either, neither now nor after what they had started ends.
    for _ in 0..10 {
        node.send("POST", "/api/v1/tasks", &headers, &echo().to_string())
            .await;
    }
    node.post("/api/v1/tasks?wait=30s", echo()).await;
    let all = node.get("/api/v1/tasks").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
}

#[tokio::test]
async fn a_repeat_finds_its_task_when_it_could_not_be_made_any_more() {
    let node = with_agents().await;
    let headers = [JSON, ("idempotency-key", "k")];
    let body = echo().to_string();
    let first = node.send("POST", "/api/v1/tasks", &headers, &body).await;
    let gone = node.send("DELETE", "/api/v1/agents/echo", &[], "").await;
    assert_eq!(gone.status, 204);
    let again = node.send("POST", "/api/v1/tasks", &headers, &body).await;
    assert_eq!(
        (again.status, &again.json()["id"]),
        (200, &first.json()["id"]),
        "{again:?}"
    );
    let other = node.post("/api/v1/tasks", echo()).await;
    assert_eq!(other.status, 422, "there is no such agent any more");
}

#[tokio::test]
async fn keys_of_two_users_have_nothing_to_do_with_each_other() {
    let node = with_agents().await;
    let mut made = Vec::new();
    for token in ["Bearer developer", "Bearer operator"] {
        let headers = [JSON, ("idempotency-key", "k"), ("authorization", token)];
        let body = echo().to_string();
        let answer = node.send("POST", "/api/v1/tasks", &headers, &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        made.push(answer.json()["id"].clone());
    }
    assert_ne!(made[0], made[1]);
}

#[tokio::test]
async fn events_stream_until_the_task_is_settled() {
    let node = with_agents().await;
    let made = node.post("/api/v1/tasks?wait=30s", echo()).await;
    let events = format!("{}/events", path(&made));
    let stream = node.get(&events).await;
    assert!(
        stream
            .header("content-type")
            .starts_with("text/event-stream"),
        "{stream:?}"
    );
    let positions = |text: &str| -> Vec<u64> {
        text.lines()
            .filter_map(|line| line.strip_prefix("id:")?.trim().parse().ok())
            .collect()
    };
    let all = positions(&stream.body);
    assert_eq!(
        all,
        (1..=made.json()["version"].as_u64().unwrap()).collect::<Vec<_>>()
    );
    let later = node
        .send("GET", &events, &[("last-event-id", "2")], "")
        .await;
    assert_eq!(positions(&later.body), all[2..]);
    let since = node.get(&format!("{events}?since=2")).await;
    assert_eq!(positions(&since.body), all[2..]);
    for last in [all.len(), all.len() + 7] {
        let last = last.to_string();
        let none = node
            .send("GET", &events, &[("last-event-id", &last)], "")
            .await;
        assert_eq!((none.status, none.body.as_str()), (204, ""), "{last}");
    }
    let json = node
        .send("GET", &events, &[("accept", "application/json")], "")
        .await
        .json();
    let listed: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(listed, all);
}

#[tokio::test]
async fn events_so_far_are_answered_while_the_task_runs_and_streams_end_with_the_node() {
    let node = with_agents().await;
    let made = node.post("/api/v1/tasks", long()).await;
    let events = format!("{}/events", path(&made));
    let json = node
        .send("GET", &events, &[("accept", "application/json")], "")
        .await
        .json();
    assert_eq!(json[0]["event"]["type"], "submitted");
    let stream = node
        .client
        .get(format!("{}{events}", node.url))
        .bearer_auth(super::support::ADMIN);
    let mut stream = stream.send().await.unwrap();
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(
        String::from_utf8_lossy(&first).contains("event:submitted"),
        "{first:?}"
    );
    tokio::time::timeout(std::time::Duration::from_secs(5), node.stop())
        .await
        .unwrap();
    stream.text().await.unwrap();
}

#[tokio::test]
async fn a_task_is_changed_cancelled_and_deleted() {
    let node = with_agents().await;
    let made = node.post("/api/v1/tasks", long()).await;
    let changed = node
        .send("PUT", &path(&made), &[JSON], "{\"priority\": 9}")
        .await;
    assert_eq!(changed.json()["priority"], 9, "{changed:?}");
    assert_eq!(
        node.get(&format!("{}/result", path(&made))).await.status,
        409
    );
    assert_eq!(node.send("DELETE", &path(&made), &[], "").await.status, 409);
    let cancelled = node
        .send(
            "POST",
            &format!("{}/cancel", path(&made)),
            &[JSON],
            "{\"reason\": \"enough\"}",
        )
        .await;
    assert_eq!(
        (cancelled.status, cancelled.json()["status"].as_str()),
        (202, Some("cancelled"))
    );
    assert_eq!(
        cancelled.json()["progress"],
        0,
        "nothing of it was completed"
    );
    assert_eq!(
        node.send("PUT", &path(&made), &[JSON], "{\"priority\": 1}")
            .await
            .status,
        409
    );
    assert_eq!(node.send("DELETE", &path(&made), &[], "").await.status, 204);
    assert_eq!(node.get(&path(&made)).await.status, 404);
    let running = node.post("/api/v1/tasks", long()).await;
    let gone = node
        .send(
            "DELETE",
            &format!("{}?cancel=true", path(&running)),
            &[],
            "",
        )
        .await;
    assert_eq!(gone.status, 204, "{gone:?}");
}

#[tokio::test]
async fn a_pause_and_the_stop_of_an_agent_tell_what_they_reached_and_the_tree_shows_it() {
    let node = with_agents().await;
    let made = node.post("/api/v1/tasks", long()).await;
    let mut part = long();
    part["parent_id"] = made.json()["id"].clone();
    let part = node.post("/api/v1/tasks", part).await;
    runs(&node, &made).await;
    runs(&node, &part).await;
    let now = json!({ "mode": "now", "reason": "a test" });
    let paused = node.post(&format!("{}/pause", path(&made)), now).await;
    assert_eq!(paused.status, 200, "{paused:?}");
    let paused = paused.json();
    assert_eq!(paused["status"], "paused");
    let figures = |of: &Value| ["tasks", "ended", "running"].map(|key| of["reach"][key].clone());
    assert_eq!(figures(&paused), [2, 2, 0].map(Value::from), "{paused}");
    for made in [&made, &part] {
        let row = format!(
            "/api/v1/tree?path=/tasks/{}",
            made.json()["id"].as_str().unwrap()
        );
        assert_eq!(node.get(&row).await.json()["nodes"][0]["state"], "paused");
    }
    let resumed = node
        .post(&format!("{}/resume", path(&made)), json!({}))
        .await;
    assert_eq!(figures(&resumed.json())[0], 2, "{resumed:?}");
    runs(&node, &made).await;
    runs(&node, &part).await;
    let stop = json!({ "mode": "now" });
    let stopped = node.post("/api/v1/agents/sleep/stop", stop).await;
    assert_eq!(stopped.status, 202, "{stopped:?}");
    let stopped = stopped.json();
    assert_eq!(stopped["status"], "inactive");
    assert_eq!(figures(&stopped)[1..], [2, 0].map(Value::from), "{stopped}");
}

#[tokio::test]
async fn tasks_come_in_pages_the_newest_first() {
    let node = with_agents().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(node.post("/api/v1/tasks?wait=30s", echo()).await.json()["id"].clone());
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut next = "/api/v1/tasks?limit=2".to_owned();
    loop {
        let page = node.get(&next).await.json();
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|task| task["id"].clone()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("/api/v1/tasks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn what_a_step_left_is_served_to_be_saved() {
    let node = with_agents().await;
    let made = node.post("/api/v1/tasks?wait=30s", echo()).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let directory = node.data_dir.path().join("artifacts").join(&id).join("a/1");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("page.html"), "<script>").unwrap();
    std::fs::write(node.data_dir.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(node.data_dir.path().join("secret"), directory.join("link"))
        .unwrap();

    let file = node
        .get(&format!("/api/v1/tasks/{id}/artifacts/a/1/page.html"))
        .await;
    assert_eq!((file.status, file.body.as_str()), (200, "<script>"));
    assert_eq!(file.header("content-type"), "application/octet-stream");
    assert!(file.header("content-disposition").starts_with("attachment"));
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    for outside in [
        "a/1/link",
        "a/1/absent",
        "a/1/%2e%2e",
        "a/%2e%2e%2f/page.html",
        "a/1/..%2f..%2fsecret",
        "%2e%2e/1/secret",
    ] {
        let answer = node
            .get(&format!("/api/v1/tasks/{id}/artifacts/{outside}"))
            .await;
        assert_eq!(answer.status, 404, "{outside}: {answer:?}");
    }
}

#[tokio::test]
async fn what_another_user_has_is_not_there() {
    let node = with_agents().await;
    let made = node.post("/api/v1/tasks?wait=30s", echo()).await;
    let developer = [("authorization", "Bearer developer")];
    for part in [
        "",
        "/result",
        "/events",
        "/why",
        "/tree",
        "/attempts",
        "/allocation",
        "/artifacts/a/1/x",
    ] {
        let foreign = node
            .send("GET", &format!("{}{part}", path(&made)), &developer, "")
            .await;
        assert_eq!(foreign.status, 404, "{part}: {foreign:?}");
    }
}
