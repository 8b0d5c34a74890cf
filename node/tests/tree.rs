//! The living tree on the command line: drawn, inspected, acted on and followed.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the program is shared with other tests")]

mod program;

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use program::{Program, Running};
use serde_json::{Value, json};

/// A node with an agent `clerk`.
fn node() -> (Program, Running) {
    let troupe = Program::new();
    let node = troupe.start();
    let clerk = ["clerk", "--type", "command", "--", "true"];
    troupe.ok(&[&["agent", "register"], &clerk[..]].concat());
    (troupe, node)
}

#[test]
fn the_tree_is_drawn_from_a_path_down_and_for_one_node() {
    let (troupe, _node) = node();
    let drawn = troupe.ok(&["tree", "/agents", "--depth", "1"]);
    let names: Vec<_> = drawn
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["ACTOR", "local", "/agents", "clerk"], "{drawn}");
    let same = troupe.ok(&[
        "tree", "--path", "/agents", "--depth", "1", "--node", "local",
    ]);
    assert_eq!(same.lines().count(), drawn.lines().count());
    let wide = troupe.ok(&["tree", "-o", "wide"]);
    assert!(wide.contains("LAST ERROR"), "{wide}");
    troupe
        .run(&["tree", "--diff", "soon"])
        .fails(2, &["neither a moment", "30s"]);
    troupe
        .run(&["tree", "--at", "10m", "--watch"])
        .fails(2, &["--watch"]);
    troupe
        .run(&["tree", "/nope", "--watch"])
        .fails(3, &["/nope was not found"]);
}

#[test]
fn an_actor_is_inspected_and_acted_on_and_a_refusal_says_what_helps() {
    let (troupe, _node) = node();
    let clerk = troupe.json(&["inspect", "/agents/clerk"]);
    assert_eq!(clerk["kind"], "agent");
    assert_eq!(clerk["life"][0]["what"], "started");
    assert!(troupe.ok(&["inspect", "/"]).contains("supervisor"));
    troupe
        .run(&["inspect", "/agents/nobody"])
        .fails(3, &["nobody"]);

    let done = troupe.ok(&["actor", "restart", "/agents/clerk", "--reason", "a test"]);
    assert!(done.contains("/agents/clerk on local"), "{done}");
    troupe
        .run(&["actor", "release", "/agents/clerk"])
        .fails(6, &["not parked"]);
    // What could be done is done, and the rest is told.
    troupe
        .run(&["actor", "pause", "/agents/clerk", "/system/allocator"])
        .fails(2, &["part of the node"]);
    assert_eq!(troupe.json(&["agent", "get", "clerk"])["status"], "paused");
}

#[test]
fn what_becomes_of_actors_is_followed_and_kept() {
    let (troupe, _node) = node();
    let follow = |arguments: &[&str]| -> Value {
        let mut command = troupe.command(&[&["-o", "json"], arguments].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let _running = Running::of(child);
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let started = ["--path", "/agents/*", "--kind", "started", "--since", "5m"];
    // A node writes its past once a second, and what stood before its first entry began before that.
    let is_kept = |look| {
        let name = format!("clerk{look}");
        let register = [
            "agent", "register", &name, "--type", "command", "--", "true",
        ];
        troupe.ok(&register);
        let kept = troupe.json(&[&["events"], &started[..]].concat());
        kept["items"][0]["what"] == "started"
    };
    assert!((0..1_000).any(is_kept));
    let event = follow(&[&["events", "-f"], &started[..]].concat());
    assert!(
        event["path"].as_str().unwrap().starts_with("/agents/clerk"),
        "{event}"
    );

    // What may come is waited for, and that it is not there yet is said.
    let mut waiting = troupe.spawn(&["events", "-f", "--path", "/agents/nobody"]);
    waiting.wait_for("nothing stands at /agents/nobody now; waiting");
    let nothing = troupe.run(&["events", "--path", "/agents/nobody"]);
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    assert!(nothing.err.contains("/agents/nobody"), "{nothing:?}");

    let whole = follow(&["tree", "/agents", "--watch"]);
    assert_eq!(
        (&whole["node"], &whole["reset"]),
        (&"local".into(), &true.into())
    );
    let diff = troupe.json(&["tree", "--diff", event["at"].as_str().unwrap()]);
    assert!(diff["changes"].is_array(), "{diff}");
    // Before there was a node nothing is known, which is not the same as nothing.
    for asked in ["--at", "--diff"] {
        troupe
            .run(&["tree", asked, "5m"])
            .fails(2, &["the past is kept from"]);
    }
}

#[test]
fn the_messages_and_the_state_of_an_actor_are_told() {
    let (troupe, _node) = node();
    let messages = troupe.json(&["inspect", "/system/allocator", "--messages", "10ms"]);
    assert_eq!(messages["path"], "/system/allocator");
    assert!(messages["messages"].is_array(), "{messages}");
    let state = troupe.json(&["inspect", "/agents/clerk", "--state", "1"]);
    assert_eq!(
        (&state["position"], &state["state"]["spec"]["name"]),
        (&1.into(), &"clerk".into())
    );
    let shown = troupe.ok(&["inspect", "/agents/clerk", "--state"]);
    assert!(shown.contains("\"name\": \"clerk\""), "{shown}");
    troupe
        .run(&["inspect", "/agents/clerk", "--state", "99"])
        .fails(2, &["99 is not between 1 and"]);
    // An agent may be called as what can be asked of one.
    troupe.ok(&[
        "agent", "register", "state", "--type", "command", "--", "true",
    ]);
    assert_eq!(
        troupe.json(&["inspect", "/agents/state"])["path"],
        "/agents/state"
    );
}

#[test]
fn an_agent_of_an_operator_speaks_mcp_over_standard_input_and_output() {
    let (troupe, _node) = node();
    let mut command = troupe.command(&["mcp"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut into = child.stdin.take().unwrap();
    let mut ended = Running::of(child);
    let mut say = |message: Value| writeln!(into, "{message}").unwrap();
    let mut hear = || -> Value {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    say(json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        },
    }));
    assert_eq!(hear()["result"]["serverInfo"]["name"], "troupe");
    say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    say(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
    let tools = hear();
    assert_eq!(tools["id"], 1);
    assert!(
        tools.to_string().contains("get_supervision_tree"),
        "{tools}"
    );
    // A client of today names its version in each message.
    say(json!({
        "jsonrpc": "2.0", "id": "b", "method": "tools/call",
        "params": {
            "name": "inspect_actor", "arguments": { "path": "/agents/clerk" },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }));
    let clerk = hear();
    assert_eq!(clerk["id"], "b");
    assert_eq!(
        clerk["result"]["structuredContent"]["path"], "/agents/clerk",
        "{clerk}"
    );
    say(json!("no message"));
    let wrong = hear();
    assert_eq!(wrong["error"]["code"], -32600, "{wrong}");
    drop(into);
    assert!(ended.end().success());
}
