//! What a task's events say.

mod fold;
mod step;

use std::{collections::HashMap, time::Duration};

use protocol::{
    id::QuestionId,
    plan::{Plan, PlanSource, StepSpec},
    question::Reply,
    task::{Failure, Outcome, StepStatus, TaskSpec, TaskStatus},
    time::Timestamp,
    wire::Trace,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use step::{Attempt, Ending, Step};

use super::{
    pause::{self, Pause},
    rules::was_refused,
    running::Of,
};
use crate::workflow::{large::Large, run::Run};

/// A task as its events say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What was asked for, as amended since.
    pub spec: TaskSpec,
    /// Who asked.
    pub user: String,
    /// In which trace they asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Where it stands.
    pub status: TaskStatus,
    /// Where its plan came from; absent until planned.
    pub source: Option<PlanSource>,
    /// Its steps, each after all that it needs.
    pub steps: Vec<Step>,
    /// Where its nodes stand, when it is a run of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<Run>>,
    /// Its large values, when it is a run of a workflow: kept once, and referred to by all else in here.
    #[serde(default, skip_serializing_if = "Large::is_empty")]
    pub large: Large,
    /// Where each step stands among them; what is missing is looked for.
    #[serde(skip)]
    places: Places,
    /// What came of it.
    pub result: Value,
    /// Why it was not completed.
    pub error: Option<Failure>,
    /// Whether a client asked to stop it.
    pub cancelling: bool,
    /// Whether a client removed it from sight.
    pub deleted: bool,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// Steps that may be tried now or after a wait: all that they need is completed.
    pub(super) frontier: Vec<usize>,
    running: usize,
    unsettled: usize,
    /// The first step that did not complete: nothing new starts after it.
    broken: Option<usize>,
    attempts: u32,
    #[serde(default)]
    pub(super) pauses: Vec<Pause>,
    /// Who let it go on last after it had been paused itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resumed_by: Option<String>,
    /// Who had it stopped, and why, as its past tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stopped_by: Option<Box<str>>,
    /// Time that does not count against its limits: it was paused.
    #[serde(default)]
    pub(super) paused_for: Duration,
}

