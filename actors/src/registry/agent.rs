//! One agent as everybody sees it.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;
use protocol::{
    agent::{AgentSpec, AgentStatus, Health, Mode},
    api::HealthReport,
    id::AgentId,
    time::Timestamp,
};
use tokio_util::sync::CancellationToken;

use super::Gate;
use crate::{
    adapter::Adapter,
    agent::{breaker::Position, state},
    allocator::Circuit as Admits,
};

/// What changes seldom, replaced as a whole by the agent's proxy.
#[derive(Debug, Clone)]
pub struct Facts {
    /// As registered and updated.
    pub spec: Arc<AgentSpec>,
    /// What operators asked of it.
    pub mode: Mode,
    /// What the last health check found, if there was one in this life of the process.
    pub health: Option<HealthReport>,
    /// What the checks before that found.
    pub known_health: Option<Health>,
    /// Where its circuit breaker stands.
    pub circuit: Position,
    /// Whether the breaker lets a call through.
    pub admits: Admits,
    /// Tools it declares, from `metadata.tools`.
    pub tools: Arc<[String]>,
    /// How it is called; absent while its configuration does not make sense to this build.
    pub adapter: Option<Arc<dyn Adapter>>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl Facts {
    /// As discovery sees it.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        let health = self
            .health
            .as_ref()
            .map(|report| report.status)
            .or(self.known_health);
        state::status(self.mode, health)
    }
}

/// An agent's entry in the registry.
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its slots.
    pub gate: Arc<Gate>,
    /// What it runs: the hash of each attempt's token, with what stops it.
    pub running: DashMap<String, CancellationToken>,
    facts: RwLock<Arc<Facts>>,
    /// The bits of a number from 0 to 1.
    success_rate: AtomicU64,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent({} {})", self.name, self.id)
    }
}

impl Agent {
    /// An entry that the agent's proxy will keep.
    #[must_use]
    pub fn new(id: AgentId, tenant: String, gate: Arc<Gate>, facts: Facts) -> Self {
        Self {
            id,
            tenant,
            name: facts.spec.name.clone(),
            gate,
            running: DashMap::new(),
            facts: RwLock::new(Arc::new(facts)),
            success_rate: AtomicU64::new(1.0_f64.to_bits()),
        }
    }

    /// Share of its late attempts that succeeded; 1 without history.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        f64::from_bits(self.success_rate.load(Ordering::Relaxed))
    }

    /// Publishes that share; its proxy alone does.
    pub fn set_success_rate(&self, rate: f64) {
        self.success_rate.store(rate.to_bits(), Ordering::Relaxed);
    }

    /// As it is now.
    #[must_use]
    pub fn facts(&self) -> Arc<Facts> {
        self.facts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes it; its proxy alone does.
    pub fn change(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut facts));
    }
}

/// Tools that an agent declares.
#[must_use]
pub(crate) fn tools(spec: &AgentSpec) -> Arc<[String]> {
    spec.metadata
        .get("tools")
        .and_then(serde_json::Value::as_array)
        .map(|tools| {
            tools
                .iter()
                .filter_map(|tool| tool.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default()
}
