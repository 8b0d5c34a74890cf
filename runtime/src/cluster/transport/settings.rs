//! What a network is made of, and what it shows.

use std::{fmt, sync::Arc, time::Duration};

use protocol::{id::NodeId, time::Timestamp, wire::hello::Hello};

use crate::{
    clock::{Clock, Dice},
    cluster::{
        Inbox, Peer,
        identity::{Identity, Subject},
        join::Desk,
    },
};

/// Judges a node beyond what every node checks: whether its certificate was revoked, whether a
/// later start of it is known. The words are shown at both ends. Called from many tasks; it must
/// not wait.
pub type Admit = Arc<dyn Fn(&Hello, &Subject) -> Result<(), String> + Send + Sync>;

/// What a network is made of.
#[derive(Clone)]
pub struct Settings {
    /// Who this node is, with its name, its roles and its cluster.
    pub identity: Identity,
    /// This start of its process.
    pub node: NodeId,
    /// How many shards its cluster has.
    pub shards: u16,
    /// Version of the protocol between nodes that it speaks.
    pub protocol: u16,
    /// Version of its program.
    pub version: String,
    /// Where it stands; may be empty.
    pub region: String,
    /// Where others dial it, as `host:port`; nothing when it only dials.
    pub mesh: Option<String>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Where chance comes from.
    pub dice: Dice,
    /// Who hears of links and frames.
    pub inbox: Arc<dyn Inbox>,
    /// Who else judges other nodes.
    pub admit: Admit,
    /// Who grants joins; nothing when this node cannot.
    pub desk: Option<Desk>,
}

/// An open link, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkView {
    /// Who is at the other end.
    pub peer: Arc<Peer>,
    /// The other end's socket, or the address that was dialled.
    pub address: String,
    /// Version of the protocol that is spoken on it.
    pub protocol: u16,
    /// How far the clocks were apart when it was opened.
    pub skew: Duration,
    /// Version of the other end's program.
    pub version: String,
    /// Where the other end stands.
    pub region: String,
    /// Where the other end listens, if it does.
    pub mesh: Option<String>,
    /// Whether this node dialled.
    pub dialled: bool,
}

/// Why a process has no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// There is one already.
    #[error(
        "this process has a network already: ractor_cluster keeps one set of sessions for a process; connect further nodes in memory"
    )]
    Second,
    /// Its certificate does not hold any more.
    #[error("this node's certificate expired at {0}; join again with a new token")]
    Expired(Timestamp),
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("identity", &self.identity)
            .field("node", &self.node)
            .field("mesh", &self.mesh)
            .finish_non_exhaustive()
    }
}
