//! Everything beside the journal: snapshots, owners, reminders, outbox, views.

use protocol::{entity::EntityId, epoch::Epoch, id::NodeId, time::Timestamp};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Postgres,
    gateway::{Cut, Setback, asked},
    migrate,
    streams::within,
};
use crate::store::{
    Admin, Answer, Census, Delivery, Error, Outbox, Ownership, Reminders, Scope, Snapshot,
    Snapshots, Views, key, rows,
};

impl Snapshots for Postgres {
    fn snapshot(&self, stream: EntityId) -> Answer<'_, Option<Snapshot>> {
        asked(async move {
            let row = sqlx::query("SELECT * FROM snapshot WHERE stream = $1")
                .bind(key::pack(stream))
                .fetch_optional(self.reading()?)
                .await?;
            row.as_ref().map(rows::snapshot).transpose()
        })
    }

    fn save<'a>(&'a self, snapshot: &'a Snapshot) -> Answer<'a, ()> {
        let snapshot = snapshot.clone();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let snapshot = snapshot.clone();
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO snapshot (stream, seq, hash, version, data)
                     VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (stream) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
                         version = excluded.version, data = excluded.data
                     WHERE snapshot.seq <= excluded.seq",
                )
                .bind(key::pack(snapshot.stream))
                .bind(snapshot.seq.cast_signed())
                .bind(snapshot.hash.0.to_vec())
                .bind(i64::from(snapshot.version))
                .bind(snapshot.data)
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }
}

impl Ownership for Postgres {
    fn begin<'a>(&'a self, node: NodeId, name: &'a str) -> Answer<'a, Epoch> {
        let name = name.to_owned();
        Box::pin(self.work.transact(Cut::Repeat, move |connection| {
            let name = name.clone();
            Box::pin(async move {
                let epoch = next_epoch(connection).await?;
                sqlx::query(
                    "INSERT INTO node (node, name, epoch, started)
                     VALUES ($1, $2, $3, extract(epoch FROM clock_timestamp())::bigint * 1000000)
                     ON CONFLICT (node) DO UPDATE SET epoch = excluded.epoch",
                )
                .bind(node.uuid().as_bytes().to_vec())
                .bind(name)
                .bind(epoch.to_i64())
                .execute(connection)
                .await?;
                Ok(epoch)
            })
        }))
    }

    fn claim<'a>(
        &'a self,
        streams: &'a [EntityId],
        epoch: Epoch,
        owner: NodeId,
    ) -> Answer<'a, Vec<EntityId>> {
        let streams: Vec<_> = streams.iter().map(|stream| key::pack(*stream)).collect();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let streams = streams.clone();
            Box::pin(async move {
                // A shard that was taken must still be the claimant's; one that is free, have been
                // free before.
                let claimed = sqlx::query(
                    "UPDATE stream SET epoch = $2, owner = $3
                     WHERE stream = ANY($1) AND epoch <= $2 AND NOT EXISTS (
                         SELECT FROM cluster JOIN shard
                             ON shard.shard = stream.slot % cluster.shards
                         WHERE CASE WHEN shard.owner IS NULL THEN shard.epoch >= $2
                               ELSE shard.owner <> $3 OR shard.epoch <> $2 END)
                     RETURNING stream",
                )
                .bind(streams)
                .bind(epoch.to_i64())
                .bind(owner.uuid().as_bytes().to_vec())
                .fetch_all(connection)
                .await?;
                Ok(rows::streams(&claimed)?)
            })
        }))
    }
}

/// Draws from the one counter of starts and takings.
pub(super) async fn next_epoch(connection: &mut PgConnection) -> Result<Epoch, Setback> {
    let epoch: i64 = sqlx::query_scalar(
        "UPDATE meta SET value = 1 + greatest(value,
             (SELECT value FROM meta WHERE key = 'db_incarnation') << 40)
         WHERE key = 'epoch' RETURNING value",
    )
    .fetch_one(connection)
    .await?;
    Ok(rows::epoch(epoch)?)
}

