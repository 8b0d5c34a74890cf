//! Turns changes into segments: when a chapter ends and the next begins, and how they are numbered.

use std::time::Duration;

use protocol::{
    api::{Life, LifeEvent},
    id::NodeId,
    time::Timestamp,
};

use super::{
    codec::{self, Tale},
    diff::NODE,
};
use crate::{
    store::{Segment, SegmentKind},
    supervision::Changes,
};

/// The longest a chapter goes on.
const LONGEST: Duration = Duration::from_hours(1);

/// Changes of fewer bytes are not worth a base, which costs as much again.
const LEAST: u64 = 64 << 10;

/// Writes segments of what became of one tree.
#[derive(Debug)]
pub(super) struct Pen {
    node: NodeId,
    name: String,
    changes: Changes,
    scribe: Scribe,
    told: Timestamp,
}

impl Pen {
    /// Begins at `now` to write of the node with this id and name; see [`Scribe::new`] for `enough`.
    pub(super) fn new(
        (node, name): (NodeId, String),
        changes: Changes,
        now: Timestamp,
        enough: u64,
    ) -> Self {
        Self {
            node,
            name,
            changes,
            scribe: Scribe::new(enough),
            told: now,
        }
    }

    /// What changed, unless nothing did.
    pub(super) fn note(&mut self, now: Timestamp) -> Option<Segment> {
        let delta = match self.scribe.next(now) {
            SegmentKind::Base => self.changes.take_all(),
            SegmentKind::Changes | SegmentKind::End => self.changes.take(),
        };
        let kind = if delta.reset {
            SegmentKind::Base
        } else {
            SegmentKind::Changes
        };
        let tale = Tale::new(self.told, delta);
        self.told = tale.to;
        let is_worth = kind == SegmentKind::Base || !tale.is_empty();
        is_worth.then(|| self.write(kind, &tale))
    }

    /// The end of what is written, because the node stops.
    pub(super) fn end(&mut self, now: Timestamp) -> Segment {
        let end = ending(&self.name, now, Life::Stopped, "the node stopped");
        self.write(SegmentKind::End, &end)
    }

    /// Something was not kept, so that what follows could not be read.
    pub(super) const fn lose(&mut self) {
        self.scribe.lose();
    }

    fn write(&mut self, kind: SegmentKind, tale: &Tale) -> Segment {
        let data = codec::encode(tale);
        let (chapter, number) = self.scribe.number(kind, tale.to, data.len());
        Segment {
            node: self.node,
            name: self.name.clone(),
            chapter,
            number,
            kind,
            until: tale.to,
            data,
        }
    }
}

/// What the end of a chapter tells.
pub(super) fn ending(node: &str, at: Timestamp, what: Life, reason: &str) -> Tale {
    let (path, kind) = NODE;
    let event = LifeEvent {
        at,
        node: node.to_owned(),
        path: path.to_owned(),
        kind: kind.to_owned(),
        what,
        reason: Some(reason.to_owned()),
        restored_from: None,
    };
    Tale {
        from: at,
        to: at,
        life: vec![event],
        ..Tale::default()
    }
}

/// Keeps count of what one incarnation of a chronicle writes.
#[derive(Debug)]
struct Scribe {
    /// Bytes of a chapter that is long enough.
    enough: u64,
    number: u64,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    chapter: u64,
    since: Timestamp,
    base: u64,
    changes: u64,
}

impl Scribe {
    const fn new(enough: u64) -> Self {
        Self {
            enough,
            number: 0,
            open: None,
        }
    }

    /// What is to be written at `now`: reading back costs a base and its changes, so that they may
    /// be twice as many as what a base costs.
    fn next(&self, now: Timestamp) -> SegmentKind {
        let Some(open) = self.open else {
            return SegmentKind::Base;
        };
        let least = LEAST.min(self.enough);
        let is_long = now.since(open.since) >= LONGEST
            || open.changes >= least.max(2 * open.base)
            || (open.changes >= least && open.base + open.changes >= self.enough);
        if is_long {
            SegmentKind::Base
        } else {
            SegmentKind::Changes
        }
    }

    /// Numbers a segment of `bytes`: its chapter and its own. Numbers follow the clock, so that a
    /// later incarnation's are greater.
    fn number(&mut self, kind: SegmentKind, now: Timestamp, bytes: usize) -> (u64, u64) {
        let by_clock = now.as_micros().max(1).unsigned_abs();
        self.number = by_clock.max(self.number + 1);
        let bytes = bytes as u64;
        let open = match (&mut self.open, kind) {
            (Some(open), SegmentKind::Changes | SegmentKind::End) => {
                open.changes += bytes;
                *open
            }
            (None, _) | (Some(_), SegmentKind::Base) => Open {
                chapter: self.number,
                since: now,
                base: bytes,
                changes: 0,
            },
        };
        self.open = Some(open);
        (open.chapter, self.number)
    }

    /// Something was not written, so that what follows could not be read.
    const fn lose(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_chapter_ends_when_it_is_long_or_old_or_broken() {
        let mut scribe = Scribe::new(1 << 30);
        assert_eq!(scribe.next(at(1)), SegmentKind::Base);
        let (chapter, first) = scribe.number(SegmentKind::Base, at(1), 100_000);
        assert_eq!(chapter, first);
        assert_eq!(scribe.next(at(2)), SegmentKind::Changes);
        let (same, second) = scribe.number(SegmentKind::Changes, at(2), 199_999);
        assert_eq!((same, second > first), (chapter, true));
        assert_eq!(scribe.next(at(3)), SegmentKind::Changes);
        assert_eq!(scribe.next(at(3_601)), SegmentKind::Base);
        scribe.number(SegmentKind::Changes, at(3), 1);
        assert_eq!(scribe.next(at(4)), SegmentKind::Base);
        scribe.number(SegmentKind::Base, at(4), 1);
        assert_eq!(scribe.next(at(5)), SegmentKind::Changes);
        scribe.lose();
        assert_eq!(scribe.next(at(5)), SegmentKind::Base);
    }

    #[test]
    fn numbers_grow_though_the_clock_is_set_back() {
        let mut scribe = Scribe::new(1 << 30);
        let (_, first) = scribe.number(SegmentKind::Base, at(9), 1);
        let (_, second) = scribe.number(SegmentKind::Changes, at(3), 1);
        assert!(second > first);
    }
}
