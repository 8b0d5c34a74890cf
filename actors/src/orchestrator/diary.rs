//! How far the log of an agent was read.

use std::{collections::BTreeMap, fmt, str::FromStr};

use protocol::time::Timestamp;

/// Under which name the record stands; no node has it.
const RECORD: &str = "@";

/// How far each source was read by itself: nodes go by clocks of their own, so that one moment for all
/// would pass over lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogPosition {
    /// What is older is not wanted of a source that was not read yet.
    since: Timestamp,
    /// Of the record its position, of a node's memory the moment of the last line.
    read: BTreeMap<String, i64>,
}

impl LogPosition {
    /// After which event of the record to go on; with its last ones when absent.
    pub(super) fn recorded(&self) -> Option<u64> {
        let read = self.read.get(RECORD)?;
        Some(read.unsigned_abs())
    }

    /// After which moment to go on in what a node remembers.
    pub(super) fn written_on(&self, node: &str) -> Timestamp {
        let read = self.read.get(node);
        read.map_or(self.since, |micros| Timestamp::from_micros(*micros))
    }

    /// Events up to here are not wanted, when it is not known how far the record was read.
    pub(super) fn wanted_after(&self) -> Option<Timestamp> {
        self.recorded().is_none().then_some(self.since)
    }

    pub(super) fn read_record(&mut self, seq: u64) {
        self.read.insert(RECORD.to_owned(), seq.cast_signed());
    }

    pub(super) fn read_written(&mut self, node: &str, at: Timestamp) {
        self.read.insert(node.to_owned(), at.as_micros());
    }
}

/// `since` is a moment for what is not named here.
impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.since.as_micros())?;
        for (source, read) in &self.read {
            write!(f, ",{source}={read}")?;
        }
        Ok(())
    }
}

/// It is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is neither a moment nor a position in a log")]
pub(super) struct NoPosition;

impl FromStr for LogPosition {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let mut parts = text.split(',');
        let since = parts.next().and_then(|it| it.parse().ok());
        let since = since.filter(|micros| *micros >= 0).ok_or(NoPosition)?;
        let read = parts.map(|part| {
            let (source, read) = part.split_once('=')?;
            let read = read.parse().ok().filter(|read| *read >= 0)?;
            Some((source.to_owned(), read))
        });
        Ok(Self {
            since: Timestamp::from_micros(since),
            read: read.collect::<Option<_>>().ok_or(NoPosition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn each_source_is_read_on_from_where_it_was_left() {
        let mut position: LogPosition = "7".parse().unwrap();
        assert_eq!(
            (position.recorded(), position.wanted_after()),
            (None, Some(at(7)))
        );
        assert_eq!(position.written_on("b"), at(7));
        position.read_record(3);
        // Its clock is behind the other's.
        position.read_written("a", at(9_000));
        position.read_written("b", at(5_000));
        let position: LogPosition = position.to_string().parse().unwrap();
        assert_eq!(
            (position.recorded(), position.wanted_after()),
            (Some(3), None)
        );
        assert_eq!(
            (
                position.written_on("a"),
                position.written_on("b"),
                position.written_on("c")
            ),
            (at(9_000), at(5_000), at(7))
        );
    }

    #[test]
    fn nonsense_is_no_position() {
        for nonsense in ["", "x", "-1", "7,", "7,a", "7,a=", "7,a=-1", "7,a=b"] {
            assert_eq!(
                nonsense.parse::<LogPosition>(),
                Err(NoPosition),
                "{nonsense}"
            );
        }
    }
}
