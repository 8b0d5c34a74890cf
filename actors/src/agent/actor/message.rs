//! What an agent is told.

use protocol::{
    agent::{AgentSpec, StopMode},
    api::{AgentUpdate, HealthReport},
    id::NodeId,
};
use tokio::sync::oneshot;

use crate::Rejection;

/// Answers a command once it is on disk.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Rejection>>;

/// What lies in an agent's mailbox.
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
    /// Check health now, wherever it is hosted.
    Check {
        reply: Option<oneshot::Sender<HealthReport>>,
    },
    /// What its host found, and how many checks in a row failed.
    Checked { report: HealthReport, failures: u32 },
    /// Answered once all before it is on disk and in the registry.
    Sync(oneshot::Sender<()>),
    /// Nodes came, went or were asked to: see whether it is hosted where it should be.
    Place,
    /// A node hosts it that should not.
    Stray(NodeId),
    /// A node that has fewer agents is to host it if it is idle.
    Share(NodeId),
    /// Attempts on nodes that hosted it before may have ended.
    Ending,
    /// No node could host it a while ago.
    Lacking,
    /// A node hosts it now, or does not want to.
    Placed { move_number: u64, hosted: Placed },
}

/// What became of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placed {
    /// The node hosts it; on those others attempts go on.
    On(NodeId, Vec<NodeId>),
    /// It does not: it is gone, or a later owner's word counts there.
    Nowhere,
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

impl ractor::Message for Message {}
impl runtime::supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "Register",
            Self::Change { .. } => "Change",
            Self::Check { .. } => "Check",
            Self::Checked { .. } => "Checked",
            Self::Sync(_) => "Sync",
            Self::Place => "Place",
            Self::Stray(_) => "Stray",
            Self::Share(_) => "Share",
            Self::Ending => "Ending",
            Self::Lacking => "Lacking",
            Self::Placed { .. } => "Placed",
        }
    }
}
