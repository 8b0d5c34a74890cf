//! Whole workflows while the node that owns them is killed, on three nodes and on one, over PostgreSQL.

use std::{collections::BTreeSet, time::Duration};

use protocol::{
    api::TaskView,
    id::TaskId,
    plan::Effect::{Idempotent, Irreversible, Pure},
    task::TaskStatus,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    clerk::{Clerk, open_questions},
    faults::ONE_AT_A_TIME,
    judge::{Expected, judge},
    machines::Cluster,
    operators::rows,
    orders::Chance,
    process::{Client, PATIENCE, pause, until},
    till::{TILL, Thinks, Till, pays, pays_back, refuser},
};

/// Runs of each workflow that are started at once.
const RUNS: usize = 4;

const THINKS: Thinks = Thinks {
    most: Duration::from_millis(30),
    some: Duration::from_millis(600),
};

/// Branches, a list, a loop, a person, time, and another workflow.
const WHOLE: Expected = Expected {
    end: TaskStatus::Completed,
    payments: &[
        ("quote", Pure),
        ("charge", Irreversible),
        ("stock", Idempotent),
        ("parts[0]", Idempotent),
        ("parts[1]", Idempotent),
        ("rate", Irreversible),
        ("rate.2", Irreversible),
        ("rate.3", Irreversible),
    ],
    order: &[
        ("quote", "charge"),
        ("quote", "stock"),
        ("charge", "parts[0]"),
        ("stock", "parts[1]"),
        ("parts[0]", "rate"),
        ("rate", "rate.2"),
        ("rate.2", "rate.3"),
    ],
    result: |receipt| {
        json!({
            "charge": receipt("charge"),
            "stock": receipt("stock"),
            "parts": [receipt("parts[0]"), receipt("parts[1]")],
            "rates": [receipt("rate"), receipt("rate.2"), receipt("rate.3")],
            "said": true,
            "other": "done",
        })
    },
};

/// The other workflow.
const PART: Expected = Expected {
    end: TaskStatus::Completed,
    payments: &[("one", Idempotent), ("two", Irreversible)],
    order: &[("one", "two")],
    result: |_| json!("done"),
};

/// One that fails, and whose nodes are taken back.
const REGRET: Expected = Expected {
    end: TaskStatus::Failed,
    payments: &[
        ("reserve", Idempotent),
        ("charge", Irreversible),
        ("charge~undo", Irreversible),
        ("reserve~undo", Idempotent),
    ],
    order: &[
        ("reserve", "charge"),
        ("charge", "charge~undo"),
        ("charge~undo", "reserve~undo"),
    ],
    result: |_| Value::Null,
};

fn definitions() -> [Value; 3] {
    let ask = |needs: &[&str]| {
        json!({
            "id": "ask", "type": "human", "question": "Go on?", "needs": needs,
            "schema": { "type": "object", "required": ["ok"] },
        })
    };
    let mut rate = pays("rate", Irreversible, &["parts"]);
    rate["set"] = json!({ "rates": "${context.rates + [output]}" });
    let whole = json!({
        "name": "whole", "context": { "rates": [] },
        "nodes": [
            pays("quote", Pure, &[]),
            { "id": "both", "type": "parallel", "needs": ["quote"] },
            pays("charge", Irreversible, &["both"]),
            pays("stock", Idempotent, &["both"]),
            { "id": "met", "type": "join", "needs": ["charge", "stock"] },
            {
                "id": "parts", "type": "map", "over": "$.input.items[*]", "needs": ["met"],
                "effect": "idempotent", "each": { "agent": TILL, "with": { "class": "idempotent" } },
            },
            rate,
            { "id": "look", "type": "transform", "output": "${len(context.rates)}", "needs": ["rate"] },
            ask(&["look"]),
            { "id": "nap", "type": "wait", "for": "2s", "needs": ["ask"] },
            { "id": "other", "type": "subworkflow", "workflow": "part", "needs": ["nap"] },
        ],
        "edges": [{ "from": "look", "to": "rate", "condition": "output < 3", "loop": { "max_iterations": 5 } }],
        "output": {
            "charge": "$.nodes.charge.output", "stock": "$.nodes.stock.output",
            "parts": "$.nodes.parts.output", "rates": "$.context.rates",
            "said": "$.nodes.ask.output.ok", "other": "$.nodes.other.output",
        },
    });
    let part = json!({
        "name": "part",
        "nodes": [
            pays("one", Idempotent, &[]),
            pays("two", Irreversible, &["one"]),
            { "id": "end", "type": "transform", "output": "done", "needs": ["two"] },
        ],
    });
    let regret = json!({
        "name": "regret",
        "nodes": [
            pays_back("reserve", Idempotent, &[]),
            pays_back("charge", Irreversible, &["reserve"]),
            ask(&["charge"]),
            {
                "id": "refused", "type": "agent", "agent": "refuser", "effect": "pure", "needs": ["ask"],
                "input": { "retryable": false },
            },
        ],
    });
    [whole, part, regret]
}

