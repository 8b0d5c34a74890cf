//! What operators hold or stop, and what goes on meanwhile.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use protocol::{
    api::{HoldChange, ScopeView, TaskView, WhyView},
    task::{StepStatus, TaskStatus},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{
    machines::Cluster,
    operators::{employ, rows, task, terminal, until_it_runs},
    orders::steps,
    process::{Client, PATIENCE, now, until},
    terminal::Terminal,
};

/// A service that answers each request at once, and counts them.
pub(crate) struct Model {
    pub(crate) port: u16,
    asked: Arc<AtomicUsize>,
}

impl Model {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = count.clone();
                thread::spawn(move || answer(stream, &count));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, asked: &AtomicUsize) {
    let mut request = [0; 4096];
    // A health check connects and says nothing.
    if !matches!(stream.read(&mut request), Ok(1..)) {
        return;
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\
                  connection: close\r\n\r\n{\"answer\": \"42\"}";
    // Who left needs no answer.
    let _ = stream.write_all(answer.as_bytes());
}

pub(crate) async fn a_held_provider_keeps_just_the_steps_that_call_it(
    cluster: &Cluster,
    model: &Model,
) {
    let thinker = json!({
        "name": "thinker", "agent_type": "http", "capabilities": ["think"],
        "endpoint": format!("http://127.0.0.1:{}/v1", model.port),
    });
    employ(cluster, &thinker).await;
    let held = Held::place(cluster, "provider:127.0.0.1").await;
    let waits = held.keeps("thinker").await;
    assert_eq!(model.asked(), 0);
    held.lift(&waits).await;
    assert_eq!(model.asked(), 1);
}

pub(crate) async fn a_held_tool_keeps_just_the_steps_that_need_it(cluster: &Cluster) {
    let caller = json!({
        "name": "caller", "agent_type": "command", "capabilities": ["call"],
        "config": { "argv": ["/bin/true"] },
    });
    employ(cluster, &caller).await;
    let held = Held::place(cluster, "tool:true").await;
    let waits = held.keeps("caller").await;
    held.lift(&waits).await;
}

/// Something that is held, from one node, and lifted from another.
struct Held<'a> {
    first: Terminal<'a>,
    second: Terminal<'a>,
    client: Client,
    target: &'a str,
}

impl<'a> Held<'a> {
    async fn place(cluster: &'a Cluster, target: &'a str) -> Self {
        let echo = json!({ "name": "free", "agent_type": "echo", "capabilities": ["speak"] });
        employ(cluster, &echo).await;
        let held = Self {
            first: terminal(cluster, "c1"),
            second: terminal(cluster, "c3"),
            client: cluster.clients().remove(1).1,
            target,
        };
        let placed = held
            .first
            .json(&["hold", "add", target, "--reason", "a bill is open"]);
        let placed: HoldChange = serde_json::from_value(placed).unwrap();
        assert_eq!(placed.hold.target.to_string(), target);
        assert_eq!(
            (placed.reach.nodes, placed.reach.unconfirmed),
            (3, Vec::new())
        );
        held
    }

    /// A task that needs what is held waits and says for what, and another one does not.
    async fn keeps(&self, agent: &str) -> String {
        let waits = task(&self.client, agent, &json!({ "ask": "it" })).await;
        let path = format!("/api/v1/tasks/{waits}/why");
        let why = until("it says what it waits for", PATIENCE, async || {
            let why: WhyView =
                serde_json::from_value(self.client.get(&path).await.ok()?.body).ok()?;
            let step = why.steps.into_iter().next()?;
            (!step.holds.is_empty()).then_some(step)
        })
        .await;
        assert_eq!(why.status, StepStatus::Queued, "{why:?}");
        assert_eq!(why.holds[0].target.to_string(), self.target);
        assert_eq!(why.holds[0].reason, "a bill is open");
        for operator in [&self.first, &self.second] {
            let told = operator.ok(&["why", &waits]);
            let named = told.contains(&format!("{} is held by", self.target));
            assert!(named && told.contains("a bill is open"), "{told}");
        }
        let free = task(&self.client, "free", &json!({ "say": "hello" })).await;
        let free = self.client.settled(&free).await;
        assert_eq!(free.status, TaskStatus::Completed, "{free:?}");
        assert_eq!(attempts(&self.client.task(&waits).await), []);
        waits
    }

    /// It starts because the hold was lifted, and nobody submits it again.
    async fn lift(&self, waits: &str) {
        let lifted = now();
        self.second.ok(&["hold", "remove", self.target]);
        let done = self.client.settled(waits).await;
        assert_eq!(done.status, TaskStatus::Completed, "{done:?}");
        let [began] = attempts(&done)[..] else {
            panic!("{done:?}");
        };
        assert!(began > lifted, "it began before: {done:?}");
        println!(
            "   it began {:?} after its hold was to be lifted",
            began.since(lifted)
        );
        let holds = self.first.json(&["hold", "list"]);
        assert_eq!(holds["items"], json!([]));
    }
}

/// When each attempt at the only step began.
fn attempts(task: &TaskView) -> Vec<Timestamp> {
    let attempts = steps(task)[0].attempts.iter();
    attempts.map(|attempt| attempt.started_at).collect()
}

/// A program that ends only when it is ended, on a node of its own.
fn napper(node: &str) -> Value {
    json!({
        "name": format!("napper-{node}"), "agent_type": "command", "capabilities": ["nap"],
        "config": { "argv": ["sh", "-c", "sleep 1000 & sleep 1000"] }, "max_tasks": 4,
        "placement": { "node": node },
    })
}

pub(crate) async fn what_ran_on_a_stopped_node_is_gone(cluster: &Cluster) {
    const THERE: usize = 3;
    let (_, client) = cluster.clients().remove(0);
    let (mut there, mut here) = (Vec::new(), Vec::new());
    for (node, count, tasks) in [("w1", THERE, &mut there), ("c2", 1, &mut here)] {
        employ(cluster, &napper(node)).await;
        for _ in 0..count {
            tasks.push(task(&client, &format!("napper-{node}"), &json!({})).await);
        }
        for task in tasks {
            until_it_runs(&client, task).await;
        }
    }
    let machine = |name: &str| cluster.machines.iter().find(|of| of.name == name).unwrap();
    until("the programs run", PATIENCE, async || {
        let enough = |name, count| machine(name).tools().len() >= 2 * count;
        (enough("w1", THERE) && enough("c2", 1)).then_some(())
    })
    .await;
    let operator = terminal(cluster, "c3");
    let since = std::time::Instant::now();
    let stopped = operator.json(&["stop", "node:w1", "--reason", "smoke"]);
    let (left, took) = (machine("w1").tools(), since.elapsed());
    println!("   {stopped} after {took:?}");
    assert_eq!(left, [0; 0], "processes are left");
    let stopped: ScopeView = serde_json::from_value(stopped).unwrap();
    assert_eq!(stopped.scope.to_string(), "node:w1");
    let reach = stopped.reach;
    assert_eq!(
        (reach.ended as usize, reach.running),
        (THERE, 0),
        "{reach:?}"
    );
    assert_eq!(reach.unconfirmed, []);
    let tools = rows(&client, "/agents/napper-w1").await.into_iter();
    let tools: Vec<_> = tools.filter(|row| row.kind == "tool").collect();
    assert_eq!(tools, []);
    assert!(
        !machine("c2").tools().is_empty(),
        "another node's work ended, too"
    );

    let late = task(&client, "napper-w1", &json!({})).await;
    for id in there.iter().chain([&late]) {
        let why = until("it says what it waits for", PATIENCE, async || {
            let why = operator.ok(&["why", id]);
            why.contains("node:w1 is held by").then_some(why)
        })
        .await;
        assert!(why.contains("smoke"), "{why}");
    }
    assert_eq!(machine("w1").tools(), [0; 0], "something began anew");
    assert_eq!(attempts(&client.task(&late).await), []);
    operator.ok(&["resume", "node:w1"]);
    until_it_runs(&client, &late).await;
    let all = operator.json(&["stop", "cluster"]);
    assert_eq!(all["tasks"], THERE + 2, "{all}");
    for name in ["w1", "c2"] {
        assert_eq!(machine(name).tools(), [0; 0], "{name}");
    }
}
