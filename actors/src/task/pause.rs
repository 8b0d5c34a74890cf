//! What keeps a task from going on, and what a pause that does not wait interrupts.

use protocol::{
    id::HoldId,
    plan::Effect,
    task::{Event, Outcome, TaskStatus},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{Attempt, Task};

/// One of the things that keep a task from going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The hold on a scope that the task is in; absent when the task itself was paused.
    pub hold: Option<HoldId>,
    /// Who asked for it.
    pub user: String,
    /// Why, in the client's words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Task {
    /// Whether there is something to pause: it has not reached its end, and is not asked to.
    fn may_pause(&self) -> bool {
        !self.status.is_terminal() && !self.cancelling
    }

    /// What keeps it from going on, the first first.
    #[must_use]
    pub fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    /// Nothing more is to start, because of `hold` or because a client asked it of this task.
    #[must_use]
    pub fn pause(&self, hold: Option<HoldId>, user: &str, reason: &str) -> Option<Event> {
        let already = self.pauses.iter().any(|pause| pause.hold == hold);
        (self.may_pause() && !already).then(|| Event::Paused {
            user: user.to_owned(),
            reason: reason.to_owned(),
            hold,
        })
    }

    /// What paused it does so no more.
    #[must_use]
    pub fn resume(&self, hold: Option<HoldId>, user: &str) -> Option<Event> {
        let paused = self.pauses.iter().any(|pause| pause.hold == hold);
        (self.may_pause() && paused).then(|| Event::Resumed {
            user: user.to_owned(),
            hold,
        })
    }

    /// Attempts that `of` matches are to end now and to be tried again. One that must not run twice
    /// goes on to its end.
    #[must_use]
    pub fn interrupt(&self, reason: &str, of: impl Fn(&Attempt) -> bool) -> Vec<Event> {
        if !self.may_pause() {
            return Vec::new();
        }
        let running = self.steps.iter().filter_map(|step| {
            let attempt = step.running().filter(|attempt| of(attempt))?;
            (!attempt.interrupted && step.spec.effect != Effect::Irreversible)
                .then_some((step, attempt))
        });
        running
            .map(|(step, attempt)| Event::AttemptInterrupted {
                step: step.spec.id.clone(),
                number: attempt.number,
                reason: reason.to_owned(),
            })
            .collect()
    }

    /// Attempts that are told to end and have not.
    pub fn interrupted(&self) -> impl Iterator<Item = &Attempt> {
        let running = self.steps.iter().filter_map(super::Step::running);
        running.filter(|attempt| attempt.interrupted)
    }

    pub(super) fn paused(&mut self, pause: Pause) {
        if self.status == TaskStatus::Executing {
            self.status = TaskStatus::Paused;
        }
        self.pauses.push(pause);
    }

    pub(super) fn resumed(&mut self, hold: Option<HoldId>, at: Timestamp) {
        let Some(first) = self.pauses.first().map(|pause| pause.since) else {
            return;
        };
        self.pauses.retain(|pause| pause.hold != hold);
        let Some(next) = self.pauses.first_mut() else {
            // Neither its wall time nor its steps' time to wait was running.
            self.paused_for += at.since(first);
            for index in self.frontier.clone() {
                let ready = &mut self.steps[index].ready_at;
                *ready = ready.map(|since| since.plus(at.since(since.max(first))));
            }
            if self.status == TaskStatus::Paused {
                self.status = TaskStatus::Executing;
            }
            return;
        };
        // It was paused all the while, whatever comes and goes.
        next.since = next.since.min(first);
    }
}

/// Whether an attempt that was told to end did so because of that.
pub(super) fn yielded(attempt: &Attempt, outcome: &Outcome) -> bool {
    attempt.interrupted
        && match outcome {
            Outcome::Cancelled => true,
            Outcome::Failed { error, .. } => super::rules::never_started(error),
            Outcome::Succeeded { .. } | Outcome::Lost { .. } => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_goes_on_when_the_last_of_what_paused_it_is_gone() {
        let mut task = Task::default();
        task.status = TaskStatus::Executing;
        let hold = Some(HoldId::from_uuid(uuid::Uuid::from_u128(1)));
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        for (hold, since) in [(None, at(1)), (hold, at(2))] {
            assert!(task.pause(hold, "u", "").is_some());
            task.paused(Pause {
                hold,
                user: "u".to_owned(),
                reason: String::new(),
                since,
            });
            assert_eq!(task.pause(hold, "u", ""), None, "it is paused once by each");
        }
        task.resumed(None, at(5));
        assert_eq!(task.status, TaskStatus::Paused);
        task.resumed(hold, at(9));
        assert_eq!(task.status, TaskStatus::Executing);
        assert_eq!(task.paused_for.as_secs(), 8);
        assert_eq!(task.resume(hold, "u"), None);
    }
}
