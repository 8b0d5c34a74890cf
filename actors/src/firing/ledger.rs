//! What is to be started, and what became of what was.

use std::{collections::VecDeque, time::Duration};

use protocol::{
    api::{FiringState, FiringView},
    id::TaskId,
    plan::RetryPolicy,
    schedule::{Cause, Passing, Target},
    task::Failure,
    time::{Span, Timestamp},
    trigger::Occasion,
};
use serde::{Deserialize, Serialize};

/// Entries that are kept for people; what is not settled is kept beyond that.
const KEPT: usize = 100;

/// The longest wait before a run is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How often a run is tried when nothing is said: long enough for a node that has just started to hear
/// of every agent.
const PATIENT: RetryPolicy = RetryPolicy {
    max_attempts: 5,
    backoff: Span(Duration::from_secs(1)),
};

/// How far something has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its run is to be made, not before this moment if there is one.
    Pending(Option<Timestamp>),
    /// Its run is there.
    Started,
    /// Its run could not be made, or was not to be.
    NotStarted,
    /// So many passed without a run.
    Passed(u64, Passing),
}

/// One slot, or one thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The slot of a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// What happened, for a trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occasion: Option<Occasion>,
    /// Why it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When that was decided.
    pub at: Timestamp,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<TaskId>,
    /// The run that is cancelled for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancels: Option<TaskId>,
    /// What is started, where that is not the same each time; gone when that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Box<Target>>,
    /// How many starts led to it, itself included.
    #[serde(default)]
    pub depth: u32,
    /// How far it has come.
    pub state: State,
    /// How often it was tried without success.
    #[serde(default)]
    pub tries: u32,
    /// Why that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl Entry {
    /// Something decided at `at`.
    #[must_use]
    pub const fn new(at: Timestamp, state: State) -> Self {
        Self {
            slot: None,
            occasion: None,
            cause: None,
            at,
            run: None,
            cancels: None,
            target: None,
            depth: 0,
            state,
            tries: 0,
            error: None,
        }
    }

    const fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending(_))
    }

    /// As clients see it; where the run stands, others know.
    #[must_use]
    pub fn view(&self) -> FiringView {
        let (state, retry_at, passed) = match self.state {
            State::Pending(retry_at @ Some(_)) => (FiringState::Retrying, retry_at, None),
            State::Pending(None) => (FiringState::Starting, None, None),
            State::Started => (FiringState::Started, None, None),
            State::NotStarted => (FiringState::NotStarted, None, None),
            State::Passed(count, why) => (FiringState::Passed, None, Some((count, why))),
        };
        FiringView {
            slot: self.slot,
            occasion: self.occasion.clone(),
            cause: self.cause,
            at: self.at,
            state,
            run: self.run,
            outcome: None,
            tries: self.tries,
            error: self.error.clone(),
            retry_at,
            count: passed.map(|(count, _)| count),
            why: passed.map(|(_, why)| why),
        }
    }
}

/// What is to be started, and the last of what was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    entries: VecDeque<Entry>,
    /// Runs that were to be started, so far.
    pub fired: u64,
    /// Slots that passed, so far.
    pub passed: u64,
    /// Runs that could not be started, so far.
    pub failed: u64,
    /// When one fired last.
    pub last_at: Option<Timestamp>,
    /// The run that fired last.
    pub last_run: Option<TaskId>,
}

impl Ledger {
    /// Takes an entry in.
    pub fn add(&mut self, entry: Entry) {
        match entry.state {
            State::Pending(_) | State::Started => {
                self.fired += 1;
                self.last_at = Some(entry.at);
                self.last_run = entry.run;
            }
            State::NotStarted => self.failed += 1,
            State::Passed(count, why) => {
                self.passed += count;
                // What passes time and again is one line for people.
                if let Some(last) = self.entries.back_mut()
                    && let State::Passed(before, same) = &mut last.state
                    && *same == why
                {
                    *before += count;
                    last.slot = entry.slot;
                    last.at = entry.at;
                    return;
                }
            }
        }
        self.entries.push_back(entry);
        while self.entries.len() > KEPT
            && let Some(oldest) = self.entries.iter().position(|entry| !entry.is_pending())
        {
            self.entries.remove(oldest);
        }
    }

    /// The run is there.
    pub fn started(&mut self, run: TaskId) {
        if let Some(entry) = self.entry(run) {
            entry.state = State::Started;
            entry.target = None;
            // What stood in its way does not any more.
            entry.error = None;
        }
    }

