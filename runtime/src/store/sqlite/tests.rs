//! What holds of a file beside the conformance suite: crashes, full disks, schemas.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
};

use protocol::id::NodeId;
use sqlx::Row;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::store::{
    Admin, Appended, EventLog, Ownership, Shared, Streams,
    conformance::{all, alone, append, run_and_task, task},
};

async fn fresh() -> (Shared, TempDir) {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await.unwrap();
    (Arc::new(store), folder)
}

async fn open(folder: &TempDir) -> Result<Sqlite, Error> {
    Sqlite::open(&folder.path().join("troupe.db")).await
}

crate::store_conformance!(fresh);

mod shell;

impl Sqlite {
    async fn execute(&self, sql: &'static str) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::raw_sql(sql).execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_an_end_in_order_and_after_a_crash() {
    let folder = TempDir::new().unwrap();
    for (number, crash) in [(1, false), (2, true), (3, true), (4, false)] {
        let store = open(&folder).await.unwrap();
        assert_eq!(store.journal(0, 100).await.unwrap().len(), number - 1);
        let shared: Shared = Arc::new(store);
        all(&shared, &[append(task(number as u128), 1)])
            .await
            .unwrap();
        if !crash {
            shared.close().await.unwrap();
            let log = folder.path().join("troupe.db-wal");
            assert!(std::fs::metadata(log).map_or(0, |log| log.len()) == 0);
        }
    }
}

#[tokio::test]
async fn epochs_grow_over_restarts() {
    let folder = TempDir::new().unwrap();
    let mut last = protocol::epoch::Epoch::default();
    for number in 0..3 {
        let store = open(&folder).await.unwrap();
        let node = NodeId::from_uuid(Uuid::from_u128(number));
        let epoch = store.begin(node, "one").await.unwrap();
        assert!(epoch > last);
        last = epoch;
    }
}

#[tokio::test]
async fn a_cancelled_caller_leaves_no_transaction_open() {
    let (store, _folder) = fresh().await;
    for number in 1..50 {
        let batch = [append(task(number), 1)];
        let mut appending = store.append(&batch);
        // Polled once, so that the transaction is on its way, then dropped.
        let polled = futures_util::poll!(&mut appending);
        assert!(polled.is_pending());
        drop(appending);
    }
    all(&store, &[append(task(99), 1)]).await.unwrap();
    assert_eq!(store.journal(0, 100).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_heals() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(&folder).await.unwrap());
    let shared: Shared = store.clone();
    let mut big = append(task(1), 1);
    big.record.data = format!("[\"{}\"]", "x".repeat(1 << 20));
    all(&shared, &[append(task(2), 1)]).await.unwrap();
    store.execute("PRAGMA max_page_count = 100").await.unwrap();
    for _ in 0..3 {
        let outcome = store.append(&[append(task(3), 1), big.clone()]).await;
        assert!(matches!(outcome, Err(Error::Full)), "{outcome:?}");
        // The connection was replaced, and its limit with it.
        store.execute("PRAGMA max_page_count = 100").await.unwrap();
        assert_eq!(store.stream(task(3)).await.unwrap(), None);
    }
    store
        .execute("PRAGMA max_page_count = 1000000")
        .await
        .unwrap();
    all(&shared, &[append(task(3), 1), big.clone()])
        .await
        .unwrap();
    assert_eq!(
        store.read(task(1), 0, 9).await.unwrap(),
        vec![big.record.clone()]
    );
    assert_eq!(
        alone(&shared, append(task(2), 1)).await.unwrap(),
        Ok(Appended::Before)
    );
    drop((store, shared));
    let store = open(&folder).await.unwrap();
    assert_eq!(store.journal(0, 9).await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_journal_refuses_to_be_changed() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(&folder).await.unwrap());
    let shared: Shared = store.clone();
    all(&shared, &[append(task(1), 1)]).await.unwrap();
    for sql in [
        "UPDATE event SET data = '[]'",
        "DELETE FROM event",
        "INSERT INTO event SELECT 9, stream, 1, 1, 0, owner, cmd_id, tenant, actor, 0, 1, '', hash
         FROM event",
    ] {
        let outcome = store.execute(sql).await;
        assert!(matches!(outcome, Err(Error::Corrupt(_))), "{outcome:?}");
    }
    all(&shared, &[append(task(1), 2)]).await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_newer_build_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await.unwrap();
    store
        .execute("INSERT INTO migration VALUES (7, 'later', 0)")
        .await
        .unwrap();
    store.close().await.unwrap();
    let error = open(&folder).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Unusable(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("version 7") && text.contains("knows 3"),
        "{text}"
    );
}

#[tokio::test]
async fn runs_of_before_are_found_by_their_workflow() {
    let folder = TempDir::new().unwrap();
    let store: Shared = Arc::new(open(&folder).await.unwrap());
    let (workflow, batch) = run_and_task();
    all(&store, &batch).await.unwrap();
    store.close().await.unwrap();
    let store = open(&folder).await.unwrap();
    store
        .execute(
            "DROP INDEX stream_workflow; DROP INDEX stream_run;
             ALTER TABLE stream DROP COLUMN workflow; ALTER TABLE stream DROP COLUMN waits;
             DELETE FROM migration WHERE version = 3",
        )
        .await
        .unwrap();
    store.close().await.unwrap();
    let store = open(&folder).await.unwrap();
    for (number, expected) in [(1, Some(workflow)), (2, None)] {
        let row = store.stream(task(number)).await.unwrap().unwrap();
        assert_eq!(row.summary.workflow, expected);
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("troupe.db"), "x".repeat(5000)).unwrap();
    let error = open(&folder).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    let nowhere = Sqlite::open(&folder.path().join("no/such.db")).await;
    let error = nowhere.map(drop).unwrap_err();
    assert!(matches!(error, Error::Unusable(_)), "{error}");
}

#[tokio::test]
async fn damage_is_found_after_a_crash() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await.unwrap();
    let batch: Vec<_> = (0..500).map(|number| append(task(number), 1)).collect();
    store.append(&batch).await.unwrap();
    store.close().await.unwrap();
    let file = folder.path().join("troupe.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let pages = bytes.len() / 4096;
    for page in pages / 2..pages {
        bytes[page * 4096..page * 4096 + 64].fill(0xff);
    }
    std::fs::write(&file, bytes).unwrap();
    // Closed in order, the file is believed; the damage shows where it is read.
    let connected = open(&folder).await;
    drop(connected);
    let error = open(&folder).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_panic_in_a_transaction_undoes_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await.unwrap();
    let panicking = store.writer.write(|connection| -> gateway::Work<'_, ()> {
        Box::pin(async move {
            sqlx::query("DELETE FROM meta").execute(connection).await?;
            panic!("on purpose");
        })
    });
    let outcome = panicking.await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    let shared: Shared = Arc::new(store);
    all(&shared, &[append(task(1), 1)]).await.unwrap();
    let node = NodeId::from_uuid(Uuid::nil());
    shared.begin(node, "one").await.unwrap();
}

