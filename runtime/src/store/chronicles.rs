//! The past of the supervision trees, in segments that only their writers and readers understand.
//!
//! A start of a node writes chapters: a base, which holds all that stood then, and what changed
//! after it. A chapter can be read without any other, so that whole chapters are forgotten; up to when,
//! a row tells that belongs to [`NOBODY`].

use protocol::{id::NodeId, time::Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Answer;

/// What a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentKind {
    /// All that stood; the first of a chapter.
    Base,
    /// What changed since the segment before.
    Changes,
    /// Nothing stands any more: void once something later is told of the chapter.
    End,
    /// A piece of the one that follows, which is the last of its pieces.
    Part,
}

impl SegmentKind {
    pub(super) const ALL: [Self; 4] = [Self::Base, Self::Changes, Self::End, Self::Part];
}

/// What a segment takes in a store beside its data: its columns, and its places in two indexes.
const BESIDE: u64 = 160;

/// Whose row says up to when the past was forgotten.
pub(super) const NOBODY: NodeId = NodeId::from_uuid(Uuid::nil());

/// When a chapter begins whose base is not there yet: it is of no moment.
pub(super) const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// Segments that are dropped at once: what stands behind it waits no longer.
pub(super) const DROPPED_AT_ONCE: u16 = 64;

/// Whether segments of a chapter that is dropped are left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Some,
    None,
}

/// A piece of the past of one start of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Whose past it is.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// Number of the first segment of its chapter.
    pub chapter: u64,
    /// Its own number, greater than those before; not of two of a node.
    pub number: u64,
    /// What it says.
    pub kind: SegmentKind,
    /// Up to when it tells.
    pub until: Timestamp,
    /// As its writer encoded it.
    pub data: Vec<u8>,
}

impl Segment {
    /// Bytes that it takes in a store.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.data.len() as u64 + BESIDE
    }

    /// Since when its chapter can be read, if it can with this one.
    pub(super) const fn opens(&self) -> Timestamp {
        match self.kind {
            SegmentKind::Base | SegmentKind::Changes | SegmentKind::End => self.until,
            SegmentKind::Part => NEVER,
        }
    }
}

/// A chapter as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Whose past it is.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// Number of its first segment.
    pub chapter: u64,
    /// Up to when its base tells; in the far future while that is not there.
    pub since: Timestamp,
    /// Up to when its last segment does.
    pub until: Timestamp,
    /// From when on nothing stands any more, once that is known and nothing later is told.
    pub ended: Option<Timestamp>,
    /// Bytes that its segments take.
    pub bytes: u64,
}

/// The past of all nodes.
pub trait Chronicles: Send + Sync {
    /// Keeps a segment, unless one of its number is there.
    fn inscribe<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()>;

    /// Chapters that begin after `from` and not after `to`, and of each start of a node the one that
    /// was the last at `from`; in order of their beginnings.
    fn chapters(&self, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Chapter>>;

    /// The last chapter of a start of a node, of those that have their base.
    fn last_chapter(&self, node: NodeId) -> Answer<'_, Option<Chapter>>;

    /// A chapter's segments that tell of nothing after `until`, by number.
    fn segments(&self, node: NodeId, chapter: u64, until: Timestamp) -> Answer<'_, Vec<Segment>>;

    /// Of a chapter's segments that tell of nothing after `until` and have a smaller number than
    /// `before`, the `most` with the greatest numbers; the last first.
    fn segments_back(
        &self,
        chapter: (NodeId, u64),
        before: u64,
        until: Timestamp,
        most: u16,
    ) -> Answer<'_, Vec<Segment>>;

    /// Before which moment something is missing, because it was dropped.
    fn forgotten(&self) -> Answer<'_, Option<Timestamp>>;

    /// Drops whole chapters, in pieces between which others write.
    fn forget<'a>(&'a self, chapters: &'a [(NodeId, u64)]) -> Answer<'a, ()>;
}
