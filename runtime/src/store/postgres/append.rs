//! Commits a batch with one statement, and tells each append its own verdict.

use std::{collections::HashSet, sync::Arc};

use protocol::{entity::EntityId, epoch::Epoch, record::Record, shard::slot};
use sqlx::PgConnection;

use super::{
    Postgres,
    gateway::{Cut, Setback, Work},
    lock,
};
use crate::store::{
    Append, Appended, Error, Refusal,
    batch::{Verdict, last_changes, run},
    key,
    rows::streams,
};

/// How often an append that was passed over is tried again, at most: each time, another owner of
/// its stream has come between.
const ROUNDS: usize = 5;

/// Everything that a run of appends changes; answers the streams that moved.
///
/// Positions in the journal are handed out before the commit, and two transactions at once may
/// commit in the other order. So each says first, by a shared lock that names the last position of
/// before, that it is under way: readers stop there (see [`horizon`]). A stream's row is locked
/// before its positions are drawn, so these are in the stream's order. The statement is all of the
/// transaction: a node that freezes keeps nobody waiting. Who lost a shard, or never had it, makes
/// no stream there, of which its owner would not know.
const COMMIT: &str = "
    WITH new AS MATERIALIZED (
        SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
            $6::bigint[], $7::bigint[], $8::bytea[], $9::bytea[], $10::text[], $11::text[],
            $12::bigint[], $13::bigint[], $14::text[], $15::bytea[], $16::text[], $17::boolean[],
            $18::boolean[], $19::text[], $20::text[], $21::bytea[], $22::text[], $23::text[],
            $24::bytea[], $38::bytea[], $39::boolean[]) WITH ORDINALITY
            AS new (stream, slot, kind, seq, count, head, epoch, owner, cmd_id, tenant, actor, at,
                version, data, hash, status, open, hidden, user_id, name, parent, body, key,
                body_hash, workflow, waits, place)
    ), foreign_stream AS MATERIALIZED (
        SELECT new.stream FROM new CROSS JOIN cluster
            JOIN shard ON shard.shard = new.slot % cluster.shards
        WHERE new.seq = 1 AND CASE WHEN shard.owner IS NULL THEN shard.epoch >= new.epoch
            ELSE shard.owner <> new.owner OR shard.epoch <> new.epoch END
    ), keyed AS (
        INSERT INTO idem (tenant, key, body_hash, stream, at)
        SELECT tenant, key, body_hash, stream, at FROM new
        WHERE key IS NOT NULL AND seq = 1
            AND NOT EXISTS (SELECT FROM stream WHERE stream.stream = new.stream)
            AND stream NOT IN (SELECT stream FROM foreign_stream)
        ON CONFLICT DO NOTHING RETURNING stream
    ), made AS (
        INSERT INTO stream (stream, kind, slot, tenant, head, epoch, owner, created_at, updated_at,
            status, open, hidden, user_id, name, parent, body, workflow, waits)
        SELECT stream, kind, slot, tenant, head, epoch, owner, at, at, status, open, hidden,
            user_id, name, parent, body, workflow, waits
        FROM new WHERE seq = 1 AND (key IS NULL OR stream IN (SELECT stream FROM keyed))
            AND stream NOT IN (SELECT stream FROM foreign_stream)
        ON CONFLICT (stream) DO NOTHING RETURNING stream
    ), extended AS (
        UPDATE stream SET head = new.head, epoch = new.epoch, owner = new.owner,
            updated_at = new.at, status = new.status, open = new.open, hidden = new.hidden,
            user_id = new.user_id, name = new.name, parent = new.parent, body = new.body,
            waits = new.waits
        FROM new
        WHERE stream.stream = new.stream AND new.seq > 1 AND stream.head = new.seq - 1
            AND stream.epoch <= new.epoch
        RETURNING stream.stream
    ), moved AS MATERIALIZED (
        SELECT stream FROM made UNION ALL SELECT stream FROM extended
    ), under_way AS MATERIALIZED (
        SELECT count(*), (
            SELECT pg_advisory_xact_lock_shared(hashtext(current_schema()),
                (CASE WHEN is_called THEN last_value ELSE 0 END)::bit(32)::int)
            FROM event_position_seq) FROM moved
    ), recorded AS (
        INSERT INTO event (stream, seq, count, epoch, owner, cmd_id, tenant, actor, at, version,
            data, hash)
        SELECT stream, seq, new.count, epoch, owner, cmd_id, tenant, actor, at, version, data, hash
        FROM under_way CROSS JOIN new JOIN moved USING (stream) ORDER BY place
    ), reminded AS (
        INSERT INTO reminder (stream, slot, name, due)
        SELECT * FROM unnest($25::bytea[], $26::bigint[], $27::text[], $28::bigint[])
            AS change (stream, slot, name, due)
        WHERE stream IN (SELECT stream FROM moved)
        ON CONFLICT (stream, name) DO UPDATE SET due = excluded.due
    ), forgotten AS (
        DELETE FROM reminder USING unnest($29::bytea[], $30::text[]) AS change (stream, name)
        WHERE reminder.stream = change.stream AND reminder.name = change.name
            AND change.stream IN (SELECT stream FROM moved)
    ), delivering AS (
        INSERT INTO outbox (id, stream, kind, payload, due, tries)
        SELECT id, stream, kind, payload, due, tries
        FROM unnest($31::bytea[], $32::bytea[], $33::bytea[], $34::text[], $35::text[],
            $36::bigint[], $37::bigint[]) AS effect (of, id, stream, kind, payload, due, tries)
        WHERE of IN (SELECT stream FROM moved)
        ON CONFLICT DO NOTHING
    )
    SELECT stream FROM moved";