/// What a killed node's runs were at.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Calls that had come to the till, and were not answered.
    Calls,
    /// Questions that nobody had answered.
    Questions,
    /// A wait, or a run of another workflow.
    Waits,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_on_on_other_nodes_when_their_owner_is_killed() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let nodes = ["c1", "c2", "c3"];
    let mut proof = Proof::on(&nodes).await;
    // Where the calls are made, so that their receipts are lost, too.
    let host = proof.host_of_the_till().await;
    proof.kills(host, At::Calls).await;
    let mut others = nodes.into_iter().filter(|name| *name != host);
    proof.kills(others.next().unwrap(), At::Questions).await;
    proof.kills(others.next().unwrap(), At::Waits).await;
    proof.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_alone_takes_its_runs_up_again() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut proof = Proof::on(&["c1"]).await;
    proof.kills("c1", At::Calls).await;
    proof.kills("c1", At::Questions).await;
    proof.kills("c1", At::Waits).await;
    proof.end().await;
}

struct Proof {
    cluster: Cluster,
    till: Till,
    clerk: Clerk,
    runs: Vec<(Expected, TaskView)>,
}

impl Proof {
    async fn on(nodes: &[&str]) -> Self {
        let till = Till::open(THINKS, Chance::seeded()).await;
        let mut cluster = Cluster::with(None, &till.allowed()).await;
        for name in nodes {
            cluster.add(name, "control,worker,edge").await;
        }
        cluster.until_whole().await;
        let clients = cluster.clients();
        let (_, client) = &clients[0];
        for agent in [till.agent(), refuser()] {
            client.register(&agent).await.unwrap();
        }
        for (definition, (_, client)) in definitions().into_iter().zip(clients.iter().cycle()) {
            let draft = json!({ "dag_definition": definition });
            let made = client.post("/api/v1/workflows", &draft).await.unwrap();
            assert_eq!(made.status, 201, "{made:?}");
        }
        Self {
            cluster,
            till,
            clerk: Clerk::default(),
            runs: Vec::new(),
        }
    }

