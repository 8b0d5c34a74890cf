//! The conformance suite against a real server.

use std::{str::FromStr, sync::Arc};

use protocol::time::Timestamp;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::*;
use crate::{
    store::{
        Admin, Appended, EventLog, Members, Ownership, ReminderChange, Scope, Shared, Streams,
        conformance::{self, all, alone, append, run_and_task, task},
    },
    testkit::postgres::PrivatePostgres,
};

/// A schema of its own, so that tests do not meet.
fn options() -> PgConnectOptions {
    let url = PrivatePostgres::shared().schema().unwrap();
    PgConnectOptions::from_str(&url).unwrap()
}

async fn fresh() -> (Shared, ()) {
    let store = Postgres::connect(&options()).await.unwrap();
    (Arc::new(store), ())
}

crate::store_conformance!(fresh);

#[tokio::test]
async fn the_journal_refuses_to_be_changed() {
    let store = Arc::new(Postgres::connect(&options()).await.unwrap());
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
async fn a_database_that_cannot_be_reached_is_told_in_one_line_with_what_to_do() {
    let there = options();
    let nowhere = there.clone().database("nowhere");
    // A port that nothing listens at: it was given to somebody who went.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let closed = format!("postgres://ann:secret@127.0.0.1:{port}/none");
    let closed = PgConnectOptions::from_str(&closed).unwrap();
    let nobody = there.username("nobody_at_all");
    for (options, cause, remedy) in [
        (nowhere, "no database `nowhere`", "createdb nowhere"),
        (closed, "does not answer: Connection refused", "port"),
        (nobody, "`nobody_at_all`", "password"),
    ] {
        let error = Postgres::connect(&options).await.map(drop).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(cause) && text.contains(remedy), "{text}");
        let noise = [
            " at line ",
            "error returned",
            "error communicating",
            "os error",
        ];
        assert!(noise.iter().all(|noise| !text.contains(noise)), "{text}");
    }
}

#[tokio::test]
async fn a_schema_of_a_newer_build_is_refused() {
    let options = options();
    let store = Postgres::connect(&options).await.unwrap();
    let later = "INSERT INTO migration VALUES (7, 'later', 0)";
    store.work.reading().unwrap().execute(later).await.unwrap();
    store.close().await.unwrap();
    let error = Postgres::connect(&options).await.map(drop).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("version 7") && text.contains("knows 3"),
        "{text}"
    );
}

#[tokio::test]
async fn runs_of_before_are_found_by_their_workflow() {
    let options = options();
    let store: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    let (workflow, batch) = run_and_task();
    all(&store, &batch).await.unwrap();
    let before = "DROP INDEX stream_workflow; DROP INDEX stream_run;
        ALTER TABLE stream DROP COLUMN workflow, DROP COLUMN waits;
        DELETE FROM migration WHERE version = 3";
    let mut connection = options.connect().await.unwrap();
    connection.execute(before).await.unwrap();
    store.close().await.unwrap();
    let store = Postgres::connect(&options).await.unwrap();
    for (number, expected) in [(1, Some(workflow)), (2, None)] {
        let row = store.stream(task(number)).await.unwrap().unwrap();
        assert_eq!(row.summary.workflow, expected);
    }
}

