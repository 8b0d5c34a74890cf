//! What must hold of a task at every moment.

use std::collections::HashMap;

use actors::task::{Step, Task, state::Ending};
use protocol::{
    plan::Effect,
    task::{Event, Finding, Outcome, StepStatus, TaskStatus},
    time::Timestamp,
};

/// Remembers what the promises compare with.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    status: TaskStatus,
    progress: u8,
    settled: HashMap<String, StepStatus>,
    /// Successes that were accepted, and findings that it was done, by step.
    successes: HashMap<String, u32>,
    /// Since when a step could have been given to an agent.
    waiting: HashMap<String, Timestamp>,
    cancelled: bool,
}

impl Watcher {
    /// Looks at an event before it is applied.
    pub(crate) fn before(&mut self, task: &Task, event: &Event, now: Timestamp) {
        match event {
            Event::AttemptStarted { step, number, .. } => {
                assert!(!self.cancelled, "no attempt starts after a cancel request");
                self.may_start(task, step, *number, now);
            }
            Event::AttemptEnded {
                step,
                number,
                outcome,
                ..
            } => {
                let attempt = self::step(task, step).running().unwrap();
                assert_eq!(attempt.number, *number, "what ends was running");
                self.waiting.insert(step.clone(), now);
                if let Outcome::Succeeded { output } = outcome {
                    assert_eq!(output["by"], *attempt.token, "under its own token");
                    *self.successes.entry(step.clone()).or_default() += 1;
                }
            }
            Event::Probed { step, finding, .. } => {
                self.waiting.insert(step.clone(), now);
                if matches!(finding, Finding::Done { .. }) {
                    *self.successes.entry(step.clone()).or_default() += 1;
                }
            }
            Event::RetryScheduled { step, due } => {
                assert!(*due >= now);
                self.waiting.insert(step.clone(), *due);
            }
            Event::StepSettled { step, error, .. } => {
                let found = self::step(task, step);
                assert!(!found.status.is_settled(), "{step} is settled once");
                assert!(found.running().is_none(), "{step} does not run");
                let waited = error
                    .as_ref()
                    .is_some_and(|why| why.code == "queue_timeout");
                if let (true, Some(queue)) = (waited, task.spec.budget.queue_time) {
                    let since = self.waiting.get(step).copied().or(found.ready_at).unwrap();
                    assert!(now >= since.plus(queue.0), "{step} waited long enough");
                }
            }
            Event::CancelRequested { .. } => self.cancelled = true,
            Event::Replied { .. } => {}
            Event::AttemptInterrupted { step, number, .. } => {
                let step = self::step(task, step);
                assert_eq!(step.running().unwrap().number, *number);
                assert_ne!(
                    step.spec.effect,
                    Effect::Irreversible,
                    "it may not run twice"
                );
            }
            Event::Settled { .. } => {
                assert!(!task.status.is_terminal(), "a task is settled once");
                assert_eq!((task.running(), task.unsettled()), (0, 0));
            }
            Event::Submitted { .. }
            | Event::Run { .. }
            | Event::Planned { .. }
            | Event::ResultCameLate { .. }
            | Event::Amended { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Assigned { .. }
            | Event::Deleted { .. } => {}
        }
    }

    fn may_start(&self, task: &Task, id: &str, number: u32, now: Timestamp) {
        let step = step(task, id);
        assert_eq!(task.status, TaskStatus::Executing);
        assert!(step.running().is_none(), "{id} runs once at a time");
        assert_eq!(step.status, StepStatus::Queued);
        assert_eq!(number as usize, step.attempts.len() + 1);
        assert!(step.retry_at.is_none_or(|due| due <= now), "{id} is early");
        assert!(task.broken().is_none(), "nothing starts after a failure");
        for need in &step.spec.needs {
            assert_eq!(self::step(task, need).status, StepStatus::Completed);
        }
        if step.spec.effect == Effect::Irreversible {
            for attempt in &step.attempts {
                assert!(
                    never_ran(&attempt.ended.as_ref().unwrap().1),
                    "{id} may have run: {attempt:?}"
                );
            }
        }
        if let Some(most) = task.spec.budget.max_attempts {
            assert!(task.attempts() < most, "the budget of {most} is spent");
        }
    }

    /// Looks at the state after each event.
    pub(crate) fn after(&mut self, task: &Task) {
        assert!(rank(task.status) >= rank(self.status), "states go forward");
        if self.status.is_terminal() {
            assert_eq!(task.status, self.status, "a terminal state is final");
        }
        self.status = task.status;
        assert!(task.progress() >= self.progress, "progress goes forward");
        self.progress = task.progress();
        assert_eq!(self.progress == 100, task.status == TaskStatus::Completed);
        let running = task.steps.iter().filter(|step| step.running().is_some());
        assert_eq!(running.count(), task.running());
        let open = task.steps.iter().filter(|step| !step.status.is_settled());
        assert_eq!(open.count(), task.unsettled());
        let attempts = task.steps.iter().flat_map(|step| &step.attempts);
        let counted = attempts
            .filter(|attempt| {
                !matches!(
                    &attempt.ended,
                    Some((_, Ending::Interrupted | Ending::Suspended))
                ) && !matches!(&attempt.ended, Some((_, Ending::Failed(why))) if why.code == "not_started")
            })
            .count();
        assert_eq!(counted, task.attempts() as usize);
        for step in &task.steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        let id = &step.spec.id;
        if let Some(before) = self.settled.get(id) {
            assert_eq!(*before, step.status, "{id} is settled for good");
        }
        if step.status.is_settled() {
            self.settled.insert(id.clone(), step.status);
        }
        let successes = self.successes.get(id).copied().unwrap_or_default();
        assert_eq!(successes, u32::from(step.status == StepStatus::Completed));
        assert_eq!(step.status == StepStatus::Running, step.running().is_some());
        let most = step.retry().max_attempts;
        assert!(step.failures() <= most, "{id} fails {most} times at most");
    }

    /// Looks at the state after all that follows was decided.
    pub(crate) fn at_rest(&self, task: &Task, now: Timestamp, max_lost: u32) {
        for step in &task.steps {
            assert!(
                step.losses() <= max_lost,
                "{} is lost too often",
                step.spec.id
            );
        }
        let wake = task.wake_at(now);
        assert!(wake.is_none_or(|due| due > now), "a wake-up lies ahead");
        let ready = task.ready(now).next().is_some();
        if self.cancelled {
            assert!(!ready);
            assert_eq!(task.running() == 0, task.status.is_terminal());
        }
        let waits = task
            .steps
            .iter()
            .any(|step| step.retry_at.is_some_and(|due| due > now));
        let paused = task.status == TaskStatus::Paused;
        assert!(
            !(paused && (ready || wake.is_some())),
            "a paused task rests"
        );
        let open = ready || waits || task.running() > 0 || task.to_probe().next().is_some();
        let moves = open || paused;
        assert_ne!(
            moves,
            task.status.is_terminal(),
            "stuck, or over and going on"
        );
        if task.status == TaskStatus::Completed {
            let all = task.steps.iter().map(|step| step.status);
            assert!(
                all.into_iter()
                    .all(|status| status == StepStatus::Completed)
            );
        }
    }
}

fn never_ran(ending: &Ending) -> bool {
    match ending {
        Ending::Failed(why) => matches!(why.code.as_str(), "connect" | "not_started"),
        Ending::Succeeded
        | Ending::Lost(_)
        | Ending::Cancelled
        | Ending::Interrupted
        | Ending::Suspended => false,
    }
}

fn step<'a>(task: &'a Task, id: &str) -> &'a Step {
    &task.steps[task.position(id).unwrap()]
}

const fn rank(status: TaskStatus) -> u8 {
    match status {
        TaskStatus::Pending => 0,
        TaskStatus::Planning => 1,
        TaskStatus::Executing | TaskStatus::Paused => 2,
        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => 3,
    }
}
