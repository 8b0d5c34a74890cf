//! How many restarts within which time are too many.

use std::{collections::VecDeque, time::Duration};

/// A supervisor that restarts more often than this gives up and fails itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// So many restarts are fine ...
    pub restarts: u32,
    /// ... in any span of this length.
    pub within: Duration,
}

impl Intensity {
    /// For children whose failures say nothing of each other, such as agents.
    pub const UNLIMITED: Self = Self {
        restarts: u32::MAX,
        within: Duration::ZERO,
    };

    /// The root's: after more than three in a minute the process ends, and what started it decides.
    pub const ROOT: Self = Self {
        restarts: 3,
        within: Duration::from_secs(60),
    };

    /// What infrastructure such as the store or the link gets.
    pub const INFRASTRUCTURE: Self = Self {
        restarts: 5,
        within: Duration::from_secs(30),
    };
}

/// What a restart means for the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Restart.
    Within,
    /// Stop all children and fail.
    Exceeded,
}

/// The restarts that still count.
#[derive(Debug, Default)]
pub struct Restarts(VecDeque<Duration>);

impl Restarts {
    /// Counts a restart at `now`, a monotonic time.
    pub fn record(&mut self, limit: Intensity, now: Duration) -> Verdict {
        if limit == Intensity::UNLIMITED {
            return Verdict::Within;
        }
        while let Some(&oldest) = self.0.front()
            && now.saturating_sub(oldest) > limit.within
        {
            self.0.pop_front();
        }
        self.0.push_back(now);
        if u32::try_from(self.0.len()).is_ok_and(|count| count <= limit.restarts) {
            Verdict::Within
        } else {
            Verdict::Exceeded
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THREE_IN_TEN: Intensity = Intensity {
        restarts: 3,
        within: Duration::from_secs(10),
    };

    fn verdicts(limit: Intensity, seconds: &[u64]) -> Vec<Verdict> {
        let mut restarts = Restarts::default();
        let record = |&second| restarts.record(limit, Duration::from_secs(second));
        seconds.iter().map(record).collect()
    }

    #[test]
    fn the_fourth_restart_within_the_period_is_too_many() {
        use Verdict::{Exceeded, Within};
        for (seconds, expected) in [
            ([0, 1, 2, 3], [Within, Within, Within, Exceeded]),
            ([0, 1, 2, 10], [Within, Within, Within, Exceeded]),
            ([0, 1, 2, 11], [Within, Within, Within, Within]),
            ([0, 20, 40, 60], [Within, Within, Within, Within]),
        ] {
            assert_eq!(verdicts(THREE_IN_TEN, &seconds), expected, "{seconds:?}");
        }
    }

    #[test]
    fn no_restart_at_all_may_be_allowed() {
        let none = Intensity {
            restarts: 0,
            ..THREE_IN_TEN
        };
        assert_eq!(verdicts(none, &[0]), [Verdict::Exceeded]);
    }

    #[test]
    fn unlimited_restarts_leave_nothing_behind() {
        let mut restarts = Restarts::default();
        for second in 0..1_000 {
            let verdict = restarts.record(Intensity::UNLIMITED, Duration::from_secs(second));
            assert_eq!(verdict, Verdict::Within);
        }
        assert!(restarts.0.is_empty());
    }

    proptest! {
        #[test]
        fn the_verdict_agrees_with_counting(mut seconds in proptest::collection::vec(0_u64..100, 1..40)) {
            seconds.sort_unstable();
            for (index, verdict) in verdicts(THREE_IN_TEN, &seconds).into_iter().enumerate() {
                let now = seconds[index];
                let recent = seconds[..=index].iter().filter(|&&at| now - at <= 10).count();
                prop_assert_eq!(verdict == Verdict::Exceeded, recent > 3);
            }
        }
    }
}
