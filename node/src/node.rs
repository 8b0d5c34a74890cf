//! One node: what starts in which order, and how it stops.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actors::{Orchestrator, adapter::Adapter, host::WorkerError};
#[cfg(feature = "edge")]
use protocol::member::Vitals;
use protocol::{
    access::Caller,
    api::TokenRequest,
    member::{Member, NodeRole},
};
use runtime::{
    clock::{Clock, Dice},
    cluster::transport::NetworkError,
    membership::Standing,
    store::{self, Address, InvalidAddress},
};
#[cfg(feature = "edge")]
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::engine::Engine;
use crate::{
    config::{Config, Finding},
    mesh::{Company, EnrolError, Footing, Join, Links, Place, enrol, stand},
};

mod dir;
mod engine;
#[cfg(feature = "edge")]
mod served;

pub(crate) use dir::write_atomically;
pub use dir::{DataDir, DirError, TOKEN_FILE, URL_FILE};

#[cfg(feature = "edge")]
use crate::telemetry::Used;
#[cfg(feature = "edge")]
use served::Served;
#[cfg(feature = "cli")]
pub(crate) use served::{prepare_process, random_hex};

/// How long the other nodes may take to tell a new one of their agents.
const MEET: Duration = Duration::from_secs(3);

/// What the store may take to write everything out.
const CLOSE: Duration = Duration::from_secs(5);

/// How a node is put together; [`Builder::start`] starts it.
#[derive(Debug, Default)]
pub struct Builder {
    config: Config,
    natives: HashMap<String, Arc<dyn Adapter>>,
    company: Company,
    #[cfg(feature = "edge")]
    edge: EdgeMode,
}

#[cfg(feature = "edge")]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum EdgeMode {
    #[default]
    Served,
    Left,
}

impl Builder {
    /// All that the node can be told, in place of the defaults.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Where everything is kept; made when it is not there.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.node.data_dir = path.into();
        self
    }

    /// The node's name, the same after a restart.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.node.name = name.into();
        self
    }

    /// What the node does in its cluster; all of it when nothing is said.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = NodeRole>) -> Self {
        self.config.cluster.roles = roles.into_iter().collect();
        self
    }

    /// Lets other nodes join this one, by mutual TLS at `listen`; port 0 picks one.
    #[must_use]
    pub fn mesh(mut self, listen: SocketAddr) -> Self {
        self.config.cluster.listen = listen;
        if matches!(self.company, Company::None) {
            self.company = Company::Welcome;
        }
        self
    }

    /// Joins the cluster of the control node whose mesh is at `address`, as `HOST:PORT`, with a token
    /// that [`Node::join_token`] or `troupe token create` made. A node that joined before needs no
    /// token: its certificate lies in the data directory.
    #[must_use]
    pub fn join(mut self, address: impl Into<String>, token: Option<String>) -> Self {
        self.company = Company::Sought(Join {
            address: address.into(),
            token,
        });
        self
    }

    /// An agent written in Rust. It serves the agent of type `native` that has this name, and those
    /// that say `{"name": "NAME"}` in their configuration.
    #[must_use]
    pub fn native(mut self, name: impl Into<String>, adapter: Arc<dyn Adapter>) -> Self {
        self.natives.insert(name.into(), adapter);
        self
    }

    /// Where HTTP is served; port 0 picks one.
    #[cfg(feature = "edge")]
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.edge.listen = address;
        self
    }

    /// Serves no HTTP: the program calls [`Node::orchestrator`] only.
    #[cfg(feature = "edge")]
    #[must_use]
    pub fn without_edge(mut self) -> Self {
        self.edge = EdgeMode::Left;
        self
    }

    /// Starts the node on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the configuration does not hold, the data directory is in use, the store cannot be read
    /// or the address cannot be bound. Nothing is left running then.
    pub async fn start(self) -> Result<Node, StartError> {
        let findings = self.config.check();
        if !findings.is_empty() {
            return Err(StartError::Config(findings));
        }
        #[cfg(feature = "edge")]
        served::prepare_process();
        let (config, company) = (self.config, self.company);
        // Before anybody hears of this node.
        #[cfg(feature = "edge")]
        let metered = served::Metered::start(&config.telemetry).await?;
        let dir = DataDir::lock(&config.node.data_dir)?;
        let (clock, dice) = (Clock::system(), Dice::system());
        let enrolled = enrol(&config, dir.path(), &company, &clock, &dice).await?;
        #[cfg(feature = "edge")]
        let serves = self.edge == EdgeMode::Served && enrolled.roles.has(NodeRole::Edge);
        #[cfg(feature = "edge")]
        let admin = serves.then(|| served::admin_hash(&dir)).transpose()?;
        #[cfg(not(feature = "edge"))]
        let admin = None;
        let Footing {
            part,
            mut links,
            place,
        } = stand(&config, &enrolled, admin, &clock, &dice).await?;
        // Before anything runs that may belong to a trace.
        #[cfg(feature = "otlp")]
        let traces = crate::telemetry::Traces::start(
            &config.telemetry,
            place.membership.me().node,
            &enrolled.name,
        );
        let engine = Engine::start(&config, &enrolled, &dir, self.natives, part).await?;
        if let Some(links) = &mut links {
            links.open();
        }
        let mut node = Node {
            engine,
            place,
            links,
            store: enrolled.store,
            store_url: enrolled.store_url,
            dir,
            name: enrolled.name,
            watching: Vec::new(),
            #[cfg(feature = "otlp")]
            traces,
            #[cfg(feature = "edge")]
            served: None,
            #[cfg(feature = "edge")]
            metered,
        };
        if let Err(error) = node.place.settle(|| node.links.as_ref()?.failure()).await {
            node.stop(Duration::ZERO).await;
            return Err(error.into());
        }
        #[cfg(feature = "cli")]
        if let Some(dial) = crate::telemetry::dial() {
            node.engine.orchestrator.provide_log(dial);
        }
        node.engine.orchestrator.meet_agents(MEET).await;
        #[cfg(feature = "edge")]
        if serves {
            match Served::start_near(&config.edge, &node, &company).await {
                Ok(served) => node.served = Some(served),
                Err(error) => {
                    node.stop(Duration::ZERO).await;
                    return Err(error);
                }
            }
        }
        node.watch();
        tracing::info!(node = node.name, dir = %node.dir.path().display(), "started");
        Ok(node)
    }
}

