//! Node to node: what crosses the mesh.
//!
//! A link carries frames. The first one each way is a [`Hello`], whose layout never changes; it says
//! which version of the rest its sender speaks. Every other frame is [bulk](frame::Frame::Bulk), counted
//! against the receiver's window, or [signals](frame::Frame::Signals), which are few and small.

pub mod codec;
mod envelope;
pub mod frame;
pub mod hello;
pub mod join;
mod opening;
mod traceparent;

pub use envelope::{Complaint, Envelope, Lane, Signal, Trace};
pub use opening::{Hello, Unreadable};
pub use traceparent::NoTrace;

use serde::{Deserialize, Serialize};

/// Version of all that follows a [`Hello`]. It grows when a build cannot read what the last one wrote.
pub const WIRE_VERSION: u16 = 1;

/// Bytes of the largest frame; a link may take more for broken or hostile.
pub const MAX_FRAME: usize = 1024 * 1024;

/// Bytes that one envelope may carry; more goes by reference.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// Whether this build understands a peer of version `other`: its own, the last and the next, so that a
/// cluster can be upgraded node by node.
#[must_use]
pub const fn speaks(other: u16) -> bool {
    other != 0 && other.abs_diff(WIRE_VERSION) <= 1
}

/// Which part of a node a message is for. Numbers are part of the contract and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Service(pub u16);

impl Service {
    /// Membership: heartbeats, leases of workers, the roster.
    pub const MEMBERSHIP: Self = Self(1);
    /// Use cases of the orchestrator, carried out where the entity is.
    pub const CALL: Self = Self(2);
    /// What a task is told from elsewhere: results, findings.
    pub const TASK: Self = Self(3);
    /// What an agent's host is told: reserve, run, stop, probe.
    pub const HOST: Self = Self(4);
    /// What an agent's owner is told by its host: health, load.
    pub const AGENT: Self = Self(5);
    /// Events of an entity for whoever watches elsewhere.
    pub const FEED: Self = Self(6);
    /// Pieces of files that are too large for a message.
    pub const FILE: Self = Self(7);
    /// Fresh certificates for nodes that cannot make their own.
    pub const CERTIFICATE: Self = Self(8);
    /// Questions of agents to agents, put to the owner of the task for which they are asked.
    pub const ASK: Self = Self(9);
    /// What operators hold, for the nodes whose tasks are to act on it.
    pub const HOLD: Self = Self(10);
    /// The past of nodes that have no store, for those that keep it.
    pub const HISTORY: Self = Self(11);
    /// What a question, or a run of another workflow, says to the task that waits for it.
    pub const WORD: Self = Self(12);
    /// Questions to people, put to the node that is to own them.
    pub const QUESTION: Self = Self(13);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_spoken_with_its_neighbours_alone() {
        assert!(speaks(WIRE_VERSION) && speaks(WIRE_VERSION + 1));
        assert!(!speaks(WIRE_VERSION + 2) && !speaks(0));
    }
}
