//! What operators and viewers see of a cluster, and do to it, from whichever node.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use protocol::api::{ActorView, TreeNode};
use serde_json::{Value, json};

use super::{
    dependencies::{self, Model},
    faults::ONE_AT_A_TIME,
    machines::Cluster,
    map,
    orders::steps,
    past::tree,
    process::{Client, PATIENCE, until},
    terminal::{Login, Said, Terminal, VIEWERS},
    trouble,
};

/// The exit code of what is not permitted.
const FORBIDDEN: i32 = 5;

/// How long a person may wait for an actor that is in trouble to be named.
pub(crate) const NAMED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_find_what_is_wrong_and_mend_it_from_any_node_and_viewers_only_look() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let begun = Instant::now();
    let model = Model::start();
    let settings = format!(
        "[egress]\nallow = [\"127.0.0.1:{}\"]\n{VIEWERS}",
        model.port
    );
    let mut cluster = Cluster::with(None, &settings).await;
    for name in ["c1", "c2", "c3"] {
        cluster.add(name, "control,worker,edge").await;
    }
    cluster.add("w1", "worker").await;
    cluster.until_whole().await;
    println!("whole after {:?}", begun.elapsed());
    map::holds_of(&cluster).await;
    macro_rules! scenarios {
        ($($name:path)*) => {$(
            let since = Instant::now();
            $name(&cluster).await;
            println!("-- {}: {:?}", stringify!($name), since.elapsed());
        )*};
    }
    scenarios! {
        each_action_does_what_it_says
        a_part_of_one_node_is_killed_and_begins_anew
        trouble::a_stuck_agent_is_named_and_killed
        trouble::a_crash_loop_is_shown_and_ends_with_a_restart
        trouble::a_damaged_agent_is_parked_and_released
        a_viewer_looks_and_does_nothing
        of_operators_who_drain_all_nodes_at_once_one_is_refused
        dependencies::a_held_tool_keeps_just_the_steps_that_need_it
        dependencies::what_ran_on_a_stopped_node_is_gone
    }
    dependencies::a_held_provider_keeps_just_the_steps_that_call_it(&cluster, &model).await;
    for machine in cluster.machines.iter_mut().rev() {
        machine.terminate().await;
    }
    cluster.verify();
    println!("all in {:?}", begun.elapsed());
}

/// Registers an agent, and waits until it stands and has a host; answers the names of its owner and of a node
/// with an edge that is not its owner.
pub(crate) async fn employ(cluster: &Cluster, agent: &Value) -> (String, &'static str) {
    let (_, client) = cluster.clients().remove(0);
    client.register(agent).await.unwrap();
    let path = format!("/agents/{}", agent["name"].as_str().unwrap());
    until("the agent has a host", PATIENCE, async || {
        rows(&client, &format!("{path}/proxy")).await.pop()
    })
    .await;
    let owner = actor(&client, &path).await.row.node;
    let other = if owner == "c1" { "c3" } else { "c1" };
    (owner, other)
}

/// What stands at a path and below it: nothing, where nothing does.
pub(crate) async fn rows(client: &Client, path: &str) -> Vec<TreeNode> {
    let tree = tree(client, &format!("&path={path}")).await;
    tree.map_or_else(Vec::new, |tree| tree.nodes)
}

pub(crate) async fn actor(client: &Client, path: &str) -> ActorView {
    let answer = client.get(&format!("/api/v1/actors{path}")).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    serde_json::from_value(answer.body).unwrap()
}

pub(crate) fn terminal<'a>(cluster: &'a Cluster, name: &str) -> Terminal<'a> {
    let machine = cluster.machines.iter().find(|of| of.name == name);
    Terminal::at(machine.unwrap(), Login::Admin)
}

/// A task of one step; it is its id.
pub(crate) async fn task(client: &Client, agent: &str, input: &Value) -> String {
    let step = json!({
        "id": "only", "agent": agent, "input": input, "timeout": "20m", "effect": "idempotent",
    });
    let task = json!({ "description": "work", "steps": [step] });
    client.submit(&task).await.id.to_string()
}

