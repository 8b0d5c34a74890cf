//! The command line: exit codes, forms of output, and a node that starts and stops.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod program;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
};

use program::Program;
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn exit_codes_stand_in_the_help_and_wrong_usage_is_2() {
    let troupe = Program::new();
    let help = troupe.ok(&["--help"]);
    for code in [
        "0", "1", "2", "3", "4", "5", "6", "7", "70", "75", "78", "130",
    ] {
        assert!(help.contains(&format!("{code}  ")), "{code}");
    }
    troupe.run(&["tusk"]).fails(2, &["tusk"]);
    troupe
        .run(&["task", "get", "nonsense"])
        .fails(2, &["nonsense"]);
}

#[test]
fn every_shell_gets_its_completions() {
    let troupe = Program::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(troupe.ok(&["completions", shell]).contains("troupe"));
    }
}

#[test]
fn a_node_that_is_not_there_is_told_with_cause_and_remedy() {
    let troupe = Program::new();
    troupe
        .run(&["task", "list"])
        .fails(4, &["error: no node runs in", "help: start one"]);
    // A port that nobody listens at: bound, and given back.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{address}");
    troupe
        .run(&["--url", &url, "--token", "t", "task", "list"])
        .fails(4, &["error: cannot reach", "cause: ", "help: "]);
    troupe
        .run(&["--url", &url, "task", "list"])
        .fails(5, &["no token", "help: "]);
}

#[test]
fn a_job_file_that_does_not_hold_starts_nothing() {
    let troupe = Program::new();
    let file = troupe.folder().join("job.yaml");
    fs::write(
        &file,
        "name: x\nagents: [{name: a, type: echo}]\nsteps:\n  - id: one\n    agent: b\n",
    )
    .unwrap();
    troupe
        .run(&["run", "job.yaml"])
        .fails(2, &["job.yaml:5:12: ", "unknown agent `b`", "^"]);
    troupe.run(&["run", "none.yaml"]).fails(2, &["none.yaml"]);
    assert!(!troupe.data().exists());
}

