//! [`Network`]: the links of this process to other nodes, over TLS and ractor_cluster.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use protocol::{
    id::NodeId,
    wire::hello::{Greeting, Hello},
};
use ractor_cluster::NodeServerMessage;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    connector::{self, Listens, dials},
    dial::Outcome,
    fault::DialError,
    framing,
    gateway::{Args, Gateway, Message, Table},
    greeting::{self, Unwelcome},
    link::{End, Met, NetLink},
    listener,
    sessions::{Known, Sessions},
    settings::{LinkView, NetworkError, Settings},
    socket::linger,
    wire::Wire,
};
use crate::{
    clock::{Clock, Dice},
    cluster::{
        Link, Peer,
        hello::NOTABLE_SKEW,
        identity::{Identity, Subject, named},
        join::Desk,
    },
    supervision::{Address, ChildSpec, Restart, Spec, Strategy, branch, child_at},
};

/// How long ractor_cluster may take to agree on a connection.
const READY: Duration = Duration::from_secs(5);

/// How long it may take to forget one that was severed.
const FORGOTTEN: Duration = Duration::from_secs(2);

/// Whether this process has a network: ractor_cluster's registries belong to the process.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The links of this process to other nodes. Cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

pub(super) struct Inner {
    settings: Settings,
    identity: RwLock<Identity>,
    table: Arc<Table>,
    gateway: Address<Message>,
    sessions: Address<NodeServerMessage>,
    connectors: Mutex<HashMap<NodeId, (String, AbortHandle)>>,
    serial: AtomicU64,
    nudge: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
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

    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    pub(super) fn link_to(&self, node: NodeId) -> Option<Arc<NetLink>> {
        let links = self.table.all();
        links.into_iter().find(|link| link.peer.node == node)
    }

    fn hello(&self, subject: &Subject, token: Uuid, gateway: u64) -> Hello {
        let settings = &self.settings;
        Hello {
            protocol: settings.protocol,
            cluster: subject.cluster,
            node: settings.node,
            name: subject.name.clone(),
            roles: subject.roles.clone(),
            shards: settings.shards,
            now: settings.clock.now(),
            version: settings.version.clone(),
            region: settings.region.clone(),
            mesh: settings.mesh.clone(),
            token,
            gateway,
        }
    }

    /// Says hello on a stream whose TLS stands. Whoever is refused reads why.
    pub(super) async fn greet(
        &self,
        mut stream: TlsStream<TcpStream>,
        address: &str,
        end: End,
    ) -> Outcome {
        let address = address.to_owned();
        match self.try_greet(&mut stream, &address, end).await {
            Ok(met) => Outcome::Met(Box::new(stream), Box::new(met)),
            Err(error) => {
                linger(stream).await;
                Outcome::Not(error.at(address))
            }
        }
    }

    async fn try_greet(
        &self,
        stream: &mut TlsStream<TcpStream>,
        address: &str,
        end: End,
    ) -> Result<Met, Unwelcome> {
        let chain = stream.get_ref().1.peer_certificates();
        let certified = chain.and_then(|chain| chain.first()).map(named);
        let certified = match certified {
            Some(Ok((subject, _))) => subject,
            Some(Err(error)) => return refuse(stream, error.to_string()).await,
            None => return refuse(stream, NO_CERTIFICATE.to_owned()).await,
        };
        let Some(gateway) = self.table.pid() else {
            return refuse(stream, "the node is not ready; try again".to_owned()).await;
        };
        let ours = Uuid::from_bytes(self.settings.dice.token());
        let own = self.hello(self.identity().subject(), ours, gateway);
        let judge = |other: &Hello, certified: &Subject| {
            if end == End::Dialled {
                self.expects_to_dial(other)?;
            }
            (self.settings.admit)(other, certified)
        };
        let exchanged = greeting::exchange(stream, &own, &certified, self.clock(), &judge);
        let (hello, accord) = exchanged.await?;
        let peer = Peer {
            node: hello.node,
            name: hello.name.clone(),
            roles: certified.roles,
        };
        if accord.skew > NOTABLE_SKEW {
            let skew = accord.skew;
            tracing::warn!(peer = peer.name, ?skew, "clocks are apart; set them by NTP");
        }
        Ok(Met {
            peer,
            identity: certified.identity,
            hello,
            accord,
            address: address.to_owned(),
            end,
            ours,
        })
    }

