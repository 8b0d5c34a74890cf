//! Schedules that fire each second on three nodes, while the node that owns them is killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use protocol::{
    api::{FiringState, FiringView, Page, ScheduleView},
    schedule::{Cause, Missed, Passing},
    task::TaskStatus,
    time::Timestamp,
};
use serde_json::json;

use super::{
    faults::ONE_AT_A_TIME,
    machines::{Cluster, LEASE},
    orders::Chance,
    process::{Client, PATIENCE, now, pause, until},
};

/// From one slot to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Slots that all go well, before each kill and at the end. With the rest they are fewer than the hundred that
/// a schedule remembers.
const CALM: u32 = 3;

/// How long nobody may be there to fire, after a kill.
const GAP: Duration = Duration::from_secs(2 * LEASE.as_secs());

/// One schedule, and what becomes of its slots that are missed.
struct Clockwork {
    id: String,
    name: String,
    missed: Missed,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_slot_fires_once_whichever_node_dies_at_it() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut chance = Chance::seeded();
    let mut cluster = Cluster::new(None).await;
    for name in ["c1", "c2", "c3"] {
        cluster.add(name, "control,worker,edge").await;
    }
    cluster.until_whole().await;
    let (_, client) = cluster.clients().remove(0);
    let echo = json!({ "name": "echo", "agent_type": "echo" });
    client.register(&echo).await.unwrap();
    let starts = now().plus(EVERY * 3);
    let victim = "c2";
    let clockworks = make(&cluster, victim, starts).await;
    for _ in 0..2 {
        let (_, client) = cluster.clients().remove(0);
        until_fired(&client, &clockworks, now().plus(EVERY * CALM)).await;
        // At a slot, or within moments of it.
        let since = now().since(starts);
        let slot = starts.plus(EVERY * (since.as_secs() as u32 + 1));
        pause(slot.since(now()) + Duration::from_millis(chance.below(40))).await;
        cluster.machine(victim).kill();
        let (_, client) = cluster.clients().remove(0);
        until_fired(&client, &clockworks, now().plus(GAP)).await;
        cluster.machine(victim).restart().await;
        cluster.until_whole().await;
    }
    let (_, client) = cluster.clients().remove(0);
    until_fired(&client, &clockworks, now().plus(EVERY * CALM)).await;
    // The test proves something only if the kills hurt one of each kind.
    let mut missed: BTreeMap<&str, u64> = BTreeMap::new();
    for clockwork in &clockworks {
        let kind = clockwork.name.split('-').next().unwrap();
        *missed.entry(kind).or_default() += judge(&client, clockwork, starts).await;
    }
    assert!(missed.values().all(|count| *count > 0), "{missed:?}");
    for machine in cluster.machines.iter_mut().rev() {
        machine.terminate().await;
    }
    cluster.verify();
}

/// Schedules of each kind, until one of each is the victim's.
async fn make(cluster: &Cluster, victim: &str, starts: Timestamp) -> Vec<Clockwork> {
    let mut clockworks = Vec::new();
    let mut clients = cluster.clients().into_iter().cycle();
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        for number in 0.. {
            assert!(number < 100, "none of them is owned by {victim}");
            let name = format!("{missed:?}-{number}").to_lowercase();
            let task = json!({
                "description": format!("a run of {name}"),
                "steps": [{ "id": "a", "agent": "echo", "input": "hi" }],
            });
            let spec = json!({
                "name": name, "every": "1s", "starts": starts, "missed": missed, "target": { "task": task },
            });
            let (_, client) = clients.next().unwrap();
            let made = client.post("/api/v1/schedules", &spec).await.unwrap();
            assert_eq!(made.status, 201, "{made:?}");
            let view: ScheduleView = serde_json::from_value(made.body).unwrap();
            let survey = cluster.survey().await.unwrap();
            let owner = Cluster::owner_of(&survey, view.id.into());
            clockworks.push(Clockwork {
                id: view.id.to_string(),
                name,
                missed,
            });
            if owner == Some(victim) {
                break;
            }
        }
    }
    println!("{} schedules", clockworks.len());
    clockworks
}

