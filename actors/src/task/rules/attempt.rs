//! What the end of an attempt leads to.

use protocol::{
    plan::Effect,
    task::{Event, Failure, Finding, Outcome, StepStatus},
    time::Timestamp,
    usage::Usage,
};

use super::{Moment, settled};
use crate::task::{
    Attempt, Step, Task,
    pause::yielded,
    retry::{self, Failed, Verdict},
    state::Ending,
};

/// Failures of calls that surely never reached the tool.
const NEVER_STARTED: [&str; 2] = ["connect", REFUSED];

/// The failure of what a host could not begin, for want of room or of its lease: the tool has no part in it.
const REFUSED: &str = "not_started";

/// What a result leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// It is recorded by these events.
    Counts(Vec<Event>),
    /// It was recorded before; the sender may forget it.
    Repeated,
    /// No attempt has this number and token; nothing is recorded.
    Foreign,
}

/// What follows from a result, where its agent reported what it took.
#[must_use]
pub fn at_cost(mut events: Vec<Event>, spent: Option<Usage>) -> Vec<Event> {
    for event in &mut events {
        if let Event::AttemptEnded { usage, .. } | Event::ResultCameLate { usage, .. } = event {
            *usage = spent;
        }
    }
    events
}

impl Task {
    /// What became of an attempt, from whoever ran it.
    #[must_use]
    pub fn receive(
        &self,
        step: &str,
        number: u32,
        token: &str,
        outcome: &Outcome,
        moment: Moment<'_>,
    ) -> Received {
        let found = self.position(step).and_then(|index| {
            let step = &self.steps[index];
            let attempt = step
                .attempts
                .iter()
                .find(|attempt| attempt.number == number)?;
            (attempt.token == token).then_some((step, attempt))
        });
        match found {
            None => Received::Foreign,
            Some((step, attempt)) if attempt.ended.is_none() => {
                Received::Counts(self.ended(step, number, outcome, 1, moment))
            }
            Some((step, attempt)) => match &attempt.ended {
                Some((_, Ending::Lost(_) | Ending::Cancelled | Ending::Interrupted))
                    if !attempt.late =>
                {
                    Received::Counts(vec![Event::ResultCameLate {
                        step: step.spec.id.clone(),
                        number,
                        outcome: outcome.clone(),
                        agent: attempt.agent_name.clone(),
                        usage: None,
                    }])
                }
                Some(_) | None => Received::Repeated,
            },
        }
    }

    /// What ran these attempts is gone: every attempt that `of` matches is lost.
    #[must_use]
    pub fn lose(
        &self,
        why: &Failure,
        moment: Moment<'_>,
        of: impl Fn(&Attempt) -> bool,
    ) -> Vec<Event> {
        let outcome = Outcome::Lost { error: why.clone() };
        self.end_all(&outcome, moment, of)
    }

    /// Attempts that surely never reached their tool and never will: those that `of` matches failed
    /// before they started.
    #[must_use]
    pub fn never_ran(
        &self,
        why: &Failure,
        moment: Moment<'_>,
        of: impl Fn(&Attempt) -> bool,
    ) -> Vec<Event> {
        let outcome = Outcome::Failed {
            error: why.clone(),
            retryable: true,
        };
        self.end_all(&outcome, moment, of)
    }

    fn end_all(
        &self,
        outcome: &Outcome,
        moment: Moment<'_>,
        of: impl Fn(&Attempt) -> bool,
    ) -> Vec<Event> {
        let lost = self.steps.iter().filter_map(|step| {
            let attempt = step.running().filter(|attempt| of(attempt))?;
            Some((step, attempt.number))
        });
        // Decided together: each one counts those before it among those that will be tried again.
        (1..)
            .zip(lost)
            .flat_map(|(ending, (step, number))| self.ended(step, number, outcome, ending, moment))
            .collect()
    }

