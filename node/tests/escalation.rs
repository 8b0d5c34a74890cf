//! When supervision gives up, the node says why and its process ends, to be started anew.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod program;

use std::process::Stdio;

use program::Program;
use rustix::process::Signal;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

#[tokio::test]
async fn a_node_whose_root_gives_up_ends_with_70_and_starts_again() {
    let troupe = Program::new();
    let mut node = troupe.start();
    node.signal(Signal::TERM);
    node.end();
    // A reminder that is due and can never be taken away: the part that sees to reminders fails each
    // time it looks, until all above it have given up as well.
    sql(
        &troupe,
        "CREATE TRIGGER stuck BEFORE DELETE ON reminder BEGIN SELECT RAISE(ABORT, 'stuck'); END;
         INSERT INTO reminder (stream, slot, name, due) VALUES (x'0101980000000070008000000000000001', 1, 'x', 0);",
    )
    .await;
    let mut command = troupe.command(&["start", "--log", "error"]);
    let ended = command.stdout(Stdio::null()).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(70), "{said}");
    for text in [
        "supervision has given up",
        "error: the node gave up",
        "cause: ",
        "help: ",
    ] {
        assert!(said.contains(text), "{text:?} is not in {said}");
    }
    assert!(!troupe.data().join("edge.url").exists());

    sql(&troupe, "DROP TRIGGER stuck; DELETE FROM reminder;").await;
    let _again = troupe.start();
    troupe.ok(&["status"]);
}

async fn sql(troupe: &Program, text: &'static str) {
    let options = SqliteConnectOptions::new().filename(troupe.data().join("troupe.db"));
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(text).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
}
