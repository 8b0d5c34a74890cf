//! Commits a batch with a few statements over all of it, and tells each append its own verdict.

use std::collections::HashSet;

use protocol::{
    entity::EntityId,
    epoch::Epoch,
    record::{ChainHash, Record},
    shard::slot,
};
use sqlx::{SqliteConnection, error::BoxDynError};

use super::values::{Row, Values};
use crate::store::{
    Append, Appended, Delivery, Error, Refusal,
    batch::{Verdict, last_changes, run},
    key,
    rows::streams,
};

static CREATE: Values = Values::new(
    "INSERT INTO stream (stream, kind, slot, tenant, created_at, head, epoch, owner, updated_at,
         status, open, hidden, user_id, name, parent, body, waits, workflow)
     SELECT * FROM",
    18,
    // Who lost the shard, or never had it, makes nothing there: its owner would not know of it.
    "WHERE column1 IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM cluster JOIN shard ON shard.shard = column3 % cluster.shards
         WHERE CASE WHEN shard.owner IS NULL THEN shard.epoch >= column7
               ELSE shard.owner <> column8 OR shard.epoch <> column7 END)
     ON CONFLICT (stream) DO NOTHING RETURNING stream",
);

static EXTEND: Values = Values::new(
    "UPDATE stream SET head = column3, epoch = column4, owner = column5, updated_at = column6,
         status = column7, open = column8, hidden = column9, user_id = column10, name = column11,
         parent = column12, body = column13, waits = column14
     FROM",
    14,
    "WHERE stream = column1 AND head = column2 AND epoch <= column4 RETURNING stream",
);

static RECORD: Values = Values::new(
    "INSERT INTO event (stream, seq, count, epoch, owner, cmd_id, tenant, actor, at, version,
         data, hash)
     SELECT * FROM",
    12,
    "WHERE column1 IS NOT NULL",
);

static KEY: Values = Values::new(
    "INSERT INTO idem (tenant, key, body_hash, stream, at) SELECT * FROM",
    5,
    "WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING RETURNING stream",
);

static FREE_KEY: Values = Values::new("DELETE FROM idem WHERE (tenant, key) IN", 2, "");

static SET: Values = Values::new(
    "INSERT INTO reminder (stream, slot, name, due) SELECT * FROM",
    4,
    "WHERE column1 IS NOT NULL ON CONFLICT DO UPDATE SET due = excluded.due",
);

static CLEAR: Values = Values::new("DELETE FROM reminder WHERE (stream, name) IN", 2, "");

static DELIVER: Values = Values::new(
    "INSERT INTO outbox (id, stream, kind, payload, due, tries) SELECT * FROM",
    6,
    "WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING",
);

/// Does the batch within the connection's transaction.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    mut batch: Vec<Append>,
) -> Result<Vec<Verdict>, Error> {
    let mut verdicts = Vec::with_capacity(batch.len());
    let mut rest = batch.as_mut_slice();
    while !rest.is_empty() {
        let (together, later) = rest.split_at_mut(run(rest));
        verdicts.append(&mut commit_run(connection, together).await?);
        rest = later;
    }
    Ok(verdicts)
}

