//! A killed node in the tree of the others: what stood there, where it went on, what died and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use protocol::{
    api::{Change, Life, LifeEvent, Page, TreeChange, TreeDiff, TreeNode, TreeView},
    time::Timestamp,
};
use serde_json::json;

use super::{
    faults::ONE_AT_A_TIME,
    machines::{Cluster, LEASE},
    process::{Client, PATIENCE, now, pause, until},
    terminal::{Login, Terminal},
};

const AGENTS: usize = 200;
const TASKS: usize = 24;

/// Requests at once.
const AT_ONCE: usize = 10;

const NODES: [&str; 3] = ["c1", "c2", "c3"];
const VICTIM: &str = "c2";
const LOST: &str = "the node was lost";

/// By when what is durable of a killed node stands elsewhere: its lease has to end first, which takes
/// four seconds here and six as nodes come.
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Between two looks at all that there is.
const LOOKS: Duration = Duration::from_millis(500);

/// Between what nodes do and what their past tells.
const WRITTEN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_seconds_after_a_kill_the_tree_tells_where_each_durable_actor_went_and_what_died() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let begun = Instant::now();
    let mut cluster = Cluster::new(None).await;
    for name in NODES {
        cluster.add(name, "control,worker,edge").await;
    }
    cluster.until_whole().await;
    let (_, client) = cluster.clients().remove(0);
    employ(&cluster).await;
    let stood = until_all_work(&client).await;
    println!("200 agents work after {:?}", begun.elapsed());
    pause(WRITTEN).await;

    cluster.machine(VICTIM).kill();
    let (killed, since) = (now(), Instant::now());
    until(
        "all that was durable there goes on elsewhere",
        ELSEWHERE,
        async || {
            // Who asks for all of it again and again keeps those busy that are to go on.
            pause(LOOKS).await;
            let tree = tree(&client, "").await?;
            went_on(&tree, &stood).then_some(())
        },
    )
    .await;
    println!(
        "{} durable actors of {VICTIM} went on elsewhere {:?} after the kill; its lease was {LEASE:?}",
        stood.len(),
        since.elapsed()
    );
    pause(ELSEWHERE.saturating_sub(since.elapsed())).await;

    let before = moved_by(killed, -1);
    let after = moved_by(killed, 10);
    was_there(&cluster, before, &stood).await;
    until(
        "its past tells of it, on each node alike",
        PATIENCE,
        async || all_alike(&cluster, after, &stood).await.then_some(()),
    )
    .await;
    difference_names_each(&cluster, (before, killed, after), &stood).await;
    lives_tell_of_it(&cluster, &stood).await;
    recovery_is_measured(&cluster).await;

    let operator = Terminal::at(&cluster.machines[2], Login::Admin);
    let stopped = operator.json(&["stop", "cluster", "--reason", "the proof is over"]);
    assert_eq!(stopped["tasks"], TASKS, "{stopped}");
    assert_eq!(stopped.get("unconfirmed"), None, "{stopped}");
    for machine in cluster.machines.iter_mut().filter(|machine| machine.runs()) {
        machine.terminate().await;
    }
    cluster.verify();
    println!("all in {:?}", begun.elapsed());
}

/// Agents on all nodes, some of them at work for longer than this takes.
async fn employ(cluster: &Cluster) {
    let clients = cluster.clients();
    let names: Vec<String> = (0..AGENTS).map(|n| format!("agent-{n:03}")).collect();
    for some in names.chunks(AT_ONCE) {
        let registering = some.iter().zip(clients.iter().cycle());
        let registered = registering.map(async |(name, (_, client))| {
            let agent = json!({ "name": name, "agent_type": "sleep", "capabilities": ["rest"] });
            client.register(&agent).await.unwrap();
        });
        join_all(registered).await;
    }
    let busy = names.iter().step_by(AGENTS / TASKS).take(TASKS);
    for (name, (_, client)) in busy.zip(clients.iter().cycle()) {
        let step = json!({
            "id": "rest", "agent": name, "input": { "for": "10m" }, "timeout": "20m",
            "effect": "idempotent",
        });
        let task = json!({ "description": "a long rest", "steps": [step] });
        client.submit(&task).await;
    }
}