/// Opens the database that the configuration names.
pub(crate) async fn open_store(config: &Config, dir: &Path) -> Result<store::Shared, StartError> {
    let address = store_address(config, dir)?;
    if let Address::Sqlite(path) = &address {
        // The engine gives the files beside it the same mode.
        dir::make_private(path).map_err(|source| DirError::Io {
            path: path.clone(),
            source,
        })?;
    }
    let replica = config.store.replica_url.as_deref();
    let replica: Option<Address> = replica.and_then(|url| url.parse().ok());
    if replica.is_some() && matches!(address, Address::Sqlite(_)) {
        return Err(StartError::Config(vec![Finding {
            key: "store.replica_url",
            message: "is for PostgreSQL, and the store is a SQLite file; take it out".to_owned(),
        }]));
    }
    Ok(store::open_beside(&address, replica.as_ref()).await?)
}

/// Where the database lies.
pub(crate) fn store_address(config: &Config, dir: &Path) -> Result<Address, StartError> {
    match &config.store.url {
        None => Ok(Address::Sqlite(dir.join("troupe.db"))),
        Some(url) => url.parse().map_err(|error: InvalidAddress| {
            StartError::Config(vec![Finding {
                key: "store.url",
                message: error.to_string(),
            }])
        }),
    }
}

/// A running node. Dropping it stops it as a crash would, and nothing acknowledged is lost;
/// [`Node::stop`] lets running work end first.
pub struct Node {
    engine: Engine,
    place: Place,
    links: Option<Links>,
    store: Option<store::Shared>,
    store_url: Option<String>,
    dir: DataDir,
    name: String,
    watching: Vec<AbortOnDropHandle<()>>,
    #[cfg(feature = "otlp")]
    traces: Option<crate::telemetry::Traces>,
    #[cfg(feature = "edge")]
    served: Option<Served>,
    #[cfg(feature = "edge")]
    metered: Option<served::Metered>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("dir", &self.dir.path())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Puts a node together, with the defaults.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The one way in: every use case is a method of it.
    #[must_use]
    pub const fn orchestrator(&self) -> &Orchestrator {
        &self.engine.orchestrator
    }

    /// Who an embedding program is, to [`Node::orchestrator`].
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::admin()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where everything is kept.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The database, of a node with the role `control`.
    #[must_use]
    pub const fn store(&self) -> Option<&store::Shared> {
        self.store.as_ref()
    }

    /// Where that is, as a URL.
    #[must_use]
    pub fn store_url(&self) -> Option<&str> {
        self.store_url.as_deref()
    }

    /// What this node says of itself in its cluster.
    #[must_use]
    pub fn member(&self) -> &Member {
        self.place.membership.me()
    }

