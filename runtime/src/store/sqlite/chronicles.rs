//! The past of the supervision trees.

use protocol::{id::NodeId, time::Timestamp};

use super::Sqlite;
use crate::store::{
    Answer, Chapter, Chronicles, Error, Segment, SegmentKind,
    chronicles::{DROPPED_AT_ONCE, Left, NEVER, NOBODY},
    rows,
};

impl Chronicles for Sqlite {
    fn inscribe<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()> {
        let segment = segment.clone();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let node = key(segment.node);
                let until = segment.until.as_micros();
                let bytes = segment.weight().cast_signed();
                let opens = segment.opens().as_micros();
                let ended = (segment.kind == SegmentKind::End).then_some(until);
                let added = sqlx::query(
                    "INSERT INTO segment (node, chapter, number, kind, until, data)
                     VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(node.clone())
                .bind(segment.chapter.cast_signed())
                .bind(segment.number.cast_signed())
                .bind(segment.kind as i64)
                .bind(until)
                .bind(segment.data)
                .execute(&mut *connection)
                .await?;
                if added.rows_affected() == 0 {
                    return Ok(());
                }
                sqlx::query(
                    "INSERT INTO chapter (node, chapter, name, since, until, ended, bytes)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (node, chapter) DO UPDATE SET
                         since = min(since, excluded.since),
                         until = max(until, excluded.until),
                         ended = CASE WHEN excluded.until > ended THEN excluded.ended
                             ELSE coalesce(excluded.ended, ended) END,
                         bytes = bytes + excluded.bytes",
                )
                .bind(node)
                .bind(segment.chapter.cast_signed())
                .bind(segment.name)
                .bind(opens)
                .bind(until)
                .bind(ended)
                .bind(bytes)
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }

    fn chapters(&self, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Chapter>> {
        Box::pin(async move {
            let chapters = sqlx::query(
                "SELECT * FROM chapter AS it WHERE since <= ?2 AND node <> ?3 AND (since > ?1 OR
                     chapter = (SELECT max(chapter) FROM chapter WHERE node = it.node AND since <= ?1))
                 ORDER BY since, node",
            )
            .bind(from.as_micros())
            .bind(to.as_micros())
            .bind(key(NOBODY))
            .fetch_all(&self.readers)
            .await?;
            chapters.iter().map(rows::chapter).collect()
        })
    }

    fn last_chapter(&self, node: NodeId) -> Answer<'_, Option<Chapter>> {
        Box::pin(async move {
            let last = sqlx::query(
                "SELECT * FROM chapter WHERE node = ? AND since < ? ORDER BY chapter DESC LIMIT 1",
            )
            .bind(key(node))
            .bind(NEVER.as_micros())
            .fetch_optional(&self.readers)
            .await?;
            last.as_ref().map(rows::chapter).transpose()
        })
    }

    fn segments(&self, node: NodeId, chapter: u64, until: Timestamp) -> Answer<'_, Vec<Segment>> {
        Box::pin(async move {
            let segments = sqlx::query(
                "SELECT segment.*, name FROM segment JOIN chapter USING (node, chapter)
                 WHERE node = ? AND chapter = ? AND segment.until <= ? ORDER BY number",
            )
            .bind(key(node))
            .bind(chapter.cast_signed())
            .bind(until.as_micros())
            .fetch_all(&self.readers)
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
        Box::pin(async move {
            let segments = sqlx::query(
                "SELECT segment.*, name FROM segment JOIN chapter USING (node, chapter)
                 WHERE node = ? AND chapter = ? AND number < ? AND segment.until <= ?
                 ORDER BY number DESC LIMIT ?",
            )
            .bind(key(node))
            .bind(chapter.cast_signed())
            .bind(before.cast_signed())
            .bind(until.as_micros())
            .bind(i64::from(most))
            .fetch_all(&self.readers)
            .await?;
            segments.iter().map(rows::segment).collect()
        })
    }

    fn forgotten(&self) -> Answer<'_, Option<Timestamp>> {
        Box::pin(async move {
            let until: Option<i64> = sqlx::query_scalar("SELECT until FROM chapter WHERE node = ?")
                .bind(key(NOBODY))
                .fetch_optional(&self.readers)
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

impl Sqlite {
    /// Says first that it is not there any more: half of it must not be read.
    async fn note_forgotten(&self, node: NodeId, chapter: u64) -> Result<(), Error> {
        let noted = self.writer.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO chapter (node, chapter, name, since, until, ended, bytes)
                     SELECT ?1, 0, '', ?2, coalesce((SELECT min(since) FROM chapter AS later
                         WHERE later.node = it.node AND later.chapter > it.chapter AND since < ?2),
                         it.until), NULL, 0 FROM chapter AS it WHERE node = ?3 AND chapter = ?4
                     ON CONFLICT (node, chapter) DO UPDATE SET until = max(until, excluded.until)",
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
        let dropped = self.writer.write(move |connection| {
            Box::pin(async move {
                let dropped = sqlx::query(
                    "DELETE FROM segment WHERE rowid IN (SELECT rowid FROM segment
                         WHERE node = ? AND chapter = ? ORDER BY number LIMIT ?)",
                )
                .bind(key(node))
                .bind(chapter.cast_signed())
                .bind(i64::from(DROPPED_AT_ONCE))
                .execute(&mut *connection)
                .await?;
                if dropped.rows_affected() == u64::from(DROPPED_AT_ONCE) {
                    return Ok(Left::Some);
                }
                sqlx::query("DELETE FROM chapter WHERE node = ? AND chapter = ?")
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