/// Waits until all agents stand, have hosts on all nodes, and all tasks run; answers the paths of what
/// is durable on the victim.
async fn until_all_work(client: &Client) -> BTreeSet<String> {
    let tree = until("all agents and tasks stand", PATIENCE, async || {
        let tree = tree(client, "").await?;
        let count = |kind: &str| tree.nodes.iter().filter(|row| row.kind == kind).count();
        let counts = [
            count("agent"),
            count("agent-proxy"),
            count("task"),
            count("tool"),
        ];
        (counts == [AGENTS, AGENTS, TASKS, TASKS]).then_some(tree)
    })
    .await;
    for kind in ["agent", "agent-proxy", "task", "tool"] {
        let mut shares: BTreeMap<&str, usize> = NODES.map(|name| (name, 0)).into();
        for row in tree.nodes.iter().filter(|row| row.kind == kind) {
            *shares.get_mut(&*row.node).unwrap() += 1;
        }
        println!("{kind}: {shares:?}");
        assert!(
            shares.values().all(|share| *share > 0),
            "{kind}: {shares:?}"
        );
    }
    let of_victim = durable(&tree).filter(|row| row.node == VICTIM);
    of_victim.map(|row| row.path.clone()).collect()
}

/// A page that holds all of the tree, or of what `query` adds.
pub(crate) async fn tree(client: &Client, query: &str) -> Option<TreeView> {
    let path = format!("/api/v1/tree?limit=10000{query}");
    let answer = client.get(&path).await.ok()?;
    let tree: TreeView = serde_json::from_value(answer.body).ok()?;
    assert_eq!(tree.next, None);
    Some(tree)
}

async fn tree_at(client: &Client, moment: Timestamp, more: &str) -> TreeView {
    let query = format!("&at={moment}{more}");
    tree(client, &query).await.unwrap()
}

fn durable(tree: &TreeView) -> impl Iterator<Item = &TreeNode> {
    let is_durable = |row: &&TreeNode| matches!(&*row.kind, "agent" | "task");
    tree.nodes.iter().filter(is_durable)
}

/// Whether each of these stands once, on a node that lives, and says where it was.
fn went_on(tree: &TreeView, stood: &BTreeSet<String>) -> bool {
    let mut rows: BTreeMap<&str, Vec<&TreeNode>> = BTreeMap::new();
    for row in durable(tree) {
        rows.entry(&row.path).or_default().push(row);
    }
    rows.len() == AGENTS + TASKS
        && stood
            .iter()
            .all(|path| match rows.get(&**path).map(Vec::as_slice) {
                Some([row]) => {
                    row.node != VICTIM
                        && row.state == "running"
                        && row.restored_from.as_deref() == Some(VICTIM)
                }
                Some(_) | None => false,
            })
}

fn moved_by(moment: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_micros(moment.as_micros() + seconds * 1_000_000)
}

/// A second before the kill the whole node was there, says each of the others.
async fn was_there(cluster: &Cluster, before: Timestamp, stood: &BTreeSet<String>) {
    let mut told = Vec::new();
    for (name, client) in cluster.clients() {
        let was = tree_at(&client, before, "").await;
        assert_eq!(was.silent, [""; 0], "{name}");
        let there = was.nodes.iter().filter(|row| row.node == VICTIM);
        let paths: BTreeSet<&str> = there.map(|row| &*row.path).collect();
        for part in ["/", "/system/membership", "/hosts", "/agents", "/tasks"] {
            assert!(paths.contains(part), "{name}: no {part} in {paths:?}");
        }
        let durables = durable(&was).filter(|row| row.node == VICTIM);
        let durables: BTreeSet<String> = durables.map(|row| row.path.clone()).collect();
        assert_eq!(durables, *stood, "{name}");
        let part = tree_at(
            &client,
            before,
            &format!("&node={VICTIM}&path=/agents&depth=1"),
        )
        .await;
        let agents = stood.iter().filter(|path| path.starts_with("/agents/"));
        assert_eq!(part.nodes.len(), agents.count() + 1, "{name}");
        told.push(was);
    }
    assert_eq!(told.len(), NODES.len() - 1);
    assert!(told.iter().all(|was| was.nodes == told[0].nodes));
}

/// Whether each node tells the same of the moment after, and all of it.
async fn all_alike(cluster: &Cluster, after: Timestamp, stood: &BTreeSet<String>) -> bool {
    let mut told = Vec::new();
    for (_, client) in cluster.clients() {
        told.push(tree_at(&client, after, "").await);
    }
    told.iter().all(|tree| {
        let of_victim = tree.nodes.iter().any(|row| row.node == VICTIM);
        went_on(tree, stood) && !of_victim && tree.nodes == told[0].nodes
    })
}

/// Whether it is durable, or goes with what is.
fn moves(path: &str, stood: &BTreeSet<String>) -> bool {
    let agent = path.strip_suffix("/proxy");
    stood.contains(path) || agent.is_some_and(|agent| stood.contains(agent))
}