    /// A node that was started again is at the address of an earlier start. When it listens and is
    /// later than this one, it dials; two connections would push each other out.
    fn expects_to_dial(&self, other: &Hello) -> Result<(), String> {
        let may_dial_back = self.settings.mesh.is_some();
        if may_dial_back && other.node > self.settings.node {
            let name = &other.name;
            return Err(format!(
                "`{name}` was started again and will dial `{}` itself",
                self.identity().subject().name
            ));
        }
        Ok(())
    }

    /// Hands an authenticated connection to ractor_cluster and waits until the link is open. An
    /// earlier link to the same node is closed first: ractor_cluster would keep either of the two.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        stream: TlsStream<TcpStream>,
        met: Met,
    ) -> Result<Arc<NetLink>, DialError> {
        let address = met.address.clone();
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(NetLink::new(serial, met));
        let opened = loop {
            match self.table.expect(&link) {
                Ok(opened) => break opened,
                Err(earlier) if earlier.identity == link.identity => {
                    self.supersede(&earlier).await;
                }
                Err(earlier) => return Err(posing(&link, &earlier)),
            }
        };
        self.watch(link.clone());
        let stream = Box::new(Wire {
            stream,
            label: link.label(),
            severance: link.severance.clone(),
        });
        let is_server = link.end == End::Accepted;
        let message = NodeServerMessage::ConnectionOpenedExternal { stream, is_server };
        if self.sessions.cast(message).is_err() {
            link.close("the node is not ready");
        }
        match timeout(READY, opened).await {
            Ok(Ok(())) => Ok(link),
            Ok(Err(_)) => Err(DialError::Broken {
                address,
                reason: link.severance.reason().to_owned(),
            }),
            Err(_) => {
                link.close("ractor's handshake took too long");
                Err(DialError::Silent { address })
            }
        }
    }

    async fn supersede(&self, earlier: &Arc<NetLink>) {
        earlier.close("a newer connection took its place");
        if timeout(FORGOTTEN, earlier.gone.cancelled()).await.is_err() {
            // Its session never began, so nobody will say that it is gone.
            self.table.forget(earlier);
            earlier.gone.cancel();
        }
    }

    /// Tells the gateway when the link is severed, whoever does it.
    fn watch(&self, link: Arc<NetLink>) {
        let (gateway, stop) = (self.gateway.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = link.severance.severed() => {}
                () = stop.cancelled() => link.close("this node stops"),
            }
            let serial = link.serial;
            // A gateway that is not there has ended all links.
            let _ = gateway.cast(Message::Severed { serial });
        });
    }
}

/// A start is in no certificate; the first that claims it has it while its link stands.
fn posing(link: &NetLink, earlier: &NetLink) -> DialError {
    let (name, node) = (&link.peer.name, link.peer.node);
    DialError::Refused {
        address: link.address.clone(),
        reason: format!(
            "`{name}` says that it is {node}, which `{}` is; one of the two is not who it says",
            earlier.peer.name
        ),
    }
}

const NO_CERTIFICATE: &str =
    "no certificate was shown; a node joins first, with `troupe start --join` and a token";

async fn refuse<T>(stream: &mut TlsStream<TcpStream>, reason: String) -> Result<T, Unwelcome> {
    framing::send(stream, &Greeting::Refused(reason.clone())).await?;
    Err(Unwelcome::Refused(reason))
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.0.settings.node;
        write!(f, "Network({node}, {} links)", self.0.table.open().len())
    }
}
