//! Writes segments where they are kept, and reads the past back.

use std::{collections::BTreeMap, fmt, time::Duration};

use protocol::{
    api::{Life, LifeEvent, TreeDiff},
    id::NodeId,
    time::Timestamp,
};

use super::{Retention, codec, diff, past::Past, scribe::ending};
use crate::store::{self, Answer, Chapter, Error, Segment, SegmentKind};

/// A segment that tells of a moment may be written for so much longer.
const LATE: Duration = Duration::from_mins(1);

/// The number of the segment with which others end a chapter, so that only one of them counts.
const LAST: u64 = i64::MAX.unsigned_abs();

/// Where a node's segments go: its store, or somebody who has one.
pub trait Archive: Send + Sync + fmt::Debug {
    /// Keeps a segment; one that is there already is kept once.
    fn keep<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()>;

    /// Drops what is spent; called once a minute.
    fn tidy(&self, now: Timestamp) -> Answer<'_, ()>;
}

/// The archive of a node that has a store.
#[derive(Debug)]
pub struct StoreArchive {
    store: store::Shared,
    retention: Retention,
}

impl StoreArchive {
    /// Keeps segments in `store`, and no more of them than `retention` says.
    #[must_use]
    pub const fn new(store: store::Shared, retention: Retention) -> Self {
        Self { store, retention }
    }
}

impl Archive for StoreArchive {
    fn keep<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()> {
        self.store.inscribe(segment)
    }

    fn tidy(&self, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(async move {
            let chapters = self.store.chapters(EARLIEST, LATEST).await?;
            let spent = self.retention.spent(chapters, now);
            if spent.is_empty() {
                return Ok(());
            }
            self.store.forget(&spent).await
        })
    }
}

const EARLIEST: Timestamp = Timestamp::from_micros(i64::MIN);
const LATEST: Timestamp = Timestamp::from_micros(i64::MAX);

/// What stood at a moment, to the second, on all nodes or one.
///
/// # Errors
///
/// When the store fails. A node whose past cannot be read is named in the answer.
pub async fn past(store: &store::Shared, at: Timestamp, node: Option<&str>) -> Result<Past, Error> {
    let mut past = Past {
        at,
        ..Past::default()
    };
    for chapter in standing(store.chapters(at, at).await?, at) {
        if node.is_some_and(|node| node != chapter.name) {
            continue;
        }
        let segments = store.segments(chapter.node, chapter.chapter, at).await?;
        if let Err(error) = follow(&mut past, &chapter, segments) {
            tracing::warn!(node = chapter.name, error, "a past cannot be read");
            past.nodes.remove(&chapter.name);
            past.silent.push(chapter.name);
        }
    }
    Ok(past)
}

/// Of each name the chapter of the node that bore it last, unless it had ended.
fn standing(chapters: Vec<Chapter>, at: Timestamp) -> Vec<Chapter> {
    let mut last = BTreeMap::<String, Chapter>::new();
    for chapter in chapters {
        let is_later = last
            .get(&chapter.name)
            .is_none_or(|it| it.since <= chapter.since);
        if is_later {
            last.insert(chapter.name.clone(), chapter);
        }
    }
    let stands = |it: &Chapter| it.ended.is_none_or(|ended| ended > at);
    last.into_values().filter(stands).collect()
}

fn follow(past: &mut Past, chapter: &Chapter, segments: Vec<Segment>) -> Result<(), String> {
    let begins = segments.first().map(|first| first.kind);
    if begins != Some(SegmentKind::Base) {
        return Err("its chapter has no beginning".to_owned());
    }
    for segment in segments {
        let is_base = match segment.kind {
            SegmentKind::Base => true,
            SegmentKind::Changes => false,
            SegmentKind::End => continue,
        };
        let tale = codec::decode(&chapter.name, &segment.data).map_err(|it| it.to_string())?;
        past.follow(&chapter.name, is_base, tale);
    }
    Ok(())
}

/// What became of actors after `from` and not after `to`, in order of time.
///
/// # Errors
///
/// When the store fails. What cannot be read is left out.
pub async fn life(
    store: &store::Shared,
    from: Timestamp,
    to: Timestamp,
    node: Option<&str>,
) -> Result<Vec<LifeEvent>, Error> {
    let mut life = Vec::new();
    for chapter in store.chapters(from, to).await? {
        if chapter.until <= from || node.is_some_and(|node| node != chapter.name) {
            continue;
        }
        let late = to.plus(LATE);
        let segments = store.segments(chapter.node, chapter.chapter, late).await?;
        for segment in segments.iter().filter(|it| it.until > from) {
            match codec::decode(&chapter.name, &segment.data) {
                Ok(tale) => life.extend(tale.life.into_iter().filter(|it| {
                    let is_late = chapter.ended.is_some_and(|ended| it.at > ended);
                    it.at > from && it.at <= to && !is_late
                })),
                Err(error) => {
                    tracing::warn!(node = chapter.name, %error, "a past cannot be read");
                }
            }
        }
    }
    life.sort_by_key(|event| event.at);
    Ok(life)
}

/// How the trees of two moments differ.
///
/// # Errors
///
/// When the store fails.
pub async fn changes(
    store: &store::Shared,
    from: Timestamp,
    to: Timestamp,
    node: Option<&str>,
) -> Result<TreeDiff, Error> {
    let before = past(store, from, node).await?;
    let after = past(store, to, node).await?;
    let life = life(store, from, to, node).await?;
    Ok(diff::diff(&before, &after, &life))
}

/// Writes into the past of a start of a node that it was lost at `at`, with all that ran there.
/// Whoever finds out may do so; once is enough.
///
/// # Errors
///
/// When the store fails; another try is harmless.
pub async fn node_lost(
    store: &store::Shared,
    node: NodeId,
    at: Timestamp,
    reason: &str,
) -> Result<(), Error> {
    let Some(chapter) = store.last_chapter(node).await? else {
        return Ok(());
    };
    if chapter.ended.is_some() {
        return Ok(());
    }
    // It lived when it wrote last, whatever the clocks say.
    let at = at.max(chapter.until);
    let end = ending(&chapter.name, at, Life::NodeLost, reason);
    store
        .inscribe(&Segment {
            node,
            name: chapter.name,
            chapter: chapter.chapter,
            number: LAST,
            kind: SegmentKind::End,
            until: at,
            data: codec::encode(&end),
        })
        .await
}
