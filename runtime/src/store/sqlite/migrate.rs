//! Brings a file's schema up to date, and refuses one that a newer build wrote.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::store::{Error, migration};

const STEPS: [migration::Step; 3] = [
    (
        "0001_journal",
        include_str!("../migrations/sqlite/0001_journal.sql"),
    ),
    (
        "0002_chronicle",
        include_str!("../migrations/sqlite/0002_chronicle.sql"),
    ),
    (
        "0003_runs",
        include_str!("../migrations/sqlite/0003_runs.sql"),
    ),
];

/// The version of the schema that this build writes.
pub(super) const VERSION: u64 = STEPS.len() as u64;

/// Takes the steps that the file lacks, all or none.
pub(super) async fn up(connection: &mut SqliteConnection) -> Result<(), Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS migration
             (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)",
    )
    .execute(&mut *transaction)
    .await?;
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM migration")
        .fetch_one(&mut *transaction)
        .await?;
    for (version, (name, sql)) in migration::missing(&STEPS, found)? {
        sqlx::raw_sql(AssertSqlSafe(*sql))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO migration VALUES (?, ?, unixepoch() * 1000000)")
            .bind(version)
            .bind(*name)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}
