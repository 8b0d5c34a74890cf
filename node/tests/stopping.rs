//! The stop button: what is stopped is gone, on every node, before that is said.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "it looks at processes and streams of other machines, which run by the clock"
)]
#![allow(dead_code, reason = "the program is shared with other tests")]

mod program;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use program::{Program, Running};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A model that streams its answer for ever, and knows who still listens.
struct Model {
    url: String,
    open: Arc<AtomicUsize>,
}

impl Model {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let open = Arc::new(AtomicUsize::new(0));
        let streams = open.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let streams = streams.clone();
                thread::spawn(move || stream_to(stream, &streams));
            }
        });
        Self { url, open }
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Answers a request with a chunk every 10 ms until nobody takes them.
fn stream_to(mut stream: TcpStream, open: &AtomicUsize) {
    let mut request = [0; 4096];
    // A health check connects and says nothing.
    if !matches!(stream.read(&mut request), Ok(1..)) {
        return;
    }
    open.fetch_add(1, Ordering::SeqCst);
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut next = stream.write_all(head.as_bytes());
    while next.is_ok() {
        thread::sleep(Duration::from_millis(10));
        next = stream
            .write_all(b"1\r\n \r\n")
            .and_then(|()| stream.flush());
    }
    open.fetch_sub(1, Ordering::SeqCst);
}

/// Three nodes in processes of their own.
struct Town {
    nodes: Vec<Program>,
    _running: Vec<Running>,
}

impl Town {
    fn start(model: &Model) -> Self {
        let hub = machine(model);
        let mut node = hub.spawn(&start(&["--name", "hub"]));
        let line = node.wait_for("join ");
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "--join").unwrap();
        let mesh = words[at + 1].to_owned();
        let (mut nodes, mut running) = (vec![hub], vec![node]);
        for name in ["w1", "w2"] {
            let token = nodes[0].ok(&["token", "create", "-q"]);
            let worker = machine(model);
            let join = ["--name", name, "--join", &mesh, "--token", token.trim()];
            let mut node = worker.spawn(&start(&join));
            node.wait_for("serving ");
            nodes.push(worker);
            running.push(node);
        }
        Self {
            nodes,
            _running: running,
        }
    }

    fn hub(&self) -> &Program {
        &self.nodes[0]
    }

    fn register(&self, agent: &Value) {
        let file = self.hub().folder().join("agent.json");
        fs::write(&file, agent.to_string()).unwrap();
        let file = file.to_str().unwrap();
        self.hub().ok(&["agent", "register", "--file", file]);
    }

    /// Submits a task at the hub, by hand: no command makes parts of a task.
    fn submit(&self, task: &Value) -> String {
        let file = |name: &str| fs::read_to_string(self.hub().data().join(name)).unwrap();
        let (url, token, body) = (file("edge.url"), file("admin.token"), task.to_string());
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        let length = body.len();
        let request = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let at = answer.find("task_").unwrap_or_else(|| panic!("{answer}"));
        answer[at..at + "task_".len() + 32].to_owned()
    }

    /// Processes that attempts on any node started.
    fn tools(&self) -> usize {
        let marks: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("TROUPE_DIR={}/", node.data().display()))
            .collect();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter(|entry| {
                let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
                let environment = String::from_utf8_lossy(&environment);
                marks.iter().any(|mark| environment.contains(mark))
            })
            .count()
    }

    /// Rows of any node's tree that name one of these tasks.
    fn actors(&self, tasks: &[String]) -> Vec<String> {
        let paths = self.nodes.iter().flat_map(|node| {
            let tree = node.json(&["tree"]);
            let rows = tree["nodes"].as_array().unwrap().clone();
            rows.into_iter()
                .map(|row| row["path"].as_str().unwrap().to_owned())
        });
        paths
            .filter(|path| tasks.iter().any(|task| path.contains(task)))
            .collect()
    }
}

