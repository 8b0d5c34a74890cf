//! Everything beside the journal: snapshots, owners, reminders, outbox, views.

use std::path::PathBuf;

use protocol::{entity::EntityId, epoch::Epoch, id::NodeId, time::Timestamp};
use sqlx::{QueryBuilder, SqliteConnection};
use uuid::Uuid;

use super::{Sqlite, finish, migrate, streams::within, values::Values};
use crate::store::{
    Admin, Answer, Census, Delivery, Error, Outbox, Ownership, Reminders, Scope, Snapshot,
    Snapshots, Views, key, rows,
};

impl Snapshots for Sqlite {
    fn snapshot(&self, stream: EntityId) -> Answer<'_, Option<Snapshot>> {
        Box::pin(async move {
            let row = sqlx::query("SELECT * FROM snapshot WHERE stream = ?")
                .bind(key::pack(stream))
                .fetch_optional(&self.readers)
                .await?;
            row.as_ref().map(rows::snapshot).transpose()
        })
    }

    fn save<'a>(&'a self, snapshot: &'a Snapshot) -> Answer<'a, ()> {
        let snapshot = snapshot.clone();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO snapshot (stream, seq, hash, version, data) VALUES (?, ?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
                         version = excluded.version, data = excluded.data
                     WHERE seq <= excluded.seq",
                )
                .bind(key::pack(snapshot.stream))
                .bind(snapshot.seq.cast_signed())
                .bind(snapshot.hash.0.to_vec())
                .bind(snapshot.version)
                .bind(snapshot.data)
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }
}

static CLAIM: Values = Values::new(
    "UPDATE stream SET epoch = column2, owner = column3 FROM",
    3,
    // A shard that was taken must still be the claimant's; one that is free, have been free before.
    "WHERE stream = column1 AND epoch <= column2 AND NOT EXISTS (
         SELECT 1 FROM cluster JOIN shard ON shard.shard = stream.slot % cluster.shards
         WHERE CASE WHEN shard.owner IS NULL THEN shard.epoch >= column2
               ELSE shard.owner <> column3 OR shard.epoch <> column2 END)
     RETURNING stream",
);

/// Draws from the one counter of starts and takings.
pub(super) async fn next_epoch(connection: &mut SqliteConnection) -> Result<Epoch, Error> {
    let epoch: i64 = sqlx::query_scalar(
        "UPDATE meta SET value = 1 + max(value,
             (SELECT value FROM meta WHERE key = 'db_incarnation') << 40)
         WHERE key = 'epoch' RETURNING value",
    )
    .fetch_one(connection)
    .await?;
    rows::epoch(epoch)
}

impl Ownership for Sqlite {
    fn begin<'a>(&'a self, node: NodeId, name: &'a str) -> Answer<'a, Epoch> {
        let name = name.to_owned();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let epoch = next_epoch(connection).await?;
                sqlx::query(
                    "INSERT INTO node (node, name, epoch, started)
                     VALUES (?, ?, ?, unixepoch() * 1000000)
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
        let streams = streams.to_vec();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let claim = CLAIM.over(streams, |row, stream| {
                    row.add(key::pack(stream))?
                        .add(epoch.to_i64())?
                        .add(owner.uuid().as_bytes().to_vec())?;
                    Ok(())
                })?;
                rows::streams(&claim.run(connection).await?)
            })
        }))
    }
}

