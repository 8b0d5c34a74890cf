//! `troupe db rebuild`: what follows from the journal is made again from it, byte for byte.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod program;

use program::Program;
use rustix::process::Signal;
use sqlx::{
    AssertSqlSafe, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions,
    sqlite::SqliteRow,
};

#[tokio::test]
async fn the_index_and_the_views_are_made_again_from_the_journal() {
    let troupe = Program::new();
    with_history(&troupe);
    let before = derived(&troupe).await;
    assert!(before.iter().any(|row| row.starts_with("agent_totals|")));

    let mut database = open(&troupe).await;
    let damage = "
        UPDATE stream SET name = name || '~' WHERE name IS NOT NULL;
        UPDATE stream SET name = CASE name WHEN 'echo~' THEN 'fail' ELSE 'echo' END
            WHERE name IS NOT NULL;
        UPDATE stream SET body = '{}', status = 'lost', open = 1, user_id = 'eve' WHERE kind = 2;
        UPDATE view_row SET body = '{}';
        DELETE FROM view_row WHERE key LIKE '%fail%';";
    sqlx::raw_sql(damage).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    assert_ne!(derived(&troupe).await, before);

    let rebuilt = troupe.json(&["db", "rebuild"]);
    assert_eq!(derived(&troupe).await, before);
    assert_eq!(
        (&rebuilt["corrected"], &rebuilt["views"]),
        (&4.into(), &1.into()),
        "{rebuilt}"
    );
    assert_eq!(troupe.json(&["db", "rebuild"])["corrected"], 0);
}

#[tokio::test]
async fn a_row_that_is_gone_is_named() {
    let troupe = Program::new();
    with_history(&troupe);
    let mut database = open(&troupe).await;
    let damage = "DELETE FROM stream WHERE name = 'echo'";
    sqlx::raw_sql(damage).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    troupe
        .run(&["db", "rebuild"])
        .fails(1, &["1 streams have no row", "agent_", "help: "]);
}

#[tokio::test]
async fn the_journal_cannot_be_changed() {
    let troupe = Program::new();
    with_history(&troupe);
    let mut database = open(&troupe).await;
    for change in ["UPDATE event SET data = '[]'", "DELETE FROM event"] {
        let refused = sqlx::raw_sql(change).execute(&mut database).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{change}: {error}");
    }
}

#[test]
fn a_running_node_is_not_rebuilt() {
    let troupe = Program::new();
    let _node = troupe.start();
    troupe.run(&["db", "rebuild"]).fails(75, &["help: stop"]);
}

/// A node that did two tasks, well and badly, and stopped.
fn with_history(troupe: &Program) {
    let mut node = troupe.start();
    for kind in ["echo", "fail"] {
        troupe.ok(&["agent", "register", kind, "--type", kind]);
        troupe.run(&["task", "create", "x", "--agent", kind, "--wait", "30s"]);
    }
    node.signal(Signal::TERM);
    node.end();
    // What the projector had not reached at the end is folded now; the index was written with the events.
    assert_eq!(troupe.json(&["db", "rebuild"])["corrected"], 0);
}

async fn open(troupe: &Program) -> SqliteConnection {
    let file = troupe.data().join("troupe.db");
    let options = SqliteConnectOptions::new().filename(file);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Every row that follows from the journal, as text.
async fn derived(troupe: &Program) -> Vec<String> {
    let mut database = open(troupe).await;
    let mut all = Vec::new();
    for rows in [
        "SELECT concat_ws('|', id, head, epoch, created_at, updated_at, status, open, hidden,
             user_id, name, parent, body) FROM stream_text ORDER BY stream",
        "SELECT concat_ws('|', view, key, body) FROM view_row ORDER BY view, key",
        "SELECT concat_ws('|', view, position) FROM view_cursor ORDER BY view",
    ] {
        let rows = sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut database);
        let text = |row: &SqliteRow| row.get::<String, _>(0);
        all.extend(rows.await.unwrap().iter().map(text));
    }
    database.close().await.unwrap();
    all
}

#[tokio::test]
async fn what_is_parked_is_released_once() {
    let troupe = Program::new();
    with_history(&troupe);
    let mut database = open(&troupe).await;
    let park = "UPDATE stream SET parked = 'it failed' WHERE name = 'echo'";
    sqlx::raw_sql(park).execute(&mut database).await.unwrap();
    let id = "SELECT id FROM agents WHERE name = 'echo'";
    let id: String = sqlx::query_scalar(id)
        .fetch_one(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    troupe.ok(&["db", "release", &id]);
    troupe
        .run(&["db", "release", &id])
        .fails(6, &["is not parked"]);
    let nobody = "task_00000000000000000000000000000000";
    troupe
        .run(&["db", "release", nobody])
        .fails(3, &["was not found"]);
}
