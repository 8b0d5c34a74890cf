//! Under which ownership something was done.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The fencing token of an owner: the store's incarnation above, a running number below.
///
/// A later owner always has a greater epoch, also after the database was restored or failed
/// over, because that raises the incarnation.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    const NUMBER_BITS: u32 = 40;

    /// Packs the store's incarnation and the number of the ownership within it.
    ///
    /// # Panics
    ///
    /// When `incarnation` needs more than 23 bits or `number` more than 40; neither is reached by
    /// counting restarts.
    #[must_use]
    pub const fn new(incarnation: u32, number: u64) -> Self {
        assert!(incarnation < 1 << 23 && number < 1 << Self::NUMBER_BITS);
        Self(((incarnation as u64) << Self::NUMBER_BITS) | number)
    }

    /// The next ownership within the same incarnation of the store.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// As the store keeps it.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// As the store kept it; a negative number is no epoch.
    #[must_use]
    pub const fn from_i64(stored: i64) -> Option<Self> {
        if stored < 0 {
            None
        } else {
            Some(Self(stored.cast_unsigned()))
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0 & ((1 << Self::NUMBER_BITS) - 1);
        write!(f, "{}.{number}", self.0 >> Self::NUMBER_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_incarnation_outranks_every_epoch_of_the_old_one() {
        assert!(Epoch::new(2, 1) > Epoch::new(1, 900_000));
        assert_eq!(Epoch::new(1, 6).next(), Epoch::new(1, 7));
        assert_eq!(Epoch::new(1, 7).to_string(), "1.7");
        assert_eq!(
            Epoch::from_i64(Epoch::new(3, 7).to_i64()),
            Some(Epoch::new(3, 7))
        );
    }
}
