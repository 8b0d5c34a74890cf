//! What all requests share.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actors::Orchestrator;
use protocol::api::Check;
use runtime::clock::Clock;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Readiness, auth::Tokens, host::Hosts, mcp, metrics::Meters, replay::Replays, ticket::Tickets,
};

/// Everything that a handler may need.
pub(crate) struct Shared {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) tokens: Tokens,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) mcp: mcp::Server,
    pub(crate) hosts: Hosts,
    pub(crate) meters: Meters,
    pub(crate) replays: Replays,
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) node: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) ready: watch::Receiver<Readiness>,
    pub(crate) body_timeout: Duration,
    pub(crate) request_timeout: Duration,
    /// Set when the edge stops: streams end, and each answer is the last of its connection, so that
    /// clients go elsewhere.
    pub(crate) stopping: CancellationToken,
    /// Set when connections on which nothing is under way end.
    pub(crate) closing: CancellationToken,
    pub(crate) health: Health,
    /// Times of spans; of everything else the runtime keeps time.
    pub(crate) clock: Clock,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether the node takes work.
    pub(crate) fn readiness(&self) -> Readiness {
        if self.stopping.is_cancelled() {
            return Readiness::Draining;
        }
        *self.ready.borrow()
    }
}

/// The last look at the subsystems: anybody may ask for health, so asking must cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Health {
    last: Mutex<Option<(Instant, Vec<Check>)>>,
}

impl Health {
    const FRESH: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(2);

    /// What was found at most a second ago.
    pub(crate) async fn checks(&self, orchestrator: &Orchestrator) -> Vec<Check> {
        if let Some(checks) = self.fresh() {
            return checks;
        }
        let checks = timeout(Self::PATIENCE, orchestrator.checks())
            .await
            .unwrap_or_else(|_| {
                vec![Check {
                    name: "orchestrator".to_owned(),
                    ok: false,
                    detail: format!("gave no answer within {} s", Self::PATIENCE.as_secs()),
                }]
            });
        *self.lock() = Some((Instant::now(), checks.clone()));
        checks
    }

    fn fresh(&self) -> Option<Vec<Check>> {
        match &*self.lock() {
            Some((at, checks)) if at.elapsed() < Self::FRESH => Some(checks.clone()),
            Some(_) | None => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Vec<Check>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
