//! DOOR to other nodes: [`Mesh`] asks and tells them, over [`Link`]s.
//!
//! A request has exactly one outcome here: an answer, or a [`Fault`] that says what is known. What is
//! told arrives at most once.

pub mod hello;
pub mod identity;
pub mod join;
pub mod memory;
mod mesh;
pub mod transport;

use std::{pin::Pin, sync::Arc, time::Duration};

use protocol::{id::NodeId, member::Roles};

pub use mesh::{
    Limits, Mesh, PeerEvent, PeerState, PeerView, Timing, Tuning, Untunable, current_trace, traced,
};
pub use protocol::wire::MAX_PAYLOAD;

/// A node at the other end of a link, as its certificate and its hello say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// This start of its process.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// What it may do here.
    pub roles: Roles,
}

/// What another node asks or tells.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Who, as the link knows it: nothing in the payload can change that.
    pub from: Arc<Peer>,
    /// In the service's own form.
    pub payload: Vec<u8>,
    /// How long whoever asked still waits; zero for what is told.
    pub left: Duration,
}

/// What a handler answers; ignored for what is told.
pub type Outcome = Pin<Box<dyn Future<Output = Result<Vec<u8>, Fault>> + Send>>;

/// Takes what comes in for one service. What it does before it first waits may run where frames of all
/// links are read: it computes nothing long.
pub type Handler = Arc<dyn Fn(Incoming) -> Outcome + Send + Sync>;

/// Why a request to another node has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no link to it: nothing was sent.
    #[error("{0} cannot be reached")]
    Unreachable(NodeId),
    /// Its link was lost while the answer was awaited: it may have happened.
    #[error("the link to {0} was lost before it answered")]
    Lost(NodeId),
    /// No answer in time: it may have happened, or may still.
    #[error("{0} did not answer in time")]
    Deadline(NodeId),
    /// Too much is on its way to it already: nothing was sent.
    #[error("{0} takes no more at the moment")]
    Overloaded(NodeId),
    /// More than [`MAX_PAYLOAD`]: nothing was sent.
    #[error("{size} bytes are more than a message may hold ({limit})")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What fits.
        limit: usize,
    },
    /// It has no such service: another version, or another role.
    #[error("{0} does not offer this")]
    NoService(NodeId),
    /// Its handler refused or failed, in words.
    #[error("{0}")]
    Refused(String),
}

impl Fault {
    /// Whether it is certain that nothing happened.
    #[must_use]
    pub const fn nothing_happened(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Overloaded(_)
            | Self::TooLarge { .. }
            | Self::NoService(_) => true,
            Self::Lost(_) | Self::Deadline(_) | Self::Refused(_) => false,
        }
    }
}

/// One connection to another node. Whoever made it calls [`Mesh::opened`] once, then
/// [`Mesh::received`] for each frame in order, then [`Mesh::closed`] once.
pub trait Link: Send + Sync + std::fmt::Debug {
    /// Who is at the other end.
    fn peer(&self) -> &Arc<Peer>;

    /// Hands a frame over to be sent; never waits. What is handed over may be lost with the link.
    fn send(&self, frame: Vec<u8>);

    /// Ends the connection: both ends see it closed.
    fn close(&self, reason: &str);
}

/// Who hears of links and what comes in on them; nothing here may wait.
pub trait Inbox: Send + Sync {
    /// A link can carry frames from now on; called once for each.
    fn opened(&self, link: Arc<dyn Link>);

    /// A frame came in; called in the order in which the other end sent them.
    fn received(&self, link: &Arc<dyn Link>, frame: Vec<u8>);

    /// The link has ended, and no frame follows; called once for each that was opened.
    fn closed(&self, link: &Arc<dyn Link>, reason: &str);
}

impl Inbox for Mesh {
    fn opened(&self, link: Arc<dyn Link>) {
        Self::opened(self, link);
    }

    fn received(&self, link: &Arc<dyn Link>, frame: Vec<u8>) {
        Self::received(self, link, frame);
    }

    fn closed(&self, link: &Arc<dyn Link>, reason: &str) {
        Self::closed(self, link, reason);
    }
}
