//! `troupe workflow`: from a file to a run that is followed, steered, forked and replayed.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod program;

use std::fs;

use program::Program;
use rustix::process::Signal;
use serde_json::{Value, json};

/// A node with an agent that gives back what it is handed.
fn with_echo(troupe: &Program) -> program::Running {
    let node = troupe.start();
    troupe.ok(&["agent", "register", "echo", "--type", "echo"]);
    node
}

fn write(troupe: &Program, name: &str, definition: &Value) {
    fs::write(troupe.folder().join(name), definition.to_string()).unwrap();
}

fn say(description: &str) -> Value {
    json!({
        "name": "say", "description": description, "type": "sequential",
        "input": {"type": "object", "required": ["word"]},
        "nodes": [
            {"id": "first", "type": "agent", "agent": "echo", "input": "$.input.word"},
            {"id": "second", "type": "agent", "agent": "echo"},
        ],
    })
}

#[test]
fn a_file_becomes_a_workflow_and_its_run_is_followed_line_by_line() {
    let troupe = Program::new();
    let _node = with_echo(&troupe);
    write(&troupe, "say.json", &say("d"));
    let told = troupe.ok(&[
        "workflow",
        "run",
        "say.json",
        "--input",
        r#"{"word": "hi"}"#,
        "--watch",
    ]);
    for line in [
        "first  started",
        "first  completed",
        "second  completed",
        "the run  completed  \"hi\"",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    // The same file again is the same version; another one is the next.
    fs::write(troupe.folder().join("word.yaml"), "word: ho\n").unwrap();
    let run = troupe.json(&[
        "workflow",
        "run",
        "say.json",
        "--input",
        "@word.yaml",
        "--wait",
        "30s",
    ]);
    assert_eq!(
        (&run["version"], &run["status"], &run["result"]),
        (&json!(1), &json!("completed"), &json!("ho"))
    );
    write(&troupe, "say.json", &say("other"));
    let run = troupe.json(&[
        "workflow",
        "run",
        "say.json",
        "--input",
        "@word.yaml",
        "--wait",
        "30s",
    ]);
    assert_eq!(run["version"], 2);
    let listed = troupe.json(&["workflow", "runs", "say"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    let watched = troupe.ok(&["workflow", "watch", run["id"].as_str().unwrap()]);
    assert!(watched.contains("second"), "{watched}");
    let source = troupe.ok(&["workflow", "get", "say", "--version", "1", "--source"]);
    assert_eq!(source, say("d").to_string());
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_exit_code_tells_how_a_run_ended() {
    let troupe = Program::new();
    let _node = with_echo(&troupe);
    write(&troupe, "say.json", &say("d"));
    troupe.ok(&["workflow", "create", "say.json"]);
    troupe
        .run(&["workflow", "create", "say.json"])
        .fails(6, &["name `say` is taken"]);
    troupe
        .run(&["workflow", "run", "say"])
        .fails(2, &["input", "what a run takes"]);
    troupe
        .run(&["workflow", "run", "nothing"])
        .fails(3, &["nothing"]);
    troupe
        .run(&["workflow", "run", "say", "--input", "{"])
        .fails(2, &["the input is not JSON", "help: "]);
    let broken = json!({"name": "broken", "nodes": [{"id": "a", "type": "transform", "output": "${input.x.y + 1}"}]});
    write(&troupe, "broken.json", &broken);
    let ended = troupe.run(&["workflow", "run", "broken.json", "--watch"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let cut = json!({"name": "cut", "nodes": [{"id": "a", "type": "parallel", "needs": ["z"]}]});
    write(&troupe, "cut.json", &cut);
    troupe
        .run(&["workflow", "create", "cut.json"])
        .fails(2, &["nodes[0].needs[0]", "z"]);
}

#[test]
fn a_run_is_paused_resumed_cancelled_forked_and_replayed() {
    let troupe = Program::new();
    let mut node = with_echo(&troupe);
    let nap = json!({"name": "nap", "nodes": [
        {"id": "a", "type": "agent", "agent": "echo", "input": 1},
        {"id": "b", "type": "wait", "for": "1h", "needs": ["a"]},
    ]});
    write(&troupe, "nap.json", &nap);
    let run = troupe.json(&["workflow", "run", "nap.json"]);
    let id = run["id"].as_str().unwrap();
    let paused = troupe.json(&["workflow", "pause", id, "--reason", "r"]);
    assert_eq!(paused["status"], "paused");
    troupe.ok(&["workflow", "resume", "nap"]);
    let cancelled = troupe.json(&["workflow", "cancel", id]);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(troupe.run(&["workflow", "watch", id]).code, Some(7));
    let moment = "2100-01-01T00:00:00.000000Z";
    let later = troupe.json(&["workflow", "run", "nap", "--at", moment]);
    let waiting = troupe.json(&["workflow", "runs", "nap", "--status", "waiting"]);
    assert_eq!(waiting["items"][0]["id"], later["id"]);
    let shown = troupe.json(&["workflow", "runs", later["id"].as_str().unwrap()]);
    assert_eq!(shown["start_at"], moment);
    write(&troupe, "say.json", &say("d"));
    let run = troupe.json(&[
        "workflow",
        "run",
        "say.json",
        "--input",
        r#"{"word": "hi"}"#,
        "--wait",
        "30s",
    ]);
    let id = run["id"].as_str().unwrap();
    let told = troupe.ok(&[
        "workflow", "fork", id, "--from", "second", "--input", "\"new\"", "--watch",
    ]);
    assert!(told.contains("the run  completed  \"new\""), "{told}");
    assert!(!told.contains("first  started"), "{told}");
    troupe.ok(&["workflow", "replay", id, "--dry"]);
    let mut other = say("d");
    other["nodes"][1]["input"] = json!("else");
    write(&troupe, "other.json", &other);
    let replayed = troupe.run(&["workflow", "replay", id, "--file", "other.json"]);
    assert_eq!(replayed.code, Some(1), "{replayed:?}");
    assert!(replayed.out.contains("second"), "{replayed:?}");
    troupe.ok(&["workflow", "delete", "say", "nap"]);
    assert_eq!(troupe.json(&["workflow", "list"])["items"], json!([]));
    node.signal(Signal::TERM);
    assert!(node.end().success());
}
