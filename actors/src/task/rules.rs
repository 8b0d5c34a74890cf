//! What may happen next to a task, and what follows when it does.

mod attempt;

use protocol::{
    allocation::ScoreCard,
    id::{AgentId, NodeId},
    task::{Event, Failure, StepStatus, TaskStatus, TokenHash},
    time::Timestamp,
};

pub use self::attempt::{Received, at_cost, timed_out};
pub(super) use self::attempt::{never_started, was_refused};
use super::{Attempt, Step, Task};
use crate::config;

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
                && step.waits_until(now).is_none()
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
