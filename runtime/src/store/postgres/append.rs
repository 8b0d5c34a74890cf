//! Commits a batch with a few statements over arrays, and tells each append its own verdict.

use std::collections::HashSet;

use protocol::{entity::EntityId, epoch::Epoch, shard::slot};
use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};

use super::lock;
use crate::store::{
    Append, Appended, Error, Refusal,
    batch::{Verdict, last_changes, run},
    key,
    rows::streams,
};

/// Does the batch within the connection's transaction.
pub(super) async fn commit(
    connection: &mut PgConnection,
    batch: Vec<Append>,
) -> Result<Vec<Verdict>, Error> {
    lock(connection).await?;
    let mut verdicts = Vec::with_capacity(batch.len());
    let mut rest = batch.as_slice();
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
) -> Result<Vec<Verdict>, Error> {
    if let [append] = appends
        && append.summary.name.is_some()
        && let Some(verdict) = judge(connection, append).await?
    {
        return Ok(vec![verdict]);
    }
    let unkeyed = keys(connection, appends).await?;
    let moved = heads(connection, appends, &unkeyed).await?;
    free_keys(connection, appends, &unkeyed, &moved).await?;
    let accepted: Vec<_> = appends
        .iter()
        .filter(|append| moved.contains(&append.record.stream))
        .collect();
    record(connection, &accepted).await?;
    effects(connection, &accepted).await?;
    let mut verdicts = Vec::with_capacity(appends.len());
    for append in appends {
        verdicts.push(if moved.contains(&append.record.stream) {
            Ok(Appended::Now)
        } else {
            judge(connection, append).await?.ok_or_else(|| {
                Error::Corrupt(format!("{} refuses a fitting append", append.record.stream))
            })?
        });
    }
    Ok(verdicts)
}

/// One column of all rows.
fn column<'a, T, C>(rows: &[&'a T], cell: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(|row| cell(row)).collect()
}

fn stream(append: &Append) -> Vec<u8> {
    key::pack(append.record.stream)
}

/// Takes the clients' keys; answers the streams whose key was taken before.
async fn keys(
    connection: &mut PgConnection,
    appends: &[Append],
) -> Result<HashSet<EntityId>, Error> {
    let keyed: Vec<_> = appends
        .iter()
        .filter(|append| append.idempotency.is_some())
        .collect();
    let mut all: HashSet<_> = column(&keyed, |append| append.record.stream)
        .into_iter()
        .collect();
    if all.is_empty() {
        return Ok(all);
    }
    let taken = sqlx::query(
        "INSERT INTO idem (tenant, key, body_hash, stream, at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bigint[])
         ON CONFLICT DO NOTHING RETURNING stream",
    )
    .bind(column(&keyed, |append| append.record.tenant.as_str()))
    .bind(column(&keyed, |append| {
        Some(append.idempotency.as_ref()?.key.as_str())
    }))
    .bind(column(&keyed, |append| {
        Some(append.idempotency.as_ref()?.body_hash.0.to_vec())
    }))
    .bind(column(&keyed, stream))
    .bind(column(&keyed, |append| append.record.at.as_micros()))
    .fetch_all(connection)
    .await?;
    for stream in streams(&taken)? {
        all.remove(&stream);
    }
    Ok(all)
}

