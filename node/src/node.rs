//! One node: what starts in which order, and how it stops.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actors::{Orchestrator, adapter::Adapter, orchestrator::Setup};
use protocol::access::Caller;
use runtime::store::{self, Address, InvalidAddress};
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, Finding};

mod dir;
#[cfg(feature = "edge")]
mod served;

#[cfg(feature = "cli")]
pub(crate) use dir::write_atomically;
pub use dir::{DataDir, DirError, TOKEN_FILE, URL_FILE};

#[cfg(feature = "edge")]
use served::Served;
#[cfg(feature = "cli")]
pub(crate) use served::{prepare_process, random_hex};

/// What the store may take to write everything out.
const CLOSE: Duration = Duration::from_secs(5);

/// How a node is put together; [`Builder::start`] starts it.
#[derive(Debug, Default)]
pub struct Builder {
    config: Config,
    natives: HashMap<String, Arc<dyn Adapter>>,
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
    pub fn listen(mut self, address: std::net::SocketAddr) -> Self {
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
        let config = self.config;
        let dir = DataDir::lock(&config.node.data_dir)?;
        let store = open_store(&config, dir.path()).await?;
        let orchestrator = Orchestrator::start(Setup {
            config: config.actors(),
            node: config.node.name.clone(),
            store: Arc::clone(&store),
            data_dir: dir.path().to_owned(),
            natives: self.natives,
        })
        .await?;
        let mut node = Node {
            orchestrator,
            store,
            dir,
            name: config.node.name.clone(),
            watching: Vec::new(),
            #[cfg(feature = "edge")]
            served: None,
        };
        #[cfg(feature = "edge")]
        if self.edge == EdgeMode::Served {
            match Served::start(&config.edge, &node).await {
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
    Ok(store::open(&address).await?)
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
    orchestrator: Orchestrator,
    store: store::Shared,
    dir: DataDir,
    name: String,
    watching: Vec<AbortOnDropHandle<()>>,
    #[cfg(feature = "edge")]
    served: Option<Served>,
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
        &self.orchestrator
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

    /// The database.
    #[must_use]
    pub fn store(&self) -> &store::Shared {
        &self.store
    }

    /// Where HTTP is served, such as `http://127.0.0.1:8000`.
    #[cfg(feature = "edge")]
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.served.as_ref().map(Served::url)
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
        self.orchestrator.escalated().await
    }

    /// Says in the log when supervision gives up, and measures the machine for whom steps are given to.
    fn watch(&mut self) {
        let (orchestrator, name) = (self.orchestrator.clone(), self.name.clone());
        self.watching
            .push(AbortOnDropHandle::new(tokio::spawn(async move {
                let reason = orchestrator.escalated().await;
                tracing::error!(node = name, reason, "supervision has given up");
            })));
        #[cfg(feature = "edge")]
        {
            let sampling = crate::telemetry::sample_for_ever(self.orchestrator.clone());
            self.watching
                .push(AbortOnDropHandle::new(tokio::spawn(sampling)));
        }
    }

    /// Takes nothing new, lets requests and attempts end for `grace` at most, and stops. What has not
    /// ended is recovered at the next start.
    pub async fn stop(self, grace: Duration) {
        #[cfg(feature = "edge")]
        {
            // Waiting requests are answered because the orchestrator still settles tasks meanwhile.
            let edge = async {
                if let Some(served) = self.served {
                    served.stop(grace).await;
                }
            };
            tokio::join!(edge, self.orchestrator.stop(grace));
            self.dir.remove(URL_FILE);
        }
        #[cfg(not(feature = "edge"))]
        self.orchestrator.stop(grace).await;
        match tokio::time::timeout(CLOSE, self.store.close()).await {
            Ok(Ok(())) => tracing::info!(node = self.name, "stopped"),
            Ok(Err(error)) => tracing::warn!(node = self.name, %error, "the store closed badly"),
            Err(_) => tracing::warn!(node = self.name, "the store did not close in time"),
        }
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
    /// HTTP cannot be served.
    #[cfg(feature = "edge")]
    #[error(transparent)]
    Edge(#[from] crate::edge::EdgeError),
}

fn list(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
