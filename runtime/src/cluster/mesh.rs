//! [`Mesh`]: asks and tells other nodes.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use protocol::{id::NodeId, wire::Service};
use tokio::sync::broadcast;

use super::{Fault, Handler, Link, MAX_PAYLOAD, Peer};

/// Changes that a watcher may be behind.
const BACKLOG: usize = 256;

/// A change among the nodes that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// It can be reached now.
    Up(Arc<Peer>),
    /// It cannot be reached any more; whether it lives, its lease says.
    Down(NodeId),
}

/// The other nodes, as far as they can be reached from here. Cheap to clone.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

struct Inner {
    me: NodeId,
    handlers: DashMap<Service, Handler>,
    links: DashMap<NodeId, Arc<dyn Link>>,
    events: broadcast::Sender<PeerEvent>,
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mesh({}, {} links)", self.0.me, self.0.links.len())
    }
}

impl Mesh {
    /// A mesh without links.
    #[must_use]
    pub fn new(me: NodeId) -> Self {
        Self(Arc::new(Inner {
            me,
            handlers: DashMap::new(),
            links: DashMap::new(),
            events: broadcast::channel(BACKLOG).0,
        }))
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.0.me
    }

    /// Offers a service to other nodes; a later handler replaces an earlier one.
    pub fn serve(&self, service: Service, handler: Handler) {
        self.0.handlers.insert(service, handler);
    }

    /// Asks another node, and waits no longer than `within`.
    ///
    /// # Errors
    ///
    /// Exactly one [`Fault`] when there is no answer.
    pub async fn ask(
        &self,
        to: NodeId,
        service: Service,
        payload: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, Fault> {
        let _ = (service, within);
        check(&payload)?;
        Err(Fault::Unreachable(to))
    }

    /// Tells another node something, at most once.
    ///
    /// # Errors
    ///
    /// When it is certain that it will not arrive.
    pub fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        let _ = service;
        check(&payload)?;
        Err(Fault::Unreachable(to))
    }

    /// Whom this node can reach.
    #[must_use]
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.0
            .links
            .iter()
            .map(|link| link.peer().clone())
            .collect()
    }

    /// Changes from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<PeerEvent> {
        self.0.events.subscribe()
    }
}

fn check(payload: &[u8]) -> Result<(), Fault> {
    if payload.len() > MAX_PAYLOAD {
        return Err(Fault::TooLarge {
            size: payload.len(),
            limit: MAX_PAYLOAD,
        });
    }
    Ok(())
}