    async fn host_of_the_till(&self) -> &'static str {
        let (_, client) = self.cluster.clients().remove(0);
        let path = format!("/agents/{TILL}/proxy");
        until("the till has a host", PATIENCE, async || {
            let proxy = rows(&client, &path).await.pop()?;
            ["c1", "c2", "c3"].into_iter().find(|it| *it == proxy.node)
        })
        .await
    }

    /// Starts runs at a node, kills it when they are there, and has the others finish them.
    async fn kills(&mut self, victim: &'static str, at: At) {
        let mut open = self.start(victim).await;
        self.until_they_are(victim, at, &open).await;
        let survey = self.cluster.survey().await.unwrap();
        let owned = open.iter().filter(|(_, id)| {
            let owner = Cluster::owner(&survey, id.parse::<TaskId>().unwrap());
            owner == Some(victim)
        });
        let owned = owned.count();
        assert!(owned > 0, "it owns none of them");
        self.cluster.machine(victim).kill();
        let is_alone = self.cluster.machines.len() == 1;
        if is_alone {
            self.cluster.machine(victim).restart().await;
        }
        let clients = self.cluster.clients();
        let unknown = self.clerk.unknown.len();
        let mut turn = 0;
        let deadline = Instant::now() + PATIENCE * 2;
        while !open.is_empty() {
            turn += 1;
            let (_, client) = &clients[turn % clients.len()];
            // A node that has just lost its owner's neighbour may have no answer yet.
            let answered = self.clerk.answer_all(client, &self.till).await;
            let mut left = Vec::new();
            for (expects, id) in open.drain(..) {
                match over(client, &id).await {
                    Some(task) => self.runs.push((expects, task)),
                    None => left.push((expects, id)),
                }
            }
            open = left;
            if Instant::now() > deadline {
                let known = all_about(&self.cluster, &open);
                panic!("{victim} was killed at {at:?}, and not over are:\n{known}\n{answered:?}");
            }
            pause(Duration::from_millis(5)).await;
        }
        println!(
            "{victim} was killed at {at:?} with {owned} runs of its own; {} calls were unknown",
            self.clerk.unknown.len() - unknown
        );
        if !is_alone {
            self.cluster.machine(victim).restart().await;
        }
        self.cluster.until_whole().await;
    }

    /// Runs of both workflows, asked for at one node.
    async fn start(&self, node: &str) -> Vec<(Expected, String)> {
        let (_, client) = self.client_of(node);
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            for (expects, name) in [(WHOLE, "whole"), (REGRET, "regret")] {
                let path = format!("/api/v1/workflows/{name}/execute");
                let body = json!({ "input": { "items": ["a", "b"] } });
                let begun = client.post(&path, &body).await.unwrap();
                assert_eq!(begun.status, 202, "{begun:?}");
                runs.push((
                    expects,
                    begun.body["execution_id"].as_str().unwrap().to_owned(),
                ));
            }
        }
        runs
    }

    fn client_of(&self, node: &str) -> (String, Client) {
        let mut clients = self.cluster.clients().into_iter();
        clients.find(|(name, _)| name == node).unwrap()
    }

    async fn until_they_are(&mut self, node: &str, at: At, open: &[(Expected, String)]) {
        let (_, client) = self.client_of(node);
        match at {
            At::Calls => {
                let mut hand = self.till.hand();
                let held = hand.wait_for(|hand| hand.irreversible > 1);
                timeout(PATIENCE, held).await.unwrap().unwrap();
            }
            At::Questions => {
                until("every run asks", PATIENCE, async || {
                    let asked = open_questions(&client).await.unwrap().len();
                    (asked == open.len()).then_some(())
                })
                .await;
            }
            At::Waits => {
                let waits = async |id: &str| {
                    let path = format!("/api/v1/executions/{id}");
                    let run = client.get(&path).await.unwrap().body;
                    let mut nodes = run["nodes"].as_array().unwrap().iter();
                    nodes.any(|it| {
                        matches!(it["node_id"].as_str(), Some("nap" | "other"))
                            && it["status"] == "waiting"
                    })
                };
                until("a run waits", PATIENCE, async || {
                    let answered = self.clerk.answer_all(&client, &self.till).await;
                    answered.unwrap();
                    for (_, id) in open {
                        if waits(id).await {
                            return Some(());
                        }
                    }
                    None
                })
                .await;
            }
        }
    }

    /// Holds all that was done against what the till wrote down.
    async fn end(mut self) {
        let (_, client) = self.cluster.clients().remove(0);
        let mut all = self.runs.clone();
        for (expects, task) in &self.runs {
            let path = format!("/api/v1/tasks?parent_id={}", task.id);
            let parts = client.get(&path).await.unwrap().body;
            let parts = parts["items"].as_array().unwrap();
            let ids: Vec<&str> = parts.iter().map(|it| it["id"].as_str().unwrap()).collect();
            match (expects.end, &ids[..]) {
                (TaskStatus::Completed, [only]) => all.push((PART, client.task(only).await)),
                (TaskStatus::Failed, []) => {}
                _ => panic!("{ids:?} are parts of {task:#?}"),
            }
        }
        let ids: BTreeSet<TaskId> = all.iter().map(|(_, task)| task.id).collect();
        assert_eq!(ids.len(), all.len());
        let toll = judge(&all, &self.till.book());
        println!("{} runs, {toll}", all.len());
        assert_eq!(
            self.clerk.others.len(),
            self.runs.len(),
            "each run asks once"
        );
        assert!(!self.clerk.unknown.is_empty(), "no outcome was unknown");
        for machine in self.cluster.machines.iter_mut().rev() {
            machine.terminate().await;
        }
        self.cluster.verify();
    }
}

/// What the store has of these runs and of what they wait for, and what the nodes said last.
fn all_about(cluster: &Cluster, runs: &[(Expected, String)]) -> String {
    let mut known = String::new();
    for (_, id) in runs {
        let rows = format!("SELECT * FROM stream_text WHERE id = '{id}' OR parent = '{id}'");
        let events = format!(
            "SELECT event_text.* FROM event_text JOIN stream_text ON event_text.stream = stream_text.id
             WHERE stream_text.id = '{id}' OR parent = '{id}' ORDER BY position"
        );
        for sql in [rows, events] {
            known += &cluster
                .postgres
                .sql(&sql)
                .unwrap_or_else(|error| error.to_string());
        }
    }
    known + &cluster.logs()
}

/// A run that is over; nothing while it is not, or nobody can tell.
async fn over(client: &Client, id: &str) -> Option<TaskView> {
    let answer = client.get(&format!("/api/v1/tasks/{id}")).await.ok()?;
    if answer.status != 200 {
        pause(Duration::from_millis(20)).await;
        return None;
    }
    let task = answer.task();
    task.status.is_terminal().then_some(task)
}
