//! One node: what it is while it runs, and how it stops.

use std::{fmt, path::Path, time::Duration};

use actors::{Orchestrator, host::WorkerError};
#[cfg(feature = "edge")]
use protocol::member::Vitals;
use protocol::{access::Caller, api::TokenRequest, member::Member};
use runtime::{
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
    mesh::{EnrolError, Links, Place},
};

mod builder;
mod dir;
mod engine;
#[cfg(feature = "edge")]
mod served;

pub use builder::Builder;
pub use dir::{DataDir, DirError, TOKEN_FILE, URL_FILE};
pub(crate) use dir::{mark, write_atomically};

#[cfg(feature = "edge")]
use crate::telemetry::Used;
#[cfg(feature = "edge")]
use served::Served;
#[cfg(feature = "cli")]
pub(crate) use served::{prepare_process, random_hex};

/// What the store may take to write everything out.
const CLOSE: Duration = Duration::from_secs(5);

/// Opens the database that the configuration names, to serve it.
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
    Ok(store::open_to_serve(&address, replica.as_ref()).await?)
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
    pub fn metrics(&self) -> Option<std::net::SocketAddr> {
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

impl StartError {
    /// Whether a later start may go well though nobody changes anything here: the database gives no
    /// connection now, or no control node answers.
    #[must_use]
    pub const fn passes(&self) -> bool {
        match self {
            Self::Store(error) => error.passes(),
            Self::Enrol(error) => matches!(error, EnrolError::Unreached(_)),
            Self::Config(_) | Self::Dir(_) | Self::Network(_) | Self::Worker(_) => false,
            #[cfg(feature = "edge")]
            Self::Edge(_) => false,
        }
    }
}

fn list(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
