//! DOOR to tools: how an agent's program or service is called.
//!
//! [`for_agent`] makes the [`Adapter`] that an agent's registration asks for, out of the [`Doors`]
//! that all adapters of a node share.

mod artifact;
mod builtin;
mod colleagues;
pub mod command;
mod doors;
pub mod egress;
mod factory;
pub mod http;
mod people;
mod usage;
mod verify;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use protocol::{id::TaskId, question::Wanted, task::Failure, wire::Trace};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

pub use artifact::{ArtifactId, OpenArtifact};
pub(crate) use colleagues::{Among, Asker, Exchange, Question};
pub use colleagues::{AskError, Colleagues};
pub use doors::Doors;
pub use factory::for_agent;
pub(crate) use factory::native_name;
pub use usage::Spent;
pub use verify::{Stage, verify};

pub use crate::task::suspend::Replies;

/// What every adapter method answers.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One call to an agent: an attempt at a step, with all that the tool may know.
#[derive(Debug, Clone)]
pub struct Call {
    /// The task.
    pub task: TaskId,
    /// The step.
    pub step: String,
    /// Which attempt of the step; the first is 1.
    pub attempt: u32,
    /// The same for every attempt of this step, so that the tool can recognise a repeat.
    pub idempotency_key: String,
    /// The task's description.
    pub description: Arc<str>,
    /// The task's input.
    pub task_input: Arc<Value>,
    /// The step's input.
    pub input: Value,
    /// Outputs of the steps that this one needs, by their ids.
    pub needs: Map<String, Value>,
    /// What people replied to what earlier attempts asked them.
    pub replies: Replies,
    /// How long the call may take; the adapter ends it then with the code `timeout`.
    pub timeout: Duration,
    /// The trace that what the tool does belongs to.
    pub trace: Option<Trace>,
    /// What the tool reports to have taken of models.
    pub spent: Spent,
}

impl Call {
    /// The call as tools see it: `{task: {id, description, input}, step: {id, attempt,
    /// idempotency_key}, input, needs}`.
    #[must_use]
    pub fn document(&self) -> Value {
        serde_json::json!({
            "task": {
                "id": self.task,
                "description": &*self.description,
                "input": &*self.task_input,
            },
            "step": {
                "id": self.step,
                "attempt": self.attempt,
                "idempotency_key": self.idempotency_key,
            },
            "input": self.input,
            "needs": self.needs,
        })
    }

    /// The step's input, or the task's if the step has none.
    pub(crate) fn effective_input(&self) -> &Value {
        if self.input.is_null() {
            &self.task_input
        } else {
            &self.input
        }
    }
}

/// Why a call gave no output.
#[derive(Debug, Clone, PartialEq)]
pub enum CallError {
    /// The tool answered that it failed, or the call could not be made.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether another attempt can help.
        retryable: bool,
    },
    /// The call was sent, and nobody knows what became of it: connection lost, timeout.
    Lost {
        /// What happened.
        failure: Failure,
        /// Whether the tool may have taken effect: false when the request surely never reached it.
        may_have_happened: bool,
    },
    /// It was stopped through the token; nothing of it runs any more.
    Cancelled,
    /// It asked people and gave the step back until they replied; nothing of it runs any more. Agents
    /// written in Rust end so by [`Colleagues::ask_people`].
    Waits(Vec<Wanted>),
}

impl CallError {
    /// The tool surely took no effect, or says that it failed; another attempt can help.
    pub(crate) fn retryable(code: &str, message: impl Into<String>) -> Self {
        Self::Failed {
            failure: Failure::new(code, message),
            retryable: true,
        }
    }

    /// Another attempt would end the same way.
    pub(crate) fn fatal(code: &str, message: impl Into<String>) -> Self {
        Self::Failed {
            failure: Failure::new(code, message),
            retryable: false,
        }
    }

    /// The tool may have taken effect, but its answer is missing.
    pub(crate) fn lost(code: &str, message: impl Into<String>) -> Self {
        Self::Lost {
            failure: Failure::new(code, message),
            may_have_happened: true,
        }
    }
}

/// What a probe of a guarded step found.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// It was done, with this output.
    Done(Value),
    /// It was not done; it may be tried again.
    NotDone,
    /// The agent has no probe, or it did not answer.
    Unknown(String),
}

/// How to call one agent's tool. Made from the agent's registration; shared by its calls.
pub trait Adapter: Send + Sync + fmt::Debug {
    /// Calls the tool. When `cancel` fires, stops it and all that it started, then answers
    /// `Cancelled`. Dropping the future stops it as well.
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>>;

    /// The same, for code that asks other agents while it works. Only agents written in Rust are
    /// called so; those that ask nobody leave it as it is.
    fn call_among<'a>(
        &'a self,
        call: &'a Call,
        colleagues: &'a Colleagues,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        let _ = colleagues;
        self.call(call, cancel)
    }

    /// Asks whether an attempt whose receipt is missing took effect.
    fn probe<'a>(&'a self, call: &'a Call) -> Answer<'a, Probe> {
        let _ = call;
        Box::pin(async { Probe::Unknown("the agent declares no probe".to_owned()) })
    }

    /// How long a call may take when the step does not say; `None` leaves it to the node.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Whether the tool could be called now; says in words what was found.
    fn check(&self, timeout: Duration) -> Answer<'_, Result<String, String>>;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    pub(crate) use builtin::Echo;

    /// A first attempt at a step with this input.
    pub(crate) fn call(input: Value) -> Call {
        Call {
            task: TaskId::from_uuid(uuid::Uuid::nil()),
            step: "one".to_owned(),
            attempt: 1,
            idempotency_key: "key".to_owned(),
            description: "describe".into(),
            task_input: Value::Null.into(),
            input,
            needs: Map::new(),
            replies: Replies::new(),
            trace: None,
            spent: Spent::default(),
            timeout: Duration::from_secs(10),
        }
    }
}