/// The last position to which the journal is whole: every record up to there is committed, or will
/// never be.
///
/// The counter is read first. Who drew a position up to there before that said so before, and is
/// either seen under way now, or has ended and is seen by the next statement.
const HORIZON: &str = "
    SELECT least(last, last + under_way.before)
    FROM (SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS last FROM event_position_seq
          OFFSET 0) AS counter
    LEFT JOIN LATERAL (
        SELECT min((objid::bigint - (last & 4294967295))::bit(32)::int)::bigint AS before
        FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 2
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = hashtext(current_schema())::bit(32)::bigint::oid
    ) AS under_way ON true";

pub(super) async fn horizon(connection: &mut PgConnection) -> Result<i64, Error> {
    let horizon = sqlx::query_scalar(HORIZON);
    Ok(horizon.fetch_one(connection).await?)
}

impl Postgres {
    pub(super) async fn commit(&self, batch: Vec<Append>) -> Result<Vec<Verdict>, Error> {
        let mut verdicts: Vec<Option<Verdict>> = vec![None; batch.len()];
        let mut rest: Vec<usize> = (0..batch.len()).collect();
        for _ in 0..ROUNDS {
            let appends: Vec<_> = rest.iter().map(|place| batch[*place].clone()).collect();
            let found = self.round(appends).await?;
            for (place, verdict) in rest.iter().zip(found) {
                verdicts[*place] = verdict;
            }
            rest.retain(|place| verdicts[*place].is_none());
            if rest.is_empty() {
                let verdicts: Vec<Verdict> = verdicts.into_iter().flatten().collect();
                let committed = batch.iter().zip(&verdicts);
                let committed = committed.filter(|(_, verdict)| verdict.is_ok());
                self.life
                    .committed(committed.map(|(append, _)| &append.record));
                return Ok(verdicts);
            }
        }
        let stream = rest.first().map(|place| batch[*place].record.stream);
        Err(Error::Corrupt(stream.map_or_else(String::new, |stream| {
            format!("{stream} refuses a fitting append")
        })))
    }

    /// Verdicts on those appends that were committed or do not fit; the others, of which this
    /// cannot be said yet, have none.
    async fn round(&self, batch: Vec<Append>) -> Result<Vec<Option<Verdict>>, Error> {
        // Commands are recognised, so what was committed before the connection broke is told.
        let cut = Cut::Repeat;
        if run(&batch) == batch.len() && batch.iter().all(|append| append.summary.name.is_none()) {
            self.work.write(cut, committing(batch)).await
        } else {
            self.work.transact(cut, committing(batch)).await
        }
    }
}

fn committing(
    batch: Vec<Append>,
) -> impl for<'c> Fn(&'c mut PgConnection) -> Work<'c, Vec<Option<Verdict>>> {
    let batch = Arc::new(batch);
    move |connection| {
        let batch = Arc::clone(&batch);
        Box::pin(async move { commit(connection, &batch).await })
    }
}

