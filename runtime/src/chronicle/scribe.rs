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
    pieces::{PIECE, cut},
};
use crate::{
    store::{Segment, SegmentKind},
    supervision::Changes,
};

/// The longest a chapter goes on.
const LONGEST: Duration = Duration::from_hours(1);

/// For so long a tree in which nothing changes writes nothing; then that it is there.
pub(super) const SIGN: Duration = Duration::from_secs(15);

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
    /// When something was written last.
    wrote: Timestamp,
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
            wrote: now,
        }
    }

    /// What changed, if anything did, in as many segments as it takes; now and then that nothing did.
    pub(super) fn note(&mut self, now: Timestamp) -> Vec<Segment> {
        let delta = match self.scribe.next(now) {
            SegmentKind::Base => self.changes.take_all(),
            SegmentKind::Changes | SegmentKind::End | SegmentKind::Part => self.changes.take(),
        };
        let kind = if delta.reset {
            SegmentKind::Base
        } else {
            SegmentKind::Changes
        };
        let tale = Tale::new(self.told, delta);
        self.told = tale.to;
        if kind == SegmentKind::Base {
            self.scribe.begin();
        } else if tale.is_empty() && now.since(self.wrote) < SIGN {
            return Vec::new();
        }
        self.wrote = now;
        let mut pieces = cut(tale, PIECE).into_iter().peekable();
        let mut segments = Vec::new();
        while let Some(piece) = pieces.next() {
            let own = match pieces.peek() {
                Some(_) => SegmentKind::Part,
                None => kind,
            };
            segments.push(self.write(kind, own, &piece));
        }
        segments
    }

    /// The end of what is written, because the node stops.
    pub(super) fn end(&mut self, now: Timestamp) -> Segment {
        let end = ending(&self.name, now, Life::Stopped, "the node stopped");
        self.write(SegmentKind::End, SegmentKind::End, &end)
    }

    /// Something was not kept, so that what follows could not be read.
    pub(super) const fn lose(&mut self) {
        self.scribe.begin();
    }

    /// A segment of its own kind that belongs to something of this kind.
    fn write(&mut self, of: SegmentKind, own: SegmentKind, tale: &Tale) -> Segment {
        let mut segment = Segment {
            node: self.node,
            name: self.name.clone(),
            chapter: 0,
            number: 0,
            kind: own,
            until: tale.to,
            data: codec::encode(tale),
        };
        let numbers = self.scribe.number(of, tale.to, segment.weight());
        (segment.chapter, segment.number) = numbers;
        segment
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
            || (open.changes >= least.max(open.base) && open.base + open.changes >= self.enough);
        if is_long {
            SegmentKind::Base
        } else {
            SegmentKind::Changes
        }
    }

    /// Numbers a segment of `bytes` that belongs to something of this kind: its chapter and its own.
    /// Numbers follow the clock, so that a later incarnation's are greater.
    fn number(&mut self, of: SegmentKind, now: Timestamp, bytes: u64) -> (u64, u64) {
        let by_clock = now.as_micros().max(1).unsigned_abs();
        self.number = by_clock.max(self.number + 1);
        let open = self.open.get_or_insert(Open {
            chapter: self.number,
            since: now,
            base: 0,
            changes: 0,
        });
        match of {
            SegmentKind::Base => open.base += bytes,
            SegmentKind::Changes | SegmentKind::End | SegmentKind::Part => open.changes += bytes,
        }
        (open.chapter, self.number)
    }

    /// The next segment begins a chapter: there was enough of this one, or something of it was not
    /// written, so that what follows could not be read.
    const fn begin(&mut self) {
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
        scribe.begin();
        let (next, _) = scribe.number(SegmentKind::Base, at(4), 1);
        assert!(next > chapter);
        assert_eq!(scribe.next(at(5)), SegmentKind::Changes);
        scribe.begin();
        assert_eq!(scribe.next(at(5)), SegmentKind::Base);
    }

    #[test]
    fn no_base_is_written_again_before_as_many_bytes_of_changes_were() {
        let mut scribe = Scribe::new(64 << 10);
        scribe.number(SegmentKind::Base, at(1), 3 << 20);
        scribe.number(SegmentKind::Changes, at(2), 128 << 10);
        assert_eq!(scribe.next(at(3)), SegmentKind::Changes);
        scribe.number(SegmentKind::Changes, at(3), 3 << 20);
        assert_eq!(scribe.next(at(4)), SegmentKind::Base);
    }

    #[test]
    fn pieces_of_a_base_are_of_its_chapter() {
        let mut scribe = Scribe::new(1 << 30);
        scribe.begin();
        let (chapter, first) = scribe.number(SegmentKind::Base, at(1), 10);
        let (same, last) = scribe.number(SegmentKind::Base, at(1), 10);
        assert_eq!((chapter, same), (first, first));
        assert!(last > first);
    }

    #[test]
    fn numbers_grow_though_the_clock_is_set_back() {
        let mut scribe = Scribe::new(1 << 30);
        let (_, first) = scribe.number(SegmentKind::Base, at(9), 1);
        let (_, second) = scribe.number(SegmentKind::Changes, at(3), 1);
        assert!(second > first);
    }
}
