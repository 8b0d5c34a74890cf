//! `troupe demo chaos` shows what it says, and leaves nothing behind.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod program;

use std::{fs, process::Stdio};

use program::Program;
use rustix::process::Signal;
use serde_json::Value;

/// The program, whose temporary directories lie in an empty folder.
fn program() -> Program {
    let troupe = Program::new();
    fs::create_dir(troupe.folder().join("tmp")).unwrap();
    troupe
}

fn leaves_nothing(troupe: &Program) {
    let left: Vec<_> = fs::read_dir(troupe.folder().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Runs it to its end; answers its exit code and what it printed.
fn demonstrates(troupe: &Program, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = troupe.command(&[&["demo", "chaos"], arguments].concat());
    command.env("TMPDIR", troupe.folder().join("tmp"));
    let ended = command.output().unwrap();
    leaves_nothing(troupe);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

fn survives(arguments: &[&str]) -> Value {
    let troupe = program();
    let arguments = [&["--tasks", "60", "-o", "json"], arguments].concat();
    let (code, out, err) = demonstrates(&troupe, &arguments);
    assert_eq!(code, Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    for none in ["lost_tasks", "double_effects", "ignored_dependencies"] {
        assert_eq!(report[none], serde_json::json!([]), "{report}");
    }
    let count = |field: &str| report[field].as_u64().unwrap();
    assert_eq!(count("completed") + count("unknown"), 60, "{report}");
    assert!(count("running_at_kill") > 0, "{report}");
    assert!(
        count("recovery_ms") >= count("detection_ms").min(1),
        "{report}"
    );
    report
}

#[test]
fn a_worker_is_killed_and_nothing_is_lost_or_doubled() {
    let report = survives(&["--store", "sqlite"]);
    assert!(
        report["killed"].as_str().unwrap().starts_with("worker-"),
        "{report}"
    );
    assert!(report["attempts_lost"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn the_control_node_is_killed_and_started_again_and_nothing_is_lost_or_doubled() {
    let report = survives(&["--store", "sqlite", "--kill", "control"]);
    assert_eq!(report["killed"], "control");
    assert!(
        report["restarted_after_ms"].as_u64().unwrap() > 0,
        "{report}"
    );
}

#[test]
fn one_of_three_control_nodes_is_killed_and_nothing_is_lost_or_doubled() {
    let report = survives(&[]);
    assert_eq!(report["store"], "postgres", "{report}");
    assert!(report["attempts_lost"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_kill_that_meets_nothing_is_no_demonstration() {
    let troupe = program();
    let (code, _, err) = demonstrates(&troupe, &["--store", "sqlite", "--tasks", "1"]);
    assert_eq!(code, Some(6), "{err}");
    assert!(err.contains("the kill met no running attempt"), "{err}");
}

#[test]
fn an_interrupted_one_leaves_nothing_behind() {
    let troupe = program();
    let mut command = troupe.command(&["demo", "chaos"]);
    command
        .env("TMPDIR", troupe.folder().join("tmp"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut running = program::Running::of(command.spawn().unwrap());
    running.wait_for("nodes run over");
    running.signal(Signal::INT);
    assert_eq!(running.end().code(), Some(130));
    leaves_nothing(&troupe);
}

#[test]
fn a_store_that_is_none_is_refused() {
    let troupe = program();
    let (code, _, err) = demonstrates(&troupe, &["--store", "mysql://x"]);
    assert_eq!(code, Some(2), "{err}");
}
