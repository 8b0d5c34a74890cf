//! One link over ractor_cluster, from its greeting to its end.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use protocol::wire::hello::Hello;
use ractor::ActorRef;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{MAX_FRAME, gateway::Message, wire::Severance};
use crate::cluster::{Link, Peer, hello::Accord};

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Dialled,
    Accepted,
}

/// A link to another node; open once its peer's gateway is known.
pub(super) struct NetLink {
    pub(super) peer: Arc<Peer>,
    /// Whose certificate it showed.
    pub(super) identity: Uuid,
    pub(super) hello: Hello,
    pub(super) accord: Accord,
    /// Where the other end's socket is.
    pub(super) address: String,
    pub(super) end: End,
    /// Which of this process's links; part of the label that ractor_cluster knows it by.
    pub(super) serial: u64,
    /// What frames from the other end carry.
    pub(super) ours: Uuid,
    pub(super) severance: Severance,
    /// Cancelled when ractor_cluster has forgotten the connection too.
    pub(super) gone: CancellationToken,
    gateway: OnceLock<ActorRef<Message>>,
}

/// What the two ends of a fresh connection know.
pub(super) struct Met {
    pub(super) peer: Peer,
    pub(super) identity: Uuid,
    pub(super) hello: Hello,
    pub(super) accord: Accord,
    pub(super) address: String,
    pub(super) end: End,
    pub(super) ours: Uuid,
}

impl NetLink {
    pub(super) fn new(serial: u64, met: Met) -> Self {
        Self {
            peer: Arc::new(met.peer),
            identity: met.identity,
            hello: met.hello,
            accord: met.accord,
            address: met.address,
            end: met.end,
            serial,
            ours: met.ours,
            severance: Severance::default(),
            gone: CancellationToken::new(),
            gateway: OnceLock::new(),
        }
    }

    /// What ractor_cluster calls the connection; a name holds no `#`.
    pub(super) fn label(&self) -> String {
        format!("{}#{}", self.peer.name, self.serial)
    }

    /// The other end's gateway is here; the first one counts.
    pub(super) fn open(&self, gateway: ActorRef<Message>) {
        let _ = self.gateway.set(gateway);
    }
}

/// The serial in a label.
pub(super) fn serial(label: &str) -> Option<u64> {
    label.rsplit_once('#')?.1.parse().ok()
}

impl Link for NetLink {
    fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    fn send(&self, frame: Vec<u8>) {
        if frame.len() > MAX_FRAME {
            // The other end would answer it by ending the link, again and again.
            let size = frame.len();
            tracing::error!(
                peer = self.peer.name,
                size,
                "a frame is too large and was dropped"
            );
            return;
        }
        if let Some(gateway) = self.gateway.get() {
            let token = self.hello.token;
            // What is handed to a link that is about to end is lost with it.
            let _ = gateway.cast(Message::Frame { token, frame });
        }
    }

    fn close(&self, reason: &str) {
        self.severance.sever(reason);
    }
}

impl fmt::Debug for NetLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetLink({}, {})", self.label(), self.peer.node)
    }
}
