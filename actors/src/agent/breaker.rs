//! When an agent whose calls keep failing is left alone, and when it is tried again.

use std::time::Duration;

use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config;

/// Watches the calls of one agent. Closed, it lets all pass; too many failures in a row open it
/// for a while; then one call at a time is let through, and its end decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    pause: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many calls failed in a row.
    Closed {
        failed: u32,
    },
    Open {
        until: Timestamp,
    },
    /// A call is on trial; another may follow after `until`, should nothing be heard of it.
    Trial {
        until: Timestamp,
    },
}

/// Where a breaker stands, as the API prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Calls pass.
    Closed,
    /// No call passes.
    Open,
    /// One call passes, or is on its way.
    HalfOpen,
}

impl Position {
    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Leave to make one call; handed back with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the breaker learns from the end of the call"]
pub enum Pass {
    /// One of many.
    Ordinary,
    /// The one whose end decides.
    Trial,
}

/// How a call ended, as far as the agent's health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// The agent answered.
    Succeeded,
    /// It failed, or did not answer.
    Failed,
    /// It was stopped on request, which says nothing of the agent.
    Stopped,
}

impl Breaker {
    /// Closed, under these settings.
    #[must_use]
    pub fn new(settings: &config::Breaker) -> Self {
        Self {
            failures: settings.failures.max(1),
            pause: settings.pause.0,
            state: State::Closed { failed: 0 },
        }
    }

