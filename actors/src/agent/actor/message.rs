//! What a proxy is told.

use protocol::{
    agent::{AgentSpec, StopMode},
    api::{AgentUpdate, HealthReport},
    id::TaskId,
};
use tokio::sync::oneshot;

use super::Run;
use crate::{
    Rejection,
    adapter::Call,
    agent::breaker::{CallEnd, Pass},
};

/// Answers a command once it is on disk.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Rejection>>;

/// What lies in a proxy's mailbox.
pub(crate) enum Message {
    /// The first message of a new agent.
    Register {
        spec: Box<AgentSpec>,
        user: String,
        reply: Answer<()>,
    },
    /// An operator's command; answers whether it changed anything.
    Change {
        user: String,
        change: Box<Change>,
        reply: Answer<bool>,
    },
    /// Run an attempt.
    Run(Box<Run>),
    /// Stop the attempt with this token hash.
    Stop { token: String },
    /// An attempt ended.
    Ended { pass: Pass, end: CallEnd },
    /// An open circuit may let one call through.
    BreakerDue,
    /// Ask the tool about a lost attempt.
    Probe(Box<ProbeRequest>),
    /// Check health now.
    Check {
        reply: Option<oneshot::Sender<HealthReport>>,
    },
    /// What the check found.
    Checked(HealthReport),
}

/// What operators may ask of an agent.
#[derive(Debug)]
pub(crate) enum Change {
    Update(Box<AgentUpdate>),
    Start,
    Pause,
    Resume,
    Stop(StopMode),
    Delete,
}

/// A question about an attempt whose receipt is missing.
#[derive(Debug)]
pub(crate) struct ProbeRequest {
    pub(crate) call: Call,
    pub(crate) task: TaskId,
    pub(crate) step: String,
    pub(crate) number: u32,
}

impl ractor::Message for Message {}
impl runtime::supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "Register",
            Self::Change { .. } => "Change",
            Self::Run(_) => "Run",
            Self::Stop { .. } => "Stop",
            Self::Ended { .. } => "Ended",
            Self::BreakerDue => "BreakerDue",
            Self::Probe(_) => "Probe",
            Self::Check { .. } => "Check",
            Self::Checked(_) => "Checked",
        }
    }
}
