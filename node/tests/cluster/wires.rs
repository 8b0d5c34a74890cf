//! Three nodes and their database with something between all of them that is slow, breaks, or is
//! shut; then the database itself is full, and forgets.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use protocol::{epoch::Epoch, task::TaskStatus};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use super::{
    faults::{ONE_AT_A_TIME, nothing_moved, say},
    load::Load,
    machines::{Cluster, LEASE},
    pipes::Flow,
    process::{Client, PATIENCE, pause, until},
};

const WARM: Duration = Duration::from_secs(1);

/// As over a satellite, there and back.
const FAR: Flow = Flow::Slow {
    latency: Duration::from_millis(150),
    bytes_per_second: 8_000.0,
};

/// Times that links go and come; more of them on request, for two minutes and longer.
fn flaps() -> u32 {
    let asked = std::env::var("TROUPE_TEST_FLAPS").ok();
    asked.map_or(3, |asked| asked.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_over_bad_wires_and_with_a_database_that_is_full_or_forgets() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let begun = Instant::now();
    let mut cluster = Cluster::piped().await;
    cluster.add("c1", "control,worker,edge").await;
    cluster.add("c2", "control,worker,edge").await;
    cluster.add("w1", "worker").await;
    println!("whole after {:?}", cluster.until_whole().await);
    let mut load = Load::new(&cluster).await;
    let (cluster, load) = (&mut cluster, &mut load);
    let wanted = std::env::var("TROUPE_TEST_FAULT").unwrap_or_default();
    macro_rules! scenarios {
        ($($name:ident)*) => {$(
            if stringify!($name).contains(&wanted) {
                let since = Instant::now();
                println!("-- {}", stringify!($name));
                $name(cluster, load).await;
                println!("   {:?}", since.elapsed());
            }
        )*};
    }
    scenarios! {
        all_connections_are_reset_again_and_again
        links_are_far_and_thin
        links_come_and_go
        the_database_takes_no_more_connections
    }
    load.judge(cluster).await;
    // What it loses nobody can judge any more.
    scenarios! { the_database_fails_over_to_a_copy }
    for machine in cluster.machines.iter_mut().filter(|machine| machine.runs()) {
        machine.terminate().await;
    }
    cluster.verify();
    println!("all in {:?}", begun.elapsed());
}

/// What each node says from now on.
fn lengths(cluster: &Cluster) -> Vec<usize> {
    let machines = cluster.machines.iter();
    machines.map(|machine| machine.log().len()).collect()
}

/// Lines that any node said since, and that have one of these words.
fn said(cluster: &Cluster, since: &[usize], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (machine, since) in cluster.machines.iter().zip(since) {
        let log = machine.log();
        let lines = log[*since..].lines();
        let lines = lines.filter(|line| words.iter().any(|word| line.contains(word)));
        found.extend(lines.map(|line| format!("{}: {line}", machine.name)));
    }
    found
}

/// Every node has exactly one link to each other.
async fn until_linked(cluster: &Cluster) -> Duration {
    let since = Instant::now();
    let mut last = Vec::new();
    while since.elapsed() < PATIENCE {
        last.clear();
        for (_, client) in cluster.clients() {
            let page = client.get("/metrics").await.map(|answer| answer.body);
            let page = page.ok().and_then(|page| page.as_str().map(str::to_owned));
            let page = page.unwrap_or_default();
            let lines = page
                .lines()
                .filter(|line| line.starts_with("troupe_mesh_links{"));
            let links: Vec<f64> = lines
                .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
                .collect();
            last.push(links);
        }
        if last.iter().all(|links| links[..] == [1.0, 1.0]) {
            return since.elapsed();
        }
        pause(WARM / 20).await;
    }
    panic!("nodes have these links: {last:?}\n{}", cluster.logs());
}

/// The ports of all that nodes use to reach each other.
fn ports(cluster: &Cluster) -> Vec<u16> {
    let pipes = cluster.pipes.as_ref().unwrap().meshes.values();
    let listen = cluster.machines.iter().map(|machine| {
        let (_, port) = machine.mesh().rsplit_once(':').unwrap();
        port.parse().unwrap()
    });
    pipes.map(|pipe| pipe.port()).chain(listen).collect()
}

/// Connections between nodes, by node.
fn connections(cluster: &Cluster) -> Vec<usize> {
    let ports = ports(cluster);
    let machines = cluster.machines.iter();
    machines
        .map(|machine| machine.connections(&ports))
        .collect()
}

/// Row 19: what was under way is lost each time, and nobody takes it for delivered.
async fn all_connections_are_reset_again_and_again(cluster: &mut Cluster, load: &mut Load) {
    let before = cluster.survey().await.unwrap().shards;
    load.begin(cluster);
    pause(WARM).await;
    let since = tokio::time::Instant::now();
    for _ in 0..12 {
        for pipe in cluster.pipes.as_ref().unwrap().all() {
            pipe.reset();
        }
        pause(WARM / 4).await;
    }
    let whole = until_linked(cluster).await;
    let pipes = cluster.pipes.as_ref().unwrap();
    for (name, pipe) in &pipes.meshes {
        let dials = pipe.dials(since).len();
        println!("   {name} was dialled {dials} times");
        assert!(dials <= 30, "a storm of {dials} dials");
    }
    println!(
        "   the database was dialled {} times; links were back {whole:?} later",
        pipes.database.dials(since).len()
    );
    let toll = load.end(cluster).await;
    say(&toll);
    nothing_moved(cluster, &before).await;
}

/// Row 20: slower, and nobody is taken for dead.
async fn links_are_far_and_thin(cluster: &mut Cluster, load: &mut Load) {
    let before = cluster.survey().await.unwrap().shards;
    let since = lengths(cluster);
    for pipe in cluster.pipes.as_ref().unwrap().meshes.values() {
        pipe.flow(FAR);
    }
    // More than the links carry would be bulk that renewals of leases wait behind.
    load.begin_with(cluster, WARM * 4);
    pause(LEASE * 3).await;
    let toll = load.end(cluster).await;
    say(&toll);
    for pipe in cluster.pipes.as_ref().unwrap().meshes.values() {
        pipe.flow(Flow::Free);
    }
    let words = ["peer is down", "was not renewed", "not be renewed", "anew"];
    let said = said(cluster, &since, &words);
    assert!(said.is_empty(), "taken for dead:\n{}", said.join("\n"));
    nothing_moved(cluster, &before).await;
}

/// Row 17: two seconds off, two seconds on.
async fn links_come_and_go(cluster: &mut Cluster, load: &mut Load) {
    until_linked(cluster).await;
    let before = cluster.survey().await.unwrap().shards;
    let held = connections(cluster);
    let handles = |cluster: &Cluster| -> Vec<usize> {
        let machines = cluster.machines.iter();
        machines.map(|machine| machine.handles()).collect()
    };
    let files = handles(cluster);
    load.begin(cluster);
    let since = tokio::time::Instant::now();
    for _ in 0..flaps() {
        for flow in [Flow::Shut, Flow::Free] {
            for pipe in cluster.pipes.as_ref().unwrap().meshes.values() {
                pipe.flow(flow);
            }
            pause(WARM * 2).await;
        }
    }
    let dials: Vec<Vec<_>> = {
        let pipes = cluster.pipes.as_ref().unwrap().meshes.values();
        pipes.map(|pipe| pipe.dials(since)).collect()
    };
    let linked = until_linked(cluster).await;
    let toll = load.end(cluster).await;
    say(&toll);
    nothing_moved(cluster, &before).await;
    println!("   links were back after {linked:?}; {held:?} connections between nodes");
    until("no connection is left over", PATIENCE, async || {
        (connections(cluster) == held).then_some(())
    })
    .await;
    // Clients and the database are asked over more connections at one time than at another.
    for (before, after) in files.iter().zip(handles(cluster)) {
        assert!(after <= before + 16, "{before} handles became {after}");
    }
    // One node dials the first, and another as well; each more slowly while it fails.
    let (most, all) = (flaps() as usize * 12, dials.iter().map(Vec::len));
    let all: Vec<usize> = all.collect();
    println!("   dialled {all:?} times");
    assert!(all.iter().all(|dials| *dials <= most), "a storm: {all:?}");
}

/// Row 25: whoever needs a new connection is told to come again; leases have theirs.
async fn the_database_takes_no_more_connections(cluster: &mut Cluster, load: &mut Load) {
    let before = cluster.survey().await.unwrap().shards;
    let since = lengths(cluster);
    let options = PgConnectOptions::from_str(&cluster.postgres.url()).unwrap();
    let begun = Instant::now();
    let mut held = vec![options.connect().await.unwrap()];
    // Until there is none left, and what nodes had beside their leases' is taken from them, too.
    loop {
        while let Ok(connection) = options.connect().await {
            held.push(connection);
        }
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = 'troupe'",
        )
        .fetch_one(&mut held[0])
        .await
        .unwrap();
        if ended == 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "nodes always find another one");
    }
    println!(
        "   {} connections were taken in {:?}",
        held.len(),
        begun.elapsed()
    );
    load.begin(cluster);
    let (_, client) = &cluster.clients()[0];
    let task = one_step("echo");
    let asked = client.send(Method::POST, "/api/v1/tasks", None, Some(&task));
    let answer = asked.await.unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.retry_after.is_some(), "{answer:?}");
    pause(LEASE * 2).await;
    drop(held);
    let toll = load.end(cluster).await;
    say(&toll);
    assert!(toll.trouble.busy > 0, "nobody met it");
    let words = ["was not renewed", "not be renewed", "anew"];
    let said = said(cluster, &since, &words);
    assert!(
        said.is_empty(),
        "a lease had to do without:\n{}",
        said.join("\n")
    );
    nothing_moved(cluster, &before).await;
}

