//! The past of the supervision trees.

use protocol::{id::NodeId, time::Timestamp};

use super::Memory;
use crate::store::{Answer, Chapter, Chronicles, Segment, SegmentKind, chronicles::NEVER};

impl Chronicles for Memory {
    fn inscribe<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()> {
        self.with(|state| {
            let key = (segment.node, segment.number);
            if state.segments.contains_key(&key) {
                return;
            }
            state.segments.insert(key, segment.clone());
            let chapter = state.chapters.entry((segment.node, segment.chapter));
            let chapter = chapter.or_insert_with(|| Chapter {
                node: segment.node,
                name: segment.name.clone(),
                chapter: segment.chapter,
                since: NEVER,
                until: segment.until,
                ended: None,
                bytes: 0,
            });
            let ended = (segment.kind == SegmentKind::End).then_some(segment.until);
            chapter.since = chapter.since.min(segment.opens());
            chapter.until = chapter.until.max(segment.until);
            chapter.bytes += segment.weight();
            chapter.ended = match chapter.ended {
                Some(before) if segment.until > before => ended,
                before => ended.or(before),
            };
        })
    }

    fn chapters(&self, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Chapter>> {
        self.with(|state| {
            let last_at = |chapter: &Chapter| {
                let of_node = state.chapters.values().filter(|it| it.node == chapter.node);
                of_node
                    .filter(|it| it.since <= from)
                    .map(|it| it.chapter)
                    .max()
            };
            let chapters = state.chapters.values().filter(|it| it.since <= to);
            let meant = chapters.filter(|it| it.since > from || last_at(it) == Some(it.chapter));
            let mut chapters: Vec<Chapter> = meant.cloned().collect();
            chapters.sort_by_key(|it| (it.since, it.node));
            chapters
        })
    }

    fn last_chapter(&self, node: NodeId) -> Answer<'_, Option<Chapter>> {
        self.with(|state| {
            let of_node = state.chapters.range((node, 0)..=(node, u64::MAX));
            let opened = of_node.rev().find(|(_, it)| it.since < NEVER);
            opened.map(|(_, chapter)| chapter.clone())
        })
    }

    fn segments(&self, node: NodeId, chapter: u64, until: Timestamp) -> Answer<'_, Vec<Segment>> {
        self.with(|state| {
            let segments = state.segments.range((node, 0)..=(node, u64::MAX));
            segments
                .filter(|(_, it)| it.chapter == chapter && it.until <= until)
                .map(|(_, it)| it.clone())
                .collect()
        })
    }

    fn segments_back(
        &self,
        (node, chapter): (NodeId, u64),
        before: u64,
        until: Timestamp,
        most: u16,
    ) -> Answer<'_, Vec<Segment>> {
        self.with(|state| {
            let segments = state.segments.range((node, 0)..(node, before)).rev();
            segments
                .filter(|(_, it)| it.chapter == chapter && it.until <= until)
                .map(|(_, it)| it.clone())
                .take(usize::from(most))
                .collect()
        })
    }

    fn forgotten(&self) -> Answer<'_, Option<Timestamp>> {
        self.with(|state| state.forgotten)
    }

    fn forget<'a>(&'a self, chapters: &'a [(NodeId, u64)]) -> Answer<'a, ()> {
        self.with(|state| {
            for &(node, number) in chapters {
                let mut later = state.chapters.range((node, number)..=(node, u64::MAX));
                let Some((_, dropped)) = later.next().filter(|(key, _)| key.1 == number) else {
                    continue;
                };
                let followed = later.map(|(_, it)| it.since).filter(|it| *it < NEVER);
                let until = followed.min().unwrap_or(dropped.until);
                state.forgotten = state.forgotten.max(Some(until));
                state.chapters.remove(&(node, number));
            }
            state
                .segments
                .retain(|_, it| !chapters.contains(&(it.node, it.chapter)));
        })
    }
}
