//! [`Network`]: the links of this process to other nodes, over TLS and ractor_cluster.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use protocol::id::NodeId;
use ractor_cluster::NodeServerMessage;
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    connector::{self, Listens, dials},
    fault::DialError,
    gateway::{Args, Gateway, Message, Table},
    link::{End, NetLink},
    listener,
    sessions::{Known, Sessions},
    settings::{LinkView, NetworkError, Settings},
};
use crate::{
    clock::{Clock, Dice},
    cluster::{
        Link,
        identity::{Identity, Subject},
        join::Desk,
    },
    supervision::{Address, ChildSpec, Restart, Spec, Strategy, branch, child_at},
};

/// Whether this process has a network: ractor_cluster's registries belong to the process.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The links of this process to other nodes. Cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Settings,
    identity: RwLock<Identity>,
    pub(super) table: Arc<Table>,
    pub(super) gateway: Address<Message>,
    pub(super) sessions: Address<NodeServerMessage>,
    connectors: Mutex<HashMap<NodeId, (String, AbortHandle)>>,
    pub(super) serial: AtomicU64,
    nudge: Notify,
    /// Why the last attempt to dial failed, unless one succeeded since.
    failure: Mutex<Option<DialError>>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    _claim: Claim,
}

/// The right to be this process's network.
struct Claim;