impl Reminders for Postgres {
    fn due<'a>(
        &'a self,
        scope: &'a Scope,
        now: Timestamp,
        limit: u32,
    ) -> Answer<'a, Vec<(EntityId, String, Timestamp)>> {
        asked(async move {
            let (count, shards) = within(scope);
            // Early by no clock: neither by that of the node that asks, nor by the one all have in common.
            let rows = sqlx::query(
                "SELECT * FROM reminder
                 WHERE due <= least($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
                     AND ($3 = 0 OR slot % nullif($3, 0) = ANY($4))
                 ORDER BY due, stream, name LIMIT $2",
            )
            .bind(now.as_micros())
            .bind(i64::from(limit))
            .bind(count)
            .bind(shards)
            .fetch_all(self.reading()?)
            .await?;
            rows.iter().map(rows::reminder).collect()
        })
    }

    fn next_due<'a>(&'a self, scope: &'a Scope) -> Answer<'a, Option<Timestamp>> {
        asked(async move {
            let (count, shards) = within(scope);
            let due: Option<i64> = sqlx::query_scalar(
                "SELECT due FROM reminder WHERE $1 = 0 OR slot % nullif($1, 0) = ANY($2)
                 ORDER BY due LIMIT 1",
            )
            .bind(count)
            .bind(shards)
            .fetch_optional(self.reading()?)
            .await?;
            Ok(due.map(Timestamp::from_micros))
        })
    }

    fn delivered<'a>(&'a self, stream: EntityId, name: &'a str, due: Timestamp) -> Answer<'a, ()> {
        let name = name.to_owned();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let name = name.clone();
            Box::pin(async move {
                sqlx::query("DELETE FROM reminder WHERE stream = $1 AND name = $2 AND due = $3")
                    .bind(key::pack(stream))
                    .bind(name)
                    .bind(due.as_micros())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }
}

impl Outbox for Postgres {
    fn claim_due(&self, now: Timestamp, until: Timestamp, limit: u32) -> Answer<'_, Vec<Delivery>> {
        Box::pin(self.work.write(Cut::Tell, move |connection| {
            Box::pin(async move {
                let due = sqlx::query(
                    "WITH claimed AS (
                         SELECT * FROM outbox WHERE due <= $1 ORDER BY due, id LIMIT $3
                         FOR UPDATE SKIP LOCKED
                     ), hidden AS (
                         UPDATE outbox SET due = $2 FROM claimed WHERE outbox.id = claimed.id
                     )
                     SELECT * FROM claimed ORDER BY due, id",
                )
                .bind(now.as_micros())
                .bind(until.as_micros())
                .bind(i64::from(limit))
                .fetch_all(connection)
                .await?;
                Ok(due.iter().map(rows::delivery).collect::<Result<_, _>>()?)
            })
        }))
    }

    fn settle(&self, id: Uuid) -> Answer<'_, ()> {
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM outbox WHERE id = $1")
                    .bind(id.as_bytes().to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }

    fn postpone(&self, id: Uuid, due: Timestamp) -> Answer<'_, ()> {
        Box::pin(self.work.write(Cut::Tell, move |connection| {
            Box::pin(async move {
                sqlx::query("UPDATE outbox SET due = $1, tries = tries + 1 WHERE id = $2")
                    .bind(due.as_micros())
                    .bind(id.as_bytes().to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }
}

impl Views for Postgres {
    fn row<'a>(&'a self, view: &'a str, key: &'a str) -> Answer<'a, Option<String>> {
        asked(async move {
            let body = sqlx::query_scalar("SELECT body FROM view_row WHERE view = $1 AND key = $2")
                .bind(view)
                .bind(key)
                .fetch_optional(self.reading()?)
                .await?;
            Ok(body)
        })
    }

    fn rows<'a>(&'a self, view: &'a str) -> Answer<'a, Vec<(String, String)>> {
        asked(self.browse(move |pool| async move { view_rows(&pool, view).await }))
    }

    fn rows_now<'a>(&'a self, view: &'a str) -> Answer<'a, Vec<(String, String)>> {
        asked(async move { view_rows(self.reading()?, view).await })
    }

    fn cursor<'a>(&'a self, view: &'a str) -> Answer<'a, i64> {
        asked(async move {
            let position: Option<i64> =
                sqlx::query_scalar("SELECT position FROM view_cursor WHERE view = $1")
                    .bind(view)
                    .fetch_optional(self.reading()?)
                    .await?;
            Ok(position.unwrap_or(0))
        })
    }

    fn fold<'a>(
        &'a self,
        view: &'a str,
        rows: &'a [(String, String)],
        cursor: i64,
    ) -> Answer<'a, ()> {
        let view = view.to_owned();
        // Of two rows with one key the later counts; one statement may touch each only once.
        let rows: std::collections::BTreeMap<_, _> = rows.iter().cloned().collect();
        let (keys, bodies): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let (view, keys, bodies) = (view.clone(), keys.clone(), bodies.clone());
            Box::pin(async move {
                sqlx::query(
                    "WITH written AS (
                         INSERT INTO view_row (view, key, body)
                         SELECT $1, * FROM unnest($2::text[], $3::text[])
                         ON CONFLICT (view, key) DO UPDATE SET body = excluded.body
                     )
                     INSERT INTO view_cursor (view, position) VALUES ($1, $4)
                     ON CONFLICT (view) DO UPDATE SET position = excluded.position",
                )
                .bind(view)
                .bind(keys)
                .bind(bodies)
                .bind(cursor)
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }

    fn clear<'a>(&'a self, view: &'a str) -> Answer<'a, ()> {
        let view = view.to_owned();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let view = view.clone();
            Box::pin(async move {
                sqlx::query(
                    "WITH dropped AS (DELETE FROM view_row WHERE view = $1)
                     DELETE FROM view_cursor WHERE view = $1",
                )
                .bind(view)
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }
}

impl Admin for Postgres {
    fn engine(&self) -> &'static str {
        "postgres"
    }

    fn census(&self) -> Answer<'_, Census> {
        asked(async move {
            let (streams, open, records, bytes): (i64, i64, i64, i64) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM stream), (SELECT count(*) FROM stream WHERE open),
                     (SELECT count(*) FROM event), pg_database_size(current_database())",
            )
            .fetch_one(self.reading()?)
            .await?;
            Ok(Census {
                schema: migrate::VERSION,
                streams: streams.cast_unsigned(),
                open: open.cast_unsigned(),
                records: records.cast_unsigned(),
                bytes: bytes.cast_unsigned(),
            })
        })
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(self.work.write(Cut::Repeat, |connection| {
            Box::pin(async move {
                sqlx::query("UPDATE meta SET value = value + 1 WHERE key = 'probe'")
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.work.close().await;
            if let Some(replica) = &self.replica {
                replica.close().await;
            }
            self.leases.close().await;
            Ok(())
        })
    }
}

/// All rows of a view, by key.
async fn view_rows(pool: &PgPool, view: &str) -> Result<Vec<(String, String)>, Error> {
    let rows = sqlx::query_as("SELECT key, body FROM view_row WHERE view = $1 ORDER BY key");
    Ok(rows.bind(view).fetch_all(pool).await?)
}