#[tokio::test]
async fn the_settings_that_durability_rests_on_are_in_force() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await.unwrap();
    let seen = store
        .writer
        .write(|connection| -> gateway::Work<'_, Vec<String>> {
            Box::pin(async move {
                let mut seen = Vec::new();
                for pragma in [
                    "PRAGMA journal_mode",
                    "PRAGMA synchronous",
                    "PRAGMA mmap_size",
                ] {
                    let row = sqlx::query(pragma).fetch_optional(&mut *connection).await?;
                    let value = row.map(|row| {
                        let text = row.try_get_unchecked::<String, _>(0);
                        text.unwrap_or_default()
                    });
                    seen.push(value.unwrap_or_default());
                }
                Ok(seen)
            })
        });
    // 2 is FULL: a commit is on the disk before it is answered.
    assert_eq!(seen.await.unwrap(), ["wal", "2", "0"]);
    let write = sqlx::query("DELETE FROM meta")
        .execute(&store.readers)
        .await;
    assert!(write.is_err(), "readers cannot write");
}

/// Which index a query uses, as SQLite tells it.
async fn plan(store: &Sqlite, sql: &str) -> String {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
        .fetch_all(&store.readers)
        .await
        .unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    steps.join("; ")
}

#[tokio::test]
async fn every_list_is_served_by_an_index() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await.unwrap();
    let of = "SELECT * FROM stream WHERE hidden = 0 AND tenant = ? AND stream < ?";
    let newest = "ORDER BY stream DESC LIMIT ?";
    for (sql, index) in [
        (format!("{of} {newest}"), "sqlite_autoindex_stream"),
        (format!("{of} AND parent = ? {newest}"), "stream_parent"),
        (
            format!("{of} AND workflow IS NOT NULL AND workflow = ? {newest}"),
            "stream_workflow",
        ),
        (
            format!("{of} AND workflow IS NOT NULL {newest}"),
            "stream_run",
        ),
        (
            format!("{of} AND workflow IS NOT NULL AND workflow = ? AND waits = ? {newest}"),
            "stream_workflow",
        ),
        (
            format!("{of} AND status = ? AND status <> 'completed' {newest}"),
            "stream_status",
        ),
        (
            "SELECT stream FROM stream WHERE open = 1 AND parked IS NULL AND stream >= ?
             ORDER BY stream"
                .into(),
            "stream_open",
        ),
        (
            "SELECT * FROM stream WHERE parked IS NOT NULL AND stream >= ? ORDER BY stream".into(),
            "stream_parked",
        ),
        (
            "SELECT * FROM event WHERE stream = ? AND seq + count - 1 > ? ORDER BY seq".into(),
            "sqlite_autoindex_event",
        ),
        (
            "SELECT stream FROM stream WHERE tenant = ? AND kind = ? AND name = ? AND hidden = 0"
                .into(),
            "stream_name",
        ),
        (
            "SELECT count(*) FROM stream WHERE open = 1".into(),
            "stream",
        ),
    ] {
        let plan = plan(&store, &sql).await;
        assert!(plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

/// Run by the next test in a process of its own: appends until it is killed, and says which it saw
/// committed.
#[tokio::test]
async fn victim() {
    let Some(path) = std::env::var_os("TROUPE_TEST_VICTIM") else {
        return;
    };
    let store: Shared = Arc::new(Sqlite::open(Path::new(&path)).await.unwrap());
    let from = store.journal(0, u32::MAX).await.unwrap().len() as u128;
    for number in from.. {
        all(&store, &[append(task(number), 1)]).await.unwrap();
        writeln!(std::io::stdout(), "{number}").unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_keeps_what_it_acknowledged() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("troupe.db");
    for round in 1..=4 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::sqlite::tests::victim"])
            .env("TROUPE_TEST_VICTIM", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let acked = lines
            .map_while(Result::ok)
            .flat_map(|line| line.parse::<u128>());
        let last = acked.take(7 * round).last().unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        let store = open(&folder).await.unwrap();
        let journal = store.journal(0, u32::MAX).await.unwrap();
        assert!(journal.len() as u128 > last, "{last} was acknowledged");
        let mut kept = journal.iter().zip(0..);
        assert!(kept.all(|((_, record), number)| record.stream == task(number)));
    }
}
