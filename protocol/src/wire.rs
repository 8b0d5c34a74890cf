//! Node to node: what crosses the mesh.

pub mod hello;
pub mod join;

use serde::{Deserialize, Serialize};

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
}
