//! A task that is a run of a workflow: its steps come as its nodes have their turns.

use protocol::{
    plan::StepSpec,
    task::{Event, Failure, StepStatus},
    time::Timestamp,
    workflow::RunEvent,
};
use serde_json::Value;

use super::{Step, Task};
use crate::workflow::run::{
    Output, Run, Wait,
    state::{Began, Ended},
};

/// For which node a step is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Of {
    /// The node, by its place among those that had a turn.
    pub node: usize,
    /// Whether it takes the node back.
    #[serde(default)]
    pub undo: bool,
}

impl Step {
    /// Whether it takes back what another did: it runs though the task is over but for that.
    #[must_use]
    pub fn is_undo(&self) -> bool {
        self.of.is_some_and(|of| of.undo)
    }
}

impl Task {
    /// Whether it is a run that fails.
    #[must_use]
    pub fn is_broke(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.broke.is_some())
    }

    /// Whether it is a run that ends at once: nothing is taken back, and nobody is asked.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        let taking_back = self.run.as_ref().and_then(|run| run.taking_back.as_ref());
        self.cancelling && taking_back.is_some_and(Vec::is_empty)
    }

    /// Ends a run whose time is up.
    pub(super) fn times_out(error: Failure) -> Event {
        Event::Run {
            event: RunEvent::Broke {
                node: String::new(),
                error,
            },
        }
    }

    pub(super) fn goes_round(&mut self, event: &RunEvent, now: Timestamp) {
        match event {
            RunEvent::Started {
                at,
                steps,
                window,
                alone,
            } => self.node_started(Began { at, now }, steps, *window, *alone),
            RunEvent::Undoes { node, call } => {
                let run = self.run.get_or_insert_default();
                let of = Of {
                    node: run.place_of(node),
                    undo: true,
                };
                let index = self.add((**call).clone(), of);
                self.advance(index, now);
                self.run_mut().undoes(node, index);
            }
            RunEvent::Ended {
                at,
                status,
                output,
                error,
                gathered,
                detail,
            } => {
                let output = match (gathered, output) {
                    (true, _) => Output::Calls,
                    (false, Value::Null) => Output::None,
                    (false, value) => Output::Own(value.clone()),
                };
                let how = Ended {
                    status: *status,
                    output,
                    error: error.clone(),
                    detail: detail.clone(),
                };
                let steps = self.run_mut().ended(Began { at, now }, how);
                self.never_run(&steps, now);
            }
            RunEvent::Waits { at, until } => {
                self.run_mut()
                    .waits_for(Began { at, now }, Wait::Until(*until));
            }
            RunEvent::Asked {
                at,
                entity,
                input,
                about,
            } => {
                let wait = Wait::For {
                    entity: *entity,
                    input: input.clone(),
                    about: about.clone(),
                };
                self.run_mut().waits_for(Began { at, now }, wait);
            }
            RunEvent::Settled { step, output, .. } => self.is_known(step, output.as_ref(), now),
            RunEvent::Forked { nodes, context, .. } => self.run_mut().inherit(nodes, context),
            RunEvent::Broke { node, error } => {
                let broke = (node.clone(), error.clone());
                self.run_mut().broke.get_or_insert(broke);
            }
            RunEvent::WentBack { edge, nodes, inner } => {
                self.run_mut().went_back(edge, nodes, inner);
            }
            RunEvent::Wrote {
                node,
                version,
                values,
            } => self.run_mut().wrote(node.as_deref(), *version, values),
            RunEvent::TakesBack { nodes } => self.run_mut().taking_back = Some(nodes.clone()),
        }
    }

    fn run_mut(&mut self) -> &mut Run {
        self.run.get_or_insert_default()
    }

    fn node_started(&mut self, began: Began<'_>, steps: &[StepSpec], window: u32, alone: bool) {
        let node = self.run_mut().place_of(&began.at.node);
        let of = Of { node, undo: false };
        let made: Vec<usize> = steps
            .iter()
            .map(|spec| self.add(spec.clone(), of))
            .collect();
        let window = match usize::try_from(window).unwrap_or_default() {
            0 => made.len(),
            some => some.min(made.len()),
        };
        let (first, later) = made.split_at(window);
        let run = self.run_mut();
        run.started(began, &made, later);
        if alone {
            run.is_alone(node);
        }
        for index in first {
            self.advance(*index, began.now);
        }
    }

    /// Calls of a node that is over which were not made.
    fn never_run(&mut self, steps: &[usize], now: Timestamp) {
        for index in steps {
            let step = &self.steps[*index];
            if !step.status.is_settled() && step.running().is_none() {
                self.settle_step(*index, StepStatus::Skipped, None, now);
            }
        }
    }

    /// Somebody knows what became of a step.
    fn is_known(&mut self, step: &str, output: Option<&Value>, now: Timestamp) {
        let Some(index) = self.position(step) else {
            return;
        };
        let step = &mut self.steps[index];
        let (StepStatus::Unknown, Some(of)) = (step.status, step.of) else {
            return;
        };
        step.error = None;
        let node = self.run.as_ref().and_then(|run| run.at(of.node));
        let is_over = node.is_some_and(|turn| turn.status.is_settled());
        match output {
            Some(output) => {
                step.output = output.clone();
                step.status = StepStatus::Completed;
                self.run_mut().known(of.node);
                self.node_hears(index, StepStatus::Completed, None, now);
            }
            None if (self.cancelling || self.is_broke() || is_over) && !of.undo => {
                // Nothing new begins any more.
                self.steps[index].status = StepStatus::Cancelled;
                self.run_mut().known(of.node);
                self.node_hears(index, StepStatus::Cancelled, None, now);
            }
            None => {
                // Not to be asked about again, but done.
                self.steps[index].retry_at = Some(now);
                self.reopen(index, now);
                self.run_mut().known(of.node);
            }
        }
    }

    /// The node of a step that was settled goes on.
    pub(super) fn node_hears(
        &mut self,
        index: usize,
        status: StepStatus,
        error: Option<Failure>,
        now: Timestamp,
    ) {
        let (Some(of), Some(run)) = (self.steps[index].of, self.run.as_mut()) else {
            return;
        };
        if let Some(next) = run.step_settled((of.node, index), status, error, now) {
            self.advance(next, now);
        }
    }
}