#[test]
fn one_process_a_data_directory_and_a_polite_end() {
    let troupe = Program::new();
    let mut node = troupe.start();
    let token = troupe.data().join("admin.token");
    for file in ["admin.token", "edge.url", "troupe.db", "troupe.db-wal"] {
        let meta = fs::metadata(troupe.data().join(file)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert!(
        fs::read_to_string(&token)
            .unwrap()
            .starts_with("troupe_admin_")
    );
    let url = troupe.data().join("edge.url");
    assert!(
        fs::read_to_string(&url)
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );

    let holder = format!("process {}", node.child.id());
    troupe.run(&["start"]).fails(75, &[&holder, "help: "]);
    troupe.run(&["db", "verify"]).fails(75, &[&holder]);

    node.signal(Signal::TERM);
    assert_eq!(node.end().code(), Some(0));
    assert!(!url.exists());

    // The token is made once.
    let first = fs::read_to_string(&token).unwrap();
    let _again = troupe.start();
    assert_eq!(fs::read_to_string(&token).unwrap(), first);
}

#[test]
fn an_address_for_others_needs_tls() {
    let troupe = Program::new();
    let refused = troupe.run(&["start", "--listen", "0.0.0.0:0"]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("help: "), "{refused:?}");
    assert!(!troupe.data().join("edge.url").exists());
}

#[test]
fn a_node_with_a_certificate_of_its_own_is_reached_by_naming_it() {
    let troupe = Program::new();
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls");
    let config =
        format!("[edge]\ntls = {{ cert = \"{files}/cert.pem\", key = \"{files}/key.pem\" }}\n");
    fs::write(troupe.folder().join("cluster.toml"), config).unwrap();
    let cert = format!("{files}/cert.pem");
    let mut node = troupe.start();
    troupe
        .run(&["agent", "list"])
        .fails(4, &["cannot reach", "--cacert"]);
    troupe.ok(&["--cacert", &cert, "agent", "list"]);
    let mut by_variable = troupe.command(&["agent", "list"]);
    assert!(
        by_variable
            .env("TROUPE_CACERT", &cert)
            .status()
            .unwrap()
            .success()
    );
    let other = format!("{files}/key.pem");
    troupe
        .run(&["--cacert", &other, "agent", "list"])
        .fails(2, &["no certificate", "--cacert"]);
    node.signal(Signal::TERM);
    node.end();

    // A run knows the certificate of the node that it starts itself.
    let job = "name: x\nagents: [{name: a, type: echo}]\nsteps: [{id: one, agent: a}]\n";
    fs::write(troupe.folder().join("job.yaml"), job).unwrap();
    troupe.ok(&["run", "job.yaml"]);
}

#[test]
fn exit_codes_tell_what_became_of_a_task() {
    let troupe = Program::new();
    let _node = troupe.start();
    for kind in ["echo", "fail", "sleep"] {
        troupe.ok(&["agent", "register", kind, "--type", kind]);
    }
    let id = troupe.ok(&[
        "-q", "task", "create", "x", "--agent", "echo", "--wait", "30s",
    ]);
    assert!(id.starts_with("task_") && id.lines().count() == 1, "{id}");
    let id = id.trim();
    assert!(troupe.ok(&["task", "get", id]).contains("completed"));
    assert_eq!(troupe.json(&["task", "result", id])["status"], "completed");

    let fail = [
        "task", "create", "x", "--agent", "fail", "--input", "{}", "--wait", "30s",
    ];
    troupe.run(&fail).fails(1, &[]);

    let sleep = troupe.ok(&[
        "-q",
        "task",
        "create",
        "x",
        "--agent",
        "sleep",
        "--input",
        r#"{"for": "10m"}"#,
    ]);
    let sleep = sleep.trim();
    troupe
        .run(&["task", "get", sleep, "--wait", "10ms"])
        .fails(2, &[]);
    troupe.run(&["task", "result", sleep]).fails(6, &[]);
    troupe.ok(&["task", "cancel", sleep]);
    troupe.run(&["task", "watch", sleep]).fails(7, &[]);

    let unknown = "task_01980000000070008000000000000001";
    troupe.run(&["task", "get", unknown]).fails(3, &["help: "]);
    troupe
        .run(&["--token", "wrong", "task", "list"])
        .fails(5, &["help: "]);
    troupe
        .run(&["agent", "register", "echo", "--type", "echo"])
        .fails(6, &["echo"]);
    troupe
        .run(&["agent", "pause", "echo", "nobody"])
        .fails(2, &["nobody"]);
    assert_eq!(troupe.json(&["agent", "get", "echo"])["status"], "paused");
}

#[test]
fn logs_show_what_programs_wrote_however_long_it_is() {
    let troupe = Program::new();
    let _node = troupe.start();
    let steps = r#"[
        {id: long, agent: long}, {id: both, agent: both, needs: [long]},
        {id: same, agent: echo, needs: [both]},
        {id: bad, agent: bad, needs: [same], retry: {max_attempts: 1}},
    ]"#;
    fs::write(troupe.folder().join("steps.yaml"), steps).unwrap();
    troupe.ok(&["agent", "register", "echo", "--type", "echo"]);
    for (name, argv) in [
        ("long", r#"["seq", "1", "30000"]"#),
        (
            "both",
            r#"["sh", "-c", "printf 'out\\033[31m\\n'; echo err >&2"]"#,
        ),
        ("bad", r#"["sh", "-c", "echo sorry >&2; exit 3"]"#),
    ] {
        let config = format!(r#"{{"argv": {argv}}}"#);
        troupe.ok(&[
            "agent",
            "register",
            name,
            "--type",
            "command",
            "--settings",
            &config,
        ]);
    }
    let created = troupe.run(&[
        "-q",
        "task",
        "create",
        "x",
        "--steps",
        "steps.yaml",
        "--wait",
        "60s",
    ]);
    let id = created.out.trim();

    let numbers: String = (1..=30_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(troupe.ok(&["task", "logs", id, "--step", "long"]), numbers);
    let both = troupe.run(&["task", "logs", id, "--step", "both"]);
    assert_eq!(
        (both.out.as_str(), both.err.as_str()),
        ("out\\u{1b}[31m\n", "err\n")
    );
    let all = troupe.run(&["task", "logs", id]);
    assert!(all.out.contains("==> both, attempt 1 <==\n"), "{all:?}");
    assert!(all.err.contains("status 3: sorry"), "{all:?}");
    let data = troupe.json(&["task", "logs", id, "--step", "both", "--attempt", "1"]);
    assert_eq!(data[0]["stdout"], "out\u{1b}[31m\n");
    assert_eq!(data[0]["truncated"], false);
    let none = troupe.run(&["task", "logs", id, "--step", "same"]);
    assert!(none.err.contains("no program"), "{none:?}");
    troupe
        .run(&["task", "logs", id, "--step", "absent"])
        .fails(3, &["absent", "help: "]);
}

#[test]
fn json_is_what_the_interface_answers() {
    let troupe = Program::new();
    let _node = troupe.start();
    troupe.ok(&[
        "agent",
        "register",
        "echo",
        "--type",
        "echo",
        "--capability",
        "say",
    ]);
    let id = troupe.ok(&[
        "-q",
        "task",
        "create",
        "x",
        "--capability",
        "say",
        "--wait",
        "30s",
    ]);
    for (arguments, path) in [
        (
            &["task", "get", id.trim()][..],
            format!("tasks/{}", id.trim()),
        ),
        (&["task", "list"], "tasks".to_owned()),
        (&["agent", "get", "echo"], "agents/echo".to_owned()),
        (
            &["task", "attempts", id.trim()],
            format!("tasks/{}/attempts", id.trim()),
        ),
    ] {
        let mut ours = troupe.json(arguments);
        let mut theirs = get(&troupe, &format!("/api/v1/{path}"));
        // Between two calls the agent may have been checked once more.
        for body in [&mut ours, &mut theirs] {
            if let Some(health) = body.get_mut("health") {
                *health = Value::Null;
            }
        }
        assert_eq!(ours, theirs, "{path}");
    }
}

/// What the interface itself answers.
fn get(troupe: &Program, path: &str) -> Value {
    let url = fs::read_to_string(troupe.data().join("edge.url")).unwrap();
    let token = fs::read_to_string(troupe.data().join("admin.token")).unwrap();
    let host = url.trim().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&host).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        token.trim()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[test]
fn a_name_cannot_drive_the_terminal() {
    let troupe = Program::new();
    let _node = troupe.start();
    troupe.ok(&["agent", "register", "echo", "--type", "echo"]);
    troupe.ok(&["task", "create", "a\u{1b}[31mb\r\nc", "--agent", "echo"]);
    for form in ["table", "wide"] {
        let list = troupe.ok(&["-o", form, "task", "list"]);
        assert!(!list.contains('\u{1b}') && !list.contains('\r'), "{list:?}");
    }
}

#[test]
fn a_database_is_verified_and_copied_at_rest() {
    let troupe = Program::new();
    let mut node = troupe.start();
    troupe.ok(&["agent", "register", "echo", "--type", "echo"]);
    troupe.ok(&["task", "create", "x", "--agent", "echo", "--wait", "30s"]);
    let live = troupe.json(&["db", "status"]);
    assert!(live["records"].as_u64().unwrap() > 2, "{live}");
    node.signal(Signal::TERM);
    node.end();

    let verified = troupe.json(&["db", "verify"]);
    assert_eq!(verified["faults"], serde_json::json!([]));
    assert!(verified["records"].as_u64().unwrap() >= live["records"].as_u64().unwrap());

    troupe.ok(&["db", "backup", "copy.db"]);
    troupe
        .run(&["db", "backup", "copy.db"])
        .fails(6, &["copy.db"]);
    let other = Program::new();
    fs::create_dir(other.data()).unwrap();
    fs::copy(
        troupe.folder().join("copy.db"),
        other.data().join("troupe.db"),
    )
    .unwrap();
    let _restored = other.start();
    assert_eq!(
        other.json(&["task", "list"])["items"][0]["status"],
        "completed"
    );
}

#[test]
fn the_node_tells_how_it_is() {
    let troupe = Program::new();
    let _node = troupe.start();
    assert!(troupe.ok(&["status"]).contains("ok"));
    let tree = troupe.json(&["tree"]);
    assert!(tree["total"].as_u64().unwrap() > 1, "{tree}");
    assert!(troupe.ok(&["agent", "stats"]).contains("succeeded"));
}