/// Where steps stand by their ids. What can be made anew does not make two states differ.
#[derive(Debug, Clone, Default)]
struct Places(HashMap<String, usize>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Task {
    /// Where a step stands in [`steps`](Self::steps).
    #[must_use]
    pub fn position(&self, step: &str) -> Option<usize> {
        if let Some(index) = self.places.0.get(step) {
            return Some(*index);
        }
        if self.places.0.len() == self.steps.len() {
            return None;
        }
        self.steps
            .iter()
            .position(|candidate| candidate.spec.id == step)
    }

    fn attempt_mut(&mut self, step: &str, number: u32) -> Option<&mut Attempt> {
        let index = self.position(step)?;
        let mut attempts = self.steps[index].attempts.iter_mut();
        attempts.find(|attempt| attempt.number == number)
    }

    /// Attempts that run.
    #[must_use]
    pub const fn running(&self) -> usize {
        self.running
    }

    /// Attempts started so far, over all steps, but for those that a pause interrupted, that wait for
    /// an answer, or that no host took.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Steps that are not settled.
    #[must_use]
    pub const fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// The first step that did not complete, if any.
    #[must_use]
    pub fn broken(&self) -> Option<&Step> {
        self.broken.map(|index| &self.steps[index])
    }

    /// Steps whose needs are met and that are neither settled nor running.
    pub fn frontier(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.frontier
            .iter()
            .map(|index| (*index, &self.steps[*index]))
    }

    /// Outputs of the steps that a step needs.
    #[must_use]
    pub fn needs(&self, step: &Step) -> Map<String, Value> {
        step.spec
            .needs
            .iter()
            .filter_map(|need| {
                let index = self.position(need)?;
                Some((need.clone(), self.steps[index].output.clone()))
            })
            .collect()
    }

    /// From 0 to 100; 100 exactly when completed.
    #[must_use]
    pub fn progress(&self) -> u8 {
        if self.status == TaskStatus::Completed {
            return 100;
        }
        let (done, all) = match (&self.run, &self.spec.workflow) {
            // Many nodes have no step, and a step of a node that has not begun is not there yet.
            (Some(run), Some(of)) => {
                let over = run.turns().filter(|turn| turn.status.is_settled());
                (
                    over.count(),
                    usize::try_from(of.nodes).unwrap_or(usize::MAX),
                )
            }
            (Some(_), None) | (None, _) => {
                let done = |step: &&Step| step.status == StepStatus::Completed;
                (self.steps.iter().filter(done).count(), self.steps.len())
            }
        };
        u8::try_from(done * 100 / all.max(1)).unwrap_or(99).min(99)
    }

    fn plan(&mut self, plan: &Plan, at: Timestamp) {
        self.status = TaskStatus::Executing;
        self.source = Some(plan.source);
        let places: std::collections::HashMap<&str, usize> = plan
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| (step.id.as_str(), index))
            .collect();
        self.steps = plan
            .steps
            .iter()
            .map(|spec| Step::planned(spec.clone()))
            .collect();
        self.unsettled = self.steps.len();
        let named = plan.steps.iter().enumerate();
        self.places = Places(named.map(|(at, step)| (step.id.clone(), at)).collect());
        if plan.source == PlanSource::Workflow {
            self.run = Some(Box::default());
        }
        for (index, spec) in plan.steps.iter().enumerate() {
            for need in &spec.needs {
                if let Some(needed) = places.get(need.as_str()) {
                    self.steps[index].unmet += 1;
                    self.steps[*needed].dependants.push(index);
                }
            }
            if self.steps[index].unmet == 0 {
                self.advance(index, at);
                let start = self.spec.start_at.filter(|start| *start > at);
                if let Some(start) = start {
                    let step = &mut self.steps[index];
                    (step.retry_at, step.ready_at) = (Some(start), Some(start));
                }
            }
        }
    }

    /// Puts in a step that was not planned from the beginning.
    pub(super) fn add(&mut self, spec: StepSpec, of: Of) -> usize {
        let index = self.steps.len();
        self.index();
        self.places.0.insert(spec.id.clone(), index);
        self.steps.push(Step {
            of: Some(of),
            ..Step::planned(spec)
        });
        self.unsettled += 1;
        index
    }

    /// After it was read from a snapshot.
    fn index(&mut self) {
        if self.places.0.len() != self.steps.len() {
            let steps = self.steps.iter().enumerate();
            self.places = Places(steps.map(|(at, step)| (step.spec.id.clone(), at)).collect());
        }
    }

    /// A step that was settled is to be done after all.
    pub(super) fn reopen(&mut self, index: usize, at: Timestamp) {
        self.unsettled += 1;
        self.advance(index, at);
    }

    /// The step's needs are met.
    pub(super) fn advance(&mut self, index: usize, at: Timestamp) {
        self.steps[index].status = StepStatus::Queued;
        self.steps[index].ready_at = Some(at);
        self.frontier.push(index);
    }

    fn start(&mut self, index: usize, attempt: Attempt) {
        self.started_at.get_or_insert(attempt.started_at);
        self.attempts += 1;
        self.running += 1;
        self.frontier.retain(|other| *other != index);
        let step = &mut self.steps[index];
        step.status = StepStatus::Running;
        step.retry_at = None;
        step.attempts.push(attempt);
    }

    fn end(&mut self, index: usize, number: u32, outcome: &Outcome, at: Timestamp) {
        let step = &mut self.steps[index];
        let Some(attempt) = step
            .attempts
            .iter_mut()
            .find(|attempt| attempt.number == number)
        else {
            return;
        };
        let ending = match outcome {
            outcome if pause::yielded(attempt, outcome) => {
                self.attempts -= 1;
                Ending::Interrupted
            }
            Outcome::Succeeded { .. } => Ending::Succeeded,
            Outcome::Failed { error, .. } => {
                if was_refused(error) {
                    self.attempts -= 1;
                }
                Ending::Failed(error.clone())
            }
            Outcome::Lost { error } => Ending::Lost(error.clone()),
            Outcome::Cancelled => Ending::Cancelled,
            Outcome::Waits { questions } => {
                self.attempts -= 1;
                step.asks.add(questions);
                Ending::Suspended
            }
        };
        attempt.ended = Some((at, ending));
        self.running -= 1;
        step.status = StepStatus::Queued;
        step.ready_at = Some(at);
        if !step.asks.waits() {
            self.frontier.push(index);
        }
        if let Outcome::Succeeded { output } = outcome {
            self.complete(index, output.clone(), at);
        }
    }

    /// People replied: with the last reply the step may be tried again.
    fn replied(&mut self, index: usize, question: QuestionId, reply: &Reply, at: Timestamp) {
        let step = &mut self.steps[index];
        if step.status.is_settled() || !step.asks.expects(question) {
            return;
        }
        step.asks.told(question, reply);
        if !step.asks.waits() {
            step.ready_at = Some(at);
            self.frontier.push(index);
        }
    }

    fn complete(&mut self, index: usize, output: Value, at: Timestamp) {
        self.steps[index].output = output;
        self.settle_step(index, StepStatus::Completed, None, at);
        for dependant in self.steps[index].dependants.clone() {
            self.steps[dependant].unmet -= 1;
            if self.steps[dependant].unmet == 0 && !self.steps[dependant].status.is_settled() {
                self.advance(dependant, at);
            }
        }
    }

    pub(super) fn settle_step(
        &mut self,
        index: usize,
        status: StepStatus,
        error: Option<Failure>,
        at: Timestamp,
    ) {
        if self.steps[index].status.is_settled() {
            return;
        }
        self.unsettled -= 1;
        self.frontier.retain(|other| *other != index);
        // What a failure means to a run, its definition says.
        if matches!(status, StepStatus::Failed | StepStatus::Unknown) && self.run.is_none() {
            self.broken.get_or_insert(index);
        }
        let step = &mut self.steps[index];
        step.status = status;
        step.error.clone_from(&error);
        step.retry_at = None;
        self.node_hears(index, status, error, at);
    }

    fn settle(&mut self, status: TaskStatus, result: Value, error: Option<Failure>, at: Timestamp) {
        self.status = status;
        self.result = result;
        self.error = error;
        self.settled_at = Some(at);
        self.pauses.clear();
        self.frontier.clear();
        if let Some(run) = &mut self.run {
            run.is_over();
        }
    }
}
