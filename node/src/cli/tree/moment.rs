//! Moments as operators name them: by the calendar, or so long ago.

use std::{fmt, str::FromStr};

use protocol::time::{Span, Timestamp};

/// A moment that was, such as `2027-01-15T08:00:00Z`, `30s` for half a minute ago, or `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Moment {
    At(Timestamp),
    Ago(Span),
}

impl Moment {
    /// Which moment that is, seen from `now`.
    pub(in crate::cli) fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Ago(Span(span)) => {
                let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                Timestamp::from_micros(now.as_micros().saturating_sub(micros))
            }
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Ago(Span::default()));
        }
        let at = || text.parse().map(Self::At);
        // Some write the minus that `ago` means.
        let ago = text.strip_prefix('-').unwrap_or(text).parse();
        ago.map(Self::Ago).or_else(|_| at()).map_err(|_: String| {
            format!(
                "`{text}` is neither a moment like 2027-01-15T08:00:00Z nor a span ago like 30s, 10m or 2h"
            )
        })
    }
}

/// Two moments: `FROM`, or `FROM..TO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Between {
    pub(in crate::cli) from: Moment,
    /// Now, when absent.
    pub(in crate::cli) to: Option<Moment>,
}

impl FromStr for Between {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, ""));
        let to = Some(to).filter(|to| !to.is_empty()).map(str::parse);
        Ok(Self {
            from: from.parse()?,
            to: to.transpose()?,
        })
    }
}

/// How long something took, short enough for a column.
pub(in crate::cli) struct Took(pub(in crate::cli) u64);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0;
        match millis {
            0..1_000 => write!(f, "{millis}ms"),
            1_000..60_000 => write!(f, "{}.{}s", millis / 1_000, millis % 1_000 / 100),
            60_000..3_600_000 => {
                write!(f, "{}m{:02}s", millis / 60_000, millis % 60_000 / 1_000)
            }
            _ => write!(
                f,
                "{}h{:02}m",
                millis / 3_600_000,
                millis % 3_600_000 / 60_000
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn seen(text: &str) -> String {
        let moment: Moment = text.parse().unwrap();
        moment.seen_from(NOW).to_string()
    }

    #[test]
    fn a_moment_is_named_by_the_calendar_or_by_how_long_ago_it_was() {
        assert_eq!(seen("now"), "2027-01-15T08:00:00.000000Z");
        assert_eq!(seen("30s"), "2027-01-15T07:59:30.000000Z");
        assert_eq!(seen("-10m"), "2027-01-15T07:50:00.000000Z");
        assert_eq!(seen("2027-01-15T09:00:00+01:00"), seen("now"));
        let refused = "yesterday".parse::<Moment>().unwrap_err();
        assert!(refused.contains("30s"), "{refused}");
    }

    #[test]
    fn a_comparison_goes_from_one_moment_to_another_or_to_now() {
        let ago = |seconds| Moment::Ago(Span(std::time::Duration::from_secs(seconds)));
        let between = |from, to| Ok(Between { from, to });
        assert_eq!("10m".parse(), between(ago(600), None));
        assert_eq!("10m..".parse(), between(ago(600), None));
        assert_eq!("10m..2m".parse(), between(ago(600), Some(ago(120))));
        assert!("..2m".parse::<Between>().is_err());
    }

    #[test]
    fn a_span_fits_a_column() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (12_345, "12.3s"),
            (61_000, "1m01s"),
            (3_720_000, "1h02m"),
        ] {
            assert_eq!(Took(millis).to_string(), text);
        }
    }
}
