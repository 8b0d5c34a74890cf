//! The journal and the index of streams.

use futures_util::TryStreamExt;
use protocol::{
    entity::{EntityId, EntityKind},
    record::{ChainHash, Record, Summary},
};
use sqlx::QueryBuilder;

use super::{Sqlite, append};
use crate::store::{
    Answer, Append, Appended, End, Error, EventLog, Refusal, Scope, StreamQuery, StreamRow,
    Streams,
    batch::holding,
    key,
    rows::{Cells, record, stream_row, streams},
};

/// SQLite takes patterns of up to 50,000 bytes.
const LONGEST_PATTERN: usize = 10_000;

impl EventLog for Sqlite {
    fn append<'a>(&'a self, batch: &'a [Append]) -> Answer<'a, Vec<Result<Appended, Refusal>>> {
        let batch = batch.to_vec();
        Box::pin(
            self.writer
                .write(|connection| Box::pin(append::commit(connection, batch))),
        )
    }

    fn read(&self, stream: EntityId, after: u64, limit: u32) -> Answer<'_, Vec<Record>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT * FROM event WHERE stream = ? AND seq + count - 1 > ?
                 ORDER BY seq LIMIT ?",
            )
            .bind(key::pack(stream))
            .bind(after.cast_signed())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
            rows.iter().map(record).collect()
        })
    }

    fn journal(&self, after: i64, limit: u32) -> Answer<'_, Vec<(i64, Record)>> {
        Box::pin(async move {
            let rows =
                sqlx::query("SELECT * FROM event WHERE position > ? ORDER BY position LIMIT ?")
                    .bind(after)
                    .bind(limit)
                    .fetch_all(&self.readers)
                    .await?;
            rows.iter()
                .map(|row| Ok((row.number("position")?, record(row)?)))
                .collect()
        })
    }

    fn end(&self) -> Answer<'_, End> {
        Box::pin(async move {
            let last = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM event");
            let last: i64 = last.fetch_one(&self.readers).await?;
            Ok(End { whole: last, last })
        })
    }
}

impl Streams for Sqlite {
    fn stream(&self, stream: EntityId) -> Answer<'_, Option<StreamRow>> {
        Box::pin(async move {
            let row = sqlx::query("SELECT * FROM stream WHERE stream = ?")
                .bind(key::pack(stream))
                .fetch_optional(&self.readers)
                .await?;
            row.as_ref().map(stream_row).transpose()
        })
    }

    fn made_by<'a>(
        &'a self,
        tenant: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<(EntityId, ChainHash)>> {
        Box::pin(async move {
            let made: Option<(Vec<u8>, Vec<u8>)> =
                sqlx::query_as("SELECT stream, body_hash FROM idem WHERE tenant = ? AND key = ?")
                    .bind(tenant)
                    .bind(key)
                    .fetch_optional(&self.readers)
                    .await?;
            let Some((stream, body_hash)) = made else {
                return Ok(None);
            };
            let body_hash = body_hash
                .try_into()
                .map_err(|_| Error::Corrupt(format!("the key {key} has no hash of 32 bytes")))?;
            Ok(Some((key::unpack(&stream)?, ChainHash(body_hash))))
        })
    }

    fn list<'a>(&'a self, query: &'a StreamQuery) -> Answer<'a, Vec<StreamRow>> {
        Box::pin(async move {
            let mut sql = listing(query);
            let mut rows = sql.build().fetch(&self.readers);
            let mut found = Vec::new();
            // SQLite folds the case of ASCII alone, so the text is looked for here.
            while found.len() < query.limit as usize
                && let Some(row) = rows.try_next().await?
            {
                let row = stream_row(&row)?;
                if query.holds(&row) {
                    found.push(row);
                }
            }
            Ok(found)
        })
    }

    fn count<'a>(&'a self, tenant: &'a str, kind: EntityKind) -> Answer<'a, Vec<(String, u64)>> {
        Box::pin(async move {
            let counts: Vec<(String, i64)> = sqlx::query_as(
                "SELECT status, count(*) FROM stream
                 WHERE tenant = ? AND kind = ? AND hidden = 0 GROUP BY status ORDER BY status",
            )
            .bind(tenant)
            .bind(key::code(kind))
            .fetch_all(&self.readers)
            .await?;
            let counts = counts.into_iter();
            Ok(counts
                .map(|(status, count)| (status, count.cast_unsigned()))
                .collect())
        })
    }

    fn open<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<EntityId>> {
        Box::pin(async move {
            let of = "SELECT stream FROM stream WHERE open = 1 AND parked IS NULL";
            let mut sql = in_order(of, kind, scope, after, limit);
            let rows = sql.build().fetch_all(&self.readers).await?;
            streams(&rows)
        })
    }

    fn parked<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<StreamRow>> {
        Box::pin(async move {
            let of = "SELECT * FROM stream WHERE parked IS NOT NULL";
            let mut sql = in_order(of, kind, scope, after, limit);
            let rows = sql.build().fetch_all(&self.readers).await?;
            rows.iter().map(stream_row).collect()
        })
    }

    fn park<'a>(&'a self, stream: EntityId, reason: Option<&'a str>) -> Answer<'a, ()> {
        let reason = reason.map(str::to_owned);
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                sqlx::query("UPDATE stream SET parked = ? WHERE stream = ?")
                    .bind(reason)
                    .bind(key::pack(stream))
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }

    fn reindex<'a>(&'a self, stream: EntityId, summary: &'a Summary) -> Answer<'a, ()> {
        let summary = summary.clone();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE stream SET status = ?, open = ?, hidden = ?, user_id = ?, name = ?,
                         parent = ?, body = ?, workflow = ?, waits = ?
                     WHERE stream = ?",
                )
                .bind(summary.status)
                .bind(summary.open)
                .bind(summary.hidden)
                .bind(summary.user)
                .bind(summary.name)
                .bind(summary.parent.map(key::pack))
                .bind(summary.body)
                .bind(summary.workflow.map(key::pack))
                .bind(summary.waits)
                .bind(key::pack(stream))
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }
}

