//! What a failed activation leads to: another one, or parking.

use std::{error::Error, time::Duration};

use protocol::time::Timestamp;

use crate::{
    journal,
    redact::redact,
    store::{self, Refusal},
    supervision::Failure,
};

/// Failures within [`WITHIN`] that take an entity out of service.
pub const LIMIT: usize = 5;

/// The period in which they count.
pub const WITHIN: Duration = Duration::from_secs(60);

/// The longest wait for a store that does not work.
const LONGEST: Duration = Duration::from_secs(5);

/// What a failure says about the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// It will fail again.
    Entity,
    /// It will do as soon as the store works, or on the node that owns it now, or that is new enough.
    Surroundings,
}

impl Blame {
    /// Who is to blame for an error.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let of_store = match error.downcast_ref::<journal::Error>() {
            Some(journal::Error::Store(error)) => Some(error),
            Some(journal::Error::Refused(Refusal::Fenced { .. }) | journal::Error::Deposed(_)) => {
                return Self::Surroundings;
            }
            Some(journal::Error::Refused(Refusal::Repeated { .. } | Refusal::NameTaken { .. })) => {
                None
            }
            None => error.downcast_ref::<store::Error>(),
        };
        match of_store {
            Some(
                store::Error::Full
                | store::Error::Busy(_)
                | store::Error::Unavailable(_)
                | store::Error::Unusable(_),
            ) => Self::Surroundings,
            Some(store::Error::Corrupt(_)) | None => Self::Entity,
        }
    }
}

/// The recent failures of one entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    own: Vec<(Timestamp, String)>,
    /// Failures in a row that were not its own.
    outages: u32,
}

/// What to do after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Activate it again after this long.
    Again(Duration),
    /// Take it out of service and tell operators these errors.
    Park(String),
}

impl Failures {
    /// Counts a failure and says what follows. One that is not the entity's own never parks it: what
    /// was acknowledged goes on when the store is back.
    pub fn add(&mut self, now: Timestamp, error: &str, blame: Blame) -> Verdict {
        if blame == Blame::Surroundings {
            self.outages = self.outages.saturating_add(1);
            return Verdict::Again(wait(self.outages).min(LONGEST));
        }
        self.outages = 0;
        self.own.retain(|(at, _)| now.since(*at) < WITHIN);
        // What parks it is written down and shown.
        self.own.push((now, redact(error).into_owned()));
        if self.own.len() >= LIMIT {
            let errors: Vec<_> = self
                .own
                .iter()
                .rev()
                .take(3)
                .map(|(at, error)| format!("{at} {error}"))
                .collect();
            return Verdict::Park(errors.join("\n"));
        }
        Verdict::Again(wait(u32::try_from(self.own.len()).unwrap_or(u32::MAX)))
    }
}

/// The failures that parked an entity, the newest last, as they were written down; one that says no
/// moment was written down at `written`.
#[must_use]
pub fn recalled(errors: &str, written: Timestamp) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for line in errors.lines() {
        let said = line.split_once(' ');
        let said = said.and_then(|(at, error)| Some((at.parse().ok()?, error)));
        match (said, failures.last_mut()) {
            (Some((at, error)), _) => failures.push(Failure::new(at, error)),
            // An error of several lines.
            (None, Some(failure)) => {
                failure.error.push('\n');
                failure.error.push_str(line);
            }
            (None, None) => failures.push(Failure::new(written, line)),
        }
    }
    failures.reverse();
    failures
}

fn wait(failures: u32) -> Duration {
    Duration::from_millis(25) * 2_u32.pow(failures.min(10))
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
                failures.add(at(second), "e", Blame::Entity),
                Verdict::Again(_)
            ));
        }
        let Verdict::Park(errors) = failures.add(at(4), "last", Blame::Entity) else {
            panic!("not parked");
        };
        assert!(
            errors.starts_with("1970-01-01T00:00:04.000000Z last"),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 3);
    }

    #[test]
    fn what_parked_an_entity_is_recalled_from_what_was_written() {
        let mut failures = Failures::default();
        let mut parked = None;
        for second in 1..=5 {
            let error = format!("e{second}\nand why");
            if let Verdict::Park(errors) = failures.add(at(second), &error, Blame::Entity) {
                parked = Some(errors);
            }
        }
        let told = recalled(&parked.unwrap(), at(9));
        let expected =
            [3, 4, 5].map(|second| Failure::new(at(second), format!("e{second}\nand why")));
        assert_eq!(told, expected);
        assert_eq!(recalled("by hand", at(9)), [Failure::new(at(9), "by hand")]);
        assert_eq!(recalled("", at(9)), []);
    }

    #[test]
    fn failures_far_apart_never_park_and_waits_grow() {
        let mut failures = Failures::default();
        for minute in 0..20 {
            assert_eq!(
                failures.add(at(minute * 61), "e", Blame::Entity),
                Verdict::Again(Duration::from_millis(50))
            );
        }
        assert_eq!(
            failures.add(at(19 * 61 + 1), "e", Blame::Entity),
            Verdict::Again(Duration::from_millis(100))
        );
    }

    #[test]
    fn a_store_that_does_not_work_never_parks_an_entity() {
        let mut failures = Failures::default();
        let error = journal::Error::Store(store::Error::Full);
        assert_eq!(Blame::of(&error), Blame::Surroundings);
        let waits: Vec<_> = (0..20)
            .map(|second| failures.add(at(second), "full", Blame::of(&error)))
            .collect();
        assert_eq!(waits[0], Verdict::Again(Duration::from_millis(50)));
        assert_eq!(waits[19], Verdict::Again(LONGEST));
        let own = store::Error::Corrupt("torn".into());
        assert_eq!(Blame::of(&own), Blame::Entity);
    }
}
