//! A store that is moved to PostgreSQL while clients go on.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "other processes live by the machine's clock"
)]
#![expect(
    clippy::print_stdout,
    reason = "how long a move took belongs to the result"
)]

#[path = "support/ledger.rs"]
mod ledger;
#[path = "support/orders.rs"]
mod orders;
#[path = "support/process.rs"]
mod process;

use std::{
    collections::BTreeSet,
    fs,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use orders::{Order, list};
use process::{Client, PATIENCE, Place, pause};
use reqwest::Method;
use runtime::testkit::postgres::PrivatePostgres;
use serde_json::{Value, json};

/// Clients, each of which submits a task so often: fifty tasks a second.
const CLIENTS: u32 = 5;
const REST: Duration = Duration::from_millis(100);

/// Between two tries of one client.
const AGAIN: Duration = Duration::from_millis(20);

/// Load before and after what happens.
const WARM: Duration = Duration::from_secs(2);

/// What all clients share.
#[derive(Default)]
struct Shop {
    door: Mutex<Option<Client>>,
    closed: AtomicBool,
    numbers: AtomicU64,
    refused: AtomicU64,
    /// Tasks that were acknowledged, by key.
    orders: Mutex<Vec<(String, String)>>,
}

impl Shop {
    async fn submit(&self, order: &Order) -> Option<String> {
        let client = self.door.lock().unwrap().clone()?;
        let (key, body) = (Some(&*order.key), Some(&order.body));
        let sent = client.send(Method::POST, "/api/v1/tasks", key, body).await;
        let taken = sent.ok().filter(|answer| answer.status < 300);
        if taken.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        Some(taken?.task().id.to_string())
    }
}

/// Submits one task after the other, each under its key until it is acknowledged.
async fn buy(shop: Arc<Shop>) {
    while !shop.closed.load(Ordering::Relaxed) {
        let number = shop.numbers.fetch_add(1, Ordering::Relaxed);
        let order = Order::single(&format!("order-{number}"), "echo");
        let since = Instant::now();
        let id = loop {
            match shop.submit(&order).await {
                Some(id) => break id,
                None => pause(AGAIN).await,
            }
            assert!(since.elapsed() < PATIENCE, "nobody takes a task");
        };
        shop.orders.lock().unwrap().push((order.key, id));
        pause(REST).await;
    }
}

/// Runs `troupe db move`, and answers what it says.
async fn moved(place: &Place, arguments: &[&str]) -> Value {
    let mut command = place.troupe(&["db", "move", "-o", "json"]);
    command.args(arguments).stderr(Stdio::piped());
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ended = ended.await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_moved_under_load_and_no_task_is_lost_or_doubled() {
    let database = PrivatePostgres::shared().schema().unwrap();
    let place = Place::new("");
    let node = place.start().await;
    let echo = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["echo"] });
    node.client.register(&echo).await.unwrap();
    let shop = Arc::new(Shop::default());
    *shop.door.lock().unwrap() = Some(node.client.clone());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(buy(shop.clone())))
        .collect();
    pause(WARM).await;
    let ahead = moved(&place, &["--ahead", "--to", &database]).await;
    pause(WARM).await;
    let again = moved(&place, &["--ahead", "--to", &database]).await;
    let (first, second) = (&ahead["records"], &again["records"]);
    assert!(0 < first.as_u64().unwrap() && first.as_u64() < second.as_u64());

    let since = Instant::now();
    assert!(node.terminate().await.success());
    let rest = moved(&place, &["--to", &database]).await;
    // What is left behind must not go on by itself.
    let forgetful = place.troupe(&["start"]).stderr(Stdio::piped()).output();
    let forgetful = forgetful.unwrap();
    let said = String::from_utf8_lossy(&forgetful.stderr);
    assert!(
        !forgetful.status.success() && said.contains("troupe db move"),
        "{said}"
    );
    fs::write(
        place.path("cluster.toml"),
        format!("[store]\nurl = {database:?}\n"),
    )
    .unwrap();
    let node = place.start().await;
    *shop.door.lock().unwrap() = Some(node.client.clone());
    println!(
        "{first} records were copied at once, {second} until the node was stopped, {} in all; nobody served for {:?}",
        rest["records"],
        since.elapsed()
    );
    pause(WARM).await;
    shop.closed.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }

    let orders = std::mem::take(&mut *shop.orders.lock().unwrap());
    let acknowledged: BTreeSet<&String> = orders.iter().map(|(_, id)| id).collect();
    assert_eq!(acknowledged.len(), orders.len(), "two keys made one task");
    for (_, id) in &orders {
        let task = node.client.settled(id).await;
        assert_eq!(task.status.as_str(), "completed", "{task:?}");
    }
    let listed = list(&node.client).await;
    let there: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(there, acknowledged);
    assert_eq!(there.len(), listed.len(), "the list repeats itself");
    let refused = shop.refused.load(Ordering::Relaxed);
    println!("{} tasks, {refused} requests refused", orders.len());
    assert!(refused > 0, "nobody noticed the move");
}
