//! Five nodes around one database, and one fault after another while clients submit tasks.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{
    load::{Load, Toll},
    machines::{Cluster, LEASE},
    process::pause,
};

/// Load before a fault, so that it meets something.
const WARM: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_its_promises_whatever_happens_to_its_processes() {
    let begun = Instant::now();
    let mut cluster = Cluster::of_five().await;
    println!("whole after {:?}", cluster.until_whole().await);
    let mut load = Load::new(&cluster).await;
    a_killed_control_node_stays_down(&mut cluster, &mut load).await;
    load.judge(&cluster).await;
    for machine in cluster.machines.iter_mut().filter(|machine| machine.runs()) {
        let took = machine.terminate().await;
        println!("{} ended after {took:?}", machine.name);
    }
    cluster.verify();
    println!("all in {:?}", begun.elapsed());
}

/// Of the tasks that are open now: how many a node owns.
async fn owned_by(cluster: &Cluster, load: &Load, name: &str) -> usize {
    let survey = cluster.survey().await.unwrap();
    let open = load.open();
    let owned = open
        .iter()
        .filter(|task| Cluster::owner(&survey, **task) == Some(name));
    owned.count()
}

fn say(what: &str, toll: &Toll) {
    println!("{what}: {toll:?}");
}

/// Row 2.
async fn a_killed_control_node_stays_down(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    pause(WARM).await;
    let hit = owned_by(cluster, load, "c2").await;
    cluster.machine("c2").kill();
    let since = Instant::now();
    let whole = cluster.until_whole().await;
    pause((LEASE + WARM).saturating_sub(since.elapsed())).await;
    let toll = load.end(cluster).await;
    say("a control node was killed", &toll);
    println!("its {hit} open tasks had other owners after {whole:?}");
    assert!(hit > 0 && toll.trouble.refused > 0, "the kill met nothing");
    let took = cluster.machine("c2").restart().await;
    println!("it was back after {took:?}; whole after {:?}", cluster.until_whole().await);
    let _ = Signal::TERM;
}