    /// What a probe of a lost attempt leads to.
    #[must_use]
    pub fn probed(
        &self,
        step: &str,
        number: u32,
        finding: Finding,
        moment: Moment<'_>,
    ) -> Vec<Event> {
        let Some(step) = self.position(step).map(|index| &self.steps[index]) else {
            return Vec::new();
        };
        if step
            .to_probe()
            .is_none_or(|attempt| attempt.number != number)
        {
            return Vec::new();
        }
        let id = step.spec.id.clone();
        let follows = match &finding {
            Finding::Done { .. } => None,
            Finding::NotDone => {
                let verdict = retry::after_not_done(step.losses(), moment.limits.max_lost);
                // This step waits already.
                if verdict == Verdict::Again && self.may_try(step, 0) {
                    Some(again(step, moment.now))
                } else {
                    let why = Failure::new("not_done", "its probe found nothing done");
                    Some(quarantined(step, step.losses(), &why))
                }
            }
            Finding::Unknown { detail } => Some(Event::StepSettled {
                step: id.clone(),
                status: StepStatus::Unknown,
                error: Some(Failure::new("outcome_unknown", detail.clone())),
            }),
        };
        let probed = Event::Probed {
            step: id,
            number,
            finding,
        };
        std::iter::once(probed).chain(follows).collect()
    }

    /// `ending` steps that still run as the state says, this one among them, are decided on.
    fn ended(
        &self,
        step: &Step,
        number: u32,
        outcome: &Outcome,
        ending: u32,
        moment: Moment<'_>,
    ) -> Vec<Event> {
        let attempt = step
            .attempts
            .iter()
            .find(|attempt| attempt.number == number);
        let ended = Event::AttemptEnded {
            step: step.spec.id.clone(),
            number,
            agent: attempt
                .map(|attempt| attempt.agent_name.clone())
                .unwrap_or_default(),
            started_at: attempt.map_or(moment.now, |attempt| attempt.started_at),
            outcome: outcome.clone(),
            usage: None,
        };
        let is_stopped = self.cancelling && !step.is_undo();
        let follows = if is_stopped && !self.is_in_doubt_after(step, outcome) {
            let is_done = matches!(outcome, Outcome::Succeeded { .. });
            (!is_done).then(|| settled(step, StepStatus::Cancelled, None))
        } else if attempt.is_some_and(|attempt| yielded(attempt, outcome)) {
            // It is ready again at once, and starts when nothing keeps it.
            None
        } else {
            match outcome {
                // It waits in no queue until people replied.
                Outcome::Succeeded { .. } | Outcome::Waits { .. } => None,
                Outcome::Failed { error, retryable } => {
                    Some(self.after_failure(step, error, *retryable, ending, moment))
                }
                Outcome::Lost { error } => self.after_loss(step, error, ending, moment),
                Outcome::Cancelled => {
                    let error =
                        Failure::new("stopped", "the agent was stopped while it ran the step");
                    self.after_loss(step, &error, ending, moment)
                }
            }
        };
        std::iter::once(ended).chain(follows).collect()
    }

    /// Whether it matters to a run that is being stopped if a call took effect, and nobody knows.
    fn is_in_doubt_after(&self, step: &Step, outcome: &Outcome) -> bool {
        let is_lost = matches!(outcome, Outcome::Lost { .. } | Outcome::Cancelled);
        let must_know = matches!(step.spec.effect, Effect::Guarded | Effect::Irreversible);
        self.run.is_some() && is_lost && must_know
    }

    fn after_failure(
        &self,
        step: &Step,
        error: &Failure,
        retryable: bool,
        ending: u32,
        moment: Moment<'_>,
    ) -> Event {
        if was_refused(error) {
            return after_refusal(step, error, moment);
        }
        let policy = step.retry();
        let failed = step.failures() + 1;
        let why = match retryable {
            _ if never_started(error) => Failed::BeforeStart,
            true => Failed::Transiently,
            false => Failed::ForGood,
        };
        let verdict = if self.may_try(step, ending) {
            retry::after_failure(why, step.spec.effect, failed, &policy)
        } else {
            Verdict::GiveUp
        };
        if verdict == Verdict::Again {
            let wait = retry::failure_wait(failed, &policy, moment.limits, moment.chance);
            again(step, moment.now.plus(wait))
        } else {
            settled(step, StepStatus::Failed, Some(error.clone()))
        }
    }

