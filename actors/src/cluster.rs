//! What this crate needs to know of a cluster: who owns what, who may host agents, how to reach them.
//!
//! The parts that start a node implement [`Cluster`] and [`Net`]; [`Surroundings::alone`] is a node
//! without others.

mod carrier;
mod handle;
pub mod parcel;

pub use carrier::Carrier;
pub(crate) use handle::Roll;
pub use handle::{Gatekeeper, Part};

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use protocol::{entity::EntityId, id::NodeId, member::Roles, wire::Service};
use runtime::{
    cluster::{Fault, Handler, Mesh},
    membership::Fence,
};
use tokio::sync::watch;

/// Who may run an entity now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This node.
    Here,
    /// Another one.
    There(NodeId),
    /// Nobody, or it is not known here: to be asked again after a change.
    Nobody,
}

/// Whether a node takes agents in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Up,
    /// It hands over what it has.
    Draining,
}

/// A live node that hosts agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// This start of it.
    pub node: NodeId,
    /// Its name, the same after a restart.
    pub name: Arc<str>,
    /// Where it stands; empty when nobody said.
    pub region: Arc<str>,
    /// What it does beside.
    pub roles: Roles,
    /// Whether it takes agents in.
    pub standing: Standing,
}

/// What is known of the cluster at this moment. Never waits.
pub trait Cluster: fmt::Debug + Send + Sync {
    /// Who may run an entity.
    fn owner(&self, entity: EntityId) -> Owner;

    /// The live control nodes, this one among them if it is one.
    fn controls(&self) -> Vec<NodeId>;

    /// The live nodes that host agents, this one among them if it is one.
    fn sites(&self) -> Vec<Site>;

    /// Whether this start of a node is dead for good: what ran there does not run any more.
    fn gone(&self, node: NodeId) -> bool;

    /// For how long a node that could be reached cannot be any more, as far as this one knows; absent
    /// while it can be.
    fn parted(&self, node: NodeId) -> Option<Duration>;

    /// Counts up after each change of any of these answers, and when a node can be reached again.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// The answer to a question to another node.
pub type Asking = Pin<Box<dyn Future<Output = Result<Vec<u8>, Fault>> + Send>>;

/// How to reach other nodes: what this crate uses of a [`Mesh`].
pub trait Net: fmt::Debug + Send + Sync {
    /// Asks another node, and waits no longer than `within`.
    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asking;

    /// Tells another node something, at most once.
    ///
    /// # Errors
    ///
    /// When it is certain that it will not arrive.
    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault>;

    /// Offers a service to other nodes.
    fn serve(&self, service: Service, handler: Handler);
}

impl Net for Mesh {
    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asking {
        let mesh = self.clone();
        Box::pin(async move { mesh.ask(to, service, payload, within).await })
    }

    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        Self::tell(self, to, service, payload)
    }

    fn serve(&self, service: Service, handler: Handler) {
        Self::serve(self, service, handler);
    }
}

/// Whether this node may run what it was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lease {
    /// It may.
    #[default]
    Held,
    /// Others count it as dead, or soon will: what runs here is to end now.
    Lost,
}

/// A node's place among others. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// This node.
    pub me: Site,
    /// The others.
    pub cluster: Arc<dyn Cluster>,
    /// How to reach them.
    pub net: Arc<dyn Net>,
    /// Whether they still count on this one.
    pub lease: watch::Receiver<Lease>,
    /// Until when they do: a node that slept reads it before it hears that its lease is lost.
    pub fence: Fence,
}

impl Surroundings {
    /// No others.
    #[must_use]
    pub fn alone(node: NodeId, name: &str) -> Self {
        let me = Site {
            node,
            name: name.into(),
            region: "".into(),
            roles: Roles::all(),
            standing: Standing::Up,
        };
        Self {
            cluster: Arc::new(Alone {
                me: me.clone(),
                changes: watch::Sender::default(),
            }),
            me,
            net: Arc::new(Mesh::new(node)),
            lease: watch::Sender::default().subscribe(),
            fence: Fence::open(),
        }
    }
}

/// A cluster of one.
#[derive(Debug)]
struct Alone {
    me: Site,
    changes: watch::Sender<u64>,
}

impl Cluster for Alone {
    fn owner(&self, _: EntityId) -> Owner {
        Owner::Here
    }

    fn controls(&self) -> Vec<NodeId> {
        vec![self.me.node]
    }

    fn sites(&self) -> Vec<Site> {
        vec![self.me.clone()]
    }

    /// Whatever another node ran, this one is the only one that lives.
    fn gone(&self, node: NodeId) -> bool {
        node != self.me.node
    }

    fn parted(&self, _: NodeId) -> Option<Duration> {
        None
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
