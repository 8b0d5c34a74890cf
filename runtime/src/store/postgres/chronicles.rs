//! The past of the supervision trees.

use protocol::{id::NodeId, time::Timestamp};

use super::{
    Postgres,
    gateway::{Cut, asked},
};
use crate::store::{Answer, Chapter, Chronicles, Segment, SegmentKind, rows};

impl Chronicles for Postgres {
    fn inscribe<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()> {
        let segment = segment.clone();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let segment = segment.clone();
            Box::pin(async move {
                let ended = segment.kind == SegmentKind::End;
                sqlx::query(
                    "WITH added AS (
                         INSERT INTO segment (node, chapter, number, kind, until, data)
                         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1)
                     INSERT INTO chapter (node, chapter, name, since, until, ended, bytes)
                     SELECT $1, $2, $7, $5, $5, $8, length($6) FROM added
                     ON CONFLICT (node, chapter) DO UPDATE SET
                         until = greatest(chapter.until, excluded.until),
                         ended = coalesce(excluded.ended, chapter.ended),
                         bytes = chapter.bytes + excluded.bytes",
                )
                .bind(segment.node.uuid().as_bytes().to_vec())
                .bind(segment.chapter.cast_signed())
                .bind(segment.number.cast_signed())
                .bind(segment.kind as i64)
                .bind(segment.until.as_micros())
                .bind(segment.data)
                .bind(segment.name)
                .bind(ended.then_some(segment.until.as_micros()))
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }

    fn chapters(&self, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Chapter>> {
        asked(async move {
            let chapters = sqlx::query(
                "SELECT * FROM chapter AS it WHERE since <= $2 AND (since > $1 OR chapter =
                     (SELECT max(chapter) FROM chapter WHERE node = it.node AND since <= $1))
                 ORDER BY since, node",
            )
            .bind(from.as_micros())
            .bind(to.as_micros())
            .fetch_all(self.reading()?)
            .await?;
            chapters.iter().map(rows::chapter).collect()
        })
    }

    fn last_chapter(&self, node: NodeId) -> Answer<'_, Option<Chapter>> {
        asked(async move {
            let last =
                sqlx::query("SELECT * FROM chapter WHERE node = $1 ORDER BY chapter DESC LIMIT 1")
                    .bind(node.uuid().as_bytes().to_vec())
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
            .bind(node.uuid().as_bytes().to_vec())
            .bind(chapter.cast_signed())
            .bind(until.as_micros())
            .fetch_all(self.reading()?)
            .await?;
            segments.iter().map(rows::segment).collect()
        })
    }

    fn forget<'a>(&'a self, chapters: &'a [(NodeId, u64)]) -> Answer<'a, ()> {
        let nodes: Vec<Vec<u8>> = chapters
            .iter()
            .map(|(node, _)| node.uuid().as_bytes().to_vec())
            .collect();
        let numbers: Vec<i64> = chapters.iter().map(|(_, it)| it.cast_signed()).collect();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let (nodes, numbers) = (nodes.clone(), numbers.clone());
            Box::pin(async move {
                sqlx::query(
                    "WITH spent AS (SELECT * FROM unnest($1::bytea[], $2::bigint[]) AS it (node, chapter)),
                     dropped AS (DELETE FROM segment USING spent
                         WHERE segment.node = spent.node AND segment.chapter = spent.chapter)
                     DELETE FROM chapter USING spent
                         WHERE chapter.node = spent.node AND chapter.chapter = spent.chapter",
                )
                .bind(nodes)
                .bind(numbers)
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }
}
