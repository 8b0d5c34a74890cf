//! What a failed activation leads to: another one, or parking.

use std::time::Duration;

use protocol::time::Timestamp;

/// Failures within [`WITHIN`] that take an entity out of service.
pub const LIMIT: usize = 5;

/// The period in which they count.
pub const WITHIN: Duration = Duration::from_secs(60);

/// The recent failures of one entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures(Vec<(Timestamp, String)>);

/// What to do after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Activate it again after this long.
    Again(Duration),
    /// Take it out of service and tell operators these errors.
    Park(String),
}

impl Failures {
    /// Counts a failure and says what follows.
    pub fn add(&mut self, now: Timestamp, error: String) -> Verdict {
        self.0.retain(|(at, _)| now.since(*at) < WITHIN);
        self.0.push((now, error));
        if self.0.len() >= LIMIT {
            let errors: Vec<_> = self
                .0
                .iter()
                .rev()
                .take(3)
                .map(|(at, error)| format!("{at} {error}"))
                .collect();
            return Verdict::Park(errors.join("\n"));
        }
        let exponent = u32::try_from(self.0.len()).unwrap_or(u32::MAX).min(10);
        Verdict::Again(Duration::from_millis(25) * 2_u32.pow(exponent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_fifth_failure_within_a_minute_parks() {
        let mut failures = Failures::default();
        for second in 0..4 {
            assert!(matches!(
                failures.add(at(second), "e".into()),
                Verdict::Again(_)
            ));
        }
        let Verdict::Park(errors) = failures.add(at(4), "last".into()) else {
            panic!("not parked");
        };
        assert!(
            errors.starts_with("1970-01-01T00:00:04.000000Z last"),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 3);
    }

    #[test]
    fn failures_far_apart_never_park_and_waits_grow() {
        let mut failures = Failures::default();
        for minute in 0..20 {
            assert_eq!(
                failures.add(at(minute * 61), "e".into()),
                Verdict::Again(Duration::from_millis(50))
            );
        }
        assert_eq!(
            failures.add(at(19 * 61 + 1), "e".into()),
            Verdict::Again(Duration::from_millis(100))
        );
    }
}
