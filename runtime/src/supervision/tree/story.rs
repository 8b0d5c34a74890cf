//! What happened to an actor, as far as it is kept: its last failures and the last turns of its life.

use std::{collections::VecDeque, time::Duration};

use protocol::{
    api::{ActorLink, Life},
    time::Timestamp,
};

use super::ear::Heard;
use crate::{redact::redact, supervision::actor::KILLED};

/// So many failures are kept.
pub(super) const FAILURES: usize = 3;
/// So many turns of a life are kept.
pub(super) const EPISODES: usize = 20;
/// So many are kept of which no reader of the log has been told: what many do to one actor in a second.
const UNTOLD: usize = 128;
/// The length in bytes from which an error text is cut.
const LONGEST_ERROR: usize = 1_000;

/// How and when an actor failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When its supervisor heard of it.
    pub at: Timestamp,
    /// The error and what caused it, or the text of the panic.
    pub error: String,
}

impl Failure {
    /// What failed, and when.
    #[must_use]
    pub fn new(at: Timestamp, error: impl Into<String>) -> Self {
        let error = error.into();
        Self { at, error }
    }
}

/// One turn of a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Episode {
    pub(super) at: Timestamp,
    pub(super) what: Life,
    pub(super) reason: Option<String>,
}

impl Episode {
    pub(super) const fn new(at: Timestamp, what: Life, reason: Option<String>) -> Self {
        Self { at, what, reason }
    }

    /// Whether it is told also of one that began and ended while nobody looked: a failure, or what
    /// somebody did.
    pub(super) fn is_worth(&self) -> bool {
        self.what == Life::Failed || (self.what == Life::Stopped && self.reason.is_some())
    }
}

/// Work that is no message: what it is, since when, and how long it is expected to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) what: Box<str>,
    pub(super) since: Duration,
    pub(super) expected: Duration,
}

#[derive(Debug)]
pub(super) struct Story {
    pub(super) work: Option<Work>,
    /// What it says that it has to do with others.
    pub(super) links: Vec<ActorLink>,
    /// The messages that it handled, while somebody asks for them.
    pub(super) heard: Option<Heard>,
    /// When its first incarnation began.
    since: Timestamp,
    restored_from: Option<Box<str>>,
    /// Why it ends, when somebody asked for that.
    farewell: Option<Box<str>>,
    failures: VecDeque<Failure>,
    /// When it failed by itself: whoever kills it says nothing of how it does.
    crashes: VecDeque<Timestamp>,
    /// The newest last.
    episodes: VecDeque<Episode>,
    /// How many of the newest no reader of the log has been told.
    untold: usize,
}

impl Story {
    pub(super) const fn since(since: Timestamp) -> Self {
        Self {
            work: None,
            links: Vec::new(),
            heard: None,
            since,
            restored_from: None,
            farewell: None,
            failures: VecDeque::new(),
            crashes: VecDeque::new(),
            episodes: VecDeque::new(),
            untold: 0,
        }
    }

    pub(super) fn add(&mut self, episode: Episode) {
        self.episodes.push_back(episode);
        self.untold = (self.untold + 1).min(UNTOLD);
        self.trim();
    }

    fn trim(&mut self) {
        let kept = self.untold.max(EPISODES);
        let surplus = self.episodes.len().saturating_sub(kept);
        self.episodes.drain(..surplus);
    }

    /// It failed; answers with what is told of that.
    pub(super) fn fail(&mut self, at: Timestamp, error: &str) -> String {
        // Somebody killed it, who is told of instead.
        let killer = self.farewell.take_if(|_| error == KILLED);
        if killer.is_none() {
            if self.crashes.len() == FAILURES {
                self.crashes.pop_front();
            }
            self.crashes.push_back(at);
        }
        let error = killer.map_or_else(|| fit(error), String::from);
        if self.failures.len() == FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back(Failure {
            at,
            error: error.clone(),
        });
        self.add(Episode::new(at, Life::Failed, Some(error.clone())));
        error
    }

    /// Another incarnation begins, perhaps because somebody wanted that.
    pub(super) fn begin_again(&mut self, at: Timestamp) {
        let why = self.farewell.take().map(String::from);
        self.add(Episode::new(at, Life::Restarted, why));
    }