impl Reminders for Sqlite {
    fn due<'a>(
        &'a self,
        scope: &'a Scope,
        now: Timestamp,
        limit: u32,
    ) -> Answer<'a, Vec<(EntityId, String, Timestamp)>> {
        Box::pin(async move {
            let mut sql = QueryBuilder::new("SELECT * FROM reminder WHERE due <= ");
            sql.push_bind(now.as_micros());
            within(&mut sql, scope);
            sql.push(" ORDER BY due, stream, name LIMIT ")
                .push_bind(limit);
            let rows = sql.build().fetch_all(&self.readers).await?;
            rows.iter().map(rows::reminder).collect()
        })
    }

    fn next_due<'a>(&'a self, scope: &'a Scope) -> Answer<'a, Option<Timestamp>> {
        Box::pin(async move {
            let mut sql = QueryBuilder::new("SELECT due FROM reminder WHERE true");
            within(&mut sql, scope);
            sql.push(" ORDER BY due LIMIT 1");
            let due: Option<i64> = sql
                .build_query_scalar()
                .fetch_optional(&self.readers)
                .await?;
            Ok(due.map(Timestamp::from_micros))
        })
    }

    fn delivered<'a>(&'a self, stream: EntityId, name: &'a str, due: Timestamp) -> Answer<'a, ()> {
        let name = name.to_owned();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM reminder WHERE stream = ? AND name = ? AND due = ?")
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

impl Outbox for Sqlite {
    fn claim_due(&self, now: Timestamp, until: Timestamp, limit: u32) -> Answer<'_, Vec<Delivery>> {
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let rows =
                    sqlx::query("SELECT * FROM outbox WHERE due <= ? ORDER BY due, id LIMIT ?")
                        .bind(now.as_micros())
                        .bind(limit)
                        .fetch_all(&mut *connection)
                        .await?;
                let due: Vec<_> = rows.iter().map(rows::delivery).collect::<Result<_, _>>()?;
                for delivery in &due {
                    sqlx::query("UPDATE outbox SET due = ? WHERE id = ?")
                        .bind(until.as_micros())
                        .bind(delivery.id.as_bytes().to_vec())
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(due)
            })
        }))
    }

    fn settle(&self, id: Uuid) -> Answer<'_, ()> {
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM outbox WHERE id = ?")
                    .bind(id.as_bytes().to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }

    fn postpone(&self, id: Uuid, due: Timestamp) -> Answer<'_, ()> {
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                sqlx::query("UPDATE outbox SET due = ?, tries = tries + 1 WHERE id = ?")
                    .bind(due.as_micros())
                    .bind(id.as_bytes().to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }
}

static FOLD: Values = Values::new(
    "INSERT INTO view_row (view, key, body) SELECT * FROM",
    3,
    "WHERE column1 IS NOT NULL ON CONFLICT DO UPDATE SET body = excluded.body",
);

impl Views for Sqlite {
    fn row<'a>(&'a self, view: &'a str, key: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let body = sqlx::query_scalar("SELECT body FROM view_row WHERE view = ? AND key = ?")
                .bind(view)
                .bind(key)
                .fetch_optional(&self.readers)
                .await?;
            Ok(body)
        })
    }

    fn rows<'a>(&'a self, view: &'a str) -> Answer<'a, Vec<(String, String)>> {
        Box::pin(async move {
            let rows = sqlx::query_as("SELECT key, body FROM view_row WHERE view = ? ORDER BY key")
                .bind(view)
                .fetch_all(&self.readers)
                .await?;
            Ok(rows)
        })
    }

    fn cursor<'a>(&'a self, view: &'a str) -> Answer<'a, i64> {
        Box::pin(async move {
            let position: Option<i64> =
                sqlx::query_scalar("SELECT position FROM view_cursor WHERE view = ?")
                    .bind(view)
                    .fetch_optional(&self.readers)
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
        let rows = rows.to_vec();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let fold = FOLD.over(rows, |row, (key, body)| {
                    row.add(view.clone())?.add(key)?.add(body)?;
                    Ok(())
                })?;
                fold.run(&mut *connection).await?;
                sqlx::query("INSERT OR REPLACE INTO view_cursor (view, position) VALUES (?, ?)")
                    .bind(view)
                    .bind(cursor)
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }

    fn clear<'a>(&'a self, view: &'a str) -> Answer<'a, ()> {
        let view = view.to_owned();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                for table in [
                    "DELETE FROM view_row WHERE view = ?",
                    "DELETE FROM view_cursor WHERE view = ?",
                ] {
                    sqlx::query(table)
                        .bind(view.as_str())
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        }))
    }
}

impl Admin for Sqlite {
    fn engine(&self) -> &'static str {
        "sqlite"
    }

    fn census(&self) -> Answer<'_, Census> {
        Box::pin(async move {
            // Positions may have gaps when they came from another engine; indexes answer all three.
            let (records, streams, open): (i64, i64, i64) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM event),
                     (SELECT count(*) FROM stream),
                     (SELECT count(*) FROM stream WHERE open = 1)",
            )
            .fetch_one(&self.readers)
            .await?;
            let log = PathBuf::from(format!("{}-wal", self.file.display()));
            let size = |path| std::fs::metadata(path).map_or(0, |file| file.len());
            Ok(Census {
                schema: migrate::VERSION,
                streams: streams.cast_unsigned(),
                open: open.cast_unsigned(),
                records: records.cast_unsigned(),
                bytes: size(&self.file) + size(&log),
            })
        })
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(self.writer.write(|connection| {
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
            self.readers.close().await;
            self.writer
                .close(|connection| Box::pin(finish(connection)))
                .await
        })
    }
}
