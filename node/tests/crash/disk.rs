//! The disk is full for a while: nothing acknowledged is lost, and the node goes on by itself.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use protocol::task::{StepStatus, TaskStatus};
use reqwest::Method;
use serde_json::{Value, json};

use super::process::{Answer, Client, Node, PATIENCE, Place, until};

/// Room for the database and its log, and little more.
const DISK: &str = "8m";

/// Mounts a small disk at `$0` in a mount namespace of its own, then becomes the given command.
const ON_SMALL_DISK: &str =
    "mount -t tmpfs -o mode=700,size=$1 tmpfs \"$0\" && shift && exec \"$@\"";

/// How to get a namespace in which mounting is allowed: that of an ordinary user, or of root.
fn namespace() -> Option<&'static [&'static str]> {
    let allowed = |arguments: &&[&str]| {
        let mount = ["sh", "-c", "mount -t tmpfs tmpfs /mnt"];
        let tried = Command::new("unshare")
            .args(*arguments)
            .args(mount)
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let ways: [&[&str]; 2] = [&["--map-root-user", "--mount"], &["--mount"]];
    ways.into_iter().find(allowed)
}

async fn start(place: &Place, namespace: &[&str]) -> Node {
    fs::create_dir(place.data()).unwrap();
    let start = place.troupe(&["start", "--listen", "127.0.0.1:0"]);
    let mut command = Command::new("unshare");
    command
        .args(namespace)
        .args(["sh", "-c", ON_SMALL_DISK])
        .arg(place.data())
        .arg(DISK)
        .arg(start.get_program())
        .args(start.get_args());
    place.start_as(command, |pid| seen(place, pid)).await
}

/// The small disk, as it is seen from outside of its namespace.
fn seen(place: &Place, pid: u32) -> std::path::PathBuf {
    let data = place.data();
    Path::new(&format!("/proc/{pid}/root")).join(data.strip_prefix("/").unwrap())
}

/// Takes all the room that there is.
fn fill(file: &Path) {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    for piece in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; piece]).is_ok() {}
    }
}

/// Gives some of the room back.
fn leave_room(file: &Path, bytes: u64) {
    let file = File::options().write(true).open(file).unwrap();
    let taken = file.metadata().unwrap().len();
    file.set_len(taken - bytes).unwrap();
}

fn task(number: usize) -> Value {
    json!({ "description": format!("task {number}"), "steps": [
        { "id": "one", "agent": "echo", "effect": "pure", "input": { "filler": "x".repeat(2000) } },
        { "id": "two", "agent": "echo", "effect": "irreversible", "needs": ["one"] },
    ]})
}

async fn submit(client: &Client, number: usize) -> Answer {
    let (key, body) = (format!("key-{number}"), task(number));
    let sent = client.send(Method::POST, "/api/v1/tasks", Some(&key), Some(&body));
    sent.await.unwrap()
}

#[tokio::test]
async fn a_full_disk_refuses_new_work_and_loses_none() {
    let Some(namespace) = namespace() else {
        println!("left out: this user may not mount a small disk to fill");
        return;
    };
    let place = Place::new("");
    let mut node = start(&place, namespace).await;
    let client = node.client.clone();
    let disk = seen(&place, node.child.0.id());
    let echo = json!({ "name": "echo", "agent_type": "echo" });
    let sleeper = json!({ "name": "sleeper", "agent_type": "sleep" });
    client.register(&echo).await.unwrap();
    client.register(&sleeper).await.unwrap();
    // Ends while the disk is full: its receipt must wait for room.
    let nap = json!({ "description": "nap", "steps": [
        { "id": "nap", "agent": "sleeper", "effect": "irreversible", "input": { "for": "1s" } },
        { "id": "then", "agent": "echo", "effect": "irreversible", "needs": ["nap"] },
    ]});
    let nap = client.submit(&nap).await.id.to_string();

    let mut acknowledged: Vec<(usize, String)> = Vec::new();
    let mut refused: Vec<usize> = Vec::new();
    let filler = disk.join("filler");
    let napped = Instant::now() + Duration::from_secs(3);
    let mut number = 0;
    // Under load, also after the first refusal and until the nap is over.
    fill(&filler);
    leave_room(&filler, 2 << 20);
    while refused.len() < 20 || Instant::now() < napped {
        if !refused.is_empty() {
            fill(&filler);
        }
        number += 1;
        assert!(number < 5000, "the disk never got full");
        let answer = submit(&client, number).await;
        match answer.status {
            201 => acknowledged.push((number, answer.task().id.to_string())),
            503 => {
                let code = answer.body["code"].as_str().unwrap();
                let message = answer.body["message"].as_str().unwrap();
                assert!(
                    message.contains("disk") && message.contains("full"),
                    "{code}: {message}"
                );
                refused.push(number);
            }
            _ => panic!("{answer:?}"),
        }
        let live = client.get("/health/live").await.unwrap();
        assert_eq!(live.status, 200, "{live:?}");
    }
    println!(
        "{} tasks acknowledged, {} refused",
        acknowledged.len(),
        refused.len()
    );
    until("the node says what is wrong", PATIENCE, async || {
        let health = client.get("/health").await.unwrap().body;
        let checks = health["checks"].as_array()?.iter();
        let store = checks.clone().find(|check| check["name"] == "store")?;
        let told = health["status"] == "degraded" && store["detail"].as_str()?.contains("full");
        told.then_some(())
    })
    .await;

    fs::remove_file(&filler).unwrap();
    // A fast machine is refused more often than the small disk has room for.
    for number in refused.into_iter().take(50) {
        let answer = until("work is taken again", PATIENCE, async || {
            let answer = submit(&client, number).await;
            matches!(answer.status, 200 | 201).then_some(answer)
        })
        .await;
        acknowledged.push((number, answer.task().id.to_string()));
    }
    let ids: std::collections::BTreeSet<&String> = acknowledged.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), acknowledged.len());
    for (number, id) in &acknowledged {
        let task = client.settled(id).await;
        assert_eq!(task.status, TaskStatus::Completed, "{task:#?}");
        assert_eq!(task.description, format!("task {number}"));
    }
    let nap = client.settled(&nap).await;
    let steps = nap.plan.unwrap().steps;
    assert_eq!(steps[0].status, StepStatus::Completed, "{:#?}", steps[0]);
    assert_eq!(steps[0].attempts.len(), 1, "{:#?}", steps[0]);
    assert_eq!(nap.status, TaskStatus::Completed);
    let listed = client.get("/api/v1/tasks?limit=1").await.unwrap();
    assert_eq!(listed.status, 200);
    assert_eq!(node.child.0.try_wait().unwrap(), None, "it did not restart");
    assert!(node.terminate().await.success(), "{}", place.log());
}
