//! Three nodes and their database in networks of their own, between which packets are lost.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{
    faults::{ONE_AT_A_TIME, nothing_moved, say},
    load::Load,
    machine::Counts,
    machines::Cluster,
    nets::{HOME, Nets, Way},
    process::{PATIENCE, pause, until},
};

const WARM: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_and_heals_however_its_network_is_parted() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let begun = Instant::now();
    let Some(nets) = Nets::new(&["c1", "c2", "c3"]) else {
        return;
    };
    let mut cluster = Cluster::new(Some(nets)).await;
    for name in ["c1", "c2", "c3"] {
        cluster.add(name, "control,worker,edge").await;
    }
    println!("whole after {:?}", cluster.until_whole().await);
    let mut load = Load::within(&cluster).await;
    let (cluster, load) = (&mut cluster, &mut load);
    for (name, part) in [
        ("one node alone", Part::Alone),
        ("one node without the database", Part::NoDatabase),
    ] {
        let since = Instant::now();
        println!("-- {name}");
        a_node_is_cut_off(cluster, load, part).await;
        println!("   {:?}", since.elapsed());
    }
    for (name, from, to, way) in [
        ("one direction only", "c1", "c2", Way::There),
        (
            "two that reach a third, but not each other",
            "c1",
            "c3",
            Way::Both,
        ),
    ] {
        let since = Instant::now();
        println!("-- {name}");
        peers_are_parted(cluster, load, from, to, way).await;
        println!("   {:?}", since.elapsed());
    }
    let since = Instant::now();
    println!("-- a link that comes and goes");
    a_link_flaps(cluster, load).await;
    println!("   {:?}", since.elapsed());
    load.judge(cluster).await;
    for machine in &mut cluster.machines {
        machine.terminate().await;
    }
    cluster.verify();
    println!("all in {:?}", begun.elapsed());
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Row 12.
    Alone,
    /// Row 14.
    NoDatabase,
}

fn heal(cluster: &Cluster) {
    cluster.nets.as_ref().unwrap().lock().unwrap().heal();
}

/// The others take over what it owned; nothing becomes of what it is asked meanwhile, unless they do it.
async fn a_node_is_cut_off(cluster: &mut Cluster, load: &mut Load, part: Part) {
    load.begin(cluster);
    pause(WARM).await;
    {
        let mut nets = cluster.nets.as_ref().unwrap().lock().unwrap();
        match part {
            Part::Alone => nets.isolate("c2"),
            Part::NoDatabase => nets.cut("c2", HOME, Way::Both),
        }
    }
    cluster.machine("c2").counts(Counts::Away);
    let whole = cluster.until_whole().await;
    println!("   the others owned everything after {whole:?}");
    let client = cluster.machine("c2").client().unwrap();
    let task = json!({ "description": "cut off", "steps": [{ "id": "only", "agent": "echo" }] });
    if part == Part::Alone {
        let asked = client
            .send(Method::POST, "/api/v1/tasks", None, Some(&task))
            .await;
        let answer = asked.unwrap();
        assert_eq!(answer.status, 503, "it took a task: {answer:?}");
    }
    pause(WARM * 2).await;
    heal(cluster);
    cluster.machine("c2").counts(Counts::Here);
    println!("   healed, whole after {:?}", cluster.until_whole().await);
    let toll = load.end(cluster).await;
    say(&toll);
    let trouble = &toll.trouble;
    assert!(trouble.busy + trouble.cut > 0, "nobody met it");
}

/// Rows 13, 15 and 16: the database decides who owns what, so nothing moves.
async fn peers_are_parted(cluster: &mut Cluster, load: &mut Load, from: &str, to: &str, way: Way) {
    let before = cluster.survey().await.unwrap().shards;
    let said = cluster.machine(from).log().len();
    load.begin(cluster);
    pause(WARM).await;
    cluster
        .nets
        .as_ref()
        .unwrap()
        .lock()
        .unwrap()
        .cut(from, to, way);
    let since = Instant::now();
    let down = format!("peer is down peer={to}");
    until("the loss is noticed", PATIENCE, async || {
        cluster.machine(from).log()[said..]
            .contains(&down)
            .then_some(())
    })
    .await;
    println!("   {from} missed {to} after {:?}", since.elapsed());
    nothing_moved(cluster, &before).await;
    heal(cluster);
    let said = cluster.machine(from).log().len();
    let since = Instant::now();
    until("the link is back", PATIENCE, async || {
        let log = cluster.machine(from).log();
        let opened = log[said..].lines().any(|line| {
            line.contains("a link is open") && line.contains(&format!("peer=\"{to}\""))
        });
        opened.then_some(())
    })
    .await;
    println!("   healed, the link was back after {:?}", since.elapsed());
    let toll = load.end(cluster).await;
    say(&toll);
    nothing_moved(cluster, &before).await;
}

/// Losses that are too short for a link to break; those that are not are in `wires`.
async fn a_link_flaps(cluster: &mut Cluster, load: &mut Load) {
    let before = cluster.survey().await.unwrap().shards;
    let handles = cluster.machine("c1").handles();
    load.begin(cluster);
    for _ in 0..2 {
        cluster
            .nets
            .as_ref()
            .unwrap()
            .lock()
            .unwrap()
            .cut("c1", "c2", Way::Both);
        pause(WARM * 2).await;
        heal(cluster);
        pause(WARM * 2).await;
    }
    let toll = load.end(cluster).await;
    say(&toll);
    nothing_moved(cluster, &before).await;
    until("no connection is left over", PATIENCE, async || {
        (cluster.machine("c1").handles() <= handles + 20).then_some(())
    })
    .await;
}