    /// Whether the task's budget leaves room for another attempt, beside the one that each step
    /// which waits still needs. `ending` steps that still run as the state says will wait too.
    /// Taking back what was done is always allowed.
    fn may_try(&self, step: &Step, ending: u32) -> bool {
        let waiting = u32::try_from(self.unsettled() - self.running()).unwrap_or(u32::MAX);
        let most = self.spec.budget.max_attempts.filter(|_| !step.is_undo());
        most.is_none_or(|most| {
            let needed = waiting.saturating_add(ending);
            self.attempts().saturating_add(needed) <= most
        })
    }

    /// The steps of a run for which its budget has no attempt left: they fail without one. How many steps
    /// a run will have is not known when it is submitted, so they are counted as they come: the first that
    /// was ready is the first to be served, after those that are to be taken up again when people replied.
    #[must_use]
    pub fn out_of_attempts(&self) -> Vec<Event> {
        let most = self.spec.budget.max_attempts;
        let Some(most) = most.filter(|_| self.run.is_some() && self.goes_on()) else {
            return Vec::new();
        };
        let suspended = self
            .steps
            .iter()
            .filter(|step| !step.status.is_settled() && step.asks.waits());
        let left = (most as usize)
            .saturating_sub(self.attempts() as usize)
            .saturating_sub(suspended.count());
        // What a probe is to find out may need no other attempt.
        let next = self
            .frontier()
            .filter(|(_, step)| !step.is_undo() && step.to_probe().is_none());
        let message = format!("the budget allows no more attempts than {most}");
        let error = Failure::new("attempt_limit", message);
        next.skip(left)
            .map(|(_, step)| settled(step, StepStatus::Failed, Some(error.clone())))
            .collect()
    }

    fn after_loss(
        &self,
        step: &Step,
        error: &Failure,
        ending: u32,
        moment: Moment<'_>,
    ) -> Option<Event> {
        let lost = step.losses() + 1;
        match retry::after_loss(step.spec.effect, lost, moment.limits.max_lost) {
            Verdict::Probe => None,
            Verdict::Again if self.may_try(step, ending) => {
                let wait = retry::loss_wait(lost, moment.limits, moment.chance);
                Some(again(step, moment.now.plus(wait)))
            }
            Verdict::Unknown => Some(settled(step, StepStatus::Unknown, Some(error.clone()))),
            Verdict::Again | Verdict::GiveUp => Some(quarantined(step, lost, error)),
        }
    }
}

/// What no host takes counts as what is lost does: apart, and not for ever.
fn after_refusal(step: &Step, error: &Failure, moment: Moment<'_>) -> Event {
    let refused = step.refusals() + 1;
    // It spent nothing of the budget, so that leaves room for it as it did before.
    let verdict = retry::after_not_done(refused, moment.limits.max_lost);
    if verdict == Verdict::Again {
        let wait = retry::loss_wait(refused, moment.limits, moment.chance);
        return again(step, moment.now.plus(wait));
    }
    let message = match refused {
        1 => error.message.clone(),
        _ => format!(
            "no host began it {refused} times in a row, at last because {}",
            error.message
        ),
    };
    let error = Failure::new(error.code.clone(), message);
    settled(step, StepStatus::Failed, Some(error))
}

/// Whether a call surely never reached its tool.
pub(in crate::task) fn never_started(error: &Failure) -> bool {
    NEVER_STARTED.contains(&error.code.as_str())
}

/// Whether a host could not begin it, so that neither its agent nor its policy is to answer for that.
pub(in crate::task) fn was_refused(error: &Failure) -> bool {
    error.code == REFUSED
}

fn quarantined(step: &Step, lost: u32, last: &Failure) -> Event {
    let message = format!(
        "{lost} attempts were lost, the last one because {}",
        last.message
    );
    let error = Failure::new("quarantined", message);
    settled(step, StepStatus::Failed, Some(error))
}

fn again(step: &Step, due: Timestamp) -> Event {
    Event::RetryScheduled {
        step: step.spec.id.clone(),
        due,
    }
}

/// A timed-out call may have taken effect: where that matters it is lost, elsewhere it failed.
#[must_use]
pub fn timed_out(effect: Effect, failure: Failure) -> Outcome {
    match effect {
        Effect::Pure | Effect::Idempotent => Outcome::Failed {
            error: failure,
            retryable: true,
        },
        Effect::Guarded | Effect::Irreversible => Outcome::Lost { error: failure },
    }
}
