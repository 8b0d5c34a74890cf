//! What may happen next to a task, and what follows when it does.

use protocol::{
    allocation::ScoreCard,
    id::{AgentId, NodeId},
    plan::Effect,
    task::{Event, Failure, Finding, Outcome, StepStatus, TaskStatus, TokenHash},
    time::Timestamp,
    usage::Usage,
};

use super::{
    Attempt, Step, Task,
    pause::yielded,
    retry::{self, Failed, Verdict},
    state::Ending,
};
use crate::config;

/// Failures of calls that surely never reached the tool.
const NEVER_STARTED: [&str; 2] = ["connect", "not_started"];

/// To whom an attempt is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignee {
    /// The agent.
    pub agent: AgentId,
    /// Its name.
    pub agent_name: String,
    /// The node of its proxy.
    pub node: NodeId,
    /// Its name.
    pub node_name: String,
    /// Why this agent.
    pub card: ScoreCard,
}

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

/// What a task's moment depends on, beside its own state.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Now.
    pub now: Timestamp,
    /// A number from 0 up to 1, for jitter.
    pub chance: f64,
    /// Limits that the operator set.
    pub limits: &'a config::Tasks,
}

impl Task {
    /// Whether new attempts may start at all.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.status == TaskStatus::Executing && !self.cancelling && !self.breaks()
    }

    /// Whether it fails: what has not started never does.
    pub(super) fn breaks(&self) -> bool {
        self.broken().is_some() || self.is_broke()
    }

    /// Steps that may be given to an agent now.
    pub fn ready(&self, now: Timestamp) -> impl Iterator<Item = (usize, &Step)> {
        self.frontier().filter(move |(_, step)| {
            (step.is_undo() || self.goes_on() && !self.is_overdue(now))
                && step.retry_at.is_none_or(|due| due <= now)
                && step.to_probe().is_none()
        })
    }

    /// Steps whose last attempt must be probed before anything else.
    pub fn to_probe(&self) -> impl Iterator<Item = (&Step, &Attempt)> {
        self.frontier()
            .filter_map(|(_, step)| step.to_probe().map(|attempt| (step, attempt)))
    }

    /// When something is to be looked at again: a retry or the end of the wall time. What is due
    /// at `now` already is not among it.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.status.is_terminal() || self.status == TaskStatus::Paused {
            return None;
        }
        let retries = self.frontier().filter_map(|(_, step)| step.retry_at);
        let waits = self.run.as_ref().and_then(|run| run.due());
        let start = self.run.as_ref().and(self.spec.start_at);
        retries
            .chain(waits)
            .chain(start)
            .chain(self.deadline().filter(|_| !self.breaks()))
            .filter(|due| *due > now)
            .min()
    }

    /// When its wall time is up, if it is limited and runs.
    fn deadline(&self) -> Option<Timestamp> {
        let wall = self.spec.budget.wall_time?;
        let runs = self.status != TaskStatus::Paused;
        let began = self.spec.start_at.unwrap_or_default().max(self.created_at);
        runs.then(|| began.plus(wall.0 + self.paused_for))
    }

    /// Whether its wall time is up: what still runs is to be stopped.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        !self.status.is_terminal() && self.deadline().is_some_and(|end| now >= end)
    }

    /// The intent to give a step to an agent, or why it must not be.
    ///
    /// # Errors
    ///
    /// When the step is not ready any more: the slot is to be given back.
    pub fn intend(
        &self,
        index: usize,
        to: Assignee,
        token: TokenHash,
        now: Timestamp,
    ) -> Result<Event, NotReady> {
        let (_, step) = self
            .ready(now)
            .find(|(other, _)| *other == index)
            .ok_or(NotReady)?;
        Ok(Event::AttemptStarted {
            step: step.spec.id.clone(),
            number: step.attempts.last().map_or(0, |attempt| attempt.number) + 1,
            agent: to.agent,
            agent_name: to.agent_name,
            node: to.node,
            node_name: to.node_name,
            token,
            card: Box::new(to.card),
        })
    }

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
                if verdict == Verdict::Again && self.may_try(0) {
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
        let policy = step.retry();
        let failed = step.failures() + 1;
        let why = match retryable {
            _ if never_started(error) => Failed::BeforeStart,
            true => Failed::Transiently,
            false => Failed::ForGood,
        };
        let verdict = if self.may_try(ending) {
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
    fn may_try(&self, ending: u32) -> bool {
        let waiting = u32::try_from(self.unsettled() - self.running()).unwrap_or(u32::MAX);
        self.spec.budget.max_attempts.is_none_or(|most| {
            let needed = waiting.saturating_add(ending);
            self.attempts().saturating_add(needed) <= most
        })
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
            Verdict::Again if self.may_try(ending) => {
                let wait = retry::loss_wait(lost, moment.limits, moment.chance);
                Some(again(step, moment.now.plus(wait)))
            }
            Verdict::Unknown => Some(settled(step, StepStatus::Unknown, Some(error.clone()))),
            Verdict::Again | Verdict::GiveUp => Some(quarantined(step, lost, error)),
        }
    }

    /// A client wants it stopped.
    #[must_use]
    pub fn cancel(&self, user: &str, reason: &str) -> Option<Event> {
        (!self.status.is_terminal() && !self.cancelling).then(|| Event::CancelRequested {
            user: user.to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// A step waited for an agent for too long, or the whole task took too long.
    #[must_use]
    pub fn expire(&self, now: Timestamp) -> Vec<Event> {
        if !self.goes_on() {
            return Vec::new();
        }
        if let Some(wall) = self.spec.budget.wall_time
            && self.is_overdue(now)
        {
            let error = Failure::new("timeout", format!("the task took longer than {wall}"));
            if self.run.is_some() {
                return vec![Self::times_out(error)];
            }
            let unsettled = self
                .steps
                .iter()
                .filter(|step| !step.status.is_settled() && step.running().is_none());
            return unsettled
                .take(1)
                .map(|step| {
                    let status = match step.to_probe() {
                        Some(_) => StepStatus::Unknown,
                        None => StepStatus::Failed,
                    };
                    settled(step, status, Some(error.clone()))
                })
                .collect();
        }
        let Some(queue) = self.spec.budget.queue_time else {
            return Vec::new();
        };
        self.ready(now)
            .filter(|(_, step)| {
                step.ready_at
                    .is_some_and(|since| now >= since.plus(queue.0))
            })
            .map(|(_, step)| {
                let error = Failure::new(
                    "queue_timeout",
                    format!("no agent was free for it within {queue}"),
                );
                settled(step, StepStatus::Failed, Some(error))
            })
            .collect()
    }
}

/// Where an attempt is that was under way when its task was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// Its node is gone: it is lost.
    Gone,
    /// It was this node's: it is lost unless it runs here.
    Here,
    /// Another node lives that may run it, and is to be asked.
    Elsewhere,
}

/// Where to look for an attempt that was given to a node.
#[must_use]
pub fn sighting(node: NodeId, me: NodeId, gone: impl FnOnce(NodeId) -> bool) -> Sighting {
    if node == me {
        Sighting::Here
    } else if gone(node) {
        Sighting::Gone
    } else {
        Sighting::Elsewhere
    }
}

/// Whether a call surely never reached its tool.
pub(super) fn never_started(error: &Failure) -> bool {
    NEVER_STARTED.contains(&error.code.as_str())
}

/// The step cannot be started now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the step is not ready")]
pub struct NotReady;

pub(super) fn settled(step: &Step, status: StepStatus, error: Option<Failure>) -> Event {
    Event::StepSettled {
        step: step.spec.id.clone(),
        status,
        error,
    }
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
