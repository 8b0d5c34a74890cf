//! Clusters for tests and benches: an authority, a node of this process, and what it hears.

mod other;

use std::{sync::Arc, time::Duration};

use protocol::{
    id::NodeId,
    member::{NodeRole, Roles},
    time::Timestamp,
    wire::hello::PROTOCOL,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard, mpsc},
};
use uuid::Uuid;

use super::{Network, Settings};
use crate::{
    clock::{Clock, Dice},
    cluster::{
        Inbox, Link, Peer,
        identity::{Authority, Identity, IdentityError, Subject},
    },
    supervision::{SpawnError, Spec, Strategy, Supervisor, SupervisorRef, Tree},
};

pub use other::{Other, PATIENCE, SWALLOWED, be, told_to_be_the_other};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A cluster that was just founded.
#[derive(Debug)]
pub struct Founded {
    /// What issues its certificates.
    pub authority: Authority,
    /// Its id.
    pub cluster: Uuid,
}

impl Founded {
    /// Founds a cluster.
    ///
    /// # Errors
    ///
    /// When the machine cannot make a key.
    pub fn new(cluster: u128) -> Result<Self, IdentityError> {
        let cluster = Uuid::from_u128(cluster);
        let authority = Authority::create(cluster, Clock::system().now())?;
        Ok(Self { authority, cluster })
    }

    /// A node's identity, valid for a day from `now`.
    ///
    /// # Errors
    ///
    /// When certificates cannot carry the name.
    pub fn identity(
        &self,
        name: &str,
        role: NodeRole,
        now: Timestamp,
    ) -> Result<Identity, IdentityError> {
        let request = Identity::request(name)?;
        let certificate = self.certify(&request.csr, name, role, now)?;
        Identity::new(&request.key, &certificate, self.authority.certificate_pem())
    }

    /// A certificate for a request, valid for a day from `now`.
    ///
    /// # Errors
    ///
    /// When the request is none.
    pub fn certify(
        &self,
        csr: &str,
        name: &str,
        role: NodeRole,
        now: Timestamp,
    ) -> Result<String, IdentityError> {
        let subject = Subject {
            cluster: self.cluster,
            identity: Uuid::new_v4(),
            name: name.to_owned(),
            roles: Roles::from_iter([role]),
        };
        self.authority.issue(csr, &subject, DAY, now)
    }
}

/// What a node heard.
#[derive(Debug)]
pub enum Heard {
    /// A link is open.
    Opened(Arc<dyn Link>),
    /// A frame came in.
    Frame(Arc<Peer>, Vec<u8>),
    /// A link ended, and why.
    Closed(Arc<Peer>, String),
}

/// Writes down all that a node hears.
#[derive(Debug)]
pub struct Recorder(mpsc::UnboundedSender<Heard>);

impl Recorder {
    /// A recorder, and what it will have written.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Heard>) {
        let (heard, tape) = mpsc::unbounded_channel();
        (Arc::new(Self(heard)), tape)
    }

    fn record(&self, heard: Heard) {
        // A test that has seen enough listens no more.
        let _ = self.0.send(heard);
    }
}

impl Inbox for Recorder {
    fn opened(&self, link: Arc<dyn Link>) {
        self.record(Heard::Opened(link));
    }

    fn received(&self, link: &Arc<dyn Link>, frame: Vec<u8>) {
        self.record(Heard::Frame(link.peer().clone(), frame));
    }

    fn closed(&self, link: &Arc<dyn Link>, reason: &str) {
        self.record(Heard::Closed(link.peer().clone(), reason.to_owned()));
    }
}

/// What a node of a test is made of.
#[must_use]
pub fn settings(identity: Identity, node: NodeId, inbox: Arc<dyn Inbox>) -> Settings {
    Settings {
        identity,
        node,
        shards: 256,
        protocol: PROTOCOL,
        version: "0.0.0".to_owned(),
        region: String::new(),
        mesh: None,
        clock: Clock::system(),
        dice: Dice::system(),
        inbox,
        admit: Arc::new(|_, _| Ok(())),
        desk: None,
    }
}

static ONE: Mutex<()> = Mutex::const_new(());

/// The node of this process; tests that run side by side take turns.
#[derive(Debug)]
pub struct Running {
    /// Its network.
    pub network: Network,
    /// Where it listens.
    pub address: String,
    root: SupervisorRef,
    _turn: MutexGuard<'static, ()>,
}

/// A test could not start its node.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process has one.
    #[error(transparent)]
    Network(#[from] super::NetworkError),
    /// No port.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    /// The supervisor did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

impl Running {
    /// Starts a node that listens on a free port of this machine only.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub async fn start(mut settings: Settings) -> Result<Self, StartError> {
        let turn = ONE.lock().await;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        settings.mesh = Some(address.clone());
        let tree = Tree::new("test", settings.clock.clone());
        let (network, child) = Network::prepare(settings)?;
        let spec = Spec::infrastructure(Strategy::OneForOne);
        let root = Supervisor::start(&tree, "test", spec, vec![child], None).await?;
        network.listen(listener);
        Ok(Self {
            network,
            address,
            root,
            _turn: turn,
        })
    }

    /// Restarts what stands between the links and ractor_cluster.
    ///
    /// # Panics
    ///
    /// When it does not start again.
    pub async fn restart(&self) {
        let restarted = self.root.restart("mesh").await;
        assert_eq!(restarted, Ok(()), "the network did not start again");
    }

    /// Stops it and lets the next test have its turn.
    pub async fn stop(self) {
        self.network.stop("the test is over").await;
        // What does not stop in time is killed.
        let _ = self.root.shutdown(Duration::from_secs(5)).await;
    }
}
