//! Workflows and their runs over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Answer, Node};

const JSON: (&str, &str) = ("content-type", "application/json");

fn pipeline(name: &str) -> Value {
    json!({
        "name": name,
        "type": "sequential",
        "description": "say it twice",
        "input": { "type": "object", "required": ["word"] },
        "nodes": [
            { "id": "first", "type": "agent", "agent": "echo", "input": "$.input.word" },
            { "id": "second", "type": "agent", "agent": "echo" },
        ],
    })
}

async fn with_echo() -> Node {
    let node = Node::start().await;
    let echo = json!({"name": "echo", "agent_type": "echo"});
    let made = node.post("/api/v1/agents/register", echo).await;
    assert_eq!(made.status, 201, "{made:?}");
    node
}

async fn made(node: &Node, definition: Value) -> Answer {
    let body = json!({ "dag_definition": definition });
    let made = node.post("/api/v1/workflows", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made
}

/// A run that waits for an hour; its address.
async fn waiting(node: &Node) -> String {
    let nap = json!({"name": "nap", "nodes": [{"id": "a", "type": "wait", "for": "1h"}]});
    made(node, nap).await;
    let begun = node.post("/api/v1/workflows/nap/execute", json!({})).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    begun.header("location").to_owned()
}

async fn put(node: &Node, path: &str, body: &Value) -> Answer {
    node.send("PUT", path, &[JSON], &body.to_string()).await
}

#[tokio::test]
async fn a_definition_is_returned_byte_for_byte() {
    let node = Node::start().await;
    let definition = "{ \"name\":\"n\",\n  \"nodes\":[ {\"type\":\"parallel\",\"id\":\"a\"} ], \"metadata\": {\"x\": 1.50, \"ä\": \"\\u00e4\"} }";
    let body = format!("{{\"dag_definition\": {definition}}}");
    let made = node.send("POST", "/api/v1/workflows", &[JSON], &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.body.contains(definition), "{made:?}");
    for path in [
        made.header("location"),
        "/api/v1/workflows/n",
        "/api/workflows/n?version=1",
    ] {
        let found = node.get(path).await;
        assert!(found.body.contains(definition), "{path}: {found:?}");
    }
    let view = made.json();
    for field in [
        "workflow_id",
        "user_id",
        "name",
        "description",
        "workflow_type",
        "status",
        "context",
        "result",
    ] {
        assert!(view.get(field).is_some(), "{field}");
    }
}

#[tokio::test]
async fn a_text_in_yaml_is_taken_and_returned_as_it_was() {
    let node = Node::start().await;
    let source = "# a comment\nname: n\nnodes:\n  - {id: a, type: parallel}\n";
    let made = node
        .post("/api/v1/workflows", json!({ "source": source }))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["source"], source);
    assert_eq!(made.json()["dag_definition"]["nodes"][0]["id"], "a");
}

