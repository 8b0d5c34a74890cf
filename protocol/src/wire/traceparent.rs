//! A [`Trace`] as text: W3C's `traceparent`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::Trace;

/// The lowest bit of the flags: somebody records the trace.
const SAMPLED: u8 = 1;

/// Text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a `traceparent` as W3C has it")]
pub struct NoTrace;

impl Trace {
    /// Whether it is recorded.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The beginning of a trace.
    #[must_use]
    pub const fn begin(trace: [u8; 16], span: [u8; 8], sampled: bool) -> Self {
        let flags = if sampled { SAMPLED } else { 0 };
        Self { trace, span, flags }
    }

    /// The id of the whole, as collectors spell it.
    #[must_use]
    pub fn id(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace))
    }

    /// Another span of the same trace.
    #[must_use]
    pub const fn at(self, span: [u8; 8]) -> Self {
        Self { span, ..self }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (
            u128::from_be_bytes(self.trace),
            u64::from_be_bytes(self.span),
        );
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }
}

impl FromStr for Trace {
    type Err = NoTrace;

    fn from_str(text: &str) -> Result<Self, NoTrace> {
        let mut parts = text.split('-');
        let version = hex::<1>(parts.next())?[0];
        let trace = hex::<16>(parts.next())?;
        let span = hex::<8>(parts.next())?;
        let flags = hex::<1>(parts.next())?[0];
        // A later version may say more; this one may not.
        let more = version == 0 && parts.next().is_some();
        if more || version == 0xff || trace == [0; 16] || span == [0; 8] {
            return Err(NoTrace);
        }
        Ok(Self { trace, span, flags })
    }
}

/// Exactly `N` bytes as lower-case digits.
fn hex<const N: usize>(text: Option<&str>) -> Result<[u8; N], NoTrace> {
    let text = text.ok_or(NoTrace)?.as_bytes();
    if text.len() != N * 2 {
        return Err(NoTrace);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

const fn digit(letter: u8) -> Result<u8, NoTrace> {
    match letter {
        b'0'..=b'9' => Ok(letter - b'0'),
        b'a'..=b'f' => Ok(letter - b'a' + 10),
        _ => Err(NoTrace),
    }
}

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Trace {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_reads_back_as_it_was_written() {
        let trace: Trace = GIVEN.parse().unwrap();
        assert_eq!(trace.to_string(), GIVEN);
        assert!(trace.is_sampled());
        let next = trace.at([1; 8]);
        assert_eq!((next.trace, next.flags), (trace.trace, trace.flags));
        assert_eq!(serde_json::to_value(trace).unwrap(), GIVEN);
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = format!("{}-more", GIVEN.replacen("00", "cc", 1));
        assert_eq!(later.parse(), GIVEN.parse::<Trace>());
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(wrong.parse::<Trace>(), Err(NoTrace), "{wrong}");
        }
    }
}