fn machine(model: &Model) -> Program {
    let machine = Program::new();
    let address = model.url.trim_start_matches("http://");
    let config = format!("[egress]\nallow = [\"{address}\"]\n");
    fs::write(machine.folder().join("test.toml"), config).unwrap();
    machine
}

fn start<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["start", "--config", "test.toml", "--log", "warn"];
    words.extend(["--mesh", "127.0.0.1:0"]);
    words.extend(more);
    words
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_cancel_ends_a_stream_a_program_and_child_work_on_three_nodes_within_a_second() {
    let model = Model::start();
    let town = Town::start(&model);
    town.register(&json!({
        "name": "model", "agent_type": "http", "endpoint": model.url, "capabilities": ["think"],
        "placement": { "node": "w1" },
    }));
    town.register(&json!({
        "name": "sleeper", "agent_type": "command", "capabilities": ["sleep"],
        "config": { "argv": ["sleep", "1000"] }, "placement": { "node": "w2" },
    }));
    town.register(&json!({
        "name": "child", "agent_type": "command", "capabilities": ["child"],
        "config": { "argv": ["sh", "-c", "sleep 1000 & sleep 1000"] },
        "placement": { "node": "hub" },
    }));
    let root = town.submit(&json!({ "description": "root", "steps": [
        { "id": "think", "agent": "model" },
        { "id": "sleep", "agent": "sleeper" },
    ] }));
    let part = town.submit(&json!({
        "description": "part", "parent_id": root, "steps": [{ "id": "child", "agent": "child" }],
    }));
    // Each program has a runner beside it, and the child work three processes of its own.
    until("all of it runs", || model.open() == 1 && town.tools() >= 4);
    let begun = Instant::now();
    let ended = town.hub().json(&["stop", &root]);
    let took = begun.elapsed();
    let (streams, tools) = (model.open(), town.tools());
    println!("acknowledged after {took:?}: {streams} streams, {tools} processes are left");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["reach"]["ended"], 3, "{ended}");
    assert_eq!(ended["reach"].get("unconfirmed"), None, "{ended}");
    assert_eq!(tools, 0);
    // The stub notices with its next chunk.
    until("the stub sees the end of its stream", || model.open() == 0);
    let seen = begun.elapsed();
    assert!(seen < Duration::from_secs(1), "{seen:?}");
    assert_eq!(town.actors(&[root, part]), [""; 0]);
}

#[test]
fn a_cancel_of_a_thousand_tasks_on_three_nodes_leaves_none() {
    const PARTS: usize = 999;
    let town = Town::start(&Model::start());
    for name in ["hub", "w1", "w2"] {
        town.register(&json!({
            "name": format!("rest-{name}"), "agent_type": "sleep", "capabilities": ["rest"],
            "max_tasks": 400, "placement": { "node": name },
        }));
    }
    let rest = |agent: &str| json!([{ "id": "a", "agent": format!("rest-{agent}"), "input": { "for": "1000s" } }]);
    let root = town.submit(&json!({ "description": "root", "steps": rest("hub") }));
    thread::scope(|scope| {
        for name in ["hub", "w1", "w2"] {
            let (town, root) = (&town, &root);
            scope.spawn(move || {
                for _ in 0..PARTS / 3 {
                    town.submit(&json!({
                        "description": "part", "parent_id": root, "steps": rest(name),
                    }));
                }
            });
        }
    });
    let running = || {
        let nodes = town.hub().json(&["nodes"]);
        let nodes = nodes["items"].as_array().unwrap().iter();
        nodes
            .map(|node| node["running"].as_u64().unwrap_or(0))
            .sum::<u64>()
    };
    until("all of them run", || running() == PARTS as u64 + 1);
    // How long that takes, `benches/stopping.rs` measures.
    let ended = town.hub().json(&["stop", &root]);
    let reach = &ended["reach"];
    assert_eq!(reach["ended"], PARTS + 1, "{reach}");
    assert_eq!(reach.get("unconfirmed"), None, "{reach}");
    until("no node says that it runs anything", || running() == 0);
}

