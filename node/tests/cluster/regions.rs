//! Two regions, and nothing between them for a while.

use std::time::{Duration, Instant};

use protocol::{
    api::TaskView,
    task::{StepStatus, TaskStatus},
};
use serde_json::json;

use super::{
    faults::{ONE_AT_A_TIME, say},
    load::Load,
    machine::{Counts, INNER, OUTER},
    machines::Cluster,
    nets::{HOME, Nets, Way},
    orders::{Order, steps},
    process::{Client, PATIENCE, pause, until},
};

const WARM: Duration = Duration::from_secs(1);

/// Those that own tasks stand with the database in one region, those that only host agents in the other.
const NEAR: [&str; 2] = ["c1", "c2"];
const FAR: [&str; 2] = ["w1", "w2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_is_cut_off_keeps_its_tasks_waiting_and_the_other_goes_on() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let Some(nets) = Nets::new(&[NEAR, FAR].concat()) else {
        return;
    };
    let mut cluster = Cluster::new(Some(nets)).await;
    for name in NEAR {
        cluster.add(name, "control,worker,edge").await;
    }
    for name in FAR {
        cluster.add(name, "worker").await;
    }
    cluster.until_whole().await;
    let mut load = Load::new(&cluster).await;
    let (_, client) = cluster.clients().remove(0);
    for region in [INNER, OUTER] {
        let agent = json!({
            "name": region, "agent_type": "echo", "capabilities": ["sum"],
            "placement": { "region": region },
        });
        client.register(&agent).await.unwrap();
    }
    load.begin(&cluster);
    prefers_its_own(&cluster, &load, "before").await;
    let before = Order::single("far before", OUTER);
    let task = done(&client, load.want(&cluster, before).await).await;
    assert!(FAR.contains(&&*runs_on(&task)), "{task:#?}");

    load.straggle(&cluster, "straggler of a region").await;
    pause(WARM).await;
    cut(&mut cluster);
    let since = Instant::now();
    println!("the others knew after {:?}", cluster.until_whole().await);
    let waiting = load
        .want(&cluster, Order::single("far meanwhile", OUTER))
        .await;
    let path = format!("/api/v1/tasks/{}/why", waiting.id);
    let why = until("its agent has no host", PATIENCE, async || {
        let why = client.get(&path).await.ok()?.body;
        let reason = why["steps"][0]["reason"].as_str()?.to_owned();
        reason.contains("no node hosts outer").then_some(reason)
    })
    .await;
    assert!(why.contains("start one that fits its placement"), "{why}");
    for key in ["one meanwhile", "two meanwhile", "three meanwhile"] {
        prefers_its_own(&cluster, &load, key).await;
    }
    pause(WARM * 2).await;
    let task = client.task(&waiting.id.to_string()).await;
    assert_eq!(steps(&task)[0].status, StepStatus::Queued, "{task:#?}");

    println!("parted for {:?}", since.elapsed());
    heal(&mut cluster);
    println!("whole after {:?}", cluster.until_whole().await);
    let task = done(&client, waiting).await;
    assert_eq!(steps(&task)[0].attempts.len(), 1, "{task:#?}");
    assert!(FAR.contains(&&*runs_on(&task)), "{task:#?}");
    let toll = load.end(&cluster).await;
    say(&toll);
    assert!(toll.lost > 0, "nothing ran there");
    load.judge(&cluster).await;
    for machine in cluster.machines.iter_mut().rev() {
        machine.terminate().await;
    }
    cluster.verify();
}

/// Nothing passes between the regions, either way.
fn cut(cluster: &mut Cluster) {
    for far in FAR {
        for near in [HOME].into_iter().chain(NEAR) {
            let nets = cluster.nets.as_ref().unwrap();
            nets.lock().unwrap().cut(far, near, Way::Both);
        }
        cluster.machine(far).counts(Counts::Away);
    }
}

fn heal(cluster: &mut Cluster) {
    cluster.nets.as_ref().unwrap().lock().unwrap().heal();
    for far in FAR {
        cluster.machine(far).counts(Counts::Here);
    }
}

/// What both regions can do is done in that of the task's owner.
async fn prefers_its_own(cluster: &Cluster, load: &Load, key: &str) {
    let mut order = Order::single(key, INNER);
    order.body["requirements"] = json!({ "prefer_local": true });
    let step = &mut order.body["steps"][0];
    step.as_object_mut().unwrap().remove("agent");
    step["capability"] = json!("sum");
    let (_, client) = cluster.clients().remove(0);
    let task = done(&client, load.want(cluster, order).await).await;
    assert_eq!(steps(&task)[0].attempts[0].agent, INNER, "{task:#?}");
    assert!(NEAR.contains(&&*runs_on(&task)), "{task:#?}");
}

async fn done(client: &Client, task: TaskView) -> TaskView {
    let task = client.settled(&task.id.to_string()).await;
    assert_eq!(task.status, TaskStatus::Completed, "{task:#?}");
    task
}

fn runs_on(task: &TaskView) -> String {
    steps(task)[0].attempts[0].node.clone()
}