    /// Makes a token with which one node may join within an hour. A store in a file has one control
    /// node, so others join without that role.
    ///
    /// # Errors
    ///
    /// When this node cannot let others in, or the store fails.
    pub async fn join_token(&self) -> Result<String, StartError> {
        if self.store.is_none() {
            return Err(EnrolError::Refused(
                "this node cannot let others in; ask one that has the role `control` and a mesh"
                    .to_owned(),
            )
            .into());
        }
        let by = Caller {
            user: "node".to_owned(),
            ..Caller::admin()
        };
        let request = TokenRequest::default();
        let made = self.engine.orchestrator.create_token(&by, request).await;
        match made {
            Ok(made) => Ok(made.token),
            Err(rejection) => Err(EnrolError::Refused(rejection.to_string()).into()),
        }
    }

    /// Where HTTP is served, such as `http://127.0.0.1:8000`.
    #[cfg(feature = "edge")]
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.served.as_ref().map(Served::url)
    }

    /// Where measurements are served beside, if they are.
    #[cfg(feature = "edge")]
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metered.as_ref().map(|metered| metered.address)
    }

    /// The administrator's token for [`Node::url`].
    #[cfg(feature = "edge")]
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.served.as_ref().map(Served::token)
    }

    /// Resolves when supervision has given up, and says why; never after an orderly stop. The node does
    /// no work any more then: stop it, and start another one, best in a new process.
    pub async fn gave_up(&self) -> String {
        tokio::select! {
            reason = self.engine.escalated() => reason,
            reason = self.place.ended() => reason,
        }
    }

    /// Why this process is a member of its cluster no more, if it is none: starting it again is of no
    /// use then.
    #[must_use]
    pub fn expelled(&self) -> Option<String> {
        match self.place.membership.standing() {
            Standing::Ended(why) => Some(why),
            Standing::Member | Standing::Fenced => None,
        }
    }

    /// Says in the log when supervision gives up, and measures the machine for whom steps are given to.
    fn watch(&mut self) {
        let (orchestrator, name) = (self.engine.orchestrator.clone(), self.name.clone());
        self.watching
            .push(AbortOnDropHandle::new(tokio::spawn(async move {
                let reason = orchestrator.escalated().await;
                tracing::error!(node = name, reason, "supervision has given up");
            })));
        #[cfg(feature = "edge")]
        {
            let (measured, machine) = watch::channel(None);
            let sampling =
                crate::telemetry::sample_for_ever(self.engine.orchestrator.clone(), measured);
            self.watching
                .push(AbortOnDropHandle::new(tokio::spawn(sampling)));
            let edge = self.url().map(str::to_owned);
            self.engine.orchestrator.tell_vitals(move |vitals| {
                let used = *machine.borrow();
                Vitals {
                    edge: edge.clone(),
                    cpu: used.map(|used: Used| used.cpu),
                    memory: used.map(|used| used.memory),
                    ..vitals
                }
            });
        }
        #[cfg(not(feature = "edge"))]
        self.engine.orchestrator.tell_vitals(|vitals| vitals);
    }

    /// Takes nothing new, lets requests and attempts end for `grace` at most, and stops. What has not
    /// ended is recovered at the next start.
    pub async fn stop(mut self, grace: Duration) {
        if self.links.is_some() {
            self.place.drain().await;
        }
        #[cfg(feature = "edge")]
        {
            // Waiting requests are answered because the orchestrator still settles tasks meanwhile.
            let served = self.served.take();
            let edge = async {
                if let Some(served) = served {
                    served.stop(grace).await;
                }
            };
            tokio::join!(edge, self.engine.end(grace));
            self.dir.remove(URL_FILE);
        }
        #[cfg(not(feature = "edge"))]
        self.engine.end(grace).await;
        self.place.leave().await;
        self.engine.stop().await;
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces.take() {
            traces.stop().await;
        }
        if let Some(links) = &mut self.links {
            links.close().await;
        }
        let Some(store) = &self.store else {
            return tracing::info!(node = self.name, "stopped");
        };
        match tokio::time::timeout(CLOSE, store.close()).await {
            Ok(Ok(())) => tracing::info!(node = self.name, "stopped"),
            Ok(Err(error)) => tracing::warn!(node = self.name, %error, "the store closed badly"),
            Err(_) => tracing::warn!(node = self.name, "the store did not close in time"),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Whoever watches would call this a failure.
        self.watching.clear();
        // What runs ends, and nothing of it is recorded here any more.
        self.place.membership.abandon();
        if let Some(links) = &mut self.links {
            links.cut();
        }
        self.engine.kill();
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not hold.
    #[error("the configuration does not hold: {}", list(.0))]
    Config(Vec<Finding>),
    /// The data directory cannot be used.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It is no part of its cluster.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// It has no links to others.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// It cannot host agents.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// HTTP cannot be served.
    #[cfg(feature = "edge")]
    #[error(transparent)]
    Edge(#[from] crate::edge::EdgeError),
}

fn list(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