#[tokio::test]
async fn a_reader_of_the_journal_misses_nothing_while_several_nodes_append() {
    let options = options();
    let mut appending = Vec::new();
    for node in 0..3 {
        let store: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
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
    let store = Postgres::connect(&options).await.unwrap();
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
    let store = Arc::new(Postgres::connect(&options()).await.unwrap());
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

/// An append to a stream of its own, whose command the caller knows.
async fn settled(store: &Shared, number: u128) -> Appended {
    alone(store, append(task(number), 1))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn no_reminder_is_due_before_its_time_has_come_for_the_server_too() {
    let store: Shared = Arc::new(Postgres::connect(&options()).await.unwrap());
    let (past, future) = (Timestamp::from_micros(5), Timestamp::from_micros(1 << 61));
    for (number, due) in [(1, past), (2, future)] {
        let mut append = append(task(number), 1);
        append.reminders = vec![ReminderChange::Set {
            name: "wake".to_owned(),
            due,
        }];
        all(&store, &[append]).await.unwrap();
    }
    let fast = Timestamp::from_micros(i64::MAX);
    let due = store.due(&Scope::All, fast, 10).await.unwrap();
    assert_eq!(due, [(task(1), "wake".to_owned(), past)]);
}

#[tokio::test]
async fn a_reader_stops_before_what_is_not_committed_yet() {
    let options = options();
    let store: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    settled(&store, 1).await;
    // Another node is in the middle of an append, when a third one commits a later position.
    let mut slow = options.connect().await.unwrap();
    sqlx::raw_sql(
        "BEGIN; SELECT pg_advisory_xact_lock_shared(hashtext(current_schema()),
             (SELECT last_value FROM event_position_seq)::bit(32)::int);
         SELECT nextval('event_position_seq')",
    )
    .execute(&mut slow)
    .await
    .unwrap();
    settled(&store, 2).await;
    assert_eq!(store.journal(0, 9).await.unwrap().len(), 1);
    slow.close().await.unwrap();
    let seen = async {
        while store.journal(0, 9).await.unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(10);
    tokio::time::timeout(patience, seen).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_survive_the_end_of_their_connections_and_are_committed_once() {
    let server = PrivatePostgres::start().unwrap();
    let options = PgConnectOptions::from_str(&server.url()).unwrap();
    let store: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    let appending: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut unclear = 0;
                for number in 0..60 {
                    let one = append(task(writer * 1000 + number), 1);
                    // A caller whose append is unclear asks again with the same command.
                    while alone(&store, one.clone()).await.is_err() {
                        unclear += 1;
                        assert!(unclear < 100, "it never comes back");
                    }
                }
            })
        })
        .collect();
    let mut ended = 0;
    while appending.iter().any(|writer| !writer.is_finished()) {
        ended += tokio::task::block_in_place(|| server.disconnect_all().unwrap());
        tokio::task::yield_now().await;
    }
    for writer in appending {
        writer.await.unwrap();
    }
    assert!(ended > 0, "nothing was disturbed");
    let journal = store.journal(0, 1000).await.unwrap();
    assert_eq!(journal.len(), 240, "each once");
}

