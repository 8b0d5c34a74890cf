//! The cluster on the command line: a worker that joins, is drained and removed, and who is not let in.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the program is shared with other tests")]

mod program;
#[path = "program/town.rs"]
mod town;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use program::Program;
use rustix::process::Signal;
use town::Town;

#[test]
fn a_worker_joins_is_drained_comes_back_and_is_removed() {
    let town = Town::found("first");
    let machine = Program::new();
    let join = town.join(&town.token, &["--name", "w1", "--region", "eu-west"]);
    let mut worker = machine.spawn(&join);
    worker.wait_for("serving ");

    let node = town.node("w1");
    assert_eq!(node["state"], "up");
    assert_eq!(node["region"], "eu-west");
    assert_eq!(node["roles"], serde_json::json!(["worker", "edge"]));
    assert_eq!(town.node("first")["shards"], 256);
    // Any node answers for the cluster, also one without a store.
    let table = machine.ok(&["nodes"]);
    for text in [
        "NAME",
        "STATE",
        "RTT",
        "first",
        "control,worker,edge",
        "w1",
        "eu-west",
    ] {
        assert!(table.contains(text), "{text} is not in {table}");
    }
    // One node is asked itself.
    let live = machine.json(&["node", "get", "w1"]);
    assert_eq!(live["running"], 0);
    assert!(live["actors"].as_u64().unwrap() > 0, "{live}");
    assert!(
        live["edge"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );

    // It waits until there is nothing left.
    let drained = machine.run(&["node", "drain", "w1"]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    assert!(drained.err.contains("w1 has nothing left"), "{drained:?}");
    assert_eq!(town.node("w1")["state"], "draining");
    town.program.ok(&["node", "resume", "w1"]);
    assert_eq!(town.node("w1")["state"], "up");

    let nobody = "node nobody was not found";
    town.program
        .run(&["node", "drain", "nobody"])
        .fails(3, &[nobody]);
    town.program
        .run(&["node", "drain", "first"])
        .fails(6, &["the only control node that is up", "start another"]);
    machine
        .run(&["node", "remove", "first"])
        .fails(6, &["the last control node", "let another one join first"]);

    let tokens = town.program.json(&["token", "list"]);
    let used = tokens["items"].as_array().unwrap().iter();
    let used = used.filter(|token| token["used_by"] == "w1" && token["state"] == "used");
    assert_eq!(used.count(), 1, "{tokens}");

    town.program.ok(&["node", "remove", "w1"]);
    let line = worker.wait_for("error: ");
    assert!(line.contains("a member of its cluster no more"), "{line}");
    assert_eq!(worker.end().code(), Some(5));
    assert_eq!(town.node("w1")["state"], "removed");
    // Its certificate opens nothing any more, and it is told so.
    machine
        .run(&["start", "--log", "error", "--mesh", "127.0.0.1:0"])
        .fails(1, &["was removed from the cluster; make a token"]);
}

#[test]
fn whoever_is_not_let_in_reads_cause_and_remedy_in_one_line() {
    let (town, other) = (Town::found("first"), Town::found("other"));
    let machine = Program::new();
    let refused = |token: &str, more: &[&str], code: i32, texts: &[&str]| {
        let ended = machine.run(&town.join(token, more));
        ended.fails(code, texts);
        assert_eq!(ended.err.trim_end().lines().count(), 1, "{ended:?}");
    };
    refused(
        "nonsense",
        &[],
        1,
        &["no join token", "copy the whole line"],
    );
    let wrong = town.token.replacen("troupe_join_", "troupe_join_00", 1);
    let wrong: String = wrong.chars().take(12 + 64).collect::<String>() + &town.token[12 + 64..];
    refused(
        &wrong,
        &[],
        1,
        &["does not know this token", "token create"],
    );
    let foreign = "belongs to another cluster than the token";
    refused(&other.token, &[], 1, &[foreign, "check the address"]);

    let revoked = town.new_token(&[]);
    let newest = town.program.json(&["token", "list"])["items"][0]["id"].clone();
    let newest = newest.as_str().unwrap();
    town.program.ok(&["token", "revoke", newest]);
    refused(&revoked, &[], 1, &["was revoked", "make another"]);
    town.program
        .run(&["token", "revoke", "token_7"])
        .fails(3, &["token_7"]);

    let edge = town.new_token(&["--roles", "edge"]);
    refused(
        &edge,
        &["--roles", "worker"],
        1,
        &["not for the roles `worker`"],
    );
    refused(
        &town.token,
        &["--roles", "control"],
        1,
        &["SQLite", "db move"],
    );
    town.program
        .run(&["token", "create", "--roles", "control"])
        .fails(2, &["SQLite", "leave `control` out"]);
    refused(
        &town.token,
        &["--name", "first"],
        1,
        &["a node `first` already", "another name"],
    );

    // None of them used it up, and once it is used it is of no use.
    let mut worker = machine.spawn(&town.join(&town.token, &["--name", "w1"]));
    worker.wait_for("serving ");
    let late = Program::new();
    let ended = late.run(&town.join(&town.token, &["--name", "w2"]));
    ended.fails(1, &["was used before; make another"]);
    let tokens = town.program.json(&["token", "list"]);
    let mut used = tokens["items"].as_array().unwrap().iter();
    let used = used.find(|token| token["state"] == "used").unwrap();
    let used = used["id"].as_str().unwrap();
    town.program
        .run(&["token", "revoke", used])
        .fails(6, &["a node joined with this token", "node remove"]);
}

#[test]
fn a_token_that_is_too_old_lets_nobody_in() {
    let town = Town::found("first");
    // By the time that another process has started a second is over, or nearly.
    let old = town.new_token(&["--ttl", "1s"]);
    let state = || {
        let tokens = town.program.json(&["token", "list"]);
        tokens["items"][0]["state"].as_str().unwrap().to_owned()
    };
    while state() == "open" {}
    assert_eq!(state(), "expired");
    let machine = Program::new();
    machine
        .run(&town.join(&old, &[]))
        .fails(1, &["the token has expired; make another"]);
}

#[test]
fn names_and_addresses_that_cannot_be_are_refused_before_anything_starts() {
    let program = Program::new();
    let long = "n".repeat(64);
    for (arguments, code, texts) in [
        (
            ["--name", "a b"],
            78,
            ["node.name: ", "certificates carry it"],
        ),
        (["--name", &long], 78, ["node.name: ", "1 to 63"]),
        (
            ["--region", "eu west"],
            78,
            ["cluster.region: ", "such as `eu-west`"],
        ),
        (
            ["--advertise", "node-1"],
            78,
            ["cluster.advertise: ", "`HOST:PORT`"],
        ),
        (
            ["--mesh", "0.0.0.0:0"],
            78,
            ["cluster.advertise: ", "no other node can dial"],
        ),
        (["--join", "nonsense"], 2, ["HOST:PORT", "`mesh` line"]),
    ] {
        let ended = program.run(&[&["start"], &arguments[..]].concat());
        ended.fails(code, &texts);
    }
    assert!(!program.data().exists());
    program
        .run(&["start", "--mesh", "127.0.0.1:0", "--roles", "worker"])
        .fails(1, &["without the role `control` needs a cluster", "--join"]);
}

#[test]
fn a_node_without_a_lease_is_not_ready_and_takes_no_writes() {
    let short = || {
        let program = Program::new();
        let file = program.folder().join("cluster.toml");
        fs::write(file, "[cluster]\nlease = \"2s\"\n").unwrap();
        program
    };
    let (town, machine) = (Town::found_in(short(), "first"), short());
    let mut worker = machine.spawn(&town.join(&town.token, &["--name", "w1"]));
    worker.wait_for("serving ");
    let url = fs::read_to_string(machine.data().join("edge.url")).unwrap();
    let ask = |head: &str| {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://").trim()).unwrap();
        let request = format!("{head}Host: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.to_lowercase()
    };
    let ready = || ask("GET /health/ready HTTP/1.1\r\n");
    assert!(ready().starts_with("http/1.1 200"), "{}", ready());
    // Killed: nobody renews the worker's lease any more.
    drop(town);
    while ready().starts_with("http/1.1 200") {}
    let token = fs::read_to_string(machine.data().join("admin.token")).unwrap();
    let write = format!("POST /api/v1/tokens HTTP/1.1\r\nAuthorization: Bearer {token}\r\n");
    for refused in [ready(), ask(&write)] {
        assert!(refused.starts_with("http/1.1 503"), "{refused}");
        assert!(refused.contains("retry-after: 2"), "{refused}");
        assert!(refused.contains("lease was not renewed"), "{refused}");
    }
    machine.run(&["status"]).fails(4, &[]);
}

/// Looks until it is so. Each look runs the program, so that they take a minute or more.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    assert!((0..2000).any(|_| look()), "never: {what}");
}

fn stands(town: &Town, name: &str, state: &str) {
    until(state, || town.node(name)["state"] == state);
}

#[test]
fn a_node_that_is_frozen_drains_still_when_it_wakes_and_ends_when_it_was_removed() {
    let town = Town::found("first");
    let machine = Program::new();
    let mut worker = machine.spawn(&town.join(&town.token, &["--name", "w1"]));
    worker.wait_for("serving ");
    town.program.ok(&["node", "drain", "w1"]);
    worker.signal(Signal::STOP);
    stands(&town, "w1", "dead");
    worker.signal(Signal::CONT);
    stands(&town, "w1", "draining");

    worker.signal(Signal::STOP);
    town.program.ok(&["node", "remove", "w1"]);
    stands(&town, "w1", "removed");
    worker.signal(Signal::CONT);
    let line = worker.wait_for("error: ");
    assert!(line.contains("a member of its cluster no more"), "{line}");
    assert_eq!(worker.end().code(), Some(5));
}

#[test]
fn an_administrators_token_counts_on_every_node_until_another_takes_its_place() {
    let town = Town::found("first");
    let machine = Program::new();
    let join = town.join(&town.token, &["--name", "w1"]);
    let mut worker = machine.spawn(&join);
    worker.wait_for("serving ");
    let read = |of: &Program, name: &str| fs::read_to_string(of.data().join(name)).unwrap();
    // An operator elsewhere, with the address of one node and the token of the other.
    let operator = Program::new();
    fs::create_dir(operator.data()).unwrap();
    let nodes = |at: &Program, token: &str| {
        fs::write(operator.data().join("edge.url"), read(at, "edge.url")).unwrap();
        fs::write(operator.data().join("admin.token"), token).unwrap();
        operator.run(&["nodes"])
    };
    let (first, second) = (
        read(&town.program, "admin.token"),
        read(&machine, "admin.token"),
    );
    assert_ne!(first, second);
    for (at, token) in [(&machine, &first), (&town.program, &second)] {
        assert_eq!(nodes(at, token).code, Some(0));
    }
    nodes(&town.program, "troupe_admin_guess").fails(5, &["token"]);

    // What is rotated at one node is rotated everywhere.
    worker.signal(Signal::TERM);
    worker.end();
    assert_eq!(nodes(&town.program, &second).code, Some(0));
    fs::remove_file(machine.data().join("admin.token")).unwrap();
    let mut worker = machine.spawn(&join);
    worker.wait_for("serving ");
    let third = read(&machine, "admin.token");
    assert_ne!(second, third);
    until("it counts", || nodes(&town.program, &third).code == Some(0));
    nodes(&town.program, &second).fails(5, &["token"]);
    // One that was removed has no word any more.
    town.program.ok(&["node", "remove", "w1"]);
    worker.wait_for("error: ");
    nodes(&town.program, &third).fails(5, &["token"]);
}

#[test]
fn an_agent_that_asks_for_a_region_is_hosted_there_and_waits_while_nobody_is() {
    let town = Town::found("first");
    let agent = serde_json::json!({
        "name": "local", "agent_type": "echo", "capabilities": ["echo"],
        "placement": { "region": "eu-west" },
    });
    let file = town.program.folder().join("agent.json");
    fs::write(&file, agent.to_string()).unwrap();
    town.program
        .ok(&["agent", "register", "--file", file.to_str().unwrap()]);
    let made = town
        .program
        .json(&["task", "create", "near", "--agent", "local"]);
    let id = made["id"].as_str().unwrap();
    let why = town.program.ok(&["why", id]);
    assert!(why.contains("host"), "{why}");
    let machine = Program::new();
    let join = town.join(&town.token, &["--name", "w1", "--region", "eu-west"]);
    let mut worker = machine.spawn(&join);
    worker.wait_for("serving ");
    until("the task is completed", || {
        town.program.json(&["task", "get", id])["status"] == "completed"
    });
    assert_eq!(town.program.json(&["agent", "get", "local"])["node"], "w1");
}

/// All that lies in a folder, as whoever copies a machine takes it along.
#[test]
fn a_node_that_is_set_otherwise_than_its_cluster_reads_which_key_to_change() {
    let town = Town::found("first");
    let machine = Program::new();
    let file = machine.folder().join("cluster.toml");
    let join = town.join(&town.token, &["--name", "w1"]);
    for (set, texts) in [
        ("shards = 32", ["shards = 32", "founded with 256"]),
        (
            "lease = \"9s\"",
            ["lease = \"9s\"", "set `cluster.lease = \"6s\"`"],
        ),
    ] {
        fs::write(&file, format!("[cluster]\n{set}\n")).unwrap();
        let ended = machine.run(&join);
        ended.fails(1, &texts);
        assert_eq!(ended.err.trim_end().lines().count(), 1, "{ended:?}");
    }
    // The token is good after that, and a member that is set otherwise later reads the same.
    fs::write(&file, "[cluster]\nshards = 256\n").unwrap();
    let mut worker = machine.spawn(&join);
    worker.wait_for("serving ");
    drop(worker);
    for (set, texts) in [
        ("shards = 32", ["shards = 32", "founded with 256"]),
        (
            "lease = \"9s\"",
            ["run for 6s, not 9s", "set `cluster.lease` alike"],
        ),
    ] {
        fs::write(&file, format!("[cluster]\n{set}\n")).unwrap();
        let ended = machine.run(&[
            "start",
            "--log",
            "error",
            "--mesh",
            "127.0.0.1:0",
            "--join",
            &town.mesh,
        ]);
        ended.fails(1, &texts);
    }
}
