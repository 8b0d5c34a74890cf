//! The journal and the index of streams.

use futures_util::TryStreamExt;
use protocol::{
    entity::{EntityId, EntityKind},
    record::{ChainHash, Record, Summary},
};
use sqlx::{PgPool, QueryBuilder};

use super::{
    Postgres,
    append::horizon,
    gateway::{Cut, asked},
};
use crate::store::{
    Answer, Append, Appended, End, Error, EventLog, Refusal, Scope, StreamQuery, StreamRow,
    Streams,
    batch::holding,
    key,
    rows::{self, Cells, record, stream_row},
};

impl EventLog for Postgres {
    fn append<'a>(&'a self, batch: &'a [Append]) -> Answer<'a, Vec<Result<Appended, Refusal>>> {
        Box::pin(self.commit(batch.to_vec()))
    }

    fn read(&self, stream: EntityId, after: u64, limit: u32) -> Answer<'_, Vec<Record>> {
        asked(async move {
            let rows = sqlx::query(
                "SELECT * FROM event WHERE stream = $1 AND seq + count - 1 > $2
                 ORDER BY seq LIMIT $3",
            )
            .bind(key::pack(stream))
            .bind(after.cast_signed())
            .bind(i64::from(limit))
            .fetch_all(self.reading()?)
            .await?;
            rows.iter().map(record).collect()
        })
    }

    fn journal(&self, after: i64, limit: u32) -> Answer<'_, Vec<(i64, Record)>> {
        asked(async move {
            let mut connection = self.reading()?.acquire().await?;
            // A statement of its own: what follows must see all that ended before it.
            let horizon = horizon(&mut connection).await?;
            let rows = sqlx::query(
                "SELECT * FROM event WHERE position > $1 AND position <= $3
                 ORDER BY position LIMIT $2",
            )
            .bind(after)
            .bind(i64::from(limit))
            .bind(horizon)
            .fetch_all(&mut *connection)
            .await?;
            rows.iter()
                .map(|row| Ok((row.number("position")?, record(row)?)))
                .collect()
        })
    }

    fn end(&self) -> Answer<'_, End> {
        asked(async move {
            let mut connection = self.reading()?.acquire().await?;
            let whole = horizon(&mut connection).await?;
            let last = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM event");
            let last: i64 = last.fetch_one(&mut *connection).await?;
            Ok(End { whole, last })
        })
    }
}

