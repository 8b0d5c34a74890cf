//! The past of the supervision trees, in segments that only their writers and readers understand.
//!
//! A start of a node writes chapters: a base, which holds all that stood then, and what changed
//! after it. A chapter can be read without any other, so that whole chapters are forgotten.

use protocol::{id::NodeId, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::Answer;

/// What a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentKind {
    /// All that stood; the first of a chapter.
    Base,
    /// What changed since the segment before.
    Changes,
    /// Nothing stands any more; the last of a chapter.
    End,
}

impl SegmentKind {
    pub(super) const ALL: [Self; 3] = [Self::Base, Self::Changes, Self::End];
}

/// A piece of the past of one start of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Whose past it is.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// Number of the base of its chapter.
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

/// A chapter as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Whose past it is.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// Number of its base.
    pub chapter: u64,
    /// Up to when its first segment tells.
    pub since: Timestamp,
    /// Up to when its last one does.
    pub until: Timestamp,
    /// From when on nothing stands any more, once that is known.
    pub ended: Option<Timestamp>,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// The past of all nodes.
pub trait Chronicles: Send + Sync {
    /// Keeps a segment, unless one of its number is there.
    fn inscribe<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()>;

    /// Chapters that begin after `from` and not after `to`, and of each start of a node the one that
    /// was the last at `from`; in order of their beginnings.
    fn chapters(&self, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Chapter>>;

    /// The last chapter of a start of a node.
    fn last_chapter(&self, node: NodeId) -> Answer<'_, Option<Chapter>>;

    /// A chapter's segments that tell of nothing after `until`, by number.
    fn segments(&self, node: NodeId, chapter: u64, until: Timestamp) -> Answer<'_, Vec<Segment>>;

    /// Drops whole chapters.
    fn forget<'a>(&'a self, chapters: &'a [(NodeId, u64)]) -> Answer<'a, ()>;
}
