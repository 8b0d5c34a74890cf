//! [`Orchestrator`]: one method a use case, one file a subject.

mod agents;
mod cases;
mod cluster;
mod diary;
mod events;
mod feed;
mod files;
mod holds;
mod log;
mod lookup;
mod measure;
mod past;
mod peers;
mod questions;
mod rebuild;
mod route;
mod schedules;
mod serve;
mod start;
mod strong;
mod submission;
mod system;
mod tasks;
mod templates;
mod tickets;
mod tree;
mod triggers;
mod turns;
mod workflows;

use std::{
    collections::HashMap,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::Stream;
use protocol::{
    api::{EventView, TaskView},
    id::NodeId,
    time::Timestamp,
};
use runtime::{
    clock::Clock,
    journal::Journal,
    store::{self, Writer},
    supervision::{SupervisorRef, Tree},
};
use serde::{Deserialize, Serialize};

pub use cases::{Begun, Cancel, Drawing};
pub use cluster::Duty;
pub use diary::AgentLog;
pub use files::{Artifact, Pieces};
pub use log::LogDial;
pub use peers::{Asked, Cluster, Peers};
pub use rebuild::{Rebuilt, rebuild};
pub use tickets::{Lent, TicketDesk};
pub use tree::Feed;

use crate::{
    Config, Rejection,
    adapter::Adapter,
    cluster::{Carrier, Roll, parcel::Limits},
    host::Worker,
    orchestrator::Placement,
    services::Services,
};

/// Events of one entity, in order, without gaps, until it can have no more.
pub type EventFeed = Pin<Box<dyn Stream<Item = Result<EventView, Rejection>> + Send>>;

/// What a node hands to its orchestrator.
#[derive(Debug)]
pub struct Setup {
    /// This crate's sections of the configuration.
    pub config: Config,
    /// The node's name, the same after a restart.
    pub node: String,
    /// Where everything is kept.
    pub store: store::Shared,
    /// Where artifacts and private working directories lie.
    pub data_dir: PathBuf,
    /// Agents written in Rust, by the name under which `native` agents refer to them.
    pub natives: HashMap<String, Arc<dyn Adapter>>,
}

/// What a node without a store hands to its orchestrator, which passes every use case on.
#[derive(Debug)]
pub struct Outpost {
    /// The node's name, the same after a restart.
    pub node: String,
    /// What runs on it.
    pub tree: Tree,
    /// The node's time.
    pub clock: Clock,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The task.
    pub task: TaskView,
    /// Whether this call made it; false when the idempotency key was used before.
    pub fresh: bool,
}

/// The one way in, on any node of a cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orchestrator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: NodeId,
    name: Arc<str>,
    started_at: Timestamp,
    tree: Tree,
    /// Absent on a node without a store.
    own: Option<Own>,
    /// Absent on a node that is alone; then it has a store.
    member: Option<Member>,
    /// The cluster's members; absent where nobody keeps them.
    roll: Option<Roll>,
    /// What hosts agents on a node without a store.
    worker: Option<Worker>,
    /// How much this process logs; absent where the program around it decides that.
    log: OnceLock<&'static dyn LogDial>,
    /// Tickets that were given here; absent where nobody comes with a token.
    tickets: OnceLock<Arc<dyn TicketDesk>>,
    followed: tree::Followed,
    readings: past::Readings,
    turns: turns::Turns,
    nodes: events::Nodes,
}

/// What a node with a store has of its own.
#[derive(Debug)]
struct Own {
    services: Services,
    journal: Journal,
    writer: Writer,
    root: SupervisorRef,
    data_dir: PathBuf,
}

/// What a node of a cluster has for talking to the others.
#[derive(Debug)]
struct Member {
    peers: Arc<dyn Peers>,
    placement: Arc<dyn Placement>,
    /// For use cases, of whatever size.
    carrier: Carrier,
    feeds: feed::Feeds,
}

impl Member {
    fn new(cluster: Cluster) -> Self {
        let net = Arc::new(peers::Links(cluster.peers.clone()));
        let carrier = Carrier::new(net, Limits::CALLS);
        Self {
            peers: cluster.peers,
            placement: cluster.placement,
            carrier,
            feeds: feed::Feeds::default(),
        }
    }
}

/// What every method answers.
type Answer<T> = Result<T, Rejection>;

impl Orchestrator {
    /// What this node has of its own; only use cases that are carried out here ask for it.
    fn own(&self) -> Answer<&Own> {
        self.0.own.as_ref().ok_or_else(|| Rejection::Unavailable {
            message: format!(
                "{} has no store and cannot carry this out itself",
                self.0.name
            ),
            retry_after: Duration::from_secs(1),
        })
    }
}