/// Waits until a slot after this moment has fired of each.
async fn until_fired(client: &Client, clockworks: &[Clockwork], moment: Timestamp) {
    for clockwork in clockworks {
        let path = format!("/api/v1/schedules/{}", clockwork.id);
        until("it fires again", PATIENCE, async || {
            let view = client.get(&path).await.ok()?.body;
            let view: ScheduleView = serde_json::from_value(view).ok()?;
            (view.last_at? >= moment).then_some(())
        })
        .await;
    }
}

/// Each slot fired once or passed, as the schedule says, and each firing is one run. Answers how many were
/// missed.
async fn judge(client: &Client, clockwork: &Clockwork, starts: Timestamp) -> u64 {
    let path = format!("/api/v1/schedules/{}", clockwork.id);
    let paused = client.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!(paused.unwrap().status, 200);
    let firings = until("all runs are over", PATIENCE, async || {
        let page = client.get(&format!("{path}/runs")).await.ok()?;
        let page: Page<FiringView> = serde_json::from_value(page.body).ok()?;
        let is_over = |it: &FiringView| {
            it.state == FiringState::Passed || it.outcome == Some(TaskStatus::Completed)
        };
        page.items.iter().all(is_over).then_some(page.items)
    })
    .await;
    let number = |slot: Timestamp| {
        let since = slot.since(starts);
        assert_eq!(since.as_millis() % 1000, 0, "{slot} is no slot");
        since.as_secs()
    };
    // By the last slot of each entry: how many slots it stands for, and whether it fired.
    let mut slots: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut fired, mut passed, mut made_up) = (0, 0, 0);
    let mut runs = BTreeSet::new();
    for firing in &firings {
        let slot = firing.slot.unwrap();
        assert!(firing.at >= slot, "early: {firing:?}");
        let count = match firing.state {
            FiringState::Started => {
                fired += 1;
                made_up += u64::from(firing.cause == Some(Cause::Missed));
                assert!(runs.insert(firing.run.unwrap().to_string()), "{firing:?}");
                1
            }
            FiringState::Passed => {
                assert_eq!(firing.why, Some(Passing::Missed), "{firing:?}");
                passed += firing.count.unwrap();
                firing.count.unwrap()
            }
            FiringState::Starting
            | FiringState::Retrying
            | FiringState::NotStarted
            | FiringState::Queued => panic!("{firing:?}"),
        };
        let twice = slots.insert(number(slot), count);
        assert_eq!(twice, None, "{} twice: {firings:#?}", number(slot));
    }
    let mut next = 0;
    for (last, count) in &slots {
        assert_eq!(last + 1, next + count, "{}: {firings:#?}", clockwork.name);
        next = last + 1;
    }
    println!(
        "{}: {next} slots, {fired} fired, {made_up} of them late, {passed} passed",
        clockwork.name
    );
    match clockwork.missed {
        Missed::All => assert_eq!(passed, 0, "{firings:#?}"),
        Missed::Once | Missed::Skip => assert_eq!(made_up, 0, "{firings:#?}"),
    }
    let made = runs_of(client, &clockwork.name).await;
    assert_eq!(made, runs, "{}", clockwork.name);
    made_up + passed
}

/// All tasks that this schedule made, as the store lists them.
async fn runs_of(client: &Client, name: &str) -> BTreeSet<String> {
    let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
    let wanted = format!("a run of {name}");
    loop {
        let path = format!("/api/v1/tasks?limit=200{cursor}");
        let page = client.get(&path).await.unwrap().body;
        for task in page["items"].as_array().unwrap() {
            if task["description"] == wanted.as_str() {
                let id = task["id"].as_str().unwrap().to_owned();
                assert!(ids.insert(id), "the list repeats itself");
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}