/// A page of the streams of a kind and scope, in order of their ids.
fn in_order(
    of: &str,
    kind: EntityKind,
    scope: &Scope,
    after: Option<EntityId>,
    limit: u32,
) -> QueryBuilder<sqlx::Sqlite> {
    let (least, greatest) = key::bounds(kind);
    let mut sql = QueryBuilder::new(of);
    sql.push(" AND stream >= ")
        .push_bind(key::pack(after.unwrap_or(least).max(least)));
    sql.push(" AND stream <= ").push_bind(key::pack(greatest));
    sql.push(" AND stream IS NOT ")
        .push_bind(after.map(key::pack));
    within(&mut sql, scope);
    sql.push(" ORDER BY stream LIMIT ").push_bind(limit);
    sql
}

/// Passes over streams outside of `scope`.
pub(super) fn within(sql: &mut QueryBuilder<sqlx::Sqlite>, scope: &Scope) {
    let Scope::Shards { count, shards } = scope else {
        return;
    };
    sql.push(format_args!(" AND slot % {count} IN ("));
    let mut numbers = sql.separated(",");
    for shard in shards {
        // A number of ours, which needs no escaping: values would be more than SQLite takes.
        numbers.push(shard);
    }
    sql.push(")");
}

/// The page's SQL; which index serves it depends on what is asked for.
fn listing(query: &StreamQuery) -> QueryBuilder<sqlx::Sqlite> {
    let (least, greatest) = key::bounds(query.kind);
    let mut sql = QueryBuilder::new("SELECT * FROM stream WHERE hidden = 0 AND tenant = ");
    sql.push_bind(query.tenant.clone());
    sql.push(" AND stream >= ").push_bind(key::pack(least));
    match query.before {
        Some(before) if before <= greatest => {
            sql.push(" AND stream < ").push_bind(key::pack(before));
        }
        Some(_) | None => {
            sql.push(" AND stream <= ").push_bind(key::pack(greatest));
        }
    }
    if let Some(status) = &query.status {
        sql.push(" AND status = ").push_bind(status.clone());
        // Said again without a value, so that the partial index is known to hold every match.
        if status != "completed" {
            sql.push(" AND status <> 'completed'");
        }
    }
    if let Some(user) = &query.user {
        sql.push(" AND user_id = ").push_bind(user.clone());
    }
    if let Some(parent) = query.parent {
        sql.push(" AND parent = ").push_bind(key::pack(parent));
    }
    if let Some(runs) = query.runs {
        sql.push(" AND workflow IS NOT NULL");
        if let Some(workflow) = runs.of {
            sql.push(" AND workflow = ").push_bind(key::pack(workflow));
        }
        if let Some(waits) = runs.waits {
            sql.push(" AND waits = ").push_bind(waits);
        }
    }
    let text = query.text.as_deref();
    if let Some(text) = text.filter(|text| text.is_ascii() && text.len() < LONGEST_PATTERN) {
        // Passes over most rows before they cross to this thread.
        sql.push(" AND body LIKE ").push_bind(holding(text));
        sql.push(r" ESCAPE '\'");
    }
    sql.push(" ORDER BY stream DESC");
    if query.text.is_none() {
        sql.push(" LIMIT ").push_bind(query.limit);
    }
    sql
}
