//! [`PeerView`]: how a peer looks from here.

use std::{sync::Arc, time::Duration};

use crate::cluster::Peer;

/// Whether a peer with a link shows that it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// It does.
    Up,
    /// It has been silent, or taken nothing, for longer than a peer that is well.
    Suspect,
}

impl PeerState {
    /// As lists write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
        }
    }
}

/// How a peer looks from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Who it is.
    pub peer: Arc<Peer>,
    /// Whether it shows that it lives.
    pub state: PeerState,
    /// Time from the last heartbeat to its echo.
    pub rtt: Option<Duration>,
    /// Envelopes that wait for its window.
    pub queued: usize,
    /// Their weight in bytes.
    pub queued_bytes: usize,
    /// Weight of what was sent and it is not done with.
    pub flying_bytes: usize,
    /// Since it was last heard.
    pub silent: Duration,
    /// Since its link was opened.
    pub up_for: Duration,
}
