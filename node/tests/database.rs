//! A node whose PostgreSQL is locked, lost, or followed by a standby.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "other processes live by the machine's clock"
)]
#![expect(
    clippy::print_stdout,
    reason = "how long a fault lasted belongs to the result"
)]

#[path = "support/process.rs"]
mod process;

use std::{
    fs,
    time::{Duration, Instant},
};

use process::{Node, PATIENCE, Place, until};
use reqwest::Method;
use runtime::testkit::postgres::PrivatePostgres;
use serde_json::{Value, json};

/// How soon a write is answered that the database keeps waiting: what `lock_timeout` allows, for the
/// batch before it and for its own.
const BOUND: Duration = Duration::from_secs(3);

/// An answer, its `Retry-After`, and how long it took.
#[derive(Debug)]
struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: Value,
    took: Duration,
}

async fn ask(place: &Place, method: Method, path: &str, body: Option<Value>) -> Answer {
    let read = |name: &str| fs::read_to_string(place.data().join(name)).unwrap();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let url = format!("{}{path}", read("edge.url"));
    let mut request = client.build().unwrap().request(method, url);
    request = request.bearer_auth(read("admin.token"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let since = Instant::now();
    let response = request.send().await.unwrap();
    let header = response.headers().get("retry-after");
    Answer {
        status: response.status().as_u16(),
        retry_after: header.map(|value| value.to_str().unwrap().to_owned()),
        took: since.elapsed(),
        body: response.json().await.unwrap_or_default(),
    }
}

async fn submit(place: &Place, what: &str) -> Answer {
    let task = json!({ "description": what, "steps": [{ "id": "a", "agent": "echo" }] });
    ask(place, Method::POST, "/api/v1/tasks", Some(task)).await
}

/// Descriptions of the tasks that the list shows.
async fn listed(place: &Place) -> Vec<String> {
    let list = ask(place, Method::GET, "/api/v1/tasks", None).await;
    assert_eq!(list.status, 200, "{list:?}");
    let items = list.body["items"].as_array().unwrap().iter();
    let text = |item: &Value| item["description"].as_str().unwrap().to_owned();
    items.map(text).collect()
}

/// A node over a database, with an agent that echoes.
async fn node(config: &str) -> (Place, Node) {
    let place = Place::new(config);
    let node = place.start().await;
    let echo = json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] });
    node.client.register(&echo).await.unwrap();
    (place, node)
}

#[tokio::test]
async fn a_write_that_finds_its_tables_locked_is_answered_soon_and_says_when_to_come_back() {
    let postgres = PrivatePostgres::start().unwrap();
    let url = postgres.database().unwrap();
    let (place, _node) = node(&format!("[store]\nurl = {url:?}\n")).await;
    let lock = "SET client_connection_check_interval = '100ms';
        BEGIN; LOCK TABLE stream, event; SELECT pg_sleep(60)";
    let operator = postgres.session(&url, lock).unwrap();
    until("the tables are locked", PATIENCE, async || {
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
        let held = postgres.sql(held).unwrap();
        (held.parse::<u32>().unwrap() >= 2).then_some(())
    })
    .await;
    let (one, two, three) = tokio::join!(
        submit(&place, "one"),
        submit(&place, "two"),
        submit(&place, "three")
    );
    for answer in [one, two, three] {
        println!("locked: {} after {:?}", answer.status, answer.took);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.retry_after.is_some(), "{answer:?}");
        assert!(answer.took < BOUND, "{answer:?}");
    }
    drop(operator);
    until("it goes on", PATIENCE, async || {
        (submit(&place, "after").await.status < 300).then_some(())
    })
    .await;
}

#[tokio::test]
async fn lists_are_read_from_the_standby_and_everything_else_from_the_primary() {
    let primary = PrivatePostgres::start().unwrap();
    let url = primary.database().unwrap();
    let standby = primary.standby().unwrap();
    let replica = standby.same_as(&primary, &url);
    let (place, node) = node(&format!(
        "[store]\nurl = {url:?}\nreplica_url = {replica:?}\n"
    ))
    .await;
    let shows = async |what: &str| {
        until(what, PATIENCE, async || {
            let shown = listed(&place).await;
            shown.contains(&what.to_owned()).then_some(())
        })
        .await;
    };
    assert!(submit(&place, "first").await.status < 300);
    shows("first").await;
    let readers = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'troupe-replica'";
    assert_ne!(standby.sql(readers).unwrap(), "0");
    assert_eq!(primary.sql(readers).unwrap(), "0");

    // A list may be behind; one task never is.
    standby.sql("SELECT pg_wal_replay_pause()").unwrap();
    let late = submit(&place, "late").await;
    let id = late.body["id"].as_str().unwrap().to_owned();
    assert_eq!(node.client.settled(&id).await.status.as_str(), "completed");
    assert!(!listed(&place).await.contains(&"late".to_owned()));
    standby.sql("SELECT pg_wal_replay_resume()").unwrap();
    shows("late").await;

    // Without the primary nothing is written, and the list is shown all the same.
    primary.stop().unwrap();
    let lost = submit(&place, "lost").await;
    println!("no primary: {} after {:?}", lost.status, lost.took);
    assert_eq!(lost.status, 503, "{lost:?}");
    assert!(lost.retry_after.is_some(), "{lost:?}");
    assert!(listed(&place).await.contains(&"late".to_owned()));
    primary.restart().unwrap();
    let since = Instant::now();
    until("writes resume", PATIENCE, async || {
        (submit(&place, "again").await.status < 300).then_some(())
    })
    .await;
    println!("writes resumed {:?} after the primary", since.elapsed());
    shows("again").await;

    // Without the standby the primary stands in.
    standby.stop().unwrap();
    assert!(submit(&place, "alone").await.status < 300);
    shows("alone").await;
}

#[tokio::test]
async fn a_first_node_finds_its_database_again_though_nothing_tells_where_that_is() {
    let postgres = PrivatePostgres::start().unwrap();
    let url = postgres.database().unwrap();
    let (place, node) = node(&format!("[store]\nurl = {url:?}\n")).await;
    assert!(submit(&place, "kept").await.status < 300);
    drop(node);
    fs::write(place.path("cluster.toml"), "").unwrap();
    let _node = place.start().await;
    assert_eq!(listed(&place).await, ["kept"]);
}
