//! How long a child that fails again and again waits before it is started again.

use std::time::Duration;

/// Exponential with full jitter: a random part of a span that doubles with each failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The most that the first restart waits.
    pub first: Duration,
    /// The most that any restart waits.
    pub cap: Duration,
    /// A child that ran for so long starts over with `first`.
    pub quiet: Duration,
}

impl Backoff {
    /// Restarts at once, always.
    pub const NONE: Self = Self {
        first: Duration::ZERO,
        cap: Duration::ZERO,
        quiet: Duration::ZERO,
    };

    /// From a tenth of a second to five seconds, and over again after a quiet minute.
    pub const INFRASTRUCTURE: Self = Self {
        first: Duration::from_millis(100),
        cap: Duration::from_secs(5),
        quiet: Duration::from_secs(60),
    };

    /// The longest wait before restart number `failures`, counted from one.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.cap)
    }
}

/// How often in a row a child has failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streak(u32);

impl Streak {
    /// Counts a failure of a child that had run for `uptime`, and says how long it waits.
    ///
    /// `unit` is drawn from 0 up to 1.
    pub fn fail(&mut self, backoff: &Backoff, uptime: Duration, unit: f64) -> Duration {
        if uptime >= backoff.quiet {
            self.0 = 0;
        }
        self.0 = self.0.saturating_add(1);
        backoff.ceiling(self.0).mul_f64(unit.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff::INFRASTRUCTURE;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        for (failures, millis) in [
            (1, 100),
            (2, 200),
            (3, 400),
            (6, 3_200),
            (7, 5_000),
            (u32::MAX, 5_000),
        ] {
            let ceiling = BACKOFF.ceiling(failures);
            assert_eq!(ceiling, Duration::from_millis(millis), "{failures}");
        }
    }

    #[test]
    fn the_wait_is_the_drawn_part_of_the_ceiling() {
        let mut streak = Streak::default();
        let waits = [1.0, 0.5, 0.0].map(|unit| streak.fail(&BACKOFF, Duration::ZERO, unit));
        assert_eq!(waits, [100, 100, 0].map(Duration::from_millis));
    }

    #[test]
    fn a_quiet_time_starts_over() {
        let mut streak = Streak::default();
        for _ in 0..5 {
            streak.fail(&BACKOFF, Duration::from_secs(1), 1.0);
        }
        let wait = streak.fail(&BACKOFF, Duration::from_secs(60), 1.0);
        assert_eq!(wait, Duration::from_millis(100));
    }

    #[test]
    fn no_back_off_never_waits() {
        let mut streak = Streak::default();
        for _ in 0..100 {
            assert!(streak.fail(&Backoff::NONE, Duration::ZERO, 0.99).is_zero());
        }
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_cap(
            failures in proptest::collection::vec((0_u64..200, 0.0_f64..1.0), 1..50),
        ) {
            let mut streak = Streak::default();
            for (uptime, unit) in failures {
                let wait = streak.fail(&BACKOFF, Duration::from_secs(uptime), unit);
                prop_assert!(wait <= BACKOFF.cap);
                prop_assert!(uptime < 60 || wait <= BACKOFF.first);
            }
        }
    }
}
