//! How far a reader has read what becomes of the trees of several nodes.

use std::{collections::BTreeMap, fmt};

/// The cursor for a node that was lost: no tree's, since each begins with a root.
const LOST: u64 = 0;

/// The cursor of each node by its name; a node that is not in here is told of from scratch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Position(BTreeMap<String, u64>);

impl Position {
    /// What was printed once, if it was.
    pub(in super::super) fn read(text: &str) -> Option<Self> {
        let pairs = text.split(',').map(|pair| {
            let (node, cursor) = pair.rsplit_once('=')?;
            Some((node.to_owned(), cursor.parse().ok()?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// The nodes that the reader was told of, and not told the loss of.
    pub(in super::super) fn heard_of(&self) -> impl Iterator<Item = &str> {
        let there = self.0.iter().filter(|(_, cursor)| **cursor != LOST);
        there.map(|(node, _)| node.as_str())
    }

    /// Where to go on with a node.
    pub(in super::super) fn after(&self, node: &str) -> Option<u64> {
        self.0.get(node).copied().filter(|cursor| *cursor != LOST)
    }

    /// The reader was told that the node is lost: should it come back, it is not known what became of it
    /// meanwhile.
    pub(super) fn lost(&mut self, node: &str) {
        self.reached(node, LOST);
    }

    pub(super) fn reached(&mut self, node: &str, cursor: u64) {
        self.0.insert(node.to_owned(), cursor);
    }

    /// The node is told of from scratch; its cursor was this.
    pub(in super::super) fn forget(&mut self, node: &str) -> Option<u64> {
        self.0.remove(node)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (node, cursor)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{node}={cursor}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_nonsense_is_none() {
        let mut position = Position::default();
        position.reached("b", 7);
        position.reached("a", 1);
        assert_eq!(position.to_string(), "a=1,b=7");
        assert_eq!(Position::read("a=1,b=7"), Some(position));
        for nonsense in ["", "7", "a", "a=x", "a=1,b", "a=-1"] {
            assert_eq!(Position::read(nonsense), None, "{nonsense}");
        }
    }
}
