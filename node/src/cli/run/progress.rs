//! Where a task stands, folded from its events, and a line for each thing that happens.

use std::{collections::BTreeMap, time::Duration};

use protocol::{
    api::EventView,
    task::{Event, Failure, Outcome, StepStatus},
    time::Timestamp,
};

/// A step as far as the events tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) status: StepStatus,
    /// Who does it, once it was given to somebody.
    pub(super) agent: Option<String>,
    /// How long its last attempt took.
    pub(super) took: Option<Duration>,
    /// Why it did not complete, or not yet.
    pub(super) error: Option<String>,
}

/// A task's steps.
#[derive(Debug, Default)]
pub(in crate::cli) struct Progress {
    /// In the order of the plan.
    order: Vec<String>,
    steps: BTreeMap<String, Step>,
}

impl Progress {
    /// Steps in the order of the plan.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&str, &Step)> {
        self.order
            .iter()
            .filter_map(|id| Some((id.as_str(), self.steps.get(id)?)))
    }

    /// Takes an event in; answers a line for each thing to be told.
    pub(in crate::cli) fn apply(&mut self, event: &EventView) -> Vec<String> {
        // Kinds of events that a newer node knows are not for this build to tell.
        let Ok(known) = serde_json::from_value::<Event>(event.event.clone()) else {
            return Vec::new();
        };
        let at = event.at;
        let time: String = at.to_string().chars().skip(11).take(8).collect();
        self.take(at, known)
            .into_iter()
            .map(|line| format!("{time} {line}"))
            .collect()
    }

    fn take(&mut self, at: Timestamp, event: Event) -> Vec<String> {
        match event {
            Event::Probed { step, .. } => vec![format!("step {step} probed for a lost attempt")],
            Event::Submitted { spec, .. } => vec![format!("task submitted: {}", spec.description)],
            Event::Planned { plan } => {
                for step in plan.steps {
                    self.order.push(step.id.clone());
                    self.steps.insert(step.id, Step::default());
                }
                let count = self.order.len();
                let word = if count == 1 { "step" } else { "steps" };
                vec![format!("task planned: {count} {word}")]
            }
            Event::AttemptStarted {
                step,
                number,
                agent_name,
                ..
            } => {
                let line = if number == 1 {
                    format!("step {step} running on {agent_name}")
                } else {
                    format!("step {step} running on {agent_name}, attempt {number}")
                };
                let step = self.step(&step);
                step.status = StepStatus::Running;
                step.agent = Some(agent_name);
                step.error = None;
                step.took = None;
                vec![line]
            }
            Event::AttemptEnded {
                step,
                started_at,
                outcome,
                ..
            } => vec![self.ended(&step, at.since(started_at), outcome)],
            Event::RetryScheduled { step, due } => {
                let wait = due.since(at).as_secs_f64();
                let line = format!("step {step} will be tried again in {wait:.1} s");
                self.step(&step).status = StepStatus::Queued;
                vec![line]
            }
            Event::StepSettled {
                step,
                status,
                error,
            } => {
                let line = format!("step {step} {}{}", status.as_str(), why(error.as_ref()));
                let step = self.step(&step);
                step.status = status;
                step.error = error.map(|error| error.message);
                vec![line]
            }
            Event::ResultCameLate { step, number, .. } => {
                vec![format!(
                    "step {step}: the result of attempt {number} came late and does not count"
                )]
            }
            Event::Amended { .. } => vec!["task changed".to_owned()],
            Event::Assigned { step, agent } => vec![format!("step {step} assigned to {agent}")],
            Event::CancelRequested { user, .. } => {
                vec![format!("{user} asked to cancel the task")]
            }
            Event::Paused { user, .. } => vec![format!("task paused by {user}")],
            Event::Resumed { .. } => vec!["what paused the task is over".to_owned()],
            Event::AttemptInterrupted { step, number, .. } => {
                vec![format!("step {step}: attempt {number} is interrupted")]
            }
            Event::Replied { step, .. } => vec![format!("step {step}: people replied")],
            // Jobs have no workflow.
            Event::Run { .. } => Vec::new(),
            Event::Settled { status, error, .. } => {
                vec![format!("task {}{}", status.as_str(), why(error.as_ref()))]
            }
            Event::Deleted { user } => vec![format!("{user} removed the task")],
        }
    }

    fn ended(&mut self, id: &str, took: Duration, outcome: Outcome) -> String {
        let step = self.step(id);
        step.took = Some(took);
        let (status, what, error) = match outcome {
            Outcome::Succeeded { .. } => (StepStatus::Completed, "completed", None),
            // Whether it is over for the step, a later event says.
            Outcome::Failed { error, .. } => (StepStatus::Queued, "failed", Some(error)),
            Outcome::Lost { error } => (StepStatus::Queued, "was lost", Some(error)),
            Outcome::Cancelled => (StepStatus::Cancelled, "cancelled", None),
            Outcome::Waits { .. } => (StepStatus::Queued, "asked people", None),
        };
        step.status = status;
        let line = format!(
            "step {id} {what} after {:.1} s{}",
            took.as_secs_f64(),
            why(error.as_ref())
        );
        step.error = error.map(|error| error.message);
        line
    }

    /// A step, also one that no plan told of.
    fn step(&mut self, id: &str) -> &mut Step {
        if !self.steps.contains_key(id) {
            self.order.push(id.to_owned());
        }
        self.steps.entry(id.to_owned()).or_default()
    }
}