/// Waits until the only step of a task is tried.
pub(crate) async fn until_it_runs(client: &Client, task: &str) {
    until("the step runs", PATIENCE, async || {
        let task = client.task(task).await;
        let attempts = &steps(&task).first()?.attempts;
        attempts.iter().find(|it| it.ended_at.is_none()).map(drop)
    })
    .await;
}

fn status(operator: &Terminal<'_>, agent: &str) -> String {
    let agent = operator.json(&["agent", "get", agent]);
    agent["status"].as_str().unwrap().to_owned()
}

/// Each finds the others up when it looks.
async fn of_operators_who_drain_all_nodes_at_once_one_is_refused(cluster: &Cluster) {
    let clients = cluster.clients();
    let turn = async |way: &str| {
        let asked = clients.iter().map(async |(name, client)| {
            let path = format!("/api/v1/nodes/{name}/{way}");
            client.post(&path, &json!(null)).await.unwrap()
        });
        join_all(asked).await
    };
    for _ in 0..3 {
        let answers = turn("drain").await;
        let refused = answers.iter().filter(|it| it.status == 409);
        assert!(refused.count() >= 1, "{answers:?}");
        let (_, client) = &clients[0];
        let nodes = client.get("/api/v1/nodes").await.unwrap().body;
        let nodes = nodes["items"].as_array().unwrap();
        let up = nodes
            .iter()
            .filter(|it| it["state"] == "up" && it["roles"][0] == "control");
        assert!(up.count() >= 1, "{nodes:?}");
        turn("resume").await;
    }
    cluster.until_whole().await;
}

/// Asked of a node that does not own what it is done to.
async fn each_action_does_what_it_says(cluster: &Cluster) {
    let hand = json!({ "name": "hand", "agent_type": "sleep", "capabilities": ["rest"] });
    let (owner, other) = employ(cluster, &hand).await;
    let (_, client) = cluster.clients().remove(0);
    let operator = terminal(cluster, other);
    let act = |action: &str, path: &str| {
        let done = operator.json(&["actor", action, path, "--reason", "a test"]);
        assert_eq!(
            (&done["action"], &done["path"]),
            (&json!(action), &json!(path))
        );
        done
    };
    let path = "/agents/hand";
    let at_first = status(&operator, "hand");
    act("pause", path);
    assert_eq!(status(&operator, "hand"), "paused");
    act("resume", path);
    assert_eq!(status(&operator, "hand"), at_first);
    for action in ["restart", "kill"] {
        let before = actor(&client, path).await;
        let done = act(action, path);
        let done: ActorView = serde_json::from_value(done).unwrap();
        assert_eq!(done.row.node, owner, "{action}");
        assert!(
            done.row.started_at > before.row.started_at,
            "{action}: {done:?}"
        );
        assert_eq!(done.row.state, "running", "{action}");
        let (position, is) = (before.entity.unwrap().position, actor(&client, path).await);
        assert_eq!(is.entity.unwrap().position, position, "{action}");
    }
    act("stop", path);
    assert_eq!(status(&operator, "hand"), "inactive");
    operator.ok(&["agent", "start", "hand"]);
    assert_eq!(status(&operator, "hand"), at_first);

    let long = task(&client, "hand", &json!({ "for": "10m" })).await;
    until_it_runs(&client, &long).await;
    let path = format!("/tasks/{long}");
    act("kill", &path);
    assert_eq!(client.task(&long).await.status.as_str(), "executing");
    act("pause", &path);
    assert_eq!(client.task(&long).await.status.as_str(), "paused");
    act("resume", &path);
    assert_eq!(client.task(&long).await.status.as_str(), "executing");
    act("stop", &path);
    assert_eq!(client.task(&long).await.status.as_str(), "cancelled");
    let short = task(&client, "hand", &json!({ "for": "1ms" })).await;
    assert_eq!(client.settled(&short).await.status.as_str(), "completed");
}

