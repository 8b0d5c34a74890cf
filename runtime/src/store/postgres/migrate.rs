//! Brings a database's schema up to date, and refuses one that a newer build wrote.

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::gateway::Setback;
use crate::store::migration;

const STEPS: [migration::Step; 3] = [
    (
        "0001_journal",
        include_str!("../migrations/postgres/0001_journal.sql"),
    ),
    (
        "0002_chronicle",
        include_str!("../migrations/postgres/0002_chronicle.sql"),
    ),
    (
        "0003_runs",
        include_str!("../migrations/postgres/0003_runs.sql"),
    ),
];

/// The version of the schema that this build writes.
pub(super) const VERSION: u64 = STEPS.len() as u64;

/// Takes the steps that the database lacks, in the caller's transaction and under its lock.
pub(super) async fn up(connection: &mut PgConnection) -> Result<(), Setback> {
    connection
        .execute(
            "CREATE TABLE IF NOT EXISTS migration
                 (version bigint PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL)",
        )
        .await?;
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM migration")
        .fetch_one(&mut *connection)
        .await?;
    for (version, (name, sql)) in migration::missing(&STEPS, found)? {
        sqlx::raw_sql(AssertSqlSafe(*sql))
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "INSERT INTO migration
             VALUES ($1, $2, extract(epoch FROM clock_timestamp())::bigint * 1000000)",
        )
        .bind(version)
        .bind(*name)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