async fn commit_run(
    connection: &mut SqliteConnection,
    appends: &mut [Append],
) -> Result<Vec<Verdict>, Error> {
    if let [append] = &*appends
        && append.summary.name.is_some()
        && let Some(verdict) = judge(connection, append).await?
    {
        return Ok(vec![verdict]);
    }
    let unkeyed = keys(connection, appends).await?;
    let moved = heads(connection, appends, &unkeyed).await?;
    free_keys(connection, appends, &unkeyed, &moved).await?;
    record(connection, appends, &moved).await?;
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

/// Takes the clients' keys; answers the streams whose key was taken before.
async fn keys(
    connection: &mut SqliteConnection,
    appends: &[Append],
) -> Result<HashSet<EntityId>, Error> {
    let keyed = appends
        .iter()
        .filter_map(|append| Some((&append.record, append.idempotency.as_ref()?)));
    let mut all: HashSet<_> = keyed.clone().map(|(record, _)| record.stream).collect();
    if all.is_empty() {
        return Ok(all);
    }
    let taken = KEY.over(keyed, |row, (record, key)| {
        row.add(record.tenant.clone())?
            .add(key.key.clone())?
            .add(key.body_hash.0.to_vec())?
            .add(key::pack(record.stream))?
            .add(record.at.as_micros())?;
        Ok(())
    })?;
    for stream in streams(&taken.run(connection).await?)? {
        all.remove(&stream);
    }
    Ok(all)
}

/// Gives back the keys of appends that were refused for another reason.
async fn free_keys(
    connection: &mut SqliteConnection,
    appends: &[Append],
    unkeyed: &HashSet<EntityId>,
    moved: &HashSet<EntityId>,
) -> Result<(), Error> {
    let refused = appends.iter().filter_map(|append| {
        let stream = append.record.stream;
        let ours = !moved.contains(&stream) && !unkeyed.contains(&stream);
        let key = append.idempotency.as_ref().filter(|_| ours)?;
        Some((&append.record.tenant, &key.key))
    });
    let free = FREE_KEY.over(refused, |row, (tenant, key)| {
        row.add(tenant.clone())?.add(key.clone())?;
        Ok(())
    })?;
    free.run(connection).await?;
    Ok(())
}

/// Makes the new streams and moves the heads of the others; answers those that moved.
///
/// Takes the summaries' texts out of `appends`: nothing after it needs them.
async fn heads(
    connection: &mut SqliteConnection,
    appends: &mut [Append],
    unkeyed: &HashSet<EntityId>,
) -> Result<HashSet<EntityId>, Error> {
    let (new, old): (Vec<_>, Vec<_>) = appends
        .iter_mut()
        .filter(|append| !unkeyed.contains(&append.record.stream))
        .partition(|append| append.record.seq == 1);
    let make = CREATE.over(new, |row, append| {
        row.add(key::pack(append.record.stream))?
            .add(key::code(append.record.stream.kind()))?
            .add(slot(append.record.stream))?
            .add(append.record.tenant.clone())?
            .add(append.record.at.as_micros())?;
        index(row, append)?;
        row.add(append.summary.workflow.map(key::pack))?;
        Ok(())
    })?;
    let extend = EXTEND.over(old, |row, append| {
        row.add(key::pack(append.record.stream))?
            .add(append.record.seq.cast_signed() - 1)?;
        index(row, append)
    })?;
    let mut moved = streams(&make.run(connection).await?)?;
    moved.append(&mut streams(&extend.run(connection).await?)?);
    Ok(moved.into_iter().collect())
}

/// The columns that every append changes.
fn index(row: &mut Row, append: &mut Append) -> Result<(), BoxDynError> {
    let record = &append.record;
    let summary = &mut append.summary;
    row.add(record.head().cast_signed())?
        .add(record.epoch.to_i64())?
        .add(record.owner.uuid().as_bytes().to_vec())?
        .add(record.at.as_micros())?
        .add(std::mem::take(&mut summary.status))?
        .add(summary.open)?
        .add(summary.hidden)?
        .add(std::mem::take(&mut summary.user))?
        .add(summary.name.take())?
        .add(summary.parent.map(key::pack))?
        .add(std::mem::take(&mut summary.body))?
        .add(summary.waits)?;
    Ok(())
}

/// Writes the records and effects of the appends whose streams moved.
async fn record(
    connection: &mut SqliteConnection,
    appends: &mut [Append],
    moved: &HashSet<EntityId>,
) -> Result<(), Error> {
    let accepted = appends
        .iter_mut()
        .filter(|append| moved.contains(&append.record.stream));
    let mut set = Vec::new();
    let mut cleared = Vec::new();
    let mut outbox = Vec::new();
    let records = accepted.map(|append| {
        let stream = append.record.stream;
        for (name, due) in last_changes(&append.reminders) {
            match due {
                Some(due) => set.push((stream, name.to_owned(), due)),
                None => cleared.push((stream, name.to_owned())),
            }
        }
        outbox.append(&mut append.outbox);
        &mut append.record
    });
    let records = RECORD.over(records, |row, record| {
        row.add(key::pack(record.stream))?
            .add(record.seq.cast_signed())?
            .add(record.count)?
            .add(record.epoch.to_i64())?
            .add(record.owner.uuid().as_bytes().to_vec())?
            .add(record.cmd_id.uuid().as_bytes().to_vec())?
            .add(std::mem::take(&mut record.tenant))?
            .add(std::mem::take(&mut record.actor))?
            .add(record.at.as_micros())?
            .add(record.version)?
            .add(std::mem::take(&mut record.data))?
            .add(record.hash.0.to_vec())?;
        Ok(())
    })?;
    let set = SET.over(set, |row, (stream, name, due)| {
        row.add(key::pack(stream))?
            .add(slot(stream))?
            .add(name)?
            .add(due)?;
        Ok(())
    })?;
    let clear = CLEAR.over(cleared, |row, (stream, name)| {
        row.add(key::pack(stream))?.add(name)?;
        Ok(())
    })?;
    let deliver = DELIVER.over(outbox, deliver)?;
    for statements in [records, set, clear, deliver] {
        statements.run(connection).await?;
    }
    Ok(())
}

fn deliver(row: &mut Row, delivery: Delivery) -> Result<(), BoxDynError> {
    row.add(delivery.id.as_bytes().to_vec())?
        .add(key::pack(delivery.stream))?
        .add(delivery.kind)?
        .add(delivery.payload)?
        .add(delivery.due.as_micros())?
        .add(delivery.tries)?;
    Ok(())
}

/// Whether who makes a stream does not own its shard.
async fn foreign(
    connection: &mut SqliteConnection,
    record: &Record,
) -> Result<Option<Refusal>, Error> {
    let epoch: Option<i64> = sqlx::query_scalar(
        "SELECT shard.epoch FROM cluster JOIN shard ON shard.shard = ?1 % cluster.shards
         WHERE CASE WHEN shard.owner IS NULL THEN shard.epoch >= ?2
               ELSE shard.owner <> ?3 OR shard.epoch <> ?2 END",
    )
    .bind(slot(record.stream))
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
async fn judge(
    connection: &mut SqliteConnection,
    append: &Append,
) -> Result<Option<Verdict>, Error> {
    let record = &append.record;
    let stream = key::pack(record.stream);
    let row: Option<(i64, i64, String)> =
        sqlx::query_as("SELECT head, epoch, tenant FROM stream WHERE stream = ?")
            .bind(stream.as_slice())
            .fetch_optional(&mut *connection)
            .await?;
    let (head, epoch, tenant) = row.unwrap_or_else(|| (0, 0, record.tenant.clone()));
    if head + 1 != record.seq.cast_signed() || epoch > record.epoch.to_i64() {
        let known: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM event WHERE stream = ? AND cmd_id = ?")
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
            sqlx::query_as("SELECT stream, body_hash FROM idem WHERE tenant = ? AND key = ?")
                .bind(record.tenant.as_str())
                .bind(idempotency.key.as_str())
                .fetch_optional(&mut *connection)
                .await?;
        if let Some((stream, body_hash)) = taken {
            let ChainHash(expected) = idempotency.body_hash;
            return Ok(Some(Err(Refusal::Repeated {
                stream: key::unpack(&stream)?,
                same_body: body_hash == expected,
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
         WHERE tenant = ? AND kind = ? AND name = ? AND hidden = 0 AND stream <> ?",
    )
    .bind(tenant)
    .bind(key::code(record.stream.kind()))
    .bind(name.as_str())
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
