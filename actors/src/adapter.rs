//! DOOR to tools: how an agent's program or service is called.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use protocol::{id::TaskId, task::Failure};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

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
    /// How long the call may take; the adapter ends it then with the code `timeout`.
    pub timeout: Duration,
}

/// Why a call gave no output.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Asks whether an attempt whose receipt is missing took effect.
    fn probe<'a>(&'a self, call: &'a Call) -> Answer<'a, Probe> {
        let _ = call;
        Box::pin(async { Probe::Unknown("the agent declares no probe".to_owned()) })
    }

    /// Whether the tool could be called now; says in words what was found.
    fn check(&self, timeout: Duration) -> Answer<'_, Result<String, String>>;
}
