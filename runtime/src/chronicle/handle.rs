//! Writes segments where they are kept, and reads the past back.

mod read;

use std::{fmt, pin::Pin};

use protocol::{api::Life, id::NodeId, time::Timestamp};

pub use read::{Bounds, Lives, Span, Untold, changes, end_of, knows, life, past, stood};

use super::{
    Retention,
    codec::{self, Tale},
    scribe::ending,
};
use crate::store::{self, Answer, Chapter, Error, Segment, SegmentKind};

/// Numbers of segments that others write into a chapter, by the moment up to which they knew it: of
/// several who find the same out only one counts. No clock gets there.
const ENDS: u64 = 1 << 62;
const RETURNS: u64 = 1 << 61;

/// Chapters that are dropped at once.
const DROPPED: usize = 8;

/// Why a segment was not kept.
#[derive(Debug, thiserror::Error)]
pub enum Unkept {
    /// Another try may do.
    #[error("{0}")]
    Away(String),
    /// It never will be.
    #[error("{0}")]
    Refused(String),
}

impl From<Error> for Unkept {
    fn from(error: Error) -> Self {
        match error {
            Error::Full | Error::Busy(_) | Error::Unavailable(_) | Error::Unusable(_) => {
                Self::Away(error.to_string())
            }
            Error::Corrupt(_) => Self::Refused(error.to_string()),
        }
    }
}

/// Whether a segment was kept.
pub type Keeping<'a> = Pin<Box<dyn Future<Output = Result<(), Unkept>> + Send + 'a>>;

/// Whether all that is spent was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tidied {
    /// It was.
    All,
    /// There is more to drop, soon.
    Some,
}

/// Where a node's segments go: its store, or somebody who has one.
pub trait Archive: Send + Sync + fmt::Debug {
    /// Keeps a segment; one that is there already is kept once.
    fn keep<'a>(&'a self, segment: &'a Segment) -> Keeping<'a>;

    /// Drops some of what is spent; called once a minute, and sooner while there is more.
    fn tidy(&self, now: Timestamp) -> Answer<'_, Tidied>;
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
    fn keep<'a>(&'a self, segment: &'a Segment) -> Keeping<'a> {
        Box::pin(async move { Ok(self.store.inscribe(segment).await?) })
    }

    fn tidy(&self, now: Timestamp) -> Answer<'_, Tidied> {
        Box::pin(async move {
            let chapters = self.store.chapters(EARLIEST, LATEST).await?;
            let spent = self.retention.spent(chapters, now);
            let (soon, later) = spent.split_at(spent.len().min(DROPPED));
            if !soon.is_empty() {
                self.store.forget(soon).await?;
            }
            Ok(if later.is_empty() {
                Tidied::All
            } else {
                Tidied::Some
            })
        })
    }
}

const EARLIEST: Timestamp = Timestamp::from_micros(i64::MIN);
const LATEST: Timestamp = Timestamp::from_micros(i64::MAX);

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
    let number = ENDS + by_clock(chapter.until);
    store
        .inscribe(&of_others(chapter, SegmentKind::End, number, &end))
        .await
}

/// Writes into a chapter that had ended that its node goes on after all, as others see it: a lease
/// that was over for a moment ends nothing. What it did meanwhile it tells itself.
///
/// # Errors
///
/// When the store fails; another try is harmless.
pub async fn node_returned(
    store: &store::Shared,
    chapter: Chapter,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(ended) = chapter.ended else {
        return Ok(());
    };
    let next = Timestamp::from_micros(ended.as_micros().saturating_add(1));
    let tale = Tale {
        from: ended,
        to: now.max(next),
        ..Tale::default()
    };
    let number = RETURNS + by_clock(ended);
    store
        .inscribe(&of_others(chapter, SegmentKind::Changes, number, &tale))
        .await
}

fn by_clock(moment: Timestamp) -> u64 {
    moment.as_micros().max(0).unsigned_abs()
}

/// Whether somebody else wrote it: its number says nothing of when, beside those of the node itself.
const fn is_by_others(segment: &Segment) -> bool {
    segment.number >= RETURNS
}

/// A segment that somebody else writes into a chapter.
fn of_others(chapter: Chapter, kind: SegmentKind, number: u64, tale: &Tale) -> Segment {
    Segment {
        node: chapter.node,
        name: chapter.name,
        chapter: chapter.chapter,
        number,
        kind,
        until: tale.to,
        data: codec::encode(tale),
    }
}