/// What was durable moved with what goes with it, all else of the node died, and why is said; nothing befell the others.
async fn difference_names_each(
    cluster: &Cluster,
    (before, killed, after): (Timestamp, Timestamp, Timestamp),
    stood: &BTreeSet<String>,
) {
    let (_, first) = &cluster.clients()[0];
    let was = tree_at(first, before, &format!("&node={VICTIM}")).await;
    let mut told = Vec::new();
    for machine in cluster.machines.iter().filter(|machine| machine.runs()) {
        let name = &machine.name;
        let client = machine.client().unwrap();
        let path = format!("/api/v1/tree/diff?from={before}&to={after}");
        let diff: TreeDiff = serde_json::from_value(client.get(&path).await.unwrap().body).unwrap();
        for row in &was.nodes {
            let mut of_row = diff
                .changes
                .iter()
                .filter(|it| it.path == row.path && it.from.as_deref() == Some(VICTIM));
            let change = of_row.next();
            let change = change.unwrap_or_else(|| panic!("{name}: {} is not named", row.path));
            assert!(of_row.next().is_none(), "{name}: {change:?} and another");
            // An agent's host may have gone elsewhere in that last second.
            if !stood.contains(&row.path) && change.at < killed {
                continue;
            }
            assert_eq!(change.reason.as_deref(), Some(LOST), "{name}: {change:?}");
            if moves(&row.path, stood) {
                assert_eq!(change.change, Change::Moved, "{name}: {change:?}");
                let to = change.to.as_deref();
                assert!(to.is_some_and(|to| to != VICTIM), "{name}: {change:?}");
            } else {
                assert_eq!(change.change, Change::Ended, "{name}: {change:?}");
            }
        }
        let of_others = diff.changes.iter().find(|it| {
            let durable = matches!(&*it.kind, "agent" | "task");
            durable && it.from.as_deref().is_some_and(|from| from != VICTIM)
        });
        assert_eq!(of_others, None, "{name}");

        let operator = Terminal::at(machine, Login::Admin);
        let between = format!("{before}..{after}");
        let printed = operator.json(&["tree", "--diff", &between]);
        let printed: TreeDiff = serde_json::from_value(printed).unwrap();
        assert_eq!(printed, diff, "{name}");
        let lines = operator.ok(&["tree", "--diff", &between]);
        let moved = lines.lines().filter(|line| line.contains("moved"));
        let moved = moved.filter(|line| line.contains(LOST) && line.contains(VICTIM));
        let told_of = |it: &&TreeChange| {
            let is_of_victim = it.from.as_deref() == Some(VICTIM);
            it.change == Change::Moved && is_of_victim && it.reason.as_deref() == Some(LOST)
        };
        let moving = diff.changes.iter().filter(told_of).count();
        assert!(moving >= stood.len(), "{name}: {lines}");
        assert_eq!(moved.count(), moving, "{name}: {lines}");
        told.push(diff);
    }
    assert!(told.iter().all(|diff| *diff == told[0]));
    println!("{} changes, told by each node alike", told[0].changes.len());
}

/// Each life has its turn: the move in the actors', the loss in the node's.
async fn lives_tell_of_it(cluster: &Cluster, stood: &BTreeSet<String>) {
    for machine in cluster.machines.iter().filter(|machine| machine.runs()) {
        let operator = Terminal::at(machine, Login::Admin);
        let lost = operator.json(&["events", "--kind", "node_lost", "--since", "5m"]);
        let lost: Page<LifeEvent> = serde_json::from_value(lost).unwrap();
        let [event] = &lost.items[..] else {
            panic!("{}: {lost:?}", machine.name);
        };
        assert_eq!((event.what, &*event.node), (Life::NodeLost, VICTIM));
        let some = stood.iter().next().unwrap();
        let actor = operator.json(&["inspect", some]);
        let life: Vec<LifeEvent> = serde_json::from_value(actor["life"].clone()).unwrap();
        let moved = life.iter().find(|event| event.what == Life::Moved);
        let from = moved.and_then(|event| event.restored_from.as_deref());
        assert_eq!(from, Some(VICTIM), "{}: {actor:#}", machine.name);
        assert!(actor["entity"]["epoch"].is_number(), "{actor:#}");
    }
}

/// What dashboards draw of it.
async fn recovery_is_measured(cluster: &Cluster) {
    for (name, client) in cluster.clients() {
        let metrics = client.get("/metrics").await.unwrap().body;
        let mut lines = metrics.as_str().unwrap().lines();
        let count = lines.find_map(|line| line.strip_prefix("troupe_recovery_seconds_count "));
        let count: u64 = count.unwrap_or("0").parse().unwrap();
        assert!(count > 0, "{name}");
    }
}
