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
    let got = troupe.json(&["workflow", "get", later["id"].as_str().unwrap()]);
    assert_eq!(got["id"], shown["id"], "{got}");
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

#[test]
fn a_fork_that_does_again_what_cannot_be_taken_back_wants_to_be_confirmed() {
    let troupe = Program::new();
    let _node = with_echo(&troupe);
    let pay = json!({"name": "pay", "type": "sequential", "nodes": [
        {"id": "a", "type": "agent", "agent": "echo", "input": 1},
        {"id": "b", "type": "agent", "agent": "echo", "effect": "irreversible"},
    ]});
    write(&troupe, "pay.json", &pay);
    let run = troupe.json(&["workflow", "run", "pay.json", "--wait", "30s"]);
    let id = run["id"].as_str().unwrap();
    troupe
        .run(&["workflow", "fork", id, "--from", "a"])
        .fails(6, &["cannot be taken back: b", "--confirm"]);
    let told = troupe.ok(&[
        "workflow",
        "fork",
        id,
        "--from",
        "a",
        "--confirm",
        "--watch",
    ]);
    assert!(told.contains("the run  completed"), "{told}");
    let forks = troupe.json(&["workflow", "runs", "pay"]);
    let fork = forks["items"][0]["id"].as_str().unwrap();
    troupe.ok(&["workflow", "replay", fork, id, "--dry"]);
}

#[test]
fn a_definition_is_checked_against_the_last_runs_and_a_published_one_against_one() {
    let troupe = Program::new();
    let _node = with_echo(&troupe);
    write(&troupe, "say.json", &say("d"));
    let mut first = String::new();
    for word in ["hi", "ho"] {
        let input = json!({ "word": word }).to_string();
        let run = troupe.json(&[
            "workflow", "run", "say.json", "--input", &input, "--wait", "30s",
        ]);
        first = run["id"].as_str().unwrap().to_owned();
    }
    troupe.ok(&["workflow", "check", "say.json", "--against", "say"]);
    let mut other = say("d");
    other["nodes"][1]["input"] = json!("else");
    write(&troupe, "other.json", &other);
    let checked = troupe.run(&[
        "workflow",
        "check",
        "other.json",
        "--against",
        "say",
        "--runs",
        "1",
    ]);
    assert_eq!(checked.code, Some(3), "{checked:?}");
    assert!(
        checked.out.contains(&first) && checked.out.contains("second"),
        "{checked:?}"
    );
    troupe.ok(&["workflow", "update", "say", "other.json"]);
    let replayed = troupe.run(&["workflow", "replay", &first, "--version", "2"]);
    assert_eq!(replayed.code, Some(1), "{replayed:?}");
    assert!(replayed.out.contains("second"), "{replayed:?}");
    troupe
        .run(&["workflow", "check", "other.json", "--against", "nothing"])
        .fails(3, &["nothing"]);
}

#[test]
fn a_large_value_is_shown_by_reference_and_printed_when_it_is_asked_for() {
    let troupe = Program::new();
    let _node = with_echo(&troupe);
    let word = "x".repeat(100_000);
    fs::write(
        troupe.folder().join("word.json"),
        json!({ "word": word }).to_string(),
    )
    .unwrap();
    write(&troupe, "say.json", &say("d"));
    let run = troupe.json(&[
        "workflow",
        "run",
        "say.json",
        "--input",
        "@word.json",
        "--wait",
        "30s",
    ]);
    assert_eq!(run["result"], word.as_str());
    let shown = &run["nodes"][1]["output"];
    assert_eq!(shown["bytes"], word.len() + 2, "{shown}");
    let (id, value) = (
        run["id"].as_str().unwrap(),
        shown["$large"].as_str().unwrap(),
    );
    let printed = troupe.ok(&["workflow", "value", id, value]);
    assert_eq!(printed.trim_end(), format!("\"{word}\""));
}
