//! A node that was a member comes back: after its database or the others were away, from a copy of its
//! data directory, or while a copy has its place.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the program is shared with other tests")]

mod program;
#[path = "program/town.rs"]
mod town;

use std::{fs, path::Path};

use program::Program;
use runtime::testkit::postgres::PrivatePostgres;
use rustix::process::Signal;
use town::Town;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let there = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &there);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), there).unwrap();
        }
    }
}

/// What starts a node whose papers lie in its data directory.
const AGAIN: [&str; 5] = ["start", "--log", "error", "--mesh", "127.0.0.1:0"];

/// Starts a copy of a node that runs at `address`: it is told so in the first line that it prints.
#[track_caller]
fn is_refused(copy: &Program, name: &str, address: &str) {
    let mut started = copy.spawn(&AGAIN);
    let line = started.wait_for("");
    let runs = format!("error: another process runs as node `{name}`, at {address} since 20");
    for text in [&*runs, "stop that one", "troupe token create"] {
        assert!(line.contains(text), "{text} is not in {line}");
    }
    assert_eq!(started.end().code(), Some(1));
}

#[test]
fn a_copy_of_a_data_directory_is_refused_while_the_original_lives_and_let_in_after_it() {
    let town = Town::found("first");
    let (machine, elsewhere) = (Program::new(), Program::new());
    let mut worker = machine.spawn(&town.join(&town.token, &["--name", "w1"]));
    worker.wait_for("serving ");
    let original = town.node("w1");
    copy(&machine.data(), &elsewhere.data());
    // However often it is tried: each try leaves its own start in the copy.
    for _ in 0..2 {
        is_refused(&elsewhere, "w1", original["mesh"].as_str().unwrap());
        assert_eq!(town.node("w1")["id"], original["id"]);
        assert_eq!(machine.json(&["node", "get", "w1"])["running"], 0);
    }
    // Killed: its lease is over before the copy is let in.
    drop(worker);
    elsewhere.spawn(&AGAIN).wait_for("serving ");
    let now = town.node("w1");
    assert_ne!(now["id"], original["id"]);
}

#[test]
fn so_is_a_copy_of_a_control_node_that_shares_its_store() {
    let database = PrivatePostgres::shared().schema().unwrap();
    let (machine, elsewhere) = (Program::new(), Program::new());
    let file = machine.folder().join("cluster.toml");
    fs::write(file, format!("[store]\nurl = {database:?}\n")).unwrap();
    let town = Town::found_in(machine, "c1");
    copy(&town.program.data(), &elsewhere.data());
    for _ in 0..2 {
        is_refused(&elsewhere, "c1", &town.mesh);
        assert_eq!(town.node("c1")["shards"], 256);
    }
    drop(town);
    elsewhere.spawn(&AGAIN).wait_for("serving ");
}

#[test]
fn a_worker_that_starts_while_no_control_node_runs_waits_for_one() {
    let town = Town::found("first");
    let machine = Program::new();
    let mut worker = machine.spawn(&town.join(&town.token, &["--name", "w1"]));
    worker.wait_for("serving ");
    drop(worker);
    let Town {
        program,
        _node,
        mesh,
        ..
    } = town;
    drop(_node);

    let again = ["start", "--log", "warn", "--mesh", "127.0.0.1:0"];
    let mut worker = machine.spawn(&again);
    let line = worker.wait_for("not started yet");
    assert!(line.contains("check that the node runs"), "{line}");
    let _node = program.spawn(&["start", "--log", "warn", "--mesh", &mesh]);
    worker.wait_for("serving ");
    drop(_node);
    drop(worker);

    let mut worker = machine.spawn(&again);
    worker.wait_for("not started yet");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0));
}

#[test]
fn a_node_that_had_its_database_waits_for_it_and_another_says_what_is_wrong() {
    let postgres = PrivatePostgres::start().unwrap();
    let machine = Program::new();
    let url = format!("[store]\nurl = {:?}\n", postgres.database().unwrap());
    fs::write(machine.folder().join("cluster.toml"), &url).unwrap();
    let start = ["start", "--log", "warn", "--mesh", "127.0.0.1:0"];
    machine.spawn(&start).wait_for("serving ");

    postgres.stop().unwrap();
    let stranger = Program::new();
    fs::write(stranger.folder().join("cluster.toml"), &url).unwrap();
    stranger.run(&start).fails(
        1,
        &[
            "the store is unavailable",
            "see that `store.url` leads to it",
        ],
    );
    let mut node = machine.spawn(&start);
    let line = node.wait_for("not started yet");
    assert!(line.contains("the store is unavailable"), "{line}");
    postgres.restart().unwrap();
    node.wait_for("serving ");
}

#[test]
fn a_frozen_worker_whose_place_a_copy_took_ends_when_it_wakes_and_says_why() {
    let town = Town::found("first");
    let (machine, elsewhere) = (Program::new(), Program::new());
    let join = town.join(&town.token, &["--name", "w1"]);
    let mut original = machine.spawn(&join);
    original.wait_for("serving ");
    copy(&machine.data(), &elsewhere.data());
    original.signal(Signal::STOP);
    let start = ["start", "--log", "warn", "--mesh", "127.0.0.1:0"];
    let mut copied = elsewhere.spawn(&start);
    copied.wait_for("serving ");
    original.signal(Signal::CONT);
    original.wait_for("error: the node is a member of its cluster no more");
    // It hears so where it renews its lease, or where it is not let in any more.
    let cause = original.wait_for("cause: ");
    assert!(cause.contains("node `w1`"), "{cause}");
    assert!(cause.contains("stop "), "{cause}");
    assert_eq!(original.end().code(), Some(5));
}

#[test]
fn a_worker_whose_control_node_is_elsewhere_now_is_told_where() {
    let town = Town::found("first");
    let machine = Program::new();
    let mut worker = machine.spawn(&town.join(&town.token, &["--name", "w1"]));
    worker.wait_for("serving ");
    drop(worker);
    let Town { program, _node, .. } = town;
    drop(_node);
    // At the old address nobody is, or a stranger.
    let mut moved = program.spawn(&["start", "--log", "warn", "--mesh", "127.0.0.1:0"]);
    let line = moved.wait_for("join ");
    let mesh = line
        .split_whitespace()
        .skip_while(|word| *word != "--join")
        .nth(1);
    let start = [
        "start",
        "--log",
        "warn",
        "--mesh",
        "127.0.0.1:0",
        "--join",
        mesh.unwrap(),
    ];
    let mut worker = machine.spawn(&start);
    worker.wait_for("serving ");
}

#[test]
fn a_control_node_serves_no_store_but_that_of_its_cluster() {
    let town = Town::found("first");
    let Town { program, _node, .. } = town;
    drop(_node);
    let empty = format!("sqlite:{}", program.folder().join("empty.db").display());
    let mut start = program.command(&["start", "--log", "error", "--mesh", "127.0.0.1:0"]);
    let ended = start.env("TROUPE_STORE__URL", &empty).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    for text in [
        empty.as_str(),
        "not that of this node's cluster",
        "from an empty data directory",
    ] {
        assert!(told.contains(text), "{text} is not in {told}");
    }
}
