//! Stands in for the edge until it is merged: same names, answers nothing.
#![expect(missing_docs, reason = "goes away when the edge is merged")]

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch};

#[path = "edge_stub/config.rs"]
mod config;
pub use config::EdgeConfig;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Starting,
    Ready,
    Draining,
}

pub struct Parts {
    pub orchestrator: actors::Orchestrator,
    pub admin_token_sha256: [u8; 32],
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub node: String,
    pub data_dir: PathBuf,
    pub ready: watch::Receiver<Readiness>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        source: std::io::Error,
    },
}

#[derive(Debug)]
pub struct Edge {
    listener: TcpListener,
    _parts: Parts,
}

pub async fn bind(config: &EdgeConfig, parts: Parts) -> Result<Edge, EdgeError> {
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| EdgeError::Bind { address, source })?;
    Ok(Edge {
        listener,
        _parts: parts,
    })
}

impl Edge {
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.local_addr())
    }

    pub async fn serve(self, shutdown: impl Future<Output = ()>, drain: Duration) {
        let _ = drain;
        shutdown.await;
    }
}
