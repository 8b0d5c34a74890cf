//! MCP as its clients speak it: today's, which say all in each message, and yesterday's, which begin with
//! a handshake.

use serde_json::{Value, json};

use super::support::{ADMIN, Answer, Node};

const TODAY: &str = "2026-07-28";
const YESTERDAY: &str = "2025-11-25";

async fn send(node: &Node, token: &str, headers: &[(&str, &str)], message: &Value) -> Answer {
    let token = format!("Bearer {token}");
    let mut all = vec![
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    all.extend_from_slice(headers);
    node.send("POST", "/mcp", &all, &message.to_string()).await
}

/// A question of a client of today.
async fn ask(node: &Node, token: &str, method: &str, params: Value) -> Value {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": TODAY,
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let name = params["name"].as_str().unwrap_or_default().to_owned();
    let mut headers = vec![("mcp-protocol-version", TODAY), ("mcp-method", method)];
    if !name.is_empty() {
        headers.push(("mcp-name", name.as_str()));
    }
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let answer = send(node, token, &headers, &message).await;
    let told = answer.json();
    assert_eq!(
        (&told["jsonrpc"], &told["id"]),
        (&json!("2.0"), &json!(7)),
        "{answer:?}"
    );
    told
}

async fn call(node: &Node, token: &str, name: &str, arguments: Value) -> Value {
    let params = json!({ "name": name, "arguments": arguments });
    ask(node, token, "tools/call", params).await["result"].take()
}

fn names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap()).collect()
}

async fn with_agent() -> Node {
    let node = Node::start().await;
    let agent = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
    let made = node.post("/api/v1/agents/register", agent).await;
    assert_eq!(made.status, 201, "{made:?}");
    node
}

#[tokio::test]
async fn a_client_of_today_finds_the_tools_and_calls_them() {
    let node = with_agent().await;
    let found = ask(&node, ADMIN, "server/discover", json!({})).await;
    let versions = found["result"]["supportedVersions"].to_string();
    assert!(
        versions.contains(TODAY) && versions.contains(YESTERDAY),
        "{found}"
    );
    let list = ask(&node, ADMIN, "tools/list", json!({})).await;
    assert!(list["result"]["ttlMs"].is_u64(), "{list}");
    assert!(names(&list).contains(&"stop_actor"));
    let tree = call(
        &node,
        ADMIN,
        "get_supervision_tree",
        json!({ "path": "/agents" }),
    )
    .await;
    let rows = tree["structuredContent"]["nodes"].as_array().unwrap();
    assert!(
        rows.iter().any(|row| row["path"] == "/agents/echo"),
        "{tree}"
    );
    let actor = call(
        &node,
        ADMIN,
        "inspect_actor",
        json!({ "path": "/agents/echo" }),
    )
    .await;
    assert_eq!(actor["structuredContent"]["kind"], "agent");
    let state = call(
        &node,
        ADMIN,
        "entity_state",
        json!({ "path": "/agents/echo", "at": 1 }),
    )
    .await;
    assert_eq!(state["structuredContent"]["position"], 1, "{state}");
    let nobody = call(
        &node,
        ADMIN,
        "inspect_actor",
        json!({ "path": "/agents/no" }),
    )
    .await;
    assert_eq!(
        (&nobody["isError"], &nobody["structuredContent"]["code"]),
        (&json!(true), &json!("not_found"))
    );
    let unknown = ask(&node, ADMIN, "tools/call", json!({ "name": "explode" })).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}

#[tokio::test]
async fn a_client_of_yesterday_shakes_hands_first() {
    let node = with_agent().await;
    let hello = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": YESTERDAY, "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        },
    });
    let hello = send(&node, ADMIN, &[], &hello).await;
    let told = &hello.json()["result"];
    assert_eq!(
        (&told["protocolVersion"], &told["serverInfo"]["name"]),
        (&json!(YESTERDAY), &json!("troupe"))
    );
    let version = [("mcp-protocol-version", YESTERDAY)];
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(send(&node, ADMIN, &version, &ready).await.status, 202);
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    let list = send(&node, ADMIN, &version, &list).await.json();
    assert!(names(&list).contains(&"get_supervision_tree"), "{list}");
    let call = json!({
        "jsonrpc": "2.0", "id": 3, "method": "tools/call",
        "params": { "name": "list_agents", "arguments": {} },
    });
    let agents = send(&node, ADMIN, &version, &call).await.json();
    let agents = &agents["result"]["structuredContent"]["items"];
    assert_eq!(agents[0]["name"], "echo");
}

#[tokio::test]
async fn a_viewer_looks_and_does_not_stop() {
    let node = with_agent().await;
    let list = ask(&node, "viewer", "tools/list", json!({})).await;
    assert!(names(&list).contains(&"inspect_actor"));
    for name in ["stop_actor", "pause_actor", "restart_actor", "cancel_task"] {
        assert!(!names(&list).contains(&name), "{name}");
    }
    let tree = call(&node, "viewer", "get_supervision_tree", json!({})).await;
    assert_eq!(tree["isError"], false, "{tree}");
    let path = json!({ "path": "/agents/echo" });
    let refused = call(&node, "viewer", "pause_actor", path.clone()).await;
    assert_eq!(
        (&refused["isError"], &refused["structuredContent"]["code"]),
        (&json!(true), &json!("forbidden"))
    );
    let mode = async || node.get("/api/v1/agents/echo").await.json()["status"].take();
    assert_ne!(mode().await, "paused");
    let paused = call(&node, "operator", "pause_actor", path).await;
    assert_eq!(paused["isError"], false, "{paused}");
    assert_eq!(mode().await, "paused");
}

#[tokio::test]
async fn strangers_foreign_pages_and_what_is_no_message_are_refused() {
    let node = Node::start().await;
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    assert_eq!(send(&node, "nobody", &[], &list).await.status, 401);
    let page = [("origin", "http://evil.example")];
    assert_eq!(send(&node, ADMIN, &page, &list).await.status, 403);
    let own = format!("http://{}", node.address);
    assert_eq!(
        send(&node, ADMIN, &[("origin", &own)], &list).await.status,
        200
    );
    let answer = node.get("/mcp").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    // What a header says of a message must be so.
    let headers = [
        ("mcp-protocol-version", TODAY),
        ("mcp-method", "tools/call"),
    ];
    assert_eq!(send(&node, ADMIN, &headers, &list).await.status, 400);
}
