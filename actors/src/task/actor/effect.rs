//! What a task does once its decisions are on disk.

use std::{sync::Arc, time::Duration};

use ::metrics::{counter, histogram};
use protocol::{
    entity::EntityId,
    id::{AgentId, NodeId},
    task::{Event, TokenHash},
};
use runtime::{journal, trace::Span};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Cx, flow::Ask, others::Put};
use crate::{
    Rejection,
    hold::News,
    host::Run,
    metrics,
    registry::Agent,
    task::{Attempt, Task, state::Ending},
};

/// Something that must not happen before the commit.
pub(super) enum Effect {
    /// Hand an attempt to its agent.
    Dispatch(Arc<Agent>, Box<Run>),
    /// Stop an attempt, for a reason that its past tells.
    Stop(NodeId, AgentId, TokenHash, Arc<str>),
    /// The task is over: another may come in its place.
    Leave,
    /// Something is over that belongs to a trace.
    Record(Box<Span>),
    /// Something took so long.
    Measure(Measure),
    /// Answer a client.
    Reply(Answer, Result<(), Rejection>),
    /// Tell an operator what was done.
    Tell(mpsc::UnboundedSender<News>, News),
    /// Make what a node waits for, unless it is there.
    Ask(Box<Ask>),
    /// Ask people what a step asks, unless they were.
    AskPeople(Box<Put>),
    /// The run that waits for this one is told how it ended.
    TellAbove,
    /// Nobody waits for the answer to this question any more.
    Withdraw(EntityId),
    /// Tell the sender of a result that it may forget it.
    Acknowledge(oneshot::Sender<()>),
}

impl Effect {
    pub(super) fn stop(attempt: &Attempt, why: &Arc<str>) -> Self {
        let token = attempt.token.clone();
        Self::Stop(attempt.node, attempt.agent, token, Arc::clone(why))
    }
}

/// What is counted once it is certain, and how long it took.
#[derive(Debug, Clone, Copy)]
pub(super) enum Measure {
    /// A step had an agent.
    Allocated(Duration),
    /// An attempt had its receipt.
    Attempted(&'static str, Duration),
    /// The task was settled.
    Settled(&'static str, Duration),
}

impl Measure {
    /// What an event that was just applied brought to its end.
    pub(super) fn of(task: &Task, event: &Event) -> Option<Self> {
        match event {
            Event::AttemptEnded { step, number, .. } => {
                let step = &task.steps[task.position(step)?];
                let attempt = step.attempts.iter().find(|one| one.number == *number)?;
                let (at, ending) = attempt.ended.as_ref()?;
                let outcome = match ending {
                    Ending::Succeeded => "succeeded",
                    Ending::Failed(_) => "failed",
                    Ending::Lost(_) => "lost",
                    Ending::Cancelled => "cancelled",
                    Ending::Interrupted => "interrupted",
                    Ending::Suspended => "suspended",
                };
                Some(Self::Attempted(outcome, at.since(attempt.started_at)))
            }
            Event::Settled { status, .. } => {
                let took = task.settled_at?.since(task.created_at);
                Some(Self::Settled(status.as_str(), took))
            }
            Event::Submitted { .. }
            | Event::Planned { .. }
            | Event::AttemptStarted { .. }
            | Event::Probed { .. }
            | Event::RetryScheduled { .. }
            | Event::StepSettled { .. }
            | Event::ResultCameLate { .. }
            | Event::Amended { .. }
            | Event::Assigned { .. }
            | Event::CancelRequested { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::AttemptInterrupted { .. }
            | Event::Replied { .. }
            | Event::Run { .. }
            | Event::Deleted { .. } => None,
        }
    }

    fn tell(self) {
        match self {
            Self::Allocated(took) => {
                histogram!(metrics::ALLOCATION_SECONDS).record(took.as_secs_f64());
            }
            Self::Attempted(outcome, took) => {
                counter!(metrics::ATTEMPTS, "outcome" => outcome).increment(1);
                histogram!(metrics::ATTEMPT_SECONDS, "outcome" => outcome)
                    .record(took.as_secs_f64());
            }
            Self::Settled(status, took) => {
                counter!(metrics::SETTLED, "status" => status).increment(1);
                histogram!(metrics::TASK_SECONDS).record(took.as_secs_f64());
            }
        }
    }
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dispatch(..) => "Dispatch",
            Self::Stop(..) => "Stop",
            Self::Leave => "Leave",
            Self::Record(_) => "Record",
            Self::Measure(_) => "Measure",
            Self::Reply(..) => "Reply",
            Self::Tell(..) => "Tell",
            Self::Ask(_) => "Ask",
            Self::AskPeople(_) => "AskPeople",
            Self::TellAbove => "TellAbove",
            Self::Withdraw(_) => "Withdraw",
            Self::Acknowledge(_) => "Acknowledge",
        })
    }
}

/// Carries out everything that waited for the commit.
pub(super) fn carry_out(cx: &mut Cx) -> Result<(), journal::Error> {
    cx.owned()?;
    for effect in std::mem::take(&mut cx.volatile.effects) {
        match effect {
            Effect::Dispatch(agent, run) => cx.services.hosts.dispatch(&agent, run),
            Effect::Stop(node, agent, token, why) => {
                cx.services.hosts.stop(node, agent, token, &why);
            }
            Effect::Leave => cx.services.admission.leave(),
            Effect::Record(span) => runtime::trace::record(*span),
            Effect::Measure(measure) => measure.tell(),
            // Nobody waits any more: no answer is needed.
            Effect::Reply(reply, answer) => drop(reply.send(answer)),
            Effect::Tell(sender, news) => drop(sender.send(news)),
            Effect::Ask(ask) => super::others::ask(cx, *ask),
            Effect::AskPeople(put) => super::others::ask_people(cx, *put),
            Effect::TellAbove => super::others::tell_above(cx),
            Effect::Withdraw(entity) => super::withdraw::withdraw(cx, entity),
            Effect::Acknowledge(sender) => drop(sender.send(())),
        }
    }
    if cx.state.to_probe().next().is_some() {
        super::step::probe_lost(cx);
    }
    Ok(())
}