impl Claim {
    fn stake() -> Result<Self, NetworkError> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Err(NetworkError::Second);
        }
        Ok(Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

impl Network {
    /// Makes the network of this process, and the child to be started under a supervisor before
    /// anything is dialled or accepted. When the child fails, all links end and are dialled again.
    ///
    /// # Errors
    ///
    /// When the process has a network already, or its certificate has expired.
    pub fn prepare(settings: Settings) -> Result<(Self, ChildSpec), NetworkError> {
        let identity = settings.identity.clone();
        if identity.not_after() <= settings.clock.now() {
            return Err(NetworkError::Expired(identity.not_after()));
        }
        let claim = Claim::stake()?;
        let table = Arc::new(Table::default());
        let (gateway, sessions) = (Address::vacant(), Address::vacant());
        let args = Args {
            table: table.clone(),
            inbox: settings.inbox.clone(),
        };
        let known = Known {
            name: identity.subject().name.clone(),
            node: settings.node,
            authority: identity.authority(),
        };
        let children = vec![
            child_at(
                &gateway,
                "gateway",
                "mesh_gateway",
                Restart::Permanent,
                move || (Gateway, args.clone()),
            ),
            child_at(
                &sessions,
                "sessions",
                "mesh_sessions",
                Restart::Permanent,
                {
                    let gateway = gateway.clone();
                    move || (Sessions::new(&known, gateway.clone()), ())
                },
            ),
        ];
        let spec = Spec::infrastructure(Strategy::OneForAll);
        let (child, _) = branch("mesh", spec, children);
        let inner = Inner {
            settings,
            identity: RwLock::new(identity),
            table,
            gateway,
            sessions,
            connectors: Mutex::default(),
            serial: AtomicU64::new(1),
            nudge: Notify::new(),
            failure: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            _claim: claim,
        };
        Ok((Self(Arc::new(inner)), child))
    }

    /// Takes connections of nodes, and of machines that want to join.
    pub fn listen(&self, listener: TcpListener) {
        self.0.spawn(listener::accept(self.0.clone(), listener));
    }

    /// Says which nodes there are and where they listen. Links to others are left to whoever
    /// closes them; of two nodes that listen, the one that started later dials.
    pub fn set_peers(&self, peers: Vec<(NodeId, String)>) {
        let listens = match self.0.settings.mesh {
            Some(_) => Listens::Yes,
            None => Listens::No,
        };
        let me = self.0.settings.node;
        let wanted: HashMap<_, _> = peers
            .into_iter()
            .filter(|(node, _)| dials(me, *node, listens))
            .collect();
        let mut connectors = self.0.connectors();
        connectors.retain(|node, (address, task)| {
            let stays = wanted.get(node) == Some(address);
            if !stays {
                task.abort();
            }
            stays
        });
        for (node, address) in wanted {
            connectors.entry(node).or_insert_with(|| {
                let connecting = connector::connect(self.0.clone(), node, address.clone());
                (address, self.0.spawn(connecting))
            });
        }
    }

    /// Dials at once whoever is waited for.
    pub fn nudge(&self) {
        self.0.nudge.notify_waiters();
    }

    /// Closes the link to a node, if there is one.
    pub fn close(&self, node: NodeId, reason: &str) {
        for link in self.0.table.all() {
            if link.peer.node == node {
                link.close(reason);
            }
        }
    }

    /// Closes the links of nodes whose identity counts no more.
    pub fn close_identities(&self, identities: &HashSet<Uuid>, reason: &str) {
        for link in self.0.table.all() {
            if identities.contains(&link.identity) {
                link.close(reason);
            }
        }
    }

    /// Who a node is by the certificate that it showed, while its link stands.
    #[must_use]
    pub fn subject(&self, node: NodeId) -> Option<Subject> {
        let links = self.0.table.open();
        let link = links.into_iter().find(|link| link.peer.node == node)?;
        Some(Subject {
            cluster: link.hello.cluster,
            identity: link.identity,
            name: link.peer.name.clone(),
            roles: link.peer.roles.clone(),
        })
    }

    /// Uses another certificate for links from now on; those that stand are not touched.
    pub fn renew(&self, identity: Identity) {
        let mut held = self
            .0
            .identity
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = identity;
    }

    /// The links that are open.
    #[must_use]
    pub fn links(&self) -> Vec<LinkView> {
        let view = |link: Arc<NetLink>| LinkView {
            peer: link.peer.clone(),
            address: link.address.clone(),
            protocol: link.accord.protocol,
            skew: link.accord.skew,
            version: link.hello.version.clone(),
            region: link.hello.region.clone(),
            mesh: link.hello.mesh.clone(),
            dialled: link.end == End::Dialled,
        };
        self.0.table.open().into_iter().map(view).collect()
    }

    /// Why no node was reached when one was dialled last.
    #[must_use]
    pub fn failure(&self) -> Option<DialError> {
        let failure = self.0.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends what accepts and dials, and then every link. The child is stopped by its supervisor.
    pub async fn stop(&self, reason: &str) {
        self.0.stop.cancel();
        self.0.tasks.close();
        for link in self.0.table.all() {
            link.close(reason);
        }
        self.0.connectors().clear();
        self.0.tasks.wait().await;
    }
}

#[cfg(test)]
impl Network {
    pub(super) fn sessions(&self) -> &Address<NodeServerMessage> {
        &self.0.sessions
    }
}

impl Inner {
    /// Runs until it ends, or the network stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let stop = self.stop.clone();
        let running = async move {
            // Nobody waits for a task that was stopped.
            let _ = stop.run_until_cancelled_owned(task).await;
        };
        self.tasks.spawn(running).abort_handle()
    }

    fn connectors(&self) -> MutexGuard<'_, HashMap<NodeId, (String, AbortHandle)>> {
        self.connectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn identity(&self) -> Identity {
        let held = self.identity.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    pub(super) fn desk(&self) -> Option<&Desk> {
        self.settings.desk.as_ref()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.settings.clock
    }

    pub(super) fn dice(&self) -> &Dice {
        &self.settings.dice
    }

    pub(super) fn dialled(&self, failure: Option<DialError>) {
        let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = failure;
    }

    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    pub(super) fn link_to(&self, node: NodeId) -> Option<Arc<NetLink>> {
        let links = self.table.all();
        links.into_iter().find(|link| link.peer.node == node)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.0.settings.node;
        write!(f, "Network({node}, {} links)", self.0.table.open().len())
    }
}
