//! What each event makes of a task.

use protocol::{
    record::Summary,
    task::{EVENT_VERSION, Event, Finding},
    time::Timestamp,
};
use runtime::journal::EventSourced;

use super::{Attempt, Task};
use crate::task::{
    ending::by,
    pause::{Cause, Pause},
    view,
};

impl EventSourced for Task {
    type Event = Event;
    const EVENT_VERSION: u16 = EVENT_VERSION;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, at: Timestamp) {
        let is_run = self.run.is_some() || matches!(event, Event::Submitted { .. });
        match is_run.then(|| self.large.take_in(event)).flatten() {
            Some(folded) => self.happened(&folded, at),
            None => self.happened(event, at),
        }
    }

    fn summary(&self) -> Summary {
        view::index(self)
    }
}

impl Task {
    fn happened(&mut self, event: &Event, at: Timestamp) {
        // An event of a step that the plan does not hold changes nothing.
        let place = |step: &str| self.position(step);
        match event {
            Event::Submitted { spec, user, trace } => {
                self.spec = (**spec).clone();
                self.user.clone_from(user);
                self.trace = *trace;
                self.created_at = at;
            }
            Event::Planned { plan } => self.plan(plan, at),
            Event::AttemptStarted {
                step,
                number,
                agent,
                agent_name,
                node,
                node_name,
                token,
                card,
            } => {
                if let Some(index) = place(step) {
                    let attempt = Attempt {
                        number: *number,
                        agent: *agent,
                        agent_name: agent_name.clone(),
                        node: *node,
                        node_name: node_name.clone(),
                        token: token.clone(),
                        card: (**card).clone(),
                        started_at: at,
                        ended: None,
                        late: false,
                        interrupted: false,
                        usage: None,
                    };
                    self.start(index, attempt);
                }
            }
            Event::AttemptEnded {
                step,
                number,
                outcome,
                usage,
                ..
            } => {
                if let Some(index) = place(step) {
                    self.end(index, *number, outcome, at);
                }
                if let Some(attempt) = self.attempt_mut(step, *number) {
                    attempt.usage = *usage;
                }
            }
            Event::Probed { step, finding, .. } => {
                if let (Some(index), Finding::Done { output }) = (place(step), finding) {
                    self.complete(index, output.clone(), at);
                }
            }
            Event::RetryScheduled { step, due } => {
                if let Some(index) = place(step) {
                    self.steps[index].retry_at = Some(*due);
                    self.steps[index].ready_at = Some(*due);
                }
            }
            Event::StepSettled {
                step,
                status,
                error,
            } => {
                if let Some(index) = place(step) {
                    self.settle_step(index, *status, error.clone(), at);
                }
            }
            Event::ResultCameLate {
                step,
                number,
                usage,
                ..
            } => {
                if let Some(attempt) = self.attempt_mut(step, *number) {
                    attempt.late = true;
                    attempt.usage = usage.or(attempt.usage);
                }
            }
            Event::Amended {
                description,
                priority,
                metadata,
            } => {
                if let Some(description) = description {
                    self.spec.description.clone_from(description);
                }
                self.spec.priority = priority.unwrap_or(self.spec.priority);
                if let Some(metadata) = metadata {
                    self.spec.metadata.clone_from(metadata);
                }
            }
            Event::Assigned { step, agent } => {
                if let Some(index) = place(step) {
                    self.steps[index].assigned = Some(agent.clone());
                }
            }
            Event::CancelRequested { user, reason } => {
                self.cancelling = true;
                self.stopped_by = Some(by(user, "cancelled", reason).into());
            }
            Event::Paused {
                user,
                reason,
                hold,
                above,
            } => self.paused(Pause {
                hold: *hold,
                above: *above,
                user: user.clone(),
                reason: reason.clone(),
                since: at,
            }),
            Event::Resumed { user, hold, above } => {
                let by = Cause::new(*hold, *above);
                if by == Cause::Own {
                    self.resumed_by = Some(user.clone());
                }
                self.resumed(by, at);
            }
            Event::Replied {
                step,
                question,
                reply,
            } => {
                if let Some(index) = place(step) {
                    self.replied(index, *question, reply, at);
                }
            }
            Event::AttemptInterrupted { step, number, .. } => {
                if let Some(attempt) = self.attempt_mut(step, *number) {
                    attempt.interrupted = true;
                }
            }
            Event::Run { event } => self.goes_round(event, at),
            Event::Settled {
                status,
                result,
                error,
            } => {
                self.settle(*status, result.clone(), error.clone(), at);
            }
            Event::Deleted { .. } => self.deleted = true,
        }
    }
}
