//! What of the past is wanted, so that nothing else is built of what is read.

use std::collections::BTreeSet;

use protocol::api::{Life, TreeDiff};

use super::{diff::NODE, past::is_below};

/// What of the past is wanted.
pub trait Sieve: Send + Sync {
    /// Whether it is told what stood at a path.
    fn admits_row(&self, path: &str) -> bool;

    /// Whether it is told what became of who stood there.
    fn admits_path(&self, path: &str) -> bool;

    /// Whether such a turn of an actor of such a kind is told, where the path is admitted.
    fn admits_turn(&self, kind: &str, what: Life) -> bool;
}

/// All of it.
#[derive(Debug, Clone, Copy)]
pub struct Everything;

impl Sieve for Everything {
    fn admits_row(&self, _: &str) -> bool {
        true
    }

    fn admits_path(&self, _: &str) -> bool {
        true
    }

    fn admits_turn(&self, _: &str, _: Life) -> bool {
        true
    }
}

/// What became of the actor at one path.
#[derive(Debug, Clone)]
pub struct LifeAt(pub String);

impl Sieve for LifeAt {
    fn admits_row(&self, _: &str) -> bool {
        false
    }

    fn admits_path(&self, path: &str) -> bool {
        path == self.0
    }

    fn admits_turn(&self, _: &str, _: Life) -> bool {
        true
    }
}

/// What stood at a path and below it.
#[derive(Debug, Clone)]
pub(super) struct Below(pub(super) String);

impl Sieve for Below {
    fn admits_row(&self, path: &str) -> bool {
        is_below(path, &self.0)
    }

    fn admits_path(&self, _: &str) -> bool {
        false
    }

    fn admits_turn(&self, _: &str, _: Life) -> bool {
        false
    }
}

/// What became of those that differ, and of nodes.
#[derive(Debug)]
pub(super) struct Reasons(BTreeSet<String>);

impl Reasons {
    pub(super) fn of(diff: &TreeDiff) -> Self {
        let paths = diff.changes.iter().map(|change| change.path.clone());
        Self(paths.chain([NODE.0.to_owned()]).collect())
    }
}

impl Sieve for Reasons {
    fn admits_row(&self, _: &str) -> bool {
        false
    }

    fn admits_path(&self, path: &str) -> bool {
        self.0.contains(path)
    }

    fn admits_turn(&self, _: &str, _: Life) -> bool {
        true
    }
}