    /// It failed in an earlier life, of which its readers were told then.
    pub(super) fn recall(&mut self, failures: Vec<Failure>) {
        let surplus = failures.len().saturating_sub(FAILURES);
        let failures = failures.into_iter().skip(surplus);
        self.failures = failures
            .map(|it| Failure::new(it.at, fit(&it.error)))
            .collect();
        self.crashes = self.failures.iter().map(|failure| failure.at).collect();
    }

    pub(super) fn move_from(&mut self, at: Timestamp, from: &str) {
        self.restored_from = Some(from.into());
        self.add(Episode::new(at, Life::Moved, None));
    }

    pub(super) fn ends_because(&mut self, why: &str) {
        self.farewell = Some(fit(why).into());
    }

    pub(super) fn farewell(&self) -> Option<String> {
        self.farewell.as_deref().map(str::to_owned)
    }

    pub(super) fn failures(&self) -> Vec<Failure> {
        self.failures.iter().cloned().collect()
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.failures.back().map(|last| last.error.clone())
    }

    pub(super) fn restored_from(&self) -> Option<&str> {
        self.restored_from.as_deref()
    }

    pub(super) const fn began(&self) -> Timestamp {
        self.since
    }

    pub(super) fn episodes(&self) -> impl Iterator<Item = &Episode> {
        let surplus = self.episodes.len().saturating_sub(EPISODES);
        self.episodes.iter().skip(surplus)
    }

    /// What no reader of the log was told; told from here on.
    pub(super) fn take_untold(&mut self) -> Vec<Episode> {
        let told = self.episodes.len() - self.untold.min(self.episodes.len());
        let untold = self.episodes.iter().skip(told).cloned().collect();
        self.untold = 0;
        self.trim();
        untold
    }

    /// When it has failed by itself so often that only the last `within` matters: the first of those
    /// kept.
    pub(super) fn third_last_crash(&self) -> Option<Timestamp> {
        let full = self.crashes.len() == FAILURES;
        self.crashes.front().copied().filter(|_| full)
    }

    /// Whether the last that happened to it was a failure.
    pub(super) fn ended_in_failure(&self) -> bool {
        let last = self.episodes.back();
        last.is_some_and(|last| matches!(last.what, Life::Failed | Life::Parked))
    }
}

/// An error as it may be shown and kept: without secrets, and no longer than it need be.
fn fit(error: &str) -> String {
    let error = redact(error);
    if error.len() <= LONGEST_ERROR {
        return error.into_owned();
    }
    format!("{}…", &error[..error.floor_char_boundary(LONGEST_ERROR)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let mut story = Story::since(Timestamp::default());
        story.fail(Timestamp::default(), &"é".repeat(LONGEST_ERROR));
        let error = story.last_error().unwrap();
        assert!(error.ends_with("é…") && error.len() <= LONGEST_ERROR + 3);
    }

    #[test]
    fn a_secret_in_an_error_is_not_kept() {
        let mut story = Story::since(Timestamp::default());
        story.fail(Timestamp::default(), "no luck with password=hunter2");
        story.recall(story.failures());
        let kept = format!("{story:?}");
        assert!(
            kept.contains("password=[redacted]") && !kept.contains("hunter2"),
            "{kept}"
        );
    }

    #[test]
    fn each_turn_is_told_once_of_many_the_last_ones_and_the_last_twenty_are_kept() {
        let mut story = Story::since(Timestamp::default());
        let turn = |at| Episode::new(Timestamp::from_micros(at), Life::Restarted, None);
        story.add(turn(1));
        assert_eq!(story.take_untold(), [turn(1)]);
        assert_eq!(story.take_untold(), []);
        for (count, told) in [(38, 38), (500, UNTOLD)] {
            (0..count).for_each(|at| story.add(turn(at)));
            assert_eq!(story.episodes().count(), EPISODES);
            let untold = story.take_untold();
            assert_eq!(
                (untold.len(), untold.last()),
                (told, Some(&turn(count - 1)))
            );
            assert_eq!(story.episodes.len(), EPISODES);
        }
    }
}