fn why(error: Option<&Failure>) -> String {
    error.map_or_else(String::new, |error| format!(": {}", error.message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(seq: u64, second: u64, body: &serde_json::Value) -> EventView {
        serde_json::from_value(json!({
            "entity": "task_01980000000070008000000000000001",
            "seq": seq,
            "at": format!("2026-11-21T12:00:{second:02}Z"),
            "actor": "admin",
            "event": body,
        }))
        .unwrap()
    }

    fn started(number: u32) -> serde_json::Value {
        json!({
            "type": "attempt_started", "step": "size", "number": number,
            "agent": "agent_01980000000070008000000000000001", "agent_name": "counter",
            "node": "node_01980000000070008000000000000001", "token": "", "card": {"chosen": null, "candidates": []},
        })
    }

    #[test]
    fn each_event_tells_its_line_and_moves_its_step() {
        let mut progress = Progress::default();
        let planned = json!({"type": "planned", "plan": {"source": "explicit", "steps": [
            {"id": "size", "agent": "counter"}, {"id": "gather", "needs": ["size"]}]}});
        let failed = json!({"type": "attempt_ended", "step": "size", "number": 1,
            "agent": "counter", "started_at": "2026-11-21T12:00:01Z", "outcome": "failed", "error": {"code": "exit_status", "message": "it ended with 1"}, "retryable": true});
        let done = json!({"type": "attempt_ended", "step": "size", "number": 2,
            "agent": "counter", "started_at": "2026-11-21T12:00:05Z", "outcome": "succeeded", "output": null});
        let lines: Vec<String> = [
            (0, planned),
            (1, started(1)),
            (3, failed),
            (3, json!({"type": "retry_scheduled", "step": "size", "due": "2026-11-21T12:00:04.5Z"})),
            (5, started(2)),
            (9, done),
            (9, json!({"type": "step_settled", "step": "gather", "status": "skipped", "error": null})),
            (9, json!({"type": "a_kind_of_tomorrow"})),
            (9, json!({"type": "settled", "status": "completed"})),
        ]
        .into_iter()
        .enumerate()
        .flat_map(|(seq, (second, body))| progress.apply(&event(seq as u64 + 1, second, &body)))
        .collect();
        assert_eq!(
            lines,
            [
                "12:00:00 task planned: 2 steps",
                "12:00:01 step size running on counter",
                "12:00:03 step size failed after 2.0 s: it ended with 1",
                "12:00:03 step size will be tried again in 1.5 s",
                "12:00:05 step size running on counter, attempt 2",
                "12:00:09 step size completed after 4.0 s",
                "12:00:09 step gather skipped",
                "12:00:09 task completed",
            ]
        );
        let steps: Vec<_> = progress
            .steps()
            .map(|(id, step)| (id, step.status))
            .collect();
        assert_eq!(
            steps,
            [
                ("size", StepStatus::Completed),
                ("gather", StepStatus::Skipped)
            ]
        );
    }
}