/// Gives back the keys of appends that were refused for another reason.
async fn free_keys(
    connection: &mut PgConnection,
    appends: &[Append],
    unkeyed: &HashSet<EntityId>,
    moved: &HashSet<EntityId>,
) -> Result<(), Error> {
    let refused: Vec<_> = appends
        .iter()
        .filter(|append| {
            let stream = append.record.stream;
            append.idempotency.is_some() && !moved.contains(&stream) && !unkeyed.contains(&stream)
        })
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM idem WHERE (tenant, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
    )
    .bind(column(&refused, |append| append.record.tenant.as_str()))
    .bind(column(&refused, |append| {
        Some(append.idempotency.as_ref()?.key.as_str())
    }))
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the new streams and moves the heads of the others; answers those that moved.
async fn heads(
    connection: &mut PgConnection,
    appends: &[Append],
    unkeyed: &HashSet<EntityId>,
) -> Result<HashSet<EntityId>, Error> {
    let (new, old): (Vec<_>, Vec<_>) = appends
        .iter()
        .filter(|append| !unkeyed.contains(&append.record.stream))
        .partition(|append| append.record.seq == 1);
    let mut moved = HashSet::new();
    if !new.is_empty() {
        let make = sqlx::query(
            "INSERT INTO stream (stream, head, epoch, owner, updated_at, status, open, hidden,
                 user_id, name, parent, body, kind, slot, tenant, created_at)
             SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[],
                 $5::bigint[], $6::text[], $7::boolean[], $8::boolean[], $9::text[], $10::text[],
                 $11::bytea[], $12::text[], $13::bigint[], $14::bigint[], $15::text[],
                 $16::bigint[])
             ON CONFLICT (stream) DO NOTHING RETURNING stream",
        );
        let make = index(make, &new)
            .bind(column(&new, |append| {
                i64::from(key::code(append.record.stream.kind()))
            }))
            .bind(column(&new, |append| i64::from(slot(append.record.stream))))
            .bind(column(&new, |append| append.record.tenant.as_str()))
            .bind(column(&new, |append| append.record.at.as_micros()));
        moved.extend(streams(&make.fetch_all(&mut *connection).await?)?);
    }
    if !old.is_empty() {
        let extend = sqlx::query(
            "UPDATE stream SET head = new.head, epoch = new.epoch, owner = new.owner,
                 updated_at = new.updated_at, status = new.status, open = new.open,
                 hidden = new.hidden, user_id = new.user_id, name = new.name, parent = new.parent,
                 body = new.body
             FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[],
                 $5::bigint[], $6::text[], $7::boolean[], $8::boolean[], $9::text[], $10::text[],
                 $11::bytea[], $12::text[], $13::bigint[])
                 AS new (stream, head, epoch, owner, updated_at, status, open, hidden, user_id,
                     name, parent, body, expected)
             WHERE stream.stream = new.stream AND stream.head = new.expected
                 AND stream.epoch <= new.epoch
             RETURNING stream.stream",
        );
        let extend =
            index(extend, &old).bind(column(&old, |append| append.record.seq.cast_signed() - 1));
        moved.extend(streams(&extend.fetch_all(connection).await?)?);
    }
    Ok(moved)
}

type Statement<'a> = Query<'a, Postgres, PgArguments>;

