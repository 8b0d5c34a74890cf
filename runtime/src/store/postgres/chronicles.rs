//! The past of the supervision trees.

use protocol::{id::NodeId, time::Timestamp};

use super::{
    Postgres,
    gateway::{Cut, asked},
};
use crate::store::{
    Answer, Chapter, Chronicles, Error, Segment, SegmentKind,
    chronicles::{DROPPED_AT_ONCE, Left, NEVER, NOBODY},
    rows,
};

impl Chronicles for Postgres {
    fn inscribe<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()> {
        let segment = segment.clone();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let segment = segment.clone();
            Box::pin(async move {
                let ended = segment.kind == SegmentKind::End;
                let (opens, weight) = (segment.opens(), segment.weight());
                sqlx::query(
                    "WITH added AS (
                         INSERT INTO segment (node, chapter, number, kind, until, data)
                         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1)
                     INSERT INTO chapter (node, chapter, name, since, until, ended, bytes)
                     SELECT $1, $2, $7, $9, $5, $8, $10 FROM added
                     ON CONFLICT (node, chapter) DO UPDATE SET
                         since = least(chapter.since, excluded.since),
                         until = greatest(chapter.until, excluded.until),
                         ended = CASE WHEN excluded.until > chapter.ended THEN excluded.ended
                             ELSE coalesce(excluded.ended, chapter.ended) END,
                         bytes = chapter.bytes + excluded.bytes",
                )
                .bind(key(segment.node))
                .bind(segment.chapter.cast_signed())
                .bind(segment.number.cast_signed())
                .bind(segment.kind as i64)
                .bind(segment.until.as_micros())
                .bind(segment.data)
                .bind(segment.name)
                .bind(ended.then_some(segment.until.as_micros()))
                .bind(opens.as_micros())
                .bind(weight.cast_signed())
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }

    fn chapters(&self, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Chapter>> {
        asked(async move {
            let chapters = sqlx::query(
                "SELECT * FROM chapter AS it WHERE since <= $2 AND node <> $3 AND (since > $1 OR
                     chapter = (SELECT max(chapter) FROM chapter WHERE node = it.node AND since <= $1))
                 ORDER BY since, node",
            )
            .bind(from.as_micros())
            .bind(to.as_micros())
            .bind(key(NOBODY))
            .fetch_all(self.reading()?)
            .await?;
            chapters.iter().map(rows::chapter).collect()
        })
    }

    fn last_chapter(&self, node: NodeId) -> Answer<'_, Option<Chapter>> {
        asked(async move {
            let last = sqlx::query(
                "SELECT * FROM chapter WHERE node = $1 AND since < $2 ORDER BY chapter DESC LIMIT 1",
            )
            .bind(key(node))
            .bind(NEVER.as_micros())
            .fetch_optional(self.reading()?)
            .await?;
            last.as_ref().map(rows::chapter).transpose()
        })
    }

    fn segments(&self, node: NodeId, chapter: u64, until: Timestamp) -> Answer<'_, Vec<Segment>> {
        asked(async move {
            let segments = sqlx::query(
                "SELECT segment.*, name FROM segment JOIN chapter USING (node, chapter)
                 WHERE node = $1 AND chapter = $2 AND segment.until <= $3 ORDER BY number",
            )
            .bind(key(node))
            .bind(chapter.cast_signed())
            .bind(until.as_micros())
            .fetch_all(self.reading()?)
            .await?;
            segments.iter().map(rows::segment).collect()
        })
    }

    fn segments_back(
        &self,
        (node, chapter): (NodeId, u64),
        before: u64,
        until: Timestamp,
        most: u16,
    ) -> Answer<'_, Vec<Segment>> {
        asked(async move {
            let segments = sqlx::query(
                "SELECT segment.*, name FROM segment JOIN chapter USING (node, chapter)
                 WHERE node = $1 AND chapter = $2 AND number < $3 AND segment.until <= $4
                 ORDER BY number DESC LIMIT $5",
            )
            .bind(key(node))
            .bind(chapter.cast_signed())
            .bind(before.cast_signed())
            .bind(until.as_micros())
            .bind(i64::from(most))
            .fetch_all(self.reading()?)
            .await?;
            segments.iter().map(rows::segment).collect()
        })
    }

    fn forgotten(&self) -> Answer<'_, Option<Timestamp>> {
        asked(async move {
            let until: Option<i64> =
                sqlx::query_scalar("SELECT until FROM chapter WHERE node = $1")
                    .bind(key(NOBODY))
                    .fetch_optional(self.reading()?)
                    .await?;
            Ok(until.map(Timestamp::from_micros))
        })
    }

    fn forget<'a>(&'a self, chapters: &'a [(NodeId, u64)]) -> Answer<'a, ()> {
        Box::pin(async move {
            for &(node, chapter) in chapters {
                self.note_forgotten(node, chapter).await?;
                while self.drop_some(node, chapter).await? == Left::Some {}
            }
            Ok(())
        })
    }
}

impl Postgres {
    /// Says first that it is not there any more: half of it must not be read.
    async fn note_forgotten(&self, node: NodeId, chapter: u64) -> Result<(), Error> {
        let noted = self.work.write(Cut::Repeat, move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO chapter (node, chapter, name, since, until, ended, bytes)
                     SELECT $1, 0, '', $2, coalesce((SELECT min(since) FROM chapter AS later
                         WHERE later.node = it.node AND later.chapter > it.chapter AND since < $2),
                         it.until), NULL, 0 FROM chapter AS it WHERE node = $3 AND chapter = $4
                     ON CONFLICT (node, chapter) DO UPDATE SET
                         until = greatest(chapter.until, excluded.until)",
                )
                .bind(key(NOBODY))
                .bind(NEVER.as_micros())
                .bind(key(node))
                .bind(chapter.cast_signed())
                .execute(connection)
                .await?;
                Ok(())
            })
        });
        noted.await
    }

    async fn drop_some(&self, node: NodeId, chapter: u64) -> Result<Left, Error> {
        let dropped = self.work.write(Cut::Repeat, move |connection| {
            Box::pin(async move {
                let dropped = sqlx::query(
                    "DELETE FROM segment WHERE node = $1 AND number IN (SELECT number FROM segment
                         WHERE node = $1 AND chapter = $2 ORDER BY number LIMIT $3)",
                )
                .bind(key(node))
                .bind(chapter.cast_signed())
                .bind(i64::from(DROPPED_AT_ONCE))
                .execute(&mut *connection)
                .await?;
                if dropped.rows_affected() > 0 {
                    return Ok(Left::Some);
                }
                sqlx::query("DELETE FROM chapter WHERE node = $1 AND chapter = $2")
                    .bind(key(node))
                    .bind(chapter.cast_signed())
                    .execute(connection)
                    .await?;
                Ok(Left::None)
            })
        });
        dropped.await
    }
}

fn key(node: NodeId) -> Vec<u8> {
    node.uuid().as_bytes().to_vec()
}
