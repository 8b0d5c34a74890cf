//! Sets of nodes and of loops, by their places.

const BITS: usize = u64::BITS as usize;

/// A set of places, a bit for each: most definitions have few loops, but the largest ask for many sets of
/// all nodes, and each against each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set(Vec<u64>);

impl Set {
    pub(super) fn of_none(most: usize) -> Self {
        Self(vec![0; most.div_ceil(BITS)])
    }

    pub(super) fn has(&self, at: usize) -> bool {
        let word = self.0.get(at / BITS);
        word.is_some_and(|word| word & (1 << (at % BITS)) != 0)
    }

    pub(super) fn add(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / BITS) {
            *word |= 1 << (at % BITS);
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (word, others) in self.0.iter_mut().zip(&other.0) {
            *word |= others;
        }
    }

    /// Whether the two share some.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(one, two)| one & two != 0)
    }

    /// Whether it has some that the other has not.
    pub(super) fn exceeds(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .any(|(one, two)| one & !two != 0)
    }
}