async fn commit(
    connection: &mut PgConnection,
    batch: &[Append],
) -> Result<Vec<Option<Verdict>>, Setback> {
    let mut verdicts = Vec::with_capacity(batch.len());
    let mut rest = batch;
    while !rest.is_empty() {
        let (together, later) = rest.split_at(run(rest));
        verdicts.append(&mut commit_run(connection, together).await?);
        rest = later;
    }
    Ok(verdicts)
}

async fn commit_run(
    connection: &mut PgConnection,
    appends: &[Append],
) -> Result<Vec<Option<Verdict>>, Setback> {
    if let [append] = appends
        && append.summary.name.is_some()
    {
        // No other transaction may take the name between the look and the commit.
        lock(connection).await?;
        if let Some(verdict) = judge(connection, append).await? {
            return Ok(vec![Some(verdict)]);
        }
    }
    let moved = write(connection, appends).await?;
    let mut verdicts = Vec::with_capacity(appends.len());
    for append in appends {
        verdicts.push(if moved.contains(&append.record.stream) {
            Some(Ok(Appended::Now))
        } else {
            judge(connection, append).await?
        });
    }
    Ok(verdicts)
}

/// One column of all rows.
fn column<'a, T, C>(rows: &'a [T], cell: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(cell).collect()
}

async fn write(
    connection: &mut PgConnection,
    appends: &[Append],
) -> Result<HashSet<EntityId>, Setback> {
    let mut set = Vec::new();
    let mut cleared = Vec::new();
    let mut outbox = Vec::new();
    for append in appends {
        let stream = append.record.stream;
        for (name, due) in last_changes(&append.reminders) {
            match due {
                Some(due) => set.push((stream, name, due)),
                None => cleared.push((stream, name)),
            }
        }
        outbox.extend(append.outbox.iter().map(|delivery| (stream, delivery)));
    }
    let statement = sqlx::query(COMMIT)
        .bind(column(appends, |a| key::pack(a.record.stream)))
        .bind(column(appends, |a| i64::from(slot(a.record.stream))))
        .bind(column(appends, |a| {
            i64::from(key::code(a.record.stream.kind()))
        }))
        .bind(column(appends, |a| a.record.seq.cast_signed()))
        .bind(column(appends, |a| i64::from(a.record.count)))
        .bind(column(appends, |a| a.record.head().cast_signed()))
        .bind(column(appends, |a| a.record.epoch.to_i64()))
        .bind(column(appends, |a| {
            a.record.owner.uuid().as_bytes().to_vec()
        }))
        .bind(column(appends, |a| {
            a.record.cmd_id.uuid().as_bytes().to_vec()
        }))
        .bind(column(appends, |a| a.record.tenant.as_str()))
        .bind(column(appends, |a| a.record.actor.as_str()))
        .bind(column(appends, |a| a.record.at.as_micros()))
        .bind(column(appends, |a| i64::from(a.record.version)))
        .bind(column(appends, |a| a.record.data.as_str()))
        .bind(column(appends, |a| a.record.hash.0.to_vec()))
        .bind(column(appends, |a| a.summary.status.as_str()))
        .bind(column(appends, |a| a.summary.open))
        .bind(column(appends, |a| a.summary.hidden))
        .bind(column(appends, |a| a.summary.user.as_str()))
        .bind(column(appends, |a| a.summary.name.as_deref()))
        .bind(column(appends, |a| a.summary.parent.map(key::pack)))
        .bind(column(appends, |a| a.summary.body.as_str()))
        .bind(column(appends, |a| {
            Some(a.idempotency.as_ref()?.key.as_str())
        }))
        .bind(column(appends, |a| {
            Some(a.idempotency.as_ref()?.body_hash.0.to_vec())
        }))
        .bind(column(&set, |(stream, _, _)| key::pack(*stream)))
        .bind(column(&set, |(stream, _, _)| i64::from(slot(*stream))))
        .bind(column(&set, |(_, name, _)| *name))
        .bind(column(&set, |(_, _, due)| *due))
        .bind(column(&cleared, |(stream, _)| key::pack(*stream)))
        .bind(column(&cleared, |(_, name)| *name))
        .bind(column(&outbox, |(stream, _)| key::pack(*stream)))
        .bind(column(&outbox, |(_, d)| d.id.as_bytes().to_vec()))
        .bind(column(&outbox, |(_, d)| key::pack(d.stream)))
        .bind(column(&outbox, |(_, d)| d.kind.as_str()))
        .bind(column(&outbox, |(_, d)| d.payload.as_str()))
        .bind(column(&outbox, |(_, d)| d.due.as_micros()))
        .bind(column(&outbox, |(_, d)| i64::from(d.tries)))
        .bind(column(appends, |a| a.summary.workflow.map(key::pack)))
        .bind(column(appends, |a| a.summary.waits));
    let moved = statement.fetch_all(connection).await?;
    Ok(streams(&moved)?.into_iter().collect())
}

