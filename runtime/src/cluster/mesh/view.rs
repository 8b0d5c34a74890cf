//! [`PeerView`]: how a peer looks from here.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Inner, session::Session};
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

impl Session {
    pub(super) fn view(&self, inner: &Inner) -> PeerView {
        let timing = inner.tuning.timing;
        let now = Instant::now();
        let state = self.lock();
        let silent = now.saturating_duration_since(state.heard);
        let stuck = state.out.stuck().map(|since| now.duration_since(since));
        let late = silent.max(stuck.unwrap_or_default()) >= timing.suspect;
        PeerView {
            peer: self.link.peer().clone(),
            state: if late {
                PeerState::Suspect
            } else {
                PeerState::Up
            },
            rtt: state.rtt,
            queued: state.out.queued(),
            queued_bytes: state.out.queued_bytes(),
            flying_bytes: state.out.flying_bytes(),
            silent,
            up_for: now.saturating_duration_since(self.opened),
        }
    }
}
