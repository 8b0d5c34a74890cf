//! Other nodes, as use cases reach them.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use protocol::{id::NodeId, wire::Service};
use runtime::cluster::{Fault, Handler, Mesh, Peer};

use crate::{
    cluster::{Asking, Net},
    orchestrator::Placement,
};

/// What a request to another node came to, in time.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Fault>> + Send + 'a>>;

/// The links of this node; [`Mesh`] in earnest, something smaller in tests.
pub trait Peers: Send + Sync + fmt::Debug {
    /// This node.
    fn me(&self) -> NodeId;

    /// Asks another node; exactly one outcome, no later than `within`.
    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asked<'_>;

    /// Tells another node something, at most once.
    ///
    /// # Errors
    ///
    /// When it is certain that it will not arrive.
    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault>;

    /// Answers what other nodes ask and tell.
    fn serve(&self, service: Service, handler: Handler);

    /// Whom this node can reach.
    fn peers(&self) -> Vec<Arc<Peer>>;
}

impl Peers for Mesh {
    fn me(&self) -> NodeId {
        Self::me(self)
    }

    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asked<'_> {
        Box::pin(Self::ask(self, to, service, payload, within))
    }

    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        Self::tell(self, to, service, payload)
    }

    fn serve(&self, service: Service, handler: Handler) {
        Self::serve(self, service, handler);
    }

    fn peers(&self) -> Vec<Arc<Peer>> {
        Self::peers(self)
    }
}

/// What a node of a cluster knows of the others.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// How it reaches them.
    pub peers: Arc<dyn Peers>,
    /// What each of them owns.
    pub placement: Arc<dyn Placement>,
}

/// Links as the rest of this crate uses them.
#[derive(Debug)]
pub(super) struct Links(pub(super) Arc<dyn Peers>);

impl Net for Links {
    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asking {
        let peers = self.0.clone();
        Box::pin(async move { peers.ask(to, service, payload, within).await })
    }

    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        self.0.tell(to, service, payload)
    }

    fn serve(&self, service: Service, handler: Handler) {
        self.0.serve(service, handler);
    }
}