/// It stands on three nodes: the one is named, and the others do not notice.
async fn a_part_of_one_node_is_killed_and_begins_anew(cluster: &Cluster) {
    let (_, client) = cluster.clients().remove(0);
    let operator = terminal(cluster, "c1");
    let path = "/system/allocator";
    let twice = operator.run(&["actor", "kill", path]);
    assert!(
        twice.code != Some(0) && twice.err.contains("name one of them"),
        "{twice:?}"
    );
    let before = rows(&client, path).await;
    assert_eq!(before.len(), 3, "{before:?}");
    operator.ok(&["actor", "kill", path, "--node", "c2", "--reason", "a test"]);
    let after = until("it stands again", PATIENCE, async || {
        let rows = rows(&client, path).await;
        let runs = rows.iter().filter(|row| row.state == "running").count() == 3;
        let again = rows.iter().any(|row| row.node == "c2" && row.restarts > 0);
        (runs && again).then_some(rows)
    })
    .await;
    for (was, is) in before.iter().zip(&after) {
        assert_eq!(was.started_at == is.started_at, is.node != "c2", "{is:?}");
    }
    for _ in 0..6 {
        let short = task(&client, "hand", &json!({ "for": "1ms" })).await;
        assert_eq!(client.settled(&short).await.status.as_str(), "completed");
    }
}

#[track_caller]
fn is_refused(said: &Said) {
    assert_eq!(said.code, Some(FORBIDDEN), "{said:?}");
    assert_eq!(said.out, "", "{said:?}");
    let mut lines = said.err.lines();
    let told = lines.next().unwrap_or_default();
    assert!(told.starts_with("error: this needs the role "), "{said:?}");
    let help = lines.next().unwrap_or_default();
    assert!(help.starts_with("help: "), "{said:?}");
}

async fn a_viewer_looks_and_does_nothing(cluster: &Cluster) {
    let (_, client) = cluster.clients().remove(0);
    let long = task(&client, "hand", &json!({ "for": "10m" })).await;
    until_it_runs(&client, &long).await;
    let viewer = Terminal::at(&cluster.machines[2], Login::Viewer);
    let tree = viewer.json(&["tree"]);
    let whole = rows(&client, "/").await;
    assert_eq!(tree["nodes"].as_array().unwrap().len(), whole.len());
    let drawn = viewer.ok(&["tree", "/agents", "--depth", "1"]);
    assert!(drawn.contains("hand"), "{drawn}");
    viewer.json(&["tree", "--at", "1s"]);
    viewer.json(&["tree", "--diff", "10s"]);
    assert_eq!(viewer.json(&["inspect", "/agents/hand"])["kind"], "agent");
    let events = viewer.json(&["events", "--path", "/agents/hand", "--since", "5m"]);
    assert!(!events["items"].as_array().unwrap().is_empty(), "{events}");
    // What `troupe top` draws.
    let delta = viewer.first_line(&["tree", "--watch"]);
    assert_eq!(delta["reset"], true, "{delta}");
    assert_eq!(viewer.json(&["nodes"])["total"], 4);
    viewer.json(&["hold", "list"]);

    let path = format!("/tasks/{long}");
    let before = client.task(&long).await;
    let scopes = [&*long, "agent:hand", "node:c2", "cluster"];
    for action in ["stop", "pause", "resume"] {
        for scope in scopes {
            is_refused(&viewer.run(&[action, scope]));
        }
    }
    for action in ["restart", "stop", "kill", "pause", "resume", "release"] {
        for path in [&*path, "/agents/hand"] {
            is_refused(&viewer.run(&["actor", action, path]));
        }
    }
    is_refused(&viewer.run(&["actor", "kill", "/system/allocator", "--node", "c2"]));
    is_refused(&viewer.run(&["hold", "add", "tool:sh"]));
    assert_eq!(client.task(&long).await, before);
    let operator = terminal(cluster, "c1");
    assert_eq!(operator.json(&["hold", "list"])["items"], json!([]));
    operator.ok(&["stop", &long]);
}