/// Whether who makes a stream does not own its shard.
async fn foreign(
    connection: &mut PgConnection,
    record: &Record,
) -> Result<Option<Refusal>, Setback> {
    let epoch: Option<i64> = sqlx::query_scalar(
        "SELECT shard.epoch FROM cluster JOIN shard ON shard.shard = $1 % cluster.shards
         WHERE CASE WHEN shard.owner IS NULL THEN shard.epoch >= $2
               ELSE shard.owner <> $3 OR shard.epoch <> $2 END",
    )
    .bind(i64::from(slot(record.stream)))
    .bind(record.epoch.to_i64())
    .bind(record.owner.uuid().as_bytes().to_vec())
    .fetch_optional(connection)
    .await?;
    let fenced = |epoch| Refusal::Fenced {
        stream: record.stream,
        head: 0,
        epoch: Epoch::from_i64(epoch).unwrap_or_default(),
    };
    Ok(epoch.map(fenced))
}

/// Decides one append by what stands in the tables: `None` when it fits.
async fn judge(connection: &mut PgConnection, append: &Append) -> Result<Option<Verdict>, Setback> {
    let record = &append.record;
    let stream = key::pack(record.stream);
    let row: Option<(i64, i64, String)> =
        sqlx::query_as("SELECT head, epoch, tenant FROM stream WHERE stream = $1")
            .bind(stream.as_slice())
            .fetch_optional(&mut *connection)
            .await?;
    let (head, epoch, tenant) = row.unwrap_or_else(|| (0, 0, record.tenant.clone()));
    if head + 1 != record.seq.cast_signed() || epoch > record.epoch.to_i64() {
        let known: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM event WHERE stream = $1 AND cmd_id = $2")
                .bind(stream)
                .bind(record.cmd_id.uuid().as_bytes().as_slice())
                .fetch_optional(connection)
                .await?;
        return Ok(Some(match known {
            Some(_) => Ok(Appended::Before),
            None => Err(Refusal::Fenced {
                stream: record.stream,
                head: head.cast_unsigned(),
                epoch: Epoch::from_i64(epoch).unwrap_or_default(),
            }),
        }));
    }
    if head == 0
        && let Some(refusal) = foreign(connection, record).await?
    {
        return Ok(Some(Err(refusal)));
    }
    if let Some(idempotency) = &append.idempotency {
        let taken: Option<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT stream, body_hash FROM idem WHERE tenant = $1 AND key = $2")
                .bind(record.tenant.as_str())
                .bind(idempotency.key.as_str())
                .fetch_optional(&mut *connection)
                .await?;
        if let Some((stream, body_hash)) = taken {
            return Ok(Some(Err(Refusal::Repeated {
                stream: key::unpack(&stream)?,
                same_body: body_hash == idempotency.body_hash.0,
            })));
        }
    }
    let name = append.summary.name.as_deref();
    let Some(name) = name.filter(|_| !append.summary.hidden) else {
        return Ok(None);
    };
    let taken: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT stream FROM stream
         WHERE tenant = $1 AND kind = $2 AND name = $3 AND NOT hidden AND stream <> $4",
    )
    .bind(tenant)
    .bind(i64::from(key::code(record.stream.kind())))
    .bind(name)
    .bind(stream)
    .fetch_optional(connection)
    .await?;
    Ok(match taken {
        Some(stream) => Some(Err(Refusal::NameTaken {
            stream: key::unpack(&stream)?,
        })),
        None => None,
    })
}
