//! DOOR for callers: the HTTP interface of a node.
//!
//! A request comes through `listener` (connections, limits, TLS), the `gate` (host, token,
//! route, role) and `dispatch` (body, idempotency key, time limit) to one of the handlers
//! (`system`, `agents`, `tasks`, `cluster`), which know the system only through
//! [`actors::Orchestrator`]. All routes stand in one [`table`].

pub mod access;
mod agents;
mod answer;
mod artifact;
mod auth;
mod body;
mod cluster;
pub mod config;
mod dispatch;
mod events;
mod gate;
mod holds;
mod host;
mod json;
mod listener;
mod live;
mod mcp;
mod metrics;
pub mod openapi;
mod problem;
mod push;
mod query;
mod questions;
mod replay;
mod request;
mod schedules;
pub mod scrape;
mod shared;
mod system;
pub mod table;
mod tasks;
mod templates;
mod ticket;
mod trace;
mod tree;
mod workflows;

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use actors::Orchestrator;
#[cfg(feature = "cli")]
use serde::de::DeserializeOwned;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

pub use config::EdgeConfig;

use self::{
    auth::Tokens,
    host::Hosts,
    listener::{Limits, Serving},
    metrics::Meters,
    replay::Replays,
    shared::{Health, Shared},
    ticket::Tickets,
};

/// Reads JSON that is to be sent to a node as the node will, and says what is wrong with it as it would.
#[cfg(feature = "cli")]
pub(crate) fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    body::parse(text.as_bytes()).map_err(|refused| {
        let problem = refused.problem("");
        match problem.errors.first() {
            Some(error) if error.field == "body" => error.message.clone(),
            Some(_) | None => problem.message,
        }
    })
}

/// Whether a node takes work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet.
    #[default]
    Starting,
    /// Yes.
    Ready,
    /// No more.
    Draining,
}

/// What a node gives to its edge.
pub struct Parts {
    /// The system.
    pub orchestrator: Orchestrator,
    /// SHA-256 of the administrator's token.
    pub admin_token_sha256: [u8; 32],
    /// Writes the measurements as Prometheus reads them.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The node's name.
    pub node: String,
    /// Where artifacts lie.
    pub data_dir: PathBuf,
    /// Whether the node takes work.
    pub ready: watch::Receiver<Readiness>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Why a node cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The network would see tokens and tasks in the clear.
    #[error(
        "{address} can be reached from other machines, and without TLS everybody between would \
         read the tokens: set `cert` and `key` under `[edge.tls]`, or listen at 127.0.0.1"
    )]
    Exposed {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// Plain HTTP was ruled out, and there is no certificate.
    #[error(
        "`edge.require_tls` is set and there is no certificate: set `cert` and `key` under \
         `[edge.tls]`, or leave `--require-tls` out"
    )]
    Plain,
    /// Somebody else listens there.
    #[error(
        "{address} is in use{}: stop that program, or choose another address with `--listen` \
         (port 0 picks a free one)",
        holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default()
    )]
    InUse {
        /// Where it was to listen.
        address: SocketAddr,
        /// Who does, if the system tells.
        holder: Option<String>,
    },
    /// Somebody else listens where measurements were to be served.
    #[error(
        "{address}, where measurements were to be served, is in use{}: stop that program, or choose \
         another address with `--metrics-addr` (port 0 picks a free one)",
        holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default()
    )]
    MetricsInUse {
        /// Where it was to listen.
        address: SocketAddr,
        /// Who does, if the system tells.
        holder: Option<String>,
    },
    /// The system does not let it.
    #[error("cannot listen at {address}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Certificate or key are of no use.
    #[error("cannot use {} for TLS: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// An edge that is bound, and not serving yet.
pub struct Edge {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<tokio_rustls::TlsAcceptor>,
    host: Option<String>,
    limits: Limits,
    shared: Arc<Shared>,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Edge {
    /// Binds the address of `config`; connections wait until [`Edge::serve`].
    ///
    /// # Errors
    ///
    /// When the address is in use, reachable from outside without TLS, or TLS cannot be set up.
    #[expect(
        clippy::unused_async,
        reason = "callers need a runtime, and an async fn says so"
    )]
    pub async fn bind(config: &EdgeConfig, parts: Parts) -> Result<Self, EdgeError> {
        let tls = config.tls.as_ref().map(listener::acceptor).transpose()?;
        if tls.is_none() && config.require_tls {
            return Err(EdgeError::Plain);
        }
        if tls.is_none() && !config.listen.ip().is_loopback() {
            return Err(EdgeError::Exposed {
                address: config.listen,
            });
        }
        let listener = listener::listen(config.listen)?;
        let address = listener.local_addr().map_err(|source| EdgeError::Bind {
            address: config.listen,
            source,
        })?;
        let tickets = Arc::new(Tickets::new(parts.orchestrator.node().id));
        parts.orchestrator.provide_tickets(tickets.clone());
        let shared = Shared {
            orchestrator: parts.orchestrator,
            tokens: Tokens::new(parts.admin_token_sha256, &config.tokens),
            tickets,
            mcp: mcp::Server::new(),
            hosts: Hosts::new(address.ip(), &config.hosts),
            meters: Meters::new(),
            replays: Replays::default(),
            metrics: parts.metrics,
            node: parts.node,
            data_dir: parts.data_dir,
            ready: parts.ready,
            body_timeout: config.body_timeout.0,
            request_timeout: config.request_timeout.0,
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
            health: Health::default(),
            clock: runtime::clock::Clock::system(),
        };
        Ok(Self {
            listener,
            address,
            tls,
            host: config.hosts.first().cloned(),
            limits: Limits::from(config),
            shared: Arc::new(shared),
        })
    }

    /// Where it listens; the port is never 0.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Under which address clients of this machine reach it.
    #[must_use]
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        match (&self.tls, &self.host) {
            (None, _) => format!("http://{address}"),
            // A certificate names a host, seldom an address.
            (Some(_), Some(host)) => format!("https://{host}:{}", address.port()),
            (Some(_), None) => format!("https://{address}"),
        }
    }

    /// Serves until `shutdown`; then takes nothing new, and waits `drain` at most for what runs.
    pub async fn serve(self, shutdown: impl Future<Output = ()>, drain: Duration) {
        let service = warp::service(dispatch::filter(self.shared.clone()));
        self.serve_with(service, shutdown, drain).await;
    }

    async fn serve_with<S: listener::Service>(
        self,
        service: S,
        shutdown: impl Future<Output = ()>,
        drain: Duration,
    ) {
        let Self {
            listener,
            tls,
            limits,
            shared,
            ..
        } = self;
        listener::serve(
            Serving {
                listener,
                tls,
                limits,
                shared,
                service,
            },
            shutdown,
            drain,
        )
        .await;
    }
}
