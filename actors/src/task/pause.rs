//! What keeps a task from going on, and what a pause that does not wait interrupts.

use protocol::{
    id::{HoldId, TaskId},
    plan::Effect,
    task::{Event, Outcome, TaskStatus},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{Attempt, Task};

/// Who is named where nobody knows which operator it was.
pub const OPERATOR: &str = "operator";

/// What keeps a task from going on; only the end of the same lets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was paused itself.
    Own,
    /// A hold on a scope that it is in.
    Hold(HoldId),
    /// A task was paused of which it is a part, or a part of a part.
    Above(TaskId),
}

impl Cause {
    pub(super) const fn new(hold: Option<HoldId>, above: Option<TaskId>) -> Self {
        match (hold, above) {
            (Some(hold), _) => Self::Hold(hold),
            (None, Some(task)) => Self::Above(task),
            (None, None) => Self::Own,
        }
    }

    const fn hold(self) -> Option<HoldId> {
        match self {
            Self::Hold(hold) => Some(hold),
            Self::Own | Self::Above(_) => None,
        }
    }

    const fn above(self) -> Option<TaskId> {
        match self {
            Self::Above(task) => Some(task),
            Self::Own | Self::Hold(_) => None,
        }
    }
}

/// How a task stands of which another is a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It goes on, as far as it was not paused itself; whoever resumed it last, if anybody did.
    Open(Option<String>),
    /// It was paused itself.
    Paused(Pause),
    /// It is over, and its pause with it.
    Over,
    /// It was cancelled, or is being cancelled; whoever does that ends its parts.
    Stopped,
}

/// One of the things that keep a task from going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The hold on a scope that the task is in; absent when the task itself was paused.
    pub hold: Option<HoldId>,
    /// The task that was paused, of which this one is a part.
    #[serde(default)]
    pub above: Option<TaskId>,
    /// Who asked for it.
    pub user: String,
    /// Why, in the client's words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Pause {
    /// What it is that keeps the task.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        Cause::new(self.hold, self.above)
    }
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

    /// Nothing more is to start.
    #[must_use]
    pub fn pause(&self, by: Cause, user: &str, reason: &str) -> Option<Event> {
        (self.may_pause() && !self.is_paused_by(by)).then(|| Event::Paused {
            user: user.to_owned(),
            reason: reason.to_owned(),
            hold: by.hold(),
            above: by.above(),
        })
    }

    /// What paused it does so no more.
    #[must_use]
    pub fn resume(&self, by: Cause, user: &str) -> Option<Event> {
        (self.may_pause() && self.is_paused_by(by)).then(|| Event::Resumed {
            user: user.to_owned(),
            hold: by.hold(),
            above: by.above(),
        })
    }

    fn is_paused_by(&self, cause: Cause) -> bool {
        self.pauses.iter().any(|pause| pause.cause() == cause)
    }

    /// Why it was paused itself, if it was.
    #[must_use]
    pub fn own_pause(&self) -> Option<&Pause> {
        let mut pauses = self.pauses.iter();
        pauses.find(|pause| pause.cause() == Cause::Own)
    }

    /// The tasks above it because of which it rests.
    pub fn rests_with(&self) -> impl Iterator<Item = TaskId> {
        self.pauses.iter().filter_map(|pause| pause.above)
    }

    /// What is to be recorded so that it rests exactly with those of which it is a part, as they stand.
    #[must_use]
    pub fn align(&self, above: &[(TaskId, Standing)]) -> Vec<Event> {
        let turn = |(task, standing): &(TaskId, Standing)| match standing {
            Standing::Paused(pause) => self.pause(Cause::Above(*task), &pause.user, &pause.reason),
            Standing::Open(by) => {
                let by = by.as_deref().unwrap_or(OPERATOR);
                self.resume(Cause::Above(*task), by)
            }
            // Nobody could let it go on any more.
            Standing::Over => self.resume(Cause::Above(*task), "recovery"),
            Standing::Stopped => None,
        };
        above.iter().filter_map(turn).collect()
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

    pub(super) fn resumed(&mut self, by: Cause, at: Timestamp) {
        let Some(first) = self.pauses.first().map(|pause| pause.since) else {
            return;
        };
        self.pauses.retain(|pause| pause.cause() != by);
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
            Outcome::Succeeded { .. } | Outcome::Lost { .. } | Outcome::Waits { .. } => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn task(number: u128) -> TaskId {
        TaskId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn pause(by: Cause, since: i64) -> Pause {
        Pause {
            hold: by.hold(),
            above: by.above(),
            user: "u".to_owned(),
            reason: String::new(),
            since: seconds(since),
        }
    }

    fn executing() -> Task {
        let mut task = Task::default();
        task.status = TaskStatus::Executing;
        task
    }

    #[test]
    fn a_task_goes_on_when_the_last_of_what_paused_it_is_gone() {
        let mut one = executing();
        let hold = Cause::Hold(HoldId::from_uuid(uuid::Uuid::from_u128(1)));
        let above = Cause::Above(task(1));
        for (by, since) in [(Cause::Own, 1), (hold, 2), (above, 3)] {
            assert!(one.pause(by, "u", "").is_some());
            one.paused(pause(by, since));
            assert_eq!(one.pause(by, "u", ""), None, "it is paused once by each");
        }
        one.resumed(Cause::Own, seconds(5));
        one.resumed(above, seconds(6));
        assert_eq!(one.status, TaskStatus::Paused);
        one.resumed(hold, seconds(9));
        assert_eq!(one.status, TaskStatus::Executing);
        assert_eq!(one.paused_for.as_secs(), 8);
        assert_eq!(one.resume(hold, "u"), None);
    }

    #[test]
    fn a_part_rests_with_those_above_it_that_are_paused_and_keeps_its_own_pause() {
        let mut part = executing();
        part.paused(pause(Cause::Own, 1));
        part.paused(pause(Cause::Above(task(2)), 1));
        part.paused(pause(Cause::Above(task(3)), 1));
        part.paused(pause(Cause::Above(task(4)), 1));
        let above = [
            (task(1), Standing::Paused(pause(Cause::Own, 1))),
            (task(2), Standing::Open(Some("zed".to_owned()))),
            (task(3), Standing::Stopped),
            (task(4), Standing::Over),
        ];
        let events = part.align(&above);
        let [
            Event::Paused {
                above: Some(of), ..
            },
            Event::Resumed {
                above: Some(no),
                user,
                ..
            },
            Event::Resumed {
                above: Some(over), ..
            },
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!((*of, *no, *over), (task(1), task(2), task(4)));
        assert_eq!(user, "zed", "who let the whole go on");
    }
}