#[tokio::test]
async fn what_is_wrong_with_a_definition_is_named_with_cause_and_remedy() {
    let node = Node::start().await;
    for (body, field) in [
        (json!({}), "dag_definition"),
        (
            json!({"dag_definition": {"name": "n", "nodes": []}}),
            "nodes",
        ),
        (
            json!({"dag_definition": {"name": "N!", "nodes": [{"id": "a", "type": "parallel"}]}}),
            "name",
        ),
        (
            json!({"dag_definition": {"name": "n", "nodes": [{"id": "a", "type": "parallel", "needs": ["b"]}]}}),
            "nodes[0].needs[0]",
        ),
        (json!({"colour": 1}), "colour"),
        (
            json!({"source": "name: n", "dag_definition": {"name": "n"}}),
            "source",
        ),
        (json!({"status": "asleep"}), "status"),
    ] {
        let refused = node.post("/api/v1/workflows", body.clone()).await;
        assert_eq!(refused.status, 422, "{body}: {refused:?}");
        refused.problem();
        assert_eq!(refused.field(), field, "{body}: {refused:?}");
    }
    let cycle = json!({"dag_definition": {"name": "n", "nodes": [
        {"id": "a", "type": "parallel", "needs": ["b"]}, {"id": "b", "type": "parallel", "needs": ["a"]},
    ]}});
    let refused = node.post("/api/v1/workflows", cycle).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(
        refused.json()["message"].as_str().unwrap().contains('a'),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_workflow_is_made_changed_listed_and_removed() {
    let node = Node::start().await;
    made(&node, pipeline("n")).await;
    let twice = node
        .post(
            "/api/v1/workflows",
            json!({ "dag_definition": pipeline("n") }),
        )
        .await;
    assert_eq!(
        (twice.status, twice.problem().as_str()),
        (409, "name_taken")
    );
    let mut second = pipeline("n");
    second["description"] = json!("another");
    let path = "/api/v1/workflows/n";
    let changed = put(&node, path, &json!({ "dag_definition": second })).await;
    assert_eq!(changed.json()["published"], true, "{changed:?}");
    assert_eq!(changed.json()["workflow"]["version"], 2);
    let same = put(&node, path, &json!({ "dag_definition": second })).await;
    assert_eq!(same.json()["published"], false, "{same:?}");
    let archived = put(&node, path, &json!({ "status": "archived" })).await;
    assert_eq!(
        archived.json()["workflow"]["status"],
        "archived",
        "{archived:?}"
    );
    let versions = node.get("/api/v1/workflows/n/versions").await.json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 2);
    let listed = node
        .get("/api/v1/workflows?status=archived&q=ANOTHER")
        .await
        .json();
    assert_eq!(listed["items"][0]["name"], "n", "{listed}");
    let missing = node.get("/api/v1/workflows/n?version=9").await;
    assert_eq!((missing.status, missing.field().as_str()), (400, "version"));
    let gone = node.send("DELETE", path, &[], "").await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(node.get(path).await.status, 404);
}

#[tokio::test]
async fn a_run_passes_from_node_to_node_and_gives_what_the_last_one_gave() {
    let node = with_echo().await;
    made(&node, pipeline("n")).await;
    let path = "/api/v1/workflows/n/execute?wait=30s";
    let run = node.post(path, json!({"input": {"word": "hi"}})).await;
    assert_eq!(run.status, 200, "{run:?}");
    let run = run.json();
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(run["result"], "hi", "{run}");
    assert_eq!(run["nodes"][1]["input_data"], "hi", "{run}");
    for field in [
        "node_id",
        "workflow_id",
        "name",
        "node_type",
        "status",
        "agent_config",
        "dependencies",
        "input_data",
        "output",
        "error",
        "retry_count",
    ] {
        assert!(run["nodes"][0].get(field).is_some(), "{field}: {run}");
    }
    for field in [
        "edge_id",
        "workflow_id",
        "from_node_id",
        "to_node_id",
        "condition",
        "label",
    ] {
        assert!(run["edges"][0].get(field).is_some(), "{field}: {run}");
    }
    assert_eq!(run["edges"][0]["taken"], true);
    let id = run["id"].as_str().unwrap();
    for path in [
        format!("/api/v1/executions/{id}"),
        format!("/api/v1/workflows/n/executions/{id}"),
        format!("/api/v1/tasks/{id}"),
    ] {
        let found = node.get(&path).await;
        assert_eq!(
            (found.status, &found.json()["status"]),
            (200, &json!("completed")),
            "{path}"
        );
    }
    for path in [
        "/api/v1/workflows/n/executions",
        "/api/v1/executions?workflow=n&status=completed",
    ] {
        let listed = node.get(path).await.json();
        assert_eq!(listed["items"][0]["id"], id, "{path}: {listed}");
    }
}

#[tokio::test]
async fn what_a_run_is_given_is_held_against_the_definition() {
    let node = with_echo().await;
    made(&node, pipeline("n")).await;
    let path = "/api/v1/workflows/n/execute";
    for (body, field) in [
        (json!({}), "input"),
        (json!({"input": 5}), "input"),
        (json!({"input": {"word": 1}, "version": 7}), "version"),
        (
            json!({"input": {"word": 1}, "parent_id": "task_01980000000070008000000000000001"}),
            "parent_id",
        ),
        (json!({"inputs": {}}), "inputs"),
        (json!({"priority": 12}), "priority"),
    ] {
        let refused = node.post(path, body.clone()).await;
        assert_eq!(refused.status, 422, "{body}: {refused:?}");
        refused.problem();
        assert_eq!(refused.field(), field, "{body}: {refused:?}");
    }
    put(&node, "/api/v1/workflows/n", &json!({"status": "draft"})).await;
    let refused = node.post(path, json!({"input": {"word": 1}})).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "not_active")
    );
    assert!(
        refused.json()["message"].as_str().unwrap().contains("PUT"),
        "{refused:?}"
    );
    let task = json!({"description": "d", "workflow": {"id": "workflow_01980000000070008000000000000001", "name": "n", "version": 1}});
    let refused = node.post("/api/v1/tasks", task).await;
    assert_eq!(
        (refused.status, refused.field().as_str()),
        (422, "workflow")
    );
}

