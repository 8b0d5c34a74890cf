//! What a task is told.

use protocol::{
    agent::StopMode,
    api::{TaskPatch, TaskView},
    entity::EntityId,
    id::CommandId,
    plan::Plan,
    question::Reply,
    task::{Finding, Outcome, TaskSpec, TokenHash},
    usage::Usage,
    wire::Trace,
    workflow::RunEvent,
};
use runtime::{journal, store::Idempotency};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Rejection,
    allocator::Grant,
    hold::{Act, News},
    task::{Task, pause::Cause},
};

/// Answers a command once it is on disk.
pub(crate) type Answer = oneshot::Sender<Result<(), Rejection>>;

/// Looks at a task and the position of its last event.
pub(crate) type Reader = Box<dyn FnOnce(&Task, u64) + Send>;

/// What lies in a task's mailbox.
pub(crate) enum Message {
    /// The first message of a new task.
    Submit(Box<Submit>),
    /// A client's command.
    Command {
        user: String,
        command: Command,
        reply: Answer,
    },
    /// Shows the task and the position of its last event.
    Read(Reader),
    /// To be answered when the task is settled.
    Await(oneshot::Sender<Box<TaskView>>),
    /// The allocator found an agent for a step.
    Granted { step: usize, grant: Grant },
    /// What ran an attempt says what became of it.
    Ended(Box<Ended>),
    /// A probe's finding.
    Probed {
        step: String,
        number: u32,
        finding: Finding,
    },
    /// What a question or a run of another workflow says for which a node waits.
    Told {
        by: EntityId,
        told: Reply,
        /// Answered once that is on disk.
        recorded: oneshot::Sender<()>,
    },
    /// Nodes came or went: what ran on those that are gone is lost.
    NodesChanged,
    /// What another node answered that was asked which of these attempts it runs; nothing, because
    /// it is gone.
    Asked {
        attempts: Vec<TokenHash>,
        known: Option<Vec<bool>>,
    },
    /// Something is held, or is no more.
    Held {
        act: Act,
        news: mpsc::UnboundedSender<News>,
    },
    /// The allocator lost its waiting room.
    Requeue,
    /// A timer or reminder is due.
    Wake,
    /// Writes what is staged.
    Flush,
}

impl Message {
    /// Whether a person is named in what is recorded because of it: that is written under their name,
    /// and shares no record with what others did.
    pub(super) fn is_signed(&self) -> bool {
        match self {
            Self::Command { .. } | Self::Held { .. } => true,
            Self::Told {
                told: Reply::Done { user, .. },
                ..
            } => !user.is_empty(),
            Self::Told { .. }
            | Self::Submit(_)
            | Self::Read(_)
            | Self::Await(_)
            | Self::Granted { .. }
            | Self::Ended(_)
            | Self::Probed { .. }
            | Self::NodesChanged
            | Self::Asked { .. }
            | Self::Requeue
            | Self::Wake
            | Self::Flush => false,
        }
    }
}

/// A submission that passed review.
pub(crate) struct Submit {
    pub(crate) spec: TaskSpec,
    pub(crate) plan: Plan,
    /// What a fork takes over.
    pub(crate) forked: Option<RunEvent>,
    pub(crate) user: String,
    pub(crate) trace: Option<Trace>,
    pub(crate) command: CommandId,
    pub(crate) key: Option<Idempotency>,
    /// Answered once the task is on disk; shows it unless its end is waited for.
    pub(crate) accepted: oneshot::Sender<Result<Option<Box<TaskView>>, journal::Error>>,
    /// Answered when the task is settled.
    pub(crate) settled: Option<oneshot::Sender<Box<TaskView>>>,
}

/// What clients may ask of a task.
#[derive(Debug)]
pub(crate) enum Command {
    Cancel {
        reason: String,
    },
    /// The same of a run, but that nothing is taken back.
    Terminate {
        reason: String,
    },
    /// New values for what the nodes of a run share, made from this version of it.
    Write {
        version: u64,
        values: Map<String, Value>,
    },
    /// `news` hears what that did, and of the end of what it interrupted.
    Pause {
        by: Cause,
        reason: String,
        running: StopMode,
        news: mpsc::UnboundedSender<News>,
    },
    Resume {
        by: Cause,
        news: mpsc::UnboundedSender<News>,
    },
    Amend(TaskPatch),
    Assign {
        agent: String,
        step: Option<String>,
    },
    Delete,
}

/// What became of an attempt, under its token.
pub(crate) struct Ended {
    pub(crate) step: String,
    pub(crate) number: u32,
    pub(crate) token: [u8; 16],
    pub(crate) agent: String,
    pub(crate) outcome: Outcome,
    pub(crate) usage: Option<Usage>,
    /// Answered once the result is on disk: until then the sender keeps it.
    pub(crate) recorded: oneshot::Sender<()>,
}

impl ractor::Message for Message {}
impl runtime::supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Submit(_) => "Submit",
            Self::Command { .. } => "Command",
            Self::Read(_) => "Read",
            Self::Await(_) => "Await",
            Self::Granted { .. } => "Granted",
            Self::Ended(_) => "Ended",
            Self::Probed { .. } => "Probed",
            Self::Told { .. } => "Told",
            Self::NodesChanged => "NodesChanged",
            Self::Asked { .. } => "Asked",
            Self::Held { .. } => "Held",
            Self::Requeue => "Requeue",
            Self::Wake => "Wake",
            Self::Flush => "Flush",
        }
    }
}