#[test]
fn a_cluster_that_is_paused_now_runs_nothing_and_goes_on_when_it_is_resumed() {
    let town = Town::start(&Model::start());
    town.register(&json!({
        "name": "sleeper", "agent_type": "command", "capabilities": ["sleep"],
        "config": { "argv": ["sleep", "2"] }, "placement": { "node": "w2" },
    }));
    let hub = town.hub();
    let create = || {
        let made = hub.ok(&["task", "create", "-q", "nap", "--agent", "sleeper"]);
        made.trim().to_owned()
    };
    let ran = create();
    until("it runs", || town.tools() > 0);
    let paused = hub.json(&["pause", "cluster", "--now", "--reason", "fire"]);
    assert_eq!(town.tools(), 0);
    assert_eq!(paused["ended"], 1, "{paused}");
    let late = create();
    let why = hub.ok(&["why", &late]);
    assert!(
        why.contains("cluster is held by") && why.contains("fire"),
        "{why}"
    );
    let holds = town.nodes[1].ok(&["hold", "list"]);
    assert!(
        holds.contains("cluster") && holds.contains("fire"),
        "{holds}"
    );
    hub.ok(&["resume", "cluster"]);
    for task in [&ran, &late] {
        hub.ok(&["task", "get", task, "--wait", "30s"]);
    }
    // A dependency is held by what it is, and let go by the same word.
    hub.ok(&["hold", "add", "tool:sleep", "--reason", "tired"]);
    let waits = create();
    let why = hub.ok(&["why", &waits]);
    assert!(why.contains("tool:sleep is held by"), "{why}");
    hub.ok(&["hold", "remove", "tool:sleep"]);
    hub.ok(&["task", "get", &waits, "--wait", "30s"]);
    hub.run(&["hold", "remove", "tool:sleep"])
        .fails(3, &["nothing holds tool:sleep"]);
}

#[test]
fn a_name_that_nothing_has_is_said_to_be_wrong_and_a_stop_of_a_session_takes_it_on_all_nodes() {
    let town = Town::start(&Model::start());
    for name in ["hub", "w1", "w2"] {
        town.register(&json!({
            "name": format!("rest-{name}"), "agent_type": "sleep", "capabilities": ["rest"],
            "placement": { "node": name },
        }));
    }
    let hub = town.hub();
    for scope in ["node:tpyo", "agent:tpyo"] {
        for verb in ["pause", "stop", "resume"] {
            hub.run(&[verb, scope]).fails(3, &["tpyo", "not found"]);
        }
    }
    hub.run(&["hold", "add", "agent:tpyo"]).fails(3, &["tpyo"]);
    hub.run(&["hold", "add", "tool:gti"])
        .fails(2, &["tool:gti", "`ahead`"]);
    assert_eq!(hub.json(&["hold", "list"])["items"], json!([]));
    let held = hub.json(&["hold", "add", "tool:gti", "--ahead"]);
    assert!(
        held["note"].as_str().unwrap().contains("tool:gti"),
        "{held}"
    );
    let tasks: Vec<_> = ["hub", "w1", "w2"]
        .map(|name| {
            town.submit(&json!({
                "description": "rest", "session_id": "s1",
                "steps": [{ "id": "a", "agent": format!("rest-{name}"), "input": { "for": "1000s" } }],
            }))
        })
        .into();
    let running = || {
        let nodes = hub.json(&["nodes"]);
        let nodes = nodes["items"].as_array().unwrap().iter();
        nodes
            .map(|node| node["running"].as_u64().unwrap_or(0))
            .sum::<u64>()
    };
    until("all of them run", || running() == 3);
    let stopped = town.nodes[2].json(&["stop", "session:s1"]);
    assert_eq!(stopped["tasks"], 3, "{stopped}");
    assert_eq!(stopped["ended"], 3, "{stopped}");
    assert_eq!(stopped.get("unconfirmed"), None, "{stopped}");
    assert_eq!(town.actors(&tasks), [""; 0]);
}