#[tokio::test]
async fn the_schema_of_definitions_is_served_as_it_is_published() {
    let node = Node::start().await;
    let served = node.get("/api/v1/workflows/schema").await;
    assert_eq!(served.status, 200, "{served:?}");
    assert_eq!(served.header("content-type"), "application/schema+json");
    let published = include_str!("../../docs/workflow.schema.json");
    let published: Value = serde_json::from_str(published).unwrap();
    assert_eq!(served.json(), published);
    let put = put(&node, "/api/v1/workflows/schema", &json!({})).await;
    assert_eq!(put.status, 405, "{put:?}");
    let named = json!({ "dag_definition": pipeline("schema") });
    let refused = node.post("/api/v1/workflows", named).await;
    assert_eq!(refused.status, 422, "{refused:?}");
}

#[tokio::test]
async fn a_run_that_is_to_start_later_waits_and_is_listed_as_such() {
    let node = with_echo().await;
    made(&node, pipeline("n")).await;
    let body = json!({"input": {"word": "hi"}, "start_at": "2100-01-01T00:00:00Z"});
    let begun = node.post("/api/v1/workflows/n/execute", body).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let id = begun.json()["id"].clone();
    let shown = node.get(begun.header("location")).await.json();
    assert_eq!(
        (&shown["status"], &shown["start_at"], &shown["started_at"]),
        (
            &json!("waiting"),
            &json!("2100-01-01T00:00:00.000000Z"),
            &Value::Null
        )
    );
    let ids = async |status: &str| {
        let path = format!("/api/v1/workflows/n/executions?status={status}");
        let listed = node.get(&path).await.json();
        let items = listed["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|run| run["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("waiting").await, [id]);
    assert_eq!(ids("running").await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_repeat_under_the_same_key_is_the_same_run() {
    let node = with_echo().await;
    made(&node, pipeline("n")).await;
    let headers = [JSON, ("idempotency-key", "once")];
    let body = json!({"input": {"word": "hi"}}).to_string();
    let path = "/api/v1/workflows/n/execute";
    let first = node.send("POST", path, &headers, &body).await;
    let again = node.send("POST", path, &headers, &body).await;
    assert_eq!(
        (first.status, again.status),
        (202, 200),
        "{first:?} {again:?}"
    );
    assert_eq!(first.json()["execution_id"], again.json()["execution_id"]);
    assert_eq!(again.header("idempotent-replay"), "true");
    let other = json!({"input": {"word": "ho"}}).to_string();
    let other = node.send("POST", path, &headers, &other).await;
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "idempotency_mismatch")
    );
}

#[tokio::test]
async fn a_run_is_paused_resumed_and_cancelled() {
    let node = Node::start().await;
    let run = waiting(&node).await;
    assert_eq!(node.get(&run).await.json()["status"], "waiting");
    let paused = node
        .post(&format!("{run}/pause"), json!({"reason": "r"}))
        .await;
    assert_eq!(
        (paused.status, &paused.json()["status"]),
        (200, &json!("paused")),
        "{paused:?}"
    );
    let all = node.post("/api/v1/workflows/nap/resume", json!({})).await;
    assert_eq!(
        all.json()["executions"].as_array().unwrap().len(),
        1,
        "{all:?}"
    );
    assert_eq!(node.get(&run).await.json()["status"], "waiting");
    let cancelled = node
        .post(&format!("{run}/cancel"), json!({"reason": "r"}))
        .await;
    assert_eq!(
        (cancelled.status, &cancelled.json()["status"]),
        (202, &json!("cancelled")),
        "{cancelled:?}"
    );
    assert_eq!(
        cancelled.json()["nodes"][0]["status"],
        "cancelled",
        "{cancelled:?}"
    );
    let late = node.post(&format!("{run}/pause"), json!({})).await;
    assert_eq!(late.status, 409, "{late:?}");
}

#[tokio::test]
async fn the_events_of_a_run_have_names_and_go_on_after_a_cursor() {
    let node = with_echo().await;
    made(&node, pipeline("n")).await;
    let run = node
        .post(
            "/api/v1/workflows/n/execute?wait=30s",
            json!({"input": {"word": "hi"}}),
        )
        .await;
    let path = format!(
        "/api/v1/executions/{}/events",
        run.json()["id"].as_str().unwrap()
    );
    let all = node
        .send("GET", &path, &[("accept", "application/json")], "")
        .await;
    let all = all.json();
    let names: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"]["type"].as_str().unwrap())
        .collect();
    assert_eq!(names.first(), Some(&"workflow.started"), "{names:?}");
    assert_eq!(names.last(), Some(&"workflow.completed"), "{names:?}");
    for name in ["workflow.node.started", "workflow.node.completed"] {
        assert_eq!(
            names.iter().filter(|other| **other == name).count(),
            2,
            "{names:?}"
        );
    }
    let middle = all[3]["seq"].as_u64().unwrap();
    let stream = async {
        let mut response = node
            .client
            .get(format!("{}{path}", node.url))
            .bearer_auth(super::support::ADMIN)
            .header("last-event-id", middle)
            .send()
            .await
            .unwrap();
        let mut text = String::new();
        while let Some(piece) = response.chunk().await.unwrap() {
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        text
    };
    let text = tokio::time::timeout(Duration::from_secs(20), stream)
        .await
        .unwrap();
    assert!(text.contains("event:workflow.completed"), "{text}");
    assert!(!text.contains("event:workflow.started"), "{text}");
    let last = all.as_array().unwrap().last().unwrap()["seq"].to_string();
    let over = node
        .send("GET", &path, &[("last-event-id", &last)], "")
        .await;
    assert_eq!(over.status, 204, "{over:?}");
}

#[tokio::test]
async fn roles_reach_as_far_as_with_tasks() {
    let node = Node::start().await;
    let body = json!({ "dag_definition": {"name": "n", "nodes": [{"id": "a", "type": "wait", "for": "1h"}]} }).to_string();
    let send = async |role: &str, method: &str, path: &str, body: &str| {
        let token = format!("Bearer {role}");
        node.send(method, path, &[JSON, ("authorization", &token)], body)
            .await
    };
    assert_eq!(
        send("viewer", "POST", "/api/v1/workflows", &body)
            .await
            .status,
        403
    );
    assert_eq!(
        send("operator", "POST", "/api/v1/workflows", &body)
            .await
            .status,
        201
    );
    // Everybody of the tenant reads it, and a developer starts it; to change it is for whoever made it.
    assert_eq!(
        send("viewer", "GET", "/api/v1/workflows/n", "")
            .await
            .status,
        200
    );
    assert_eq!(
        send("viewer", "POST", "/api/v1/workflows/n/execute", "")
            .await
            .status,
        403
    );
    assert_eq!(
        send("developer", "DELETE", "/api/v1/workflows/n", "")
            .await
            .status,
        403
    );
    let mine = send("developer", "POST", "/api/v1/workflows/n/execute", "").await;
    assert_eq!(mine.status, 202, "{mine:?}");
    let others = send("operator", "POST", "/api/v1/workflows/n/execute", "").await;
    let (mine, others) = (
        mine.header("location").to_owned(),
        others.header("location").to_owned(),
    );
    assert_eq!(send("developer", "GET", &others, "").await.status, 404);
    assert_eq!(
        send("developer", "POST", &format!("{others}/pause"), "")
            .await
            .status,
        404
    );
    assert_eq!(
        send("developer", "POST", &format!("{mine}/pause"), "")
            .await
            .status,
        200
    );
    assert_eq!(
        send("operator", "POST", &format!("{mine}/cancel"), "")
            .await
            .status,
        202
    );
}