impl Streams for Postgres {
    fn stream(&self, stream: EntityId) -> Answer<'_, Option<StreamRow>> {
        asked(async move {
            let row = sqlx::query("SELECT * FROM stream WHERE stream = $1")
                .bind(key::pack(stream))
                .fetch_optional(self.reading()?)
                .await?;
            row.as_ref().map(stream_row).transpose()
        })
    }

    fn made_by<'a>(
        &'a self,
        tenant: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<(EntityId, ChainHash)>> {
        asked(async move {
            let made: Option<(Vec<u8>, Vec<u8>)> =
                sqlx::query_as("SELECT stream, body_hash FROM idem WHERE tenant = $1 AND key = $2")
                    .bind(tenant)
                    .bind(key)
                    .fetch_optional(self.reading()?)
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
        asked(async move { list(self.reading()?.clone(), query).await })
    }

    fn browse<'a>(&'a self, query: &'a StreamQuery) -> Answer<'a, Vec<StreamRow>> {
        asked(Self::browse(self, move |pool| list(pool, query)))
    }

    fn count<'a>(&'a self, tenant: &'a str, kind: EntityKind) -> Answer<'a, Vec<(String, u64)>> {
        asked(async move {
            let counts: Vec<(String, i64)> = sqlx::query_as(
                "SELECT status, count(*) FROM stream
                 WHERE tenant = $1 AND kind = $2 AND NOT hidden GROUP BY status ORDER BY status",
            )
            .bind(tenant)
            .bind(i64::from(key::code(kind)))
            .fetch_all(self.reading()?)
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
        asked(async move {
            let (least, greatest) = key::bounds(kind);
            let (count, shards) = within(scope);
            let streams = sqlx::query(
                "SELECT stream FROM stream WHERE open AND parked IS NULL
                     AND stream >= $1 AND stream <= $2 AND stream IS DISTINCT FROM $3
                     AND ($5 = 0 OR slot % nullif($5, 0) = ANY($6))
                 ORDER BY stream LIMIT $4",
            )
            .bind(key::pack(after.unwrap_or(least).max(least)))
            .bind(key::pack(greatest))
            .bind(after.map(key::pack))
            .bind(i64::from(limit))
            .bind(count)
            .bind(shards)
            .fetch_all(self.reading()?)
            .await?;
            rows::streams(&streams)
        })
    }

    fn parked<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<StreamRow>> {
        asked(async move {
            let (least, greatest) = key::bounds(kind);
            let (count, shards) = within(scope);
            let rows = sqlx::query(
                "SELECT * FROM stream WHERE parked IS NOT NULL
                     AND stream >= $1 AND stream <= $2 AND stream IS DISTINCT FROM $3
                     AND ($5 = 0 OR slot % nullif($5, 0) = ANY($6))
                 ORDER BY stream LIMIT $4",
            )
            .bind(key::pack(after.unwrap_or(least).max(least)))
            .bind(key::pack(greatest))
            .bind(after.map(key::pack))
            .bind(i64::from(limit))
            .bind(count)
            .bind(shards)
            .fetch_all(self.reading()?)
            .await?;
            rows.iter().map(stream_row).collect()
        })
    }

    fn park<'a>(&'a self, stream: EntityId, reason: Option<&'a str>) -> Answer<'a, ()> {
        let reason = reason.map(str::to_owned);
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let reason = reason.clone();
            Box::pin(async move {
                sqlx::query("UPDATE stream SET parked = $1 WHERE stream = $2")
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
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let summary = summary.clone();
            Box::pin(async move {
                sqlx::query(
                    "UPDATE stream SET status = $1, open = $2, hidden = $3, user_id = $4,
                         name = $5, parent = $6, body = $7, workflow = $8, waits = $9
                     WHERE stream = $10",
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

/// How many shards there are, 0 for any stream, and which of them are meant.
pub(super) fn within(scope: &Scope) -> (i64, Vec<i64>) {
    match scope {
        Scope::All => (0, Vec::new()),
        Scope::Shards { count, shards } => {
            let shards = shards.iter().map(|shard| i64::from(shard.0));
            (i64::from(*count), shards.collect())
        }
    }
}

/// The page's SQL; which index serves it depends on what is asked for.
async fn list(pool: PgPool, query: &StreamQuery) -> Result<Vec<StreamRow>, Error> {
    let mut sql = listing(query);
    let mut rows = sql.build().fetch(&pool);
    let mut found = Vec::new();
    // The database's idea of case depends on its locale, so the text is looked for here.
    while found.len() < query.limit as usize
        && let Some(row) = rows.try_next().await?
    {
        let row = stream_row(&row)?;
        if query.holds(&row) {
            found.push(row);
        }
    }
    Ok(found)
}

fn listing(query: &StreamQuery) -> QueryBuilder<sqlx::Postgres> {
    let (least, greatest) = key::bounds(query.kind);
    let mut sql = QueryBuilder::new("SELECT * FROM stream WHERE NOT hidden AND tenant = ");
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
    if let Some(text) = query.text.as_deref().filter(|text| text.is_ascii()) {
        // Passes over most rows before they cross the network.
        sql.push(" AND body ILIKE ").push_bind(holding(text));
    }
    sql.push(" ORDER BY stream DESC");
    if query.text.is_none() {
        sql.push(" LIMIT ").push_bind(i64::from(query.limit));
    }
    sql
}
