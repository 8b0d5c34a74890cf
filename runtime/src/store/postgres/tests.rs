//! The conformance suite against a real server.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Executor};

use super::*;
use crate::{
    store::{
        Admin, EventLog, Shared,
        conformance::{all, append, task},
    },
    testkit::postgres::PrivatePostgres,
};

/// A schema of its own, so that tests do not meet.
fn options() -> PgConnectOptions {
    let url = PrivatePostgres::shared().schema().unwrap();
    PgConnectOptions::from_str(&url).unwrap()
}

async fn fresh() -> (Shared, ()) {
    let store = Postgres::connect(options()).await.unwrap();
    (Arc::new(store), ())
}

crate::store_conformance!(fresh);

#[tokio::test]
async fn the_journal_refuses_to_be_changed() {
    let store = Arc::new(Postgres::connect(options()).await.unwrap());
    let shared: Shared = store.clone();
    all(&shared, &[append(task(1), 1)]).await.unwrap();
    for sql in [
        "UPDATE event SET data = '[]'",
        "DELETE FROM event",
        "TRUNCATE event",
    ] {
        let error = store
            .work
            .reading()
            .unwrap()
            .execute(sql)
            .await
            .map(drop)
            .unwrap_err();
        assert!(matches!(Error::from(error), Error::Corrupt(_)));
    }
}

#[tokio::test]
async fn a_schema_of_a_newer_build_is_refused() {
    let options = options();
    let store = Postgres::connect(options.clone()).await.unwrap();
    let later = "INSERT INTO migration VALUES (7, 'later', 0)";
    store.work.reading().unwrap().execute(later).await.unwrap();
    store.close().await.unwrap();
    let error = Postgres::connect(options).await.map(drop).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("version 7") && text.contains("knows 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_reader_of_the_journal_misses_nothing_while_several_nodes_append() {
    let options = options();
    let mut appending = Vec::new();
    for node in 0..3 {
        let store: Shared = Arc::new(Postgres::connect(options.clone()).await.unwrap());
        appending.push(tokio::spawn(async move {
            for round in 0..150 {
                let first = node * 1000 + round * 5;
                let batch: Vec<_> = (first..first + 5)
                    .map(|number| append(task(number), 1))
                    .collect();
                all(&store, &batch).await.unwrap();
            }
        }));
    }
    let store = Postgres::connect(options).await.unwrap();
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let all_there = appending.iter().all(|node| node.is_finished());
        let page = store.journal(after, 7).await.unwrap();
        if page.is_empty() && all_there {
            break;
        }
        after = page.last().map_or(after, |(place, _)| *place);
        seen.extend(page.into_iter().map(|(_, record)| record.stream));
    }
    assert_eq!(seen.len(), 2250);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2250);
}

#[tokio::test]
async fn the_promised_views_can_be_read() {
    let store = Arc::new(Postgres::connect(options()).await.unwrap());
    let shared: Shared = store.clone();
    all(&shared, &[append(task(1), 1)]).await.unwrap();
    for (view, rows) in [
        ("agents", 0),
        ("tasks", 1),
        ("conversation_contexts", 0),
        ("messages", 0),
        ("agent_config_templates", 0),
        ("event_text", 1),
    ] {
        let sql = AssertSqlSafe(format!("SELECT * FROM {view}"));
        let found = sqlx::query(sql)
            .fetch_all(store.work.reading().unwrap())
            .await
            .unwrap();
        assert_eq!(found.len(), rows, "{view}");
    }
}
