//! The past of the supervision trees.

use protocol::{id::NodeId, time::Timestamp};

use super::Sqlite;
use crate::store::{Answer, Chapter, Chronicles, Segment, SegmentKind, rows};

impl Chronicles for Sqlite {
    fn inscribe<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()> {
        let segment = segment.clone();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let node = segment.node.uuid().as_bytes().to_vec();
                let until = segment.until.as_micros();
                let bytes = segment.data.len().cast_signed() as i64;
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
                     VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)
                     ON CONFLICT (node, chapter) DO UPDATE SET
                         until = max(until, excluded.until),
                         ended = coalesce(excluded.ended, ended),
                         bytes = bytes + excluded.bytes",
                )
                .bind(node)
                .bind(segment.chapter.cast_signed())
                .bind(segment.name)
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
                "SELECT * FROM chapter AS it WHERE since <= ?2 AND (since > ?1 OR chapter =
                     (SELECT max(chapter) FROM chapter WHERE node = it.node AND since <= ?1))
                 ORDER BY since, node",
            )
            .bind(from.as_micros())
            .bind(to.as_micros())
            .fetch_all(&self.readers)
            .await?;
            chapters.iter().map(rows::chapter).collect()
        })
    }

    fn last_chapter(&self, node: NodeId) -> Answer<'_, Option<Chapter>> {
        Box::pin(async move {
            let last =
                sqlx::query("SELECT * FROM chapter WHERE node = ? ORDER BY chapter DESC LIMIT 1")
                    .bind(node.uuid().as_bytes().to_vec())
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
            .bind(node.uuid().as_bytes().to_vec())
            .bind(chapter.cast_signed())
            .bind(until.as_micros())
            .fetch_all(&self.readers)
            .await?;
            segments.iter().map(rows::segment).collect()
        })
    }

    fn forget<'a>(&'a self, chapters: &'a [(NodeId, u64)]) -> Answer<'a, ()> {
        let chapters = chapters.to_vec();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                for (node, chapter) in chapters {
                    for table in [
                        "DELETE FROM segment WHERE node = ? AND chapter = ?",
                        "DELETE FROM chapter WHERE node = ? AND chapter = ?",
                    ] {
                        sqlx::query(table)
                            .bind(node.uuid().as_bytes().to_vec())
                            .bind(chapter.cast_signed())
                            .execute(&mut *connection)
                            .await?;
                    }
                }
                Ok(())
            })
        }))
    }
}
