//! Five nodes around one database, and one fault after another while clients submit tasks.

use std::time::{Duration, Instant};

use super::{
    load::{Load, Toll},
    machines::{Cluster, LEASE},
    process::{PATIENCE, pause, until},
    strangers,
};

/// Load before a fault, so that it meets something.
const WARM: Duration = Duration::from_secs(1);

/// Two clusters at once would take each other's processors, and leases end by the clock.
pub(crate) static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_its_promises_whatever_happens_to_its_processes() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let begun = Instant::now();
    let mut cluster = Cluster::of_five().await;
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
        a_killed_control_node_stays_down
        a_frozen_control_node_wakes_as_a_zombie
        a_short_freeze_changes_nothing
        a_worker_is_killed
        a_worker_is_frozen
        the_database_crashes
        the_database_is_frozen
        the_database_ends_our_connections
        an_operator_locks_the_tables
        clients_hang_up
        strangers_knock
        nodes_are_restarted_one_after_another
        all_nodes_are_killed
    }
    load.judge(cluster).await;
    for machine in cluster.machines.iter_mut().filter(|machine| machine.runs()) {
        machine.terminate().await;
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

/// Waits until a node owns tasks that are open.
async fn until_it_owns(cluster: &Cluster, load: &Load, name: &str) -> usize {
    until("the node owns open tasks", PATIENCE, async || {
        let owned = owned_by(cluster, load, name).await;
        (owned > 0).then_some(owned)
    })
    .await
}

/// Waits until a node runs tools.
async fn until_it_runs(cluster: &mut Cluster, name: &str) -> usize {
    let machine = cluster.machine(name);
    until("the node runs tools", PATIENCE, async || {
        let tools = machine.tools().len();
        (tools > 0).then_some(tools)
    })
    .await
}

pub(crate) fn say(toll: &Toll) {
    println!(
        "   {} tasks; {} attempts lost, {} steps unknown; requests: {} busy, {} refused, {} cut off, {} of \
         their keys had made a task, the slowest took {:?} ({})",
        toll.tasks,
        toll.lost,
        toll.unknown,
        toll.trouble.busy,
        toll.trouble.refused,
        toll.trouble.cut,
        toll.replayed,
        toll.trouble.slowest,
        toll.trouble.last.chars().take(200).collect::<String>(),
    );
}

/// Rows 1, 2 and 5.
async fn a_killed_control_node_stays_down(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    pause(WARM).await;
    let hit = until_it_owns(cluster, load, "c2").await;
    cluster.machine("c2").kill();
    let whole = cluster.until_whole().await;
    pause(WARM).await;
    let toll = load.end(cluster).await;
    say(&toll);
    println!("   its {hit} open tasks had other owners after {whole:?}");
    assert!(toll.trouble.refused > 0, "nobody missed it");
    let took = cluster.machine("c2").restart().await;
    let whole = cluster.until_whole().await;
    println!("   it was back after {took:?}, with its share {whole:?} later");
}

/// Row 6: what it has in hand when it wakes belongs to others by then.
async fn a_frozen_control_node_wakes_as_a_zombie(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    pause(WARM).await;
    let hit = until_it_owns(cluster, load, "c3").await;
    let before = cluster.machine("c3").log().len();
    cluster.machine("c3").freeze();
    let whole = cluster.until_whole().await;
    println!("   its {hit} open tasks had other owners after {whole:?}");
    pause(WARM).await;
    cluster.machine("c3").thaw();
    let whole = cluster.until_whole().await;
    println!("   awake, it had its share again after {whole:?}");
    let toll = load.end(cluster).await;
    say(&toll);
    let said = cluster.machine("c3").log().split_off(before);
    assert!(said.contains("a member anew"), "it did not notice:\n{said}");
}

/// Row 7.
async fn a_short_freeze_changes_nothing(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    pause(WARM).await;
    until_it_owns(cluster, load, "c1").await;
    let before = cluster.survey().await.unwrap().shards;
    let frozen = cluster.machine("c1");
    let client = frozen.client().unwrap();
    let since = Instant::now();
    frozen.freeze();
    let asked = async {
        client.get("/api/v1/node").await.unwrap();
        since.elapsed()
    };
    let (met, ()) = tokio::join!(asked, async {
        pause(LEASE / 3).await;
        frozen.thaw();
    });
    let toll = load.end(cluster).await;
    say(&toll);
    assert!(met >= LEASE / 3, "it answered while it was frozen");
    assert_eq!(cluster.survey().await.unwrap().shards, before);
    assert_eq!(toll.lost, 0, "attempts were lost");
}

/// Row 4: effects without receipts.
async fn a_worker_is_killed(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    let victim = load.straggle(cluster, "straggler of a killed worker").await;
    pause(WARM).await;
    let tools = until_it_runs(cluster, &victim).await;
    cluster.machine(&victim).kill();
    let since = Instant::now();
    until("its tools are gone", Duration::from_secs(5), async || {
        cluster.machine(&victim).tools().is_empty().then_some(())
    })
    .await;
    println!(
        "   {victim} and its {tools} tools were gone after {:?}",
        since.elapsed()
    );
    pause(WARM).await;
    let toll = load.end(cluster).await;
    println!("   all is settled {:?} after the kill", since.elapsed());
    say(&toll);
    assert!(toll.lost > 0, "no attempt was lost");
    cluster.machine(&victim).restart().await;
    cluster.until_whole().await;
}

/// Row 8: its tools end with its lease, though it sees nothing of it; what they said is late.
async fn a_worker_is_frozen(cluster: &mut Cluster, load: &mut Load) {
    let late = || cluster_late(&cluster.postgres);
    let before = late();
    load.begin(cluster);
    let victim = load.straggle(cluster, "straggler of a frozen worker").await;
    pause(WARM).await;
    until("a short tool runs, too", PATIENCE, async || {
        (cluster.machine(&victim).tools().len() > 4).then_some(())
    })
    .await;
    cluster.machine(&victim).freeze();
    let since = Instant::now();
    until("its tools are gone", PATIENCE, async || {
        cluster.machine(&victim).tools().is_empty().then_some(())
    })
    .await;
    println!(
        "   its tools were gone {:?} after it froze",
        since.elapsed()
    );
    let whole = cluster.until_whole().await;
    println!("   {victim} was no member any more after {whole:?}");
    let toll = load.end(cluster).await;
    say(&toll);
    assert!(toll.lost > 0, "no attempt was lost");
    cluster.machine(&victim).thaw();
    cluster.until_whole().await;
    let late = until("late results are recorded", PATIENCE, async || {
        let late = cluster_late(&cluster.postgres) - before;
        (late > 0).then_some(late)
    })
    .await;
    println!("   {late} results came late");
}

fn cluster_late(postgres: &runtime::testkit::postgres::PrivatePostgres) -> u64 {
    let count = postgres.sql("SELECT count(*) FROM event_each WHERE type = 'result_came_late'");
    count.unwrap().trim().parse().unwrap()
}

/// Whether nobody took over what another owns.
pub(crate) async fn nothing_moved(cluster: &Cluster, before: &[runtime::store::ShardRow]) {
    cluster.until_whole().await;
    let after = cluster.survey().await.unwrap().shards;
    assert!(after == before, "shards changed hands:\n{}", cluster.logs());
}

/// Row 21.
async fn the_database_crashes(cluster: &mut Cluster, load: &mut Load) {
    let before = cluster.survey().await.unwrap().shards;
    load.begin(cluster);
    pause(WARM).await;
    cluster.postgres.stop().unwrap();
    pause(Duration::from_secs(2)).await;
    cluster.postgres.restart().unwrap();
    pause(WARM * 3).await;
    let toll = load.end(cluster).await;
    say(&toll);
    let trouble = &toll.trouble;
    assert!(trouble.busy > 0 || trouble.slowest > WARM, "nobody met it");
    nothing_moved(cluster, &before).await;
}

/// Rows 18 and 22: longer than a lease; its holders renew first.
async fn the_database_is_frozen(cluster: &mut Cluster, load: &mut Load) {
    let before = cluster.survey().await.unwrap().shards;
    load.begin(cluster);
    pause(WARM).await;
    cluster.postgres.freeze().unwrap();
    pause(Duration::from_secs(10)).await;
    cluster.postgres.thaw().unwrap();
    pause(WARM * 3).await;
    let toll = load.end(cluster).await;
    say(&toll);
    assert!(toll.trouble.busy > 0, "nobody was told to come again");
    nothing_moved(cluster, &before).await;
}

/// Row 23.
async fn the_database_ends_our_connections(cluster: &mut Cluster, load: &mut Load) {
    let before = cluster.survey().await.unwrap().shards;
    load.begin(cluster);
    let mut ended = 0;
    for _ in 0..10 {
        pause(WARM / 4).await;
        ended += cluster.postgres.disconnect_all().unwrap();
    }
    let toll = load.end(cluster).await;
    say(&toll);
    println!("   {ended} connections were ended");
    assert!(ended > 10, "there was nothing to end");
    nothing_moved(cluster, &before).await;
}

/// Row 26: nobody can write; leases are no streams.
async fn an_operator_locks_the_tables(cluster: &mut Cluster, load: &mut Load) {
    let before = cluster.survey().await.unwrap().shards;
    load.begin(cluster);
    pause(WARM).await;
    let locked = cluster
        .postgres
        .sql("BEGIN; LOCK TABLE stream IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(5); COMMIT");
    locked.unwrap();
    pause(WARM).await;
    let toll = load.end(cluster).await;
    say(&toll);
    let trouble = &toll.trouble;
    assert!(trouble.busy > 0 || trouble.slowest > WARM, "nobody met it");
    nothing_moved(cluster, &before).await;
}

/// Row 56.
async fn clients_hang_up(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    let gone = load.hang_up(cluster, 100).await;
    let toll = load.end(cluster).await;
    say(&toll);
    println!("   {gone} requests were left by their clients");
    assert!(gone > 30, "they were all answered");
    until(
        "no transaction is left open",
        Duration::from_secs(5),
        async || (cluster.postgres.idle_in_transaction().unwrap() == 0).then_some(()),
    )
    .await;
}

/// Rows 36 to 38, and 53 and 55.
async fn strangers_knock(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    strangers::knock(cluster).await;
    let toll = load.end(cluster).await;
    say(&toll);
    assert_eq!((toll.lost, toll.trouble.cut), (0, 0), "somebody was harmed");
}

/// Row 10.
async fn nodes_are_restarted_one_after_another(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    for name in ["c1", "c2", "c3", "w1", "w2"] {
        pause(WARM / 2).await;
        let ended = cluster.machine(name).terminate().await;
        let took = cluster.machine(name).restart().await;
        load.opens(cluster);
        let whole = cluster.until_whole().await;
        println!("   {name} ended in {ended:?}, started in {took:?}, whole {whole:?} later");
    }
    let toll = load.end(cluster).await;
    say(&toll);
    assert!(
        toll.trouble.busy + toll.trouble.refused > 0,
        "nobody met a restart"
    );
    assert_eq!(toll.trouble.cut, 0, "requests were cut off");
    assert_eq!(toll.lost, 0, "attempts were lost");
}

/// Row 9.
async fn all_nodes_are_killed(cluster: &mut Cluster, load: &mut Load) {
    load.begin(cluster);
    pause(WARM).await;
    let hit = until_it_owns(cluster, load, "c1").await;
    for machine in &mut cluster.machines {
        machine.kill();
    }
    let since = Instant::now();
    for machine in &mut cluster.machines {
        machine.restart().await;
    }
    load.opens(cluster);
    cluster.until_whole().await;
    println!("   all were back after {:?}", since.elapsed());
    pause(WARM).await;
    let toll = load.end(cluster).await;
    println!("   all is settled {:?} after the kill", since.elapsed());
    say(&toll);
    assert!(hit > 0 && toll.lost > 0, "no attempt was lost");
}