fn one_step(agent: &str) -> Value {
    json!({ "description": "one step", "steps": [{ "id": "only", "agent": agent, "effect": "pure" }] })
}

/// Submits tasks by these keys, and answers their ids.
async fn submit(client: &Client, agent: &str, keys: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    for key in keys {
        let task = one_step(agent);
        let sent = client.send(Method::POST, "/api/v1/tasks", Some(key), Some(&task));
        ids.push(sent.await.unwrap().task().id.to_string());
    }
    ids
}

/// Row 24: what was acknowledged after the copy is lost, and that is said; nothing of it counts.
async fn the_database_fails_over_to_a_copy(cluster: &mut Cluster, _: &mut Load) {
    let clients = cluster.clients();
    let (_, client) = &clients[0];
    let slow = json!({
        "name": "slow", "agent_type": "command", "capabilities": ["slow"],
        "config": { "argv": ["/bin/sh", "-c", "sleep 3; echo done"], "stdin": "none" },
    });
    client.register(&slow).await.unwrap();
    let keys = |what: &str| -> Vec<String> { (0..6).map(|n| format!("{what}-{n}")).collect() };
    let (kept, promised) = (keys("kept"), keys("promised"));
    let kept_ids = submit(client, "slow", &kept).await;
    let incarnation = cluster.survey().await.unwrap().incarnation;
    cluster.postgres.copy().unwrap();
    let mut lost_ids = submit(client, "slow", &promised[..3]).await;
    lost_ids.extend(submit(client, "echo", &promised[3..]).await);
    client.settled(&lost_ids[5]).await;
    let since = lengths(cluster);
    cluster.postgres.fail_over().unwrap();
    let whole = cluster.until_whole().await;
    let survey = cluster.survey().await.unwrap();
    println!(
        "   whole after {whole:?}, incarnation {}",
        survey.incarnation
    );
    assert_eq!(survey.incarnation, incarnation + 1, "once by all nodes");
    for shard in &survey.shards {
        assert!(shard.epoch > Epoch::new(survey.incarnation, 0), "{shard:?}");
    }
    for id in &kept_ids {
        let task = client.settled(id).await;
        assert_eq!(task.status, TaskStatus::Completed, "{task:#?}");
    }
    for id in &lost_ids {
        for (name, client) in &clients {
            let asked = client.get(&format!("/api/v1/tasks/{id}")).await.unwrap();
            assert_eq!(asked.status, 404, "{name}: {asked:?}");
        }
        let word = format!("stream={id}");
        until("its loss is told", PATIENCE, async || {
            let lines = said(cluster, &since, &["what was acknowledged was lost"]);
            lines.iter().any(|line| line.contains(&word)).then_some(())
        })
        .await;
    }
    // Whoever asks again by the same key is a new customer.
    for id in submit(client, "echo", &promised).await {
        assert!(!lost_ids.contains(&id), "{id}");
        let task = client.settled(&id).await;
        assert_eq!(task.status, TaskStatus::Completed, "{task:#?}");
    }
}
