//! Which life of the database this is: a restore or a failover begins another.

use sqlx::{PgConnection, Row};

use super::gateway::Setback;

/// SQLSTATE of a question that the user may not ask.
const FORBIDDEN: &str = "42501";

/// Raises `db_incarnation` when the server is not the one that was seen last: another cluster of
/// files, or another timeline of it.
///
/// What was handed out in the former life may be lost to this one, so no lease of it counts: all
/// members enter again, and every epoch from now on is greater than any of before.
pub(super) async fn notice(connection: &mut PgConnection) -> Result<(), Setback> {
    sqlx::query("SAVEPOINT life")
        .execute(&mut *connection)
        .await?;
    let seen = sqlx::query(
        "SELECT system_identifier,
             ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint
                 AS timeline
         FROM pg_control_system()",
    )
    .fetch_one(&mut *connection)
    .await;
    let row = match seen {
        Ok(row) => row,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code());
            if code.as_deref() != Some(FORBIDDEN) {
                return Err(error.into());
            }
            tracing::warn!(
                %error,
                "a restore or failover of the database will not be noticed; grant the user \
                 EXECUTE on pg_control_system(), pg_walfile_name() and pg_current_wal_insert_lsn()"
            );
            sqlx::query("ROLLBACK TO SAVEPOINT life")
                .execute(connection)
                .await?;
            return Ok(());
        }
    };
    let (system, timeline): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let changed: Vec<String> = sqlx::query_scalar(
        "INSERT INTO meta AS known (key, value) VALUES ('system', $1), ('timeline', $2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value
             WHERE known.value <> excluded.value
         RETURNING key",
    )
    .bind(system)
    .bind(timeline)
    .fetch_all(&mut *connection)
    .await?;
    // Both are new in a new database, and then one is not enough to tell a change.
    let first: bool = sqlx::query_scalar(
        "INSERT INTO meta (key, value) VALUES ('seen', 1) ON CONFLICT DO NOTHING RETURNING true",
    )
    .fetch_optional(&mut *connection)
    .await?
    .unwrap_or(false);
    if first || changed.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        ?changed,
        "the database was restored or failed over; all leases are void"
    );
    for statement in [
        "UPDATE meta SET value = value + 1 WHERE key = 'db_incarnation'",
        "UPDATE shard SET owner = NULL WHERE owner IS NOT NULL",
        "UPDATE member SET lost = true, lease_until = least(lease_until,
             (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}