/// Binds the columns that every append changes.
fn index<'a>(statement: Statement<'a>, appends: &[&'a Append]) -> Statement<'a> {
    statement
        .bind(column(appends, stream))
        .bind(column(appends, |append| append.record.head().cast_signed()))
        .bind(column(appends, |append| append.record.epoch.to_i64()))
        .bind(column(appends, |append| {
            append.record.owner.uuid().as_bytes().to_vec()
        }))
        .bind(column(appends, |append| append.record.at.as_micros()))
        .bind(column(appends, |append| append.summary.status.as_str()))
        .bind(column(appends, |append| append.summary.open))
        .bind(column(appends, |append| append.summary.hidden))
        .bind(column(appends, |append| append.summary.user.as_str()))
        .bind(column(appends, |append| append.summary.name.as_deref()))
        .bind(column(appends, |append| {
            append.summary.parent.map(key::pack)
        }))
        .bind(column(appends, |append| append.summary.body.as_str()))
}

async fn record(connection: &mut PgConnection, appends: &[&Append]) -> Result<(), Error> {
    if appends.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO event (stream, seq, count, epoch, owner, cmd_id, tenant, actor, at, version,
             data, hash)
         SELECT stream, seq, count, epoch, owner, cmd_id, tenant, actor, at, version, data, hash
         FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[],
             $6::bytea[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::text[],
             $12::bytea[]) WITH ORDINALITY
             AS new (stream, seq, count, epoch, owner, cmd_id, tenant, actor, at, version, data,
                 hash, place)
         ORDER BY place",
    )
    .bind(column(appends, |append| key::pack(append.record.stream)))
    .bind(column(appends, |append| append.record.seq.cast_signed()))
    .bind(column(appends, |append| i64::from(append.record.count)))
    .bind(column(appends, |append| append.record.epoch.to_i64()))
    .bind(column(appends, |append| {
        append.record.owner.uuid().as_bytes().to_vec()
    }))
    .bind(column(appends, |append| {
        append.record.cmd_id.uuid().as_bytes().to_vec()
    }))
    .bind(column(appends, |append| append.record.tenant.as_str()))
    .bind(column(appends, |append| append.record.actor.as_str()))
    .bind(column(appends, |append| append.record.at.as_micros()))
    .bind(column(appends, |append| i64::from(append.record.version)))
    .bind(column(appends, |append| append.record.data.as_str()))
    .bind(column(appends, |append| append.record.hash.0.to_vec()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Reminders and outbox; few appends have any.
async fn effects(connection: &mut PgConnection, appends: &[&Append]) -> Result<(), Error> {
    for append in appends {
        for (name, due) in last_changes(&append.reminders) {
            let change = match due {
                Some(due) => sqlx::query(
                    "INSERT INTO reminder (stream, slot, name, due) VALUES ($1, $4, $2, $3)
                     ON CONFLICT (stream, name) DO UPDATE SET due = excluded.due",
                )
                .bind(stream(append))
                .bind(name)
                .bind(due)
                .bind(i64::from(slot(append.record.stream))),
                None => sqlx::query("DELETE FROM reminder WHERE stream = $1 AND name = $2")
                    .bind(stream(append))
                    .bind(name),
            };
            change.execute(&mut *connection).await?;
        }
        for delivery in &append.outbox {
            sqlx::query(
                "INSERT INTO outbox (id, stream, kind, payload, due, tries)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .bind(delivery.id.as_bytes().as_slice())
            .bind(key::pack(delivery.stream))
            .bind(delivery.kind.as_str())
            .bind(delivery.payload.as_str())
            .bind(delivery.due.as_micros())
            .bind(i64::from(delivery.tries))
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

/// Decides one append by what stands in the tables: `None` when it fits.
async fn judge(connection: &mut PgConnection, append: &Append) -> Result<Option<Verdict>, Error> {
    let record = &append.record;
    let row: Option<(i64, i64, String)> =
        sqlx::query_as("SELECT head, epoch, tenant FROM stream WHERE stream = $1")
            .bind(stream(append))
            .fetch_optional(&mut *connection)
            .await?;
    let (head, epoch, tenant) = row.unwrap_or_else(|| (0, 0, record.tenant.clone()));
    if head + 1 != record.seq.cast_signed() || epoch > record.epoch.to_i64() {
        let known: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM event WHERE stream = $1 AND cmd_id = $2")
                .bind(stream(append))
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
    let Some(name) = append
        .summary
        .name
        .as_ref()
        .filter(|_| !append.summary.hidden)
    else {
        return Ok(None);
    };
    let taken: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT stream FROM stream
         WHERE tenant = $1 AND kind = $2 AND name = $3 AND NOT hidden AND stream <> $4",
    )
    .bind(tenant)
    .bind(i64::from(key::code(record.stream.kind())))
    .bind(name.as_str())
    .bind(stream(append))
    .fetch_optional(connection)
    .await?;
    Ok(match taken {
        Some(stream) => Some(Err(Refusal::NameTaken {
            stream: key::unpack(&stream)?,
        })),
        None => None,
    })
}
