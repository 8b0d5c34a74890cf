//! Which life of the database this is: a restore or a failover begins another.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use protocol::{
    entity::EntityId,
    record::{ChainHash, Record},
};
use sqlx::{Connection, PgConnection, Row};

use super::{gateway::Setback, lock};
use crate::store::{key, rows::streams};

/// SQLSTATE of a question that the user may not ask.
const FORBIDDEN: &str = "42501";

/// Records that are remembered after their commit, so that those which a failover lost are told:
/// more than ten seconds of a busy node.
const REMEMBERED: usize = 65_536;

/// The life of the database as this process knows it, and what it committed lately.
#[derive(Debug, Default)]
pub(super) struct Life {
    known: Mutex<Option<Mark>>,
    committed: Mutex<VecDeque<Committed>>,
}

/// What tells one life from another: the cluster of files, and the timeline of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    system: i64,
    timeline: i64,
}

#[derive(Debug)]
struct Committed {
    stream: EntityId,
    seq: u64,
    hash: ChainHash,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Life {
    /// Raises `db_incarnation` when the server is not the one that was seen last, by whichever node.
    ///
    /// What was handed out in the former life may be lost to this one, so no lease of it counts: all
    /// members enter again, and every epoch from now on is greater than any of before.
    pub(super) async fn notice(&self, connection: &mut PgConnection) -> Result<(), Setback> {
        sqlx::query("SAVEPOINT life")
            .execute(&mut *connection)
            .await?;
        match mark(connection).await {
            Ok(mark) => {
                begin(connection, mark).await?;
                *held(&self.known) = Some(mark);
                Ok(())
            }
            Err(error) if !is_forbidden(&error) => Err(error.into()),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "a restore or failover of the database will not be noticed; grant the user \
                     EXECUTE on pg_control_system(), pg_walfile_name() and pg_current_wal_insert_lsn()"
                );
                sqlx::query("ROLLBACK TO SAVEPOINT life")
                    .execute(connection)
                    .await?;
                Ok(())
            }
        }
    }

    /// Does the same for a connection that was opened later, before anything else is done with it:
    /// the server may have failed over meanwhile.
    pub(super) async fn watch(&self, connection: &mut PgConnection) -> Result<(), Setback> {
        let Some(known) = *held(&self.known) else {
            return Ok(());
        };
        let mark = match mark(connection).await {
            Ok(mark) if mark == known => return Ok(()),
            Ok(mark) => mark,
            Err(error) if is_forbidden(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut transaction = connection.begin().await?;
        lock(&mut transaction).await?;
        begin(&mut transaction, mark).await?;
        transaction.commit().await?;
        let former = held(&self.known).replace(mark);
        if former != Some(mark)
            && let Err(setback) = self.tell_losses(connection).await
        {
            tracing::error!(
                target: "audit",
                ?setback,
                "the database was restored or failed over, and what it lost cannot be told"
            );
        }
        Ok(())
    }

    /// Remembers what was committed.
    pub(super) fn committed<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let mut committed = held(&self.committed);
        committed.extend(records.map(|record| Committed {
            stream: record.stream,
            seq: record.seq,
            hash: record.hash,
        }));
        let surplus = committed.len().saturating_sub(REMEMBERED);
        committed.drain(..surplus);
    }

    /// Says which records this process was promised to keep, and the database has not.
    async fn tell_losses(&self, connection: &mut PgConnection) -> Result<(), Setback> {
        let committed = std::mem::take(&mut *held(&self.committed));
        let (mut ids, mut seqs, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for record in &committed {
            ids.push(key::pack(record.stream));
            seqs.push(record.seq.cast_signed());
            hashes.push(record.hash.0.to_vec());
        }
        let lost = sqlx::query(
            "SELECT known.stream FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])
                 AS known (stream, seq, hash)
             LEFT JOIN event ON event.stream = known.stream AND event.seq = known.seq
             WHERE event.hash IS DISTINCT FROM known.hash",
        )
        .bind(ids)
        .bind(seqs)
        .bind(hashes)
        .fetch_all(connection)
        .await?;
        let mut counted: BTreeMap<EntityId, usize> = BTreeMap::new();
        for stream in streams(&lost)? {
            *counted.entry(stream).or_default() += 1;
        }
        for (stream, records) in &counted {
            tracing::error!(
                target: "audit",
                %stream,
                records,
                "what was acknowledged was lost with the former life of the database"
            );
        }
        tracing::warn!(
            target: "audit",
            looked_at = committed.len(),
            records = lost.len(),
            streams = counted.len(),
            "the database was restored or failed over, and what this node wrote last was looked for"
        );
        Ok(())
    }
}

fn is_forbidden(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(FORBIDDEN)
}

async fn mark(connection: &mut PgConnection) -> Result<Mark, sqlx::Error> {
    let row = sqlx::query(
        "SELECT system_identifier,
             ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint
                 AS timeline
         FROM pg_control_system()",
    )
    .fetch_one(connection)
    .await?;
    Ok(Mark {
        system: row.try_get(0)?,
        timeline: row.try_get(1)?,
    })
}

/// Writes down which life this is, and voids what was handed out in another.
async fn begin(connection: &mut PgConnection, mark: Mark) -> Result<(), Setback> {
    let changed: Vec<String> = sqlx::query_scalar(
        "INSERT INTO meta AS known (key, value) VALUES ('system', $1), ('timeline', $2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value
             WHERE known.value <> excluded.value
         RETURNING key",
    )
    .bind(mark.system)
    .bind(mark.timeline)
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
        target: "audit",
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
