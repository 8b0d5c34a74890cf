//! [`Parcel`]: an envelope that waits to be sent, with what it owns.

use protocol::{
    id::NodeId,
    wire::{Complaint, Envelope, Lane, Service, Trace},
};
use tokio::time::Instant;

use crate::cluster::Fault;

/// Bytes of a refusal that cross the mesh.
const WORDS: usize = 4096;

#[derive(Debug)]
pub(super) enum Parcel {
    Request {
        id: u64,
        service: Service,
        until: Instant,
        trace: Option<Trace>,
        payload: Vec<u8>,
    },
    Reply {
        id: u64,
        payload: Vec<u8>,
    },
    Fault {
        id: u64,
        fault: Fault,
    },
    Tell {
        service: Service,
        trace: Option<Trace>,
        payload: Vec<u8>,
    },
    Cancel {
        id: u64,
    },
}

impl Parcel {
    pub(super) const fn lane(&self) -> Lane {
        match self {
            Self::Tell { service, .. } => Lane::tells(*service),
            Self::Request { .. }
            | Self::Reply { .. }
            | Self::Fault { .. }
            | Self::Cancel { .. } => Lane::CALLS,
        }
    }

    /// As [`Envelope::weight`] says.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Request { payload, .. }
            | Self::Reply { payload, .. }
            | Self::Tell { payload, .. } => Envelope::Reply { id: 0, payload }.weight(),
            Self::Fault { id, fault } => Envelope::Fault {
                id: *id,
                why: complaint(fault),
            }
            .weight(),
            Self::Cancel { id } => Envelope::Cancel { id: *id }.weight(),
        }
    }

    /// As it crosses the mesh at `now`.
    pub(super) fn envelope(&self, now: Instant) -> Envelope<'_> {
        match self {
            Self::Request {
                id,
                service,
                until,
                trace,
                payload,
            } => Envelope::Request {
                id: *id,
                service: *service,
                left_ms: millis(*until, now),
                trace: *trace,
                payload,
            },
            Self::Reply { id, payload } => Envelope::Reply { id: *id, payload },
            Self::Fault { id, fault } => Envelope::Fault {
                id: *id,
                why: complaint(fault),
            },
            Self::Tell {
                service,
                trace,
                payload,
            } => Envelope::Tell {
                service: *service,
                trace: *trace,
                payload,
            },
            Self::Cancel { id } => Envelope::Cancel { id: *id },
        }
    }
}

/// Milliseconds left, rounded up: what is not over yet has some left.
fn millis(until: Instant, now: Instant) -> u32 {
    let left = until.saturating_duration_since(now);
    u32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

fn complaint(fault: &Fault) -> Complaint<'_> {
    match fault {
        Fault::Unreachable(node) => Complaint::Unreachable(*node),
        Fault::Lost(node) => Complaint::Lost(*node),
        Fault::Deadline(node) => Complaint::Deadline(*node),
        Fault::Overloaded(node) => Complaint::Overloaded(*node),
        Fault::TooLarge { size, limit } => Complaint::TooLarge {
            size: *size as u64,
            limit: *limit as u64,
        },
        Fault::NoService(node) => Complaint::NoService(*node),
        Fault::Refused(words) => Complaint::Refused(&words[..words.floor_char_boundary(WORDS)]),
    }
}

/// What a complaint from `from` means here.
pub(super) fn fault(why: Complaint<'_>) -> Fault {
    let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    match why {
        Complaint::Unreachable(node) => Fault::Unreachable(node),
        Complaint::Lost(node) => Fault::Lost(node),
        Complaint::Deadline(node) => Fault::Deadline(node),
        Complaint::Overloaded(node) => Fault::Overloaded(node),
        Complaint::TooLarge { size, limit } => Fault::TooLarge {
            size: bytes(size),
            limit: bytes(limit),
        },
        Complaint::NoService(node) => Fault::NoService(node),
        Complaint::Refused(words) => Fault::Refused(words.to_owned()),
    }
}

/// What becomes of requests when their link is lost: those up to `sent` may have been heard.
pub(super) const fn lost(id: u64, sent: u64, node: NodeId) -> Fault {
    if id > sent {
        Fault::Unreachable(node)
    } else {
        Fault::Lost(node)
    }
}