#[tokio::test]
async fn callers_that_go_away_leave_no_connection_in_a_transaction() {
    let server = PrivatePostgres::start().unwrap();
    let options = PgConnectOptions::from_str(&server.url()).unwrap();
    let store: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    for number in 0..1000 {
        let named = [conformance::named(task(number), &format!("n{number}"))];
        let mut asking = store.append(&named);
        let mut reading = store.survey();
        // Polled once, so that they are on their way, then dropped.
        let _ = futures_util::poll!(&mut asking);
        let _ = futures_util::poll!(&mut reading);
        drop((asking, reading));
        if number % 50 == 0 {
            settled(&store, 10_000 + number).await;
        }
    }
    let all_ended = async {
        while store.census().await.unwrap().streams < 1020 {
            tokio::task::yield_now().await;
        }
        // Whoever is between two statements goes on; whoever was left there would stay.
        while server.idle_in_transaction().unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, all_ended).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_heals() {
    let server = PrivatePostgres::start().unwrap();
    let options = PgConnectOptions::from_str(&server.url()).unwrap();
    let store: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    settled(&store, 1).await;
    server.stop().unwrap();
    let away = store.append(&[append(task(2), 1)]).await;
    assert!(
        matches!(away, Err(Error::Busy(_) | Error::Unavailable(_))),
        "{away:?}"
    );
    server.restart().unwrap();
    settled(&store, 2).await;
    store.probe().await.unwrap();
    assert_eq!(store.survey().await.unwrap().incarnation, 1);
    assert_eq!(store.journal(0, 9).await.unwrap().len(), 2);
}

/// Time is left for other tries, then, before the node has to stop acting.
#[tokio::test]
async fn a_renewal_that_gets_no_connection_gives_up_before_other_work_on_leases_does() {
    let store = Postgres::connect(&options()).await.unwrap();
    let ttl = std::time::Duration::from_secs(4);
    store.renew(&[], ttl).await.unwrap();
    let pool = store.leases.reading().unwrap();
    let _held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    tokio::select! {
        biased;
        survey = store.survey() => panic!("it was answered first: {survey:?}"),
        renewed = store.renew(&[], ttl) => assert!(matches!(renewed, Err(Error::Busy(_))), "{renewed:?}"),
    }
}

#[tokio::test]
async fn a_frozen_server_keeps_nobody_waiting_for_ever() {
    let server = PrivatePostgres::start().unwrap();
    let options = PgConnectOptions::from_str(&server.url()).unwrap();
    let store: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    settled(&store, 1).await;
    store.survey().await.unwrap();
    server.freeze().unwrap();
    let batch = [append(task(2), 1)];
    let (append, read, survey) = tokio::join!(
        store.append(&batch),
        store.read(task(1), 0, 9),
        store.survey()
    );
    let is_away = |error: &Error| matches!(error, Error::Busy(_) | Error::Unavailable(_));
    assert!(append.as_ref().is_err_and(is_away), "{append:?}");
    assert!(read.as_ref().is_err_and(is_away), "{read:?}");
    assert!(survey.as_ref().is_err_and(is_away), "{survey:?}");
    server.thaw().unwrap();
    settled(&store, 2).await;
    store.survey().await.unwrap();
}

#[tokio::test]
async fn another_life_of_the_database_voids_leases_and_raises_epochs() {
    let options = options();
    let store = Arc::new(Postgres::connect(&options).await.unwrap());
    let node = protocol::id::NodeId::from_uuid(uuid::Uuid::from_u128(1));
    let before = store.begin(node, "one").await.unwrap();
    store.close().await.unwrap();
    let mut connection = options.connect().await.unwrap();
    // As if the database had been restored into another cluster of files.
    connection
        .execute("UPDATE meta SET value = value + 1 WHERE key = 'system'")
        .await
        .unwrap();
    let store: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    assert_eq!(store.survey().await.unwrap().incarnation, 2);
    let after = store.begin(node, "one").await.unwrap();
    assert!(after > before && after > protocol::epoch::Epoch::new(2, 0));
    let again = Postgres::connect(&options).await.unwrap();
    assert_eq!(Members::survey(&again).await.unwrap().incarnation, 2);
}

#[tokio::test]
async fn a_failover_is_noticed_by_whoever_connects_again() {
    let server = PrivatePostgres::start().unwrap();
    let options = PgConnectOptions::from_str(&server.url()).unwrap();
    let one: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    let other: Shared = Arc::new(Postgres::connect(&options).await.unwrap());
    let node = protocol::id::NodeId::from_uuid(uuid::Uuid::from_u128(1));
    settled(&one, 1).await;
    server.copy().unwrap();
    let promised = one.begin(node, "one").await.unwrap();
    settled(&one, 2).await;
    server.fail_over().unwrap();
    // It is what it was at the copy, and another life of it for each node that has it open.
    assert_eq!(one.survey().await.unwrap().incarnation, 2);
    assert_eq!(other.survey().await.unwrap().incarnation, 2);
    assert_eq!(one.journal(0, 9).await.unwrap().len(), 1);
    let epoch = other.begin(node, "one").await.unwrap();
    assert!(epoch > promised, "{epoch} was handed out before");
    settled(&other, 2).await;
    assert_eq!(one.survey().await.unwrap().incarnation, 2);
}

#[tokio::test]
async fn why_no_server_is_reached_is_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let nowhere = format!("postgres://troupe@127.0.0.1:{port}/troupe");
    let server = PrivatePostgres::shared();
    let stranger = server.url().replacen("troupe@", "stranger@", 1);
    for (url, why) in [(nowhere, "refused"), (stranger, "stranger")] {
        let options = PgConnectOptions::from_str(&url).unwrap();
        let error = Postgres::connect(&options).await.map(drop).unwrap_err();
        assert!(
            matches!(&error, Error::Unavailable(text) if text.contains(why)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_may_forget_is_refused() {
    let server = PrivatePostgres::start().unwrap();
    for (forget, again) in [
        (
            "ALTER SYSTEM SET synchronous_commit = off",
            "synchronous_commit",
        ),
        ("ALTER SYSTEM SET fsync = off", "fsync"),
    ] {
        server.sql(forget).unwrap();
        server.stop().unwrap();
        server.restart().unwrap();
        let options = PgConnectOptions::from_str(&server.url()).unwrap();
        let error = Postgres::connect(&options).await.map(drop).unwrap_err();
        assert!(matches!(error, Error::Unusable(_)), "{error}");
        assert!(error.to_string().contains("off"), "{error}");
        server.sql(&format!("ALTER SYSTEM RESET {again}")).unwrap();
    }
}
