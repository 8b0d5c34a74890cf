//! How far a reader has read the journal: up to a record, or up to one of its events.

use std::{fmt, str::FromStr};

/// A place in the journal, and how many events of the record there were told when that was cut off in
/// its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Cursor {
    place: i64,
    told: Option<u32>,
}

impl Cursor {
    /// All is told up to this place.
    pub(in super::super) const fn at(place: i64) -> Self {
        Self { place, told: None }
    }

    /// So many events of the record at a place are told, of `all`.
    pub(in super::super) const fn within(place: i64, told: u32, all: u32) -> Self {
        let told = if told < all { Some(told) } else { None };
        Self { place, told }
    }

    /// After which place to read on.
    pub(in super::super) const fn after(self) -> i64 {
        match self.told {
            Some(_) => self.place - 1,
            None => self.place,
        }
    }

    /// How many events of the record at a place are told already.
    pub(in super::super) fn skips(self, place: i64) -> u32 {
        self.told.filter(|_| place == self.place).unwrap_or(0)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.told {
            Some(told) => write!(f, "{}.{told}", self.place),
            None => write!(f, "{}", self.place),
        }
    }
}

/// Text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (place, told) = match text.split_once('.') {
            Some((place, told)) => (place, Some(told.parse().map_err(|_| NoCursor)?)),
            None => (text, None),
        };
        let place: u64 = place.parse().map_err(|_| NoCursor)?;
        let place = i64::try_from(place).map_err(|_| NoCursor)?;
        Ok(Self { place, told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        for cursor in [Cursor::at(0), Cursor::at(7), Cursor::within(7, 1, 3)] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "x", "-1", "1.", "1.x", "1.-1", "9999999999999999999"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NoCursor), "{wrong}");
        }
    }

    #[test]
    fn who_was_cut_off_within_a_record_goes_on_within_it() {
        let within = Cursor::within(7, 2, 3);
        assert_eq!(
            (within.after(), within.skips(7), within.skips(8)),
            (6, 2, 0)
        );
        let whole = Cursor::within(7, 3, 3);
        assert_eq!(
            (whole, whole.after(), whole.skips(7)),
            (Cursor::at(7), 7, 0)
        );
    }
}
