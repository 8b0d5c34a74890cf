//! Whether a step is tried again after an attempt, and after how long.

use std::time::Duration;

use protocol::plan::{Effect, RetryPolicy};

use crate::config;

/// Upper bound of the wait after the first lost attempt.
const LOST_BACKOFF: Duration = Duration::from_millis(500);

/// What follows an attempt that failed or was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt, in a while.
    Again,
    /// First the agent's probe must tell whether it was done.
    Probe,
    /// It may have taken effect and must not run again: the step is `unknown`.
    Unknown,
    /// No other attempt: the step failed.
    GiveUp,
}

/// What a failed attempt leaves room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// Another attempt cannot help.
    ForGood,
    /// The tool ran and failed; another attempt can help.
    Transiently,
    /// The call surely never reached the tool; another attempt can help and cannot harm.
    BeforeStart,
}

/// What follows an attempt that failed, the `failed`th of its step.
///
/// An irreversible step is not tried again once the tool ran, whatever its policy says: a tool that
/// fails may have done half of its work.
#[must_use]
pub fn after_failure(why: Failed, effect: Effect, failed: u32, policy: &RetryPolicy) -> Verdict {
    let may_repeat = match (why, effect) {
        (Failed::ForGood, _) | (Failed::Transiently, Effect::Irreversible) => false,
        (Failed::Transiently, Effect::Pure | Effect::Idempotent | Effect::Guarded)
        | (Failed::BeforeStart, _) => true,
    };
    if may_repeat && failed < policy.max_attempts {
        Verdict::Again
    } else {
        Verdict::GiveUp
    }
}

/// What follows an attempt of which no receipt came, the `lost`th of its step; these do not count
/// against the policy's attempts.
#[must_use]
pub fn after_loss(effect: Effect, lost: u32, max_lost: u32) -> Verdict {
    match effect {
        Effect::Pure | Effect::Idempotent => after_not_done(lost, max_lost),
        // Asked even when no attempt is left: it may have been done.
        Effect::Guarded => Verdict::Probe,
        Effect::Irreversible => Verdict::Unknown,
    }
}

/// What follows a lost attempt that surely took no effect: the probe said so, or the call never
/// left.
#[must_use]
pub fn after_not_done(lost: u32, max_lost: u32) -> Verdict {
    if lost < max_lost {
        Verdict::Again
    } else {
        Verdict::GiveUp
    }
}

/// How long to wait after the `failed`th failed attempt; `chance` is a random number from 0 to 1.
#[must_use]
pub fn failure_wait(
    failed: u32,
    policy: &RetryPolicy,
    limits: &config::Tasks,
    chance: f64,
) -> Duration {
    backoff(policy.backoff.0, failed, limits.max_backoff.0, chance)
}

/// How long to wait after the `lost`th lost attempt; `chance` is a random number from 0 to 1.
#[must_use]
pub fn loss_wait(lost: u32, limits: &config::Tasks, chance: f64) -> Duration {
    backoff(LOST_BACKOFF, lost, limits.max_backoff.0, chance)
}

/// Doubles with each attempt up to `most`. Any wait below that bound is equally likely, so that
/// what failed together does not come back together.
fn backoff(first: Duration, attempts: u32, most: Duration, chance: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    let bound = first.saturating_mul(1 << doublings).min(most);
    // Also takes what is no number.
    let chance = if chance > 0.0 { chance.min(1.0) } else { 0.0 };
    bound.mul_f64(chance).min(bound)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::time::Span;

    use super::*;

    const EFFECTS: [Effect; 4] = [
        Effect::Pure,
        Effect::Idempotent,
        Effect::Guarded,
        Effect::Irreversible,
    ];

    #[test]
    fn by_default_a_step_is_tried_three_times_and_never_a_fourth() {
        let policy = RetryPolicy::default();
        let verdicts = (1..=4)
            .map(|failed| after_failure(Failed::Transiently, Effect::default(), failed, &policy));
        let verdicts: Vec<_> = verdicts.collect();
        use Verdict::{Again, GiveUp};
        assert_eq!(verdicts, [Again, Again, GiveUp, GiveUp]);
    }

    #[test]
    fn what_cannot_help_or_might_harm_is_not_tried_again() {
        let policy = RetryPolicy::default();
        for effect in EFFECTS {
            let after = |why| after_failure(why, effect, 1, &policy);
            assert_eq!(after(Failed::ForGood), Verdict::GiveUp);
            assert_eq!(after(Failed::BeforeStart), Verdict::Again);
            let expected = if effect == Effect::Irreversible {
                Verdict::GiveUp
            } else {
                Verdict::Again
            };
            assert_eq!(after(Failed::Transiently), expected, "{effect:?}");
        }
    }

    #[test]
    fn what_a_lost_attempt_leads_to_depends_on_its_effect_alone_until_too_many_are_lost() {
        for (effect, at_first, at_last) in [
            (Effect::Pure, Verdict::Again, Verdict::GiveUp),
            (Effect::Idempotent, Verdict::Again, Verdict::GiveUp),
            (Effect::Guarded, Verdict::Probe, Verdict::Probe),
            (Effect::Irreversible, Verdict::Unknown, Verdict::Unknown),
        ] {
            assert_eq!(after_loss(effect, 1, 10), at_first);
            assert_eq!(after_loss(effect, 9, 10), at_first);
            assert_eq!(after_loss(effect, 10, 10), at_last);
        }
        assert_eq!(after_not_done(9, 10), Verdict::Again);
        assert_eq!(after_not_done(10, 10), Verdict::GiveUp);
    }

    #[test]
    fn waits_double_up_to_the_limit() {
        let limits = config::Tasks::default();
        let policy = RetryPolicy::default();
        let longest = |failed| failure_wait(failed, &policy, &limits, 1.0).as_secs();
        let bounds: Vec<_> = [1, 2, 3, 6, 7, 40, u32::MAX].map(longest).into();
        assert_eq!(bounds, [1, 2, 4, 32, 60, 60, 60]);
        let half = failure_wait(2, &policy, &limits, 0.5);
        assert_eq!(half, Duration::from_secs(1));
        assert_eq!(loss_wait(3, &limits, 1.0), Duration::from_secs(2));
    }

    proptest! {
        #[test]
        fn a_wait_lies_between_nothing_and_its_bound_and_never_overflows(
            first in 0..u64::MAX,
            failed in 0..u32::MAX,
            most in 0..u64::MAX,
            chance in proptest::num::f64::ANY,
        ) {
            let limits = config::Tasks {
                max_backoff: Span(Duration::from_millis(most)),
                ..config::Tasks::default()
            };
            let policy = RetryPolicy {
                max_attempts: 3,
                backoff: Span(Duration::from_millis(first)),
            };
            let wait = failure_wait(failed, &policy, &limits, chance);
            prop_assert!(wait <= limits.max_backoff.0);
            prop_assert!(wait <= failure_wait(failed, &policy, &limits, 1.0));
        }
    }
}
