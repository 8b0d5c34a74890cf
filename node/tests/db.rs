//! `troupe db`, and one node's story told on either engine.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod program;

use std::fs;

use program::{Program, Running};
use runtime::testkit::postgres::PrivatePostgres;
use rustix::process::Signal;
use serde_json::{Value, json};

/// From here on the program finds the store at `url`.
fn point_to(troupe: &Program, url: &str) {
    let file = troupe.folder().join("cluster.toml");
    fs::write(file, format!("[store]\nurl = {url:?}\n")).unwrap();
}

fn stop(mut node: Running) {
    node.signal(Signal::TERM);
    assert!(node.end().success());
}

/// What a caller sees of the store.
fn seen(troupe: &Program) -> Value {
    let tasks = troupe.json(&["task", "list"]);
    let agents = troupe.json(&["agent", "list"]);
    let agents = agents["items"].as_array().unwrap().iter();
    // How an agent is now, each start finds out anew.
    let agents: Vec<_> = agents.map(|agent| [&agent["id"], &agent["name"]]).collect();
    assert_eq!(agents.len(), 1);
    json!([tasks["items"], agents])
}

fn work(troupe: &Program, what: &str) {
    troupe.ok(&["task", "create", what, "--agent", "echo", "--wait", "30s"]);
}

#[test]
fn a_node_tells_the_same_story_after_each_move() {
    let troupe = Program::new();
    let node = troupe.start();
    troupe.ok(&["agent", "register", "echo", "--type", "echo"]);
    work(&troupe, "one");
    work(&troupe, "two");
    let before = seen(&troupe);
    stop(node);

    let database = PrivatePostgres::shared().schema().unwrap();
    let file = format!("sqlite:{}", troupe.folder().join("back.db").display());
    for (target, engine) in [(database, "postgres"), (file, "sqlite")] {
        let moved = troupe.json(&["db", "move", "--to", &target]);
        assert_eq!(moved["rows"]["event"], moved["records"], "{moved}");
        // Once more finds all of it there.
        troupe.ok(&["db", "move", "--to", &target]);
        point_to(&troupe, &target);
        assert_eq!(troupe.json(&["db", "status"])["engine"], engine);
        assert_eq!(troupe.json(&["db", "verify"])["faults"], json!([]));
        assert!(troupe.ok(&["db", "path"]).len() > 5);
        let node = troupe.start();
        assert_eq!(seen(&troupe), before);
        stop(node);
        troupe.ok(&["db", "rebuild"]);
    }
    let node = troupe.start();
    work(&troupe, "three");
    stop(node);
}

#[test]
fn a_move_into_another_store_is_refused_and_so_is_one_under_a_running_node() {
    let (one, other) = (Program::new(), Program::new());
    for troupe in [&one, &other] {
        let node = troupe.start();
        troupe.ok(&["agent", "register", "echo", "--type", "echo"]);
        stop(node);
    }
    let theirs = format!("sqlite:{}", other.data().join("troupe.db").display());
    one.run(&["db", "move", "--to", &theirs])
        .fails(6, &["holds another store"]);
    let missing = format!("sqlite:{}", one.folder().join("no/such/x.db").display());
    one.run(&["db", "move", "--to", &missing])
        .fails(2, &["--to", "no/such", "create it"]);
    let nowhere = "postgres://ann:secret@127.0.0.1:1/none";
    let unreachable = one.run(&["db", "move", "--to", nowhere]);
    unreachable.fails(1, &["127.0.0.1:1 does not answer", "host and port"]);
    assert!(!unreachable.err.contains("secret"), "{unreachable:?}");
    assert_eq!(
        unreachable.err.trim_end().lines().count(),
        1,
        "{unreachable:?}"
    );

    let node = one.start();
    let new = format!("sqlite:{}", one.folder().join("new.db").display());
    one.run(&["db", "move", "--to", &new]).fails(75, &["stop"]);
    // Killed: only its lease is there yet.
    drop(node);
    let leased = "in use by local, whose lease runs for ";
    let after = "ends by itself: try again in ";
    for command in [&["db", "move", "--to", &*new][..], &["db", "rebuild"]] {
        one.run(command).fails(75, &[leased, after]);
    }
}

#[test]
fn a_database_on_a_server_is_not_copied_as_a_file() {
    let troupe = Program::new();
    point_to(&troupe, &PrivatePostgres::shared().schema().unwrap());
    stop(troupe.start());
    troupe
        .run(&["db", "backup", "copy.db"])
        .fails(2, &["pg_dump"]);
}