    /// The run could not be made.
    pub fn not_started(&mut self, run: TaskId, error: &Failure, retry_at: Option<Timestamp>) {
        let Some(entry) = self.entry(run) else {
            return;
        };
        entry.tries += 1;
        entry.error = Some(error.clone());
        match retry_at {
            Some(_) => entry.state = State::Pending(retry_at),
            None => {
                entry.state = State::NotStarted;
                entry.target = None;
                self.failed += 1;
            }
        }
    }

    fn entry(&mut self, run: TaskId) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .rev()
            .find(|entry| entry.run == Some(run))
    }

    /// What is to be made, the oldest first.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_pending())
    }

    /// What is to be made at `now`.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| match entry.state {
            State::Pending(not_before) => not_before.is_none_or(|moment| moment <= now),
            State::Started | State::NotStarted | State::Passed(..) => false,
        })
    }

    /// When something is to be tried again.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        let retries = self.pending().filter_map(|entry| match entry.state {
            State::Pending(retry_at) => retry_at,
            State::Started | State::NotStarted | State::Passed(..) => None,
        });
        retries.min()
    }

    /// When a run that was tried once more without success is tried again, if it is; `chance` is from 0
    /// to 1.
    #[must_use]
    pub fn next_try(
        &self,
        run: TaskId,
        policy: Option<&RetryPolicy>,
        now: Timestamp,
        chance: f64,
    ) -> Option<Timestamp> {
        let policy = policy.unwrap_or(&PATIENT);
        let entries = self.entries.iter().rev();
        let tries = entries.clone().find(|entry| entry.run == Some(run))?.tries + 1;
        if tries >= policy.max_attempts {
            return None;
        }
        let doublings = (tries - 1).min(16);
        let bound = policy.backoff.0.saturating_mul(1 << doublings);
        // Half of it for certain, so that who is not there yet has the time to come.
        let wait = bound
            .min(LONGEST_WAIT)
            .mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        Some(now.plus(wait))
    }

    /// The newest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn fired(ledger: &mut Ledger, number: u128) -> TaskId {
        let run = TaskId::from_uuid(Uuid::from_u128(number));
        let mut entry = Entry::new(at(1), State::Pending(None));
        entry.run = Some(run);
        ledger.add(entry);
        run
    }

    #[test]
    fn what_is_not_made_yet_is_never_forgotten() {
        let mut ledger = Ledger::default();
        let first = fired(&mut ledger, 0);
        for number in 1..1000 {
            let run = fired(&mut ledger, number);
            ledger.started(run);
        }
        assert_eq!(ledger.entries().count(), KEPT);
        let pending: Vec<_> = ledger.pending().filter_map(|entry| entry.run).collect();
        assert_eq!(pending, [first]);
        assert_eq!(ledger.fired, 1000);
    }

    #[test]
    fn a_run_that_cannot_be_made_is_tried_as_often_as_its_policy_says() {
        let mut ledger = Ledger::default();
        let run = fired(&mut ledger, 7);
        let policy = RetryPolicy {
            max_attempts: 3,
            backoff: Span(Duration::from_secs(10)),
        };
        let error = Failure::new("x", "y");
        let first = ledger.next_try(run, Some(&policy), at(0), 1.0);
        assert_eq!(first, Some(at(10)));
        ledger.not_started(run, &error, first);
        assert_eq!(
            (ledger.due(at(9)).count(), ledger.due(at(10)).count()),
            (0, 1)
        );
        let second = ledger.next_try(run, Some(&policy), at(10), 0.0);
        assert_eq!(second, Some(at(20)));
        ledger.not_started(run, &error, second);
        assert_eq!(ledger.next_try(run, Some(&policy), at(20), 1.0), None);
        ledger.not_started(run, &error, None);
        assert_eq!((ledger.pending().count(), ledger.failed), (0, 1));
    }

    #[test]
    fn a_run_that_is_made_at_last_shows_no_error() {
        let mut ledger = Ledger::default();
        let run = fired(&mut ledger, 7);
        ledger.not_started(run, &Failure::new("x", "y"), Some(at(10)));
        let shown = |ledger: &Ledger| ledger.entries().next().unwrap().error.clone();
        assert!(shown(&ledger).is_some());
        ledger.started(run);
        assert_eq!(shown(&ledger), None);
    }

    #[test]
    fn slots_that_pass_for_one_reason_are_one_entry() {
        let mut ledger = Ledger::default();
        for _ in 0..5 {
            ledger.add(Entry::new(at(1), State::Passed(2, Passing::Overlap)));
        }
        ledger.add(Entry::new(at(1), State::Passed(1, Passing::Missed)));
        assert_eq!((ledger.entries().count(), ledger.passed), (2, 11));
    }
}
