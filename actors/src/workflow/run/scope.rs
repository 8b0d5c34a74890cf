//! What the expressions of a run see.

use protocol::{id::TaskId, task::StepStatus, workflow::NodeStatus};
use serde_json::{Map, Value, json};

use super::state::{Output, Run, Turn};
use crate::{
    task::{Step, Task},
    workflow::{
        expression::{EvalError, UsedNodes, Uses},
        large::TooLarge,
    },
};

/// A run with its steps, to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// Which task it is.
    pub id: TaskId,
    /// Its steps.
    pub task: &'a Task,
    /// Its nodes.
    pub run: &'a Run,
}

impl<'a> Sight<'a> {
    /// The calls of a node.
    pub(super) fn calls<'t>(&self, turn: &'t Turn) -> impl Iterator<Item = &'a Step> + use<'a, 't> {
        let task = self.task;
        let steps = turn.steps.iter();
        steps.filter_map(|at| task.steps.get(*at))
    }

    /// What a node gave, with large values by reference.
    #[must_use]
    pub fn output(&self, turn: &Turn) -> Value {
        let step = |at: &usize| self.task.steps.get(*at);
        match &turn.output {
            Output::None => Value::Null,
            Output::Own(value) => value.clone(),
            Output::Call => {
                let only = turn.steps.first().and_then(step);
                only.map(|step| step.output.clone()).unwrap_or_default()
            }
            Output::Calls => {
                let all = turn.steps.iter().filter_map(step);
                Value::Array(all.map(given).collect())
            }
        }
    }

    /// What of the run is referred to, and `beside`, with all that large values hold.
    ///
    /// # Errors
    ///
    /// When that is more than may be loaded.
    pub fn scope(&self, uses: &Uses, beside: Map<String, Value>) -> Result<Value, EvalError> {
        self.whole(&self.looked_at(uses, beside))
    }

    /// A value with all that it refers to.
    pub(super) fn whole(&self, value: &Value) -> Result<Value, EvalError> {
        self.task.large.whole(value).map_err(unread)
    }

    /// Whether a value can be handed on with all that it refers to.
    pub(super) fn fits(&self, value: &Value) -> Result<(), EvalError> {
        self.task.large.fits(value).map_err(unread)
    }

    fn looked_at(&self, uses: &Uses, beside: Map<String, Value>) -> Value {
        let mut scope = beside;
        if uses.input {
            scope.insert("input".to_owned(), self.task.spec.input.clone());
        }
        if uses.context {
            scope.insert(
                "context".to_owned(),
                Value::Object(self.run.context.clone()),
            );
        }
        if uses.roots.contains("run") {
            let of = self.task.spec.workflow.as_ref();
            let run = json!({
                "id": self.id,
                "workflow": of.map(|of| &of.name),
                "version": of.map(|of| of.version),
            });
            scope.insert("run".to_owned(), run);
        }
        let nodes = match &uses.nodes {
            UsedNodes::Named(names) if names.is_empty() => return Value::Object(scope),
            UsedNodes::Named(names) => {
                let known = names.iter().filter_map(|name| self.run.turn(name));
                known.map(|turn| self.node(turn)).collect()
            }
            UsedNodes::All => self.run.turns().map(|turn| self.node(turn)).collect(),
        };
        scope.insert("nodes".to_owned(), Value::Object(nodes));
        Value::Object(scope)
    }

    fn node(&self, turn: &Turn) -> (String, Value) {
        let seen = json!({
            "status": turn.status,
            "output": self.output(turn),
            "error": turn.error,
            "run": turn.run,
        });
        (turn.id.clone(), seen)
    }
}

fn unread(error: TooLarge) -> EvalError {
    EvalError::new(error.to_string())
}

/// What a step gave, or why it gave nothing.
pub(super) fn given(step: &crate::task::Step) -> Value {
    match (&step.error, step.status) {
        (_, StepStatus::Completed) => step.output.clone(),
        (Some(error), _) => json!({ "error": error }),
        (None, status) => {
            json!({ "error": { "code": status.as_str(), "message": "it did not run" } })
        }
    }
}

/// Whether edges that leave a node so are looked at.
pub(super) const fn passes(status: NodeStatus, needed: bool) -> bool {
    match status {
        NodeStatus::Completed => true,
        NodeStatus::Failed => !needed,
        NodeStatus::Pending
        | NodeStatus::Running
        | NodeStatus::Waiting
        | NodeStatus::Unknown
        | NodeStatus::Skipped
        | NodeStatus::Cancelled => false,
    }
}
