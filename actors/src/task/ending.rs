//! How a task comes to its end, and what comes of it.

use protocol::task::{Event, Failure, StepStatus, TaskStatus};
use serde_json::{Map, Value};

use super::{Step, Task, rules::settled};

/// Who did something, as the past of what they did it to tells it.
pub(crate) fn by(user: &str, done: &str, reason: &str) -> String {
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("{done} by {user}{colon}{reason}")
}

impl Task {
    /// Who had it stopped and why, in the words of its past: whose command was decided, whoever else
    /// gave one.
    #[must_use]
    pub fn stopped_by(&self) -> Option<&str> {
        let words = self.stopped_by.as_deref();
        // An older build kept no words.
        words.or(self.cancelling.then_some("cancelled"))
    }

    /// What follows from where the steps stand: steps that will not run, and the task's own end.
    /// To be asked after every change, until it answers nothing.
    #[must_use]
    pub fn conclude(&self) -> Vec<Event> {
        if !matches!(self.status, TaskStatus::Executing | TaskStatus::Paused) {
            return self.conclude_unplanned();
        }
        let mut events = Vec::new();
        if self.cancelling || self.breaks() {
            // What a run began and had to stop was not passed over.
            let status = |step: &Step| match self.cancelling
                || self.run.is_some() && !step.attempts.is_empty()
            {
                true => StepStatus::Cancelled,
                false => StepStatus::Skipped,
            };
            let idle = self
                .steps
                .iter()
                .filter(|step| !step.status.is_settled() && step.running().is_none())
                .filter(|step| !step.is_undo());
            events.extend(idle.filter_map(|step| match step.to_probe() {
                // What it did a run takes back.
                Some(_) if self.run.is_some() => self.is_terminated().then(|| {
                    let why = Failure::new("outcome_unknown", "its agent was not asked any more");
                    settled(step, StepStatus::Unknown, Some(why))
                }),
                Some(_) | None => Some(settled(step, status(step), None)),
            }));
        }
        // What comes of a run, its definition says.
        if events.len() == self.unsettled() && self.run.is_none() {
            events.push(self.verdict());
        }
        events
    }

    /// A task that was cancelled before it had a plan.
    fn conclude_unplanned(&self) -> Vec<Event> {
        if self.cancelling && !self.status.is_terminal() {
            vec![self.verdict()]
        } else {
            Vec::new()
        }
    }

    fn verdict(&self) -> Event {
        let (status, error) = match self.broken() {
            _ if self.cancelling => (TaskStatus::Cancelled, None),
            None => (TaskStatus::Completed, None),
            Some(step) => {
                let cause = step
                    .error
                    .clone()
                    .unwrap_or_else(|| Failure::new("failed", "no reason was given"));
                let message = format!("step {}: {}", step.spec.id, cause.message);
                (TaskStatus::Failed, Some(Failure::new(cause.code, message)))
            }
        };
        let result = if status == TaskStatus::Completed {
            self.outcome()
        } else {
            Value::Null
        };
        Event::Settled {
            status,
            result,
            error,
        }
    }

    /// The output of the one step that nothing needs, or of all such steps by their ids.
    fn outcome(&self) -> Value {
        let mut last = self.steps.iter().filter(|step| step.is_last());
        match (last.next(), last.next()) {
            (Some(only), None) => only.output.clone(),
            _ => {
                let outputs: Map<_, _> = self
                    .steps
                    .iter()
                    .filter(|step| step.is_last())
                    .map(|step| (step.spec.id.clone(), step.output.clone()))
                    .collect();
                Value::Object(outputs)
            }
        }
    }
}