    /// Whether a call would get through now.
    #[must_use]
    pub fn admits(&self, now: Timestamp) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } | State::Trial { until } => now >= until,
        }
    }

    /// Asks leave for a call. Without it, the moment before which asking again is in vain.
    ///
    /// # Errors
    ///
    /// While the agent is left alone.
    pub fn enter(&mut self, now: Timestamp) -> Result<Pass, Timestamp> {
        match self.state {
            State::Closed { .. } => Ok(Pass::Ordinary),
            State::Open { until } | State::Trial { until } if now < until => Err(until),
            State::Open { .. } | State::Trial { .. } => {
                let until = now.plus(self.pause);
                self.state = State::Trial { until };
                Ok(Pass::Trial)
            }
        }
    }

    /// Learns how a call ended.
    pub fn record(&mut self, pass: Pass, end: CallEnd, now: Timestamp) {
        self.state = match (self.state, pass, end) {
            (State::Closed { .. }, _, CallEnd::Succeeded) => State::Closed { failed: 0 },
            (State::Closed { failed }, _, CallEnd::Failed) => {
                let failed = failed.saturating_add(1);
                if failed >= self.failures {
                    let until = now.plus(self.pause);
                    State::Open { until }
                } else {
                    State::Closed { failed }
                }
            }
            // While it is not closed only a trial counts: calls from before say what is known.
            (State::Open { .. } | State::Trial { .. }, Pass::Trial, CallEnd::Succeeded) => {
                State::Closed { failed: 0 }
            }
            (State::Open { .. } | State::Trial { .. }, Pass::Trial, CallEnd::Failed) => {
                let until = now.plus(self.pause);
                State::Open { until }
            }
            // The trial told nothing; the next call is one.
            (State::Trial { .. }, Pass::Trial, CallEnd::Stopped) => State::Open { until: now },
            (state, _, CallEnd::Stopped) | (state, Pass::Ordinary, _) => state,
        };
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self, now: Timestamp) -> Position {
        match self.state {
            State::Closed { .. } => Position::Closed,
            State::Open { until } if now < until => Position::Open,
            State::Open { .. } | State::Trial { .. } => Position::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::time::Span;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn breaker() -> Breaker {
        Breaker::new(&config::Breaker {
            failures: 3,
            pause: Span(Duration::from_secs(10)),
        })
    }

    /// One that opened at 0.
    fn opened() -> Breaker {
        let mut breaker = breaker();
        for _ in 0..3 {
            let pass = breaker.enter(at(0)).unwrap();
            breaker.record(pass, CallEnd::Failed, at(0));
        }
        breaker
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        use CallEnd::{Failed, Stopped, Succeeded};
        for (ends, expected) in [
            ([Failed, Failed, Failed].as_slice(), Position::Open),
            (
                &[Failed, Failed, Succeeded, Failed, Failed],
                Position::Closed,
            ),
            (&[Failed, Failed, Stopped, Failed], Position::Open),
            (&[Failed, Failed, Stopped, Stopped], Position::Closed),
        ] {
            let mut breaker = breaker();
            for end in ends {
                let pass = breaker.enter(at(0)).unwrap();
                breaker.record(pass, *end, at(0));
            }
            assert_eq!(breaker.position(at(0)), expected, "{ends:?}");
        }
    }

    #[test]
    fn after_the_pause_one_call_is_tried_and_its_end_decides() {
        for (end, expected) in [
            (CallEnd::Succeeded, Position::Closed),
            (CallEnd::Failed, Position::Open),
            (CallEnd::Stopped, Position::HalfOpen),
        ] {
            let mut breaker = opened();
            assert_eq!(breaker.enter(at(9)), Err(at(10)));
            assert_eq!(breaker.position(at(9)), Position::Open);
            assert_eq!(breaker.position(at(10)), Position::HalfOpen);
            assert_eq!(breaker.enter(at(10)), Ok(Pass::Trial));
            assert_eq!(breaker.enter(at(10)), Err(at(20)), "one trial at a time");
            breaker.record(Pass::Trial, end, at(11));
            assert_eq!(breaker.position(at(11)), expected);
            assert_eq!(breaker.admits(at(11)), end != CallEnd::Failed);
        }
    }

    #[test]
    fn calls_from_before_it_opened_decide_nothing() {
        let mut breaker = opened();
        breaker.record(Pass::Ordinary, CallEnd::Succeeded, at(1));
        breaker.record(Pass::Ordinary, CallEnd::Failed, at(9));
        assert_eq!(breaker, opened());
    }

    #[test]
    fn a_trial_of_which_nothing_is_heard_is_followed_by_another() {
        let mut breaker = opened();
        assert_eq!(breaker.enter(at(12)), Ok(Pass::Trial));
        assert_eq!(breaker.enter(at(21)), Err(at(22)));
        assert_eq!(breaker.enter(at(22)), Ok(Pass::Trial));
    }

    proptest! {
        #[test]
        fn an_open_breaker_lets_through_one_call_a_pause_at_most(
            acts in proptest::collection::vec((0..4_i64, 0..4_u8), 0..200),
        ) {
            let mut breaker = breaker();
            let mut now = 0;
            let mut passes = Vec::new();
            let mut failed_in_a_row = 0;
            let mut last_trial: Option<i64> = None;
            for (passed, act) in acts {
                now += passed;
                let was_closed = breaker.position(at(now)) == Position::Closed;
                let end = match act {
                    0 => {
                        prop_assert_eq!(breaker.admits(at(now)), breaker.clone().enter(at(now)).is_ok());
                        match breaker.enter(at(now)) {
                            Ok(pass) => {
                                prop_assert_eq!(was_closed, pass == Pass::Ordinary);
                                if pass == Pass::Trial {
                                    passes.retain(|pass| *pass != Pass::Trial);
                                    prop_assert!(last_trial.is_none_or(|last| now - last >= 10));
                                    last_trial = Some(now);
                                }
                                passes.push(pass);
                            }
                            Err(until) => prop_assert!(until > at(now) && !was_closed),
                        }
                        continue;
                    }
                    1 => CallEnd::Succeeded,
                    2 => CallEnd::Failed,
                    _ => CallEnd::Stopped,
                };
                let Some(pass) = passes.pop() else { continue };
                breaker.record(pass, end, at(now));
                if pass == Pass::Trial {
                    // A trial that told something lets the next one come sooner.
                    last_trial = None;
                }
                let closed = breaker.position(at(now)) == Position::Closed;
                failed_in_a_row = match (was_closed, end) {
                    (true, CallEnd::Failed) => failed_in_a_row + 1,
                    (true, CallEnd::Stopped) => failed_in_a_row,
                    (true, CallEnd::Succeeded) | (false, _) => 0,
                };
                if was_closed {
                    prop_assert_eq!(closed, failed_in_a_row < 3);
                } else {
                    prop_assert_eq!(closed, pass == Pass::Trial && end == CallEnd::Succeeded);
                }
            }
        }
    }
}
