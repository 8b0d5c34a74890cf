//! [`Envelope`]s, which count against a window, and [`Signal`]s, which do not.

use super::Service;
use crate::id::NodeId;

/// What an envelope is taken to weigh beside its payload: no less than its head on the wire.
const HEAD: usize = 64;

/// Which trace a message belongs to, as in W3C's `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub trace: [u8; 16],
    /// The span that caused the message.
    pub span: [u8; 8],
    /// Whether it is recorded, and what else `traceparent` may say.
    pub flags: u8,
}

/// One message between two nodes. Its correlation `id` is unique among the requests that its asker
/// ever sent over one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Asks for an answer.
    Request {
        /// Its correlation.
        id: u64,
        /// Which part it is for.
        service: Service,
        /// Milliseconds that the asker still waits; relative, so that clocks may differ.
        left_ms: u32,
        /// The trace it belongs to.
        trace: Option<Trace>,
        /// In the service's own form.
        payload: &'a [u8],
    },
    /// Answers a request.
    Reply {
        /// That of the request.
        id: u64,
        /// In the service's own form.
        payload: &'a [u8],
    },
    /// Says why a request has no answer.
    Fault {
        /// That of the request.
        id: u64,
        /// Why.
        why: Complaint<'a>,
    },
    /// Awaits no answer.
    Tell {
        /// Which part it is for.
        service: Service,
        /// The trace it belongs to.
        trace: Option<Trace>,
        /// In the service's own form.
        payload: &'a [u8],
    },
    /// Nobody waits for the answer to a request any more.
    Cancel {
        /// That of the request.
        id: u64,
    },
}

impl Envelope<'_> {
    /// Bytes that it counts against a window; both ends count alike.
    #[must_use]
    pub const fn weight(&self) -> usize {
        HEAD + match self {
            Self::Request { payload, .. }
            | Self::Reply { payload, .. }
            | Self::Tell { payload, .. } => payload.len(),
            Self::Fault {
                why: Complaint::Refused(words),
                ..
            } => words.len(),
            Self::Fault { .. } | Self::Cancel { .. } => 0,
        }
    }
}

/// Why a node does not answer. A node is named where the trouble lies beyond the one that complains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complaint<'a> {
    /// It could not reach a node that it needed.
    Unreachable(NodeId),
    /// It lost the link to a node that it needed.
    Lost(NodeId),
    /// A node ran out of time.
    Deadline(NodeId),
    /// A node has too much to do.
    Overloaded(NodeId),
    /// What was to be sent is larger than a message may be.
    TooLarge {
        /// Its size.
        size: u64,
        /// What fits.
        limit: u64,
    },
    /// A node does not offer the service.
    NoService(NodeId),
    /// Refused or failed, in words.
    Refused(&'a str),
}

/// What keeps order and has its own window, so that one slow service holds up no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u16);

impl Lane {
    /// Requests and all that answers them.
    pub const CALLS: Self = Self(0);

    /// What a service is told.
    #[must_use]
    pub const fn tells(service: Service) -> Self {
        Self(service.0)
    }
}

/// What a node says to keep a link going; never waits behind envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The sender lives; to be echoed.
    Heartbeat {
        /// The sender's own clock, in microseconds.
        sent_us: u64,
    },
    /// Gives a heartbeat back.
    Echo {
        /// As the heartbeat said.
        sent_us: u64,
    },
    /// The receiver is done with all frames of a lane up to this one.
    Done {
        /// Whose window it returns.
        lane: Lane,
        /// The last frame's number.
        number: u64,
    },
}
