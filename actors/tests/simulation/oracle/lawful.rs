//! P2 to P7: which event may follow what was committed.

use actors::task::state::Ending;
use protocol::{
    entity::EntityId,
    plan::Effect,
    task::{Event, Finding, Outcome, StepStatus, TaskStatus},
};
use serde_json::json;

use super::{Oracle, Shadow, needs_met};

impl Oracle {
    /// Whether an event may follow what was committed before it.
    pub(crate) fn follows(&mut self, stream: EntityId, shadow: &mut Shadow, event: &Event) {
        let task = &shadow.task;
        let name = |step: &str| format!("{stream} {step}");
        self.hold(
            !task.status.is_terminal() || matches!(event, Event::ResultCameLate { .. }),
            || format!("P3: {event:?} after the end of {stream}"),
        );
        match event {
            Event::Submitted { spec, .. } => {
                let before = self.keys.insert(spec.description.clone(), stream);
                self.hold(before.is_none(), || {
                    format!("P2: key {} made {before:?} and {stream}", spec.description)
                });
            }
            Event::AttemptStarted { step, number, .. } => {
                self.hold(!task.cancelling, || {
                    format!("P7: {} starts after a cancel", name(step))
                });
                let Some(at) = task.position(step) else {
                    return self.object(format!("{} is not planned", name(step)));
                };
                let step = &task.steps[at];
                let id = name(&step.spec.id);
                self.hold(needs_met(task, &step.spec.needs), || {
                    format!("P6: {id} starts before what it needs")
                });
                self.hold(step.status == StepStatus::Queued, || {
                    format!("P4: {id} starts while it is {}", step.status.as_str())
                });
                let next = step.attempts.len() + 1;
                self.hold(*number as usize == next, || {
                    format!("P4: {id} starts as {number}, not {next}")
                });
                let never_ran = step.attempts.iter().all(|attempt| {
                    matches!(&attempt.ended, Some((_, Ending::Failed(why)))
                        if why.code == "connect" || why.code == "not_started")
                });
                self.hold(
                    step.spec.effect != Effect::Irreversible || never_ran,
                    || format!("P4: {id} may have run and is irreversible"),
                );
            }
            Event::AttemptEnded {
                step,
                number,
                outcome,
                ..
            } => {
                let at = task.position(step);
                let running = at.and_then(|at| task.steps[at].running());
                self.hold(running.is_some_and(|run| run.number == *number), || {
                    format!("P5: {} {number} ends and did not run", name(step))
                });
                if let Outcome::Succeeded { output } = outcome {
                    let own = running.is_some_and(|run| *output == json!(run.token));
                    self.hold(own, || {
                        format!("P5: {} succeeds by another's result", name(step))
                    });
                    *shadow.successes.entry(step.clone()).or_default() += 1;
                }
            }
            Event::Probed { step, finding, .. } => {
                if matches!(finding, Finding::Done { .. }) {
                    *shadow.successes.entry(step.clone()).or_default() += 1;
                }
            }
            Event::Settled { status, .. } => {
                let mut steps = task.steps.iter();
                let all = steps.all(|step| step.status == StepStatus::Completed);
                // One that was cancelled may have completed its last step before it stopped.
                let lawful =
                    *status == TaskStatus::Cancelled || (*status == TaskStatus::Completed) == all;
                self.hold(lawful, || {
                    format!("P5: {stream} is {} and should not", status.as_str())
                });
                self.hold(task.running() == 0, || {
                    format!("P3: {stream} ends while it runs")
                });
            }
            Event::Planned { .. }
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
            | Event::Deleted { .. } => {}
        }
        let twice = shadow.successes.iter().find(|(_, times)| **times > 1);
        if let Some((step, _)) = twice {
            self.object(format!("P5: {stream} {step} succeeded twice"));
        }
    }
}
