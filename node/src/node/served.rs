//! The node's edge while it runs: its address, its token, and the task that serves.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use protocol::record::ChainHash;
use runtime::clock::Dice;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_util::task::AbortOnDropHandle;

use super::{DataDir, Node, StartError, TOKEN_FILE, URL_FILE};
use crate::{
    config::TelemetrySection,
    edge::{Edge, EdgeConfig, Parts, Readiness, scrape::Scrape},
    mesh::Company,
    telemetry,
};

/// What the process as a whole needs, once: one crypto provider, one metrics recorder.
pub(crate) fn prepare_process() {
    // Fails when there is one already, which is as good.
    let _ = aws_lc_rs::default_provider().install_default();
    telemetry::install_recorder();
}

/// An edge that serves.
#[derive(Debug)]
pub(super) struct Served {
    url: String,
    token: String,
    readiness: watch::Sender<Readiness>,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// Time for open requests, whatever the grace for attempts; a process ends within a minute.
const MAX_DRAIN: Duration = Duration::from_secs(30);

impl Served {
    /// As [`start`](Self::start), but a node that joins others and was not told where to serve takes a
    /// free port beside theirs.
    pub(super) async fn start_near(
        config: &EdgeConfig,
        node: &Node,
        company: &Company,
    ) -> Result<Self, StartError> {
        let free = match company {
            Company::Sought(_) => config.listen == EdgeConfig::default().listen,
            Company::None | Company::Welcome => false,
        };
        match Self::start(config, node).await {
            Err(StartError::Edge(error)) if free => {
                tracing::info!(%error, "another port is taken");
                let mut config = config.clone();
                config.listen.set_port(0);
                Self::start(&config, node).await
            }
            served => served,
        }
    }

    pub(super) async fn start(config: &EdgeConfig, node: &Node) -> Result<Self, StartError> {
        let token = admin_token(&node.dir)?;
        let (readiness, ready) = watch::channel(Readiness::Starting);
        let edge = Edge::bind(
            config,
            Parts {
                orchestrator: node.engine.orchestrator.clone(),
                admin_token_sha256: Sha256::digest(token.as_bytes()).into(),
                metrics: Arc::new(telemetry::render),
                node: node.name.clone(),
                data_dir: node.dir.path().to_owned(),
                ready,
            },
        )
        .await?;
        let url = edge.url();
        node.dir.write(URL_FILE, &url)?;
        let (shutdown, stopped) = oneshot::channel();
        let serving = tokio::spawn(edge.serve(
            async {
                // A node that was dropped without a stop ends its edge as well.
                let _ = stopped.await;
            },
            MAX_DRAIN,
        ));
        readiness.send_replace(Readiness::Ready);
        Ok(Self {
            url,
            token,
            readiness,
            shutdown,
            serving,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Says that it is not ready, then lets open requests end.
    pub(super) async fn stop(mut self, grace: Duration) {
        self.readiness.send_replace(Readiness::Draining);
        // It is gone only when serving ended by itself.
        let _ = self.shutdown.send(());
        if tokio::time::timeout(grace.min(MAX_DRAIN), &mut self.serving)
            .await
            .is_err()
        {
            tracing::warn!("requests were still open when their time was up");
            self.serving.abort();
        }
    }
}

/// Measurements that are served at an address of their own, until this is dropped.
#[derive(Debug)]
pub(super) struct Metered {
    pub(super) address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Metered {
    pub(super) async fn start(config: &TelemetrySection) -> Result<Option<Self>, StartError> {
        let Some(address) = config.metrics_listen else {
            return Ok(None);
        };
        let scrape = Scrape::bind(address).await?;
        let address = scrape.local_addr();
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "measurements are served to whoever can reach this address");
        }
        let serving = tokio::spawn(scrape.serve(telemetry::render));
        Ok(Some(Self {
            address,
            _serving: AbortOnDropHandle::new(serving),
        }))
    }
}

/// SHA-256 of the administrator's token, in hex, by which the other nodes know it.
pub(super) fn admin_hash(dir: &DataDir) -> Result<String, StartError> {
    let hash = Sha256::digest(admin_token(dir)?.as_bytes()).into();
    Ok(ChainHash(hash).to_string())
}

/// The administrator's token, made at the first start.
fn admin_token(dir: &DataDir) -> Result<String, StartError> {
    if let Some(token) = dir.read(TOKEN_FILE)?
        && !token.is_empty()
    {
        return Ok(token);
    }
    let token = format!("troupe_admin_{}", random_hex::<32>());
    dir.write(TOKEN_FILE, &token)?;
    Ok(token)
}

/// `N` random bytes as hex.
pub(crate) fn random_hex<const N: usize>() -> String {
    let dice = Dice::system();
    let bytes = std::iter::repeat_with(|| dice.token()).flatten();
    bytes.take(N).map(|byte| format!("{byte:02x}")).collect()
}
