//! One agent as everybody sees it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use protocol::{
    agent::{AgentSpec, AgentStatus, Health, Mode},
    api::HealthReport,
    id::{AgentId, NodeId},
    time::Timestamp,
};

use crate::{
    agent::{breaker::Position, state},
    allocator::Circuit as Admits,
    host::{Fact, Figures, Hosted, Stamp},
};

/// What changes seldom, replaced as a whole: the owner's word on the agent, and its host's.
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
    /// The node that hosts it, and its name; absent while no node does.
    pub host: Option<(NodeId, Arc<str>)>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Which word of its owner this is.
    pub(crate) stamp: Stamp,
}

impl Facts {
    /// As an agent's owner says; nothing is known of how it does.
    pub(crate) fn new(fact: Fact) -> Self {
        Self {
            tools: tools(&fact.spec),
            spec: fact.spec,
            mode: fact.mode,
            health: None,
            known_health: fact.health,
            circuit: Position::Closed,
            admits: Admits::Passable,
            host: fact.host,
            created_at: fact.created_at,
            updated_at: fact.updated_at,
            stamp: fact.stamp,
        }
    }

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

/// How busy an agent is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Slots that it has.
    pub limit: u32,
    /// Slots that are taken.
    pub taken: u32,
    /// How often one was taken.
    pub assigned: u64,
}

/// An agent's entry in the registry.
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its part on this node: what it runs here, and its slots when it is hosted here.
    pub(crate) hosted: Arc<Hosted>,
    here: NodeId,
    facts: RwLock<Arc<Facts>>,
    /// What its host said last, when that is another node.
    away: Away,
    /// The bits of a number from 0 to 1.
    success_rate: AtomicU64,
}

#[derive(Debug, Default)]
struct Away {
    limit: AtomicU32,
    taken: AtomicU32,
    assigned: AtomicU64,
    /// Who said it, and the number of the figure.
    said: Mutex<Option<(NodeId, u64)>>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent({} {})", self.name, self.id)
    }
}

impl Agent {
    /// An entry on the node `here`.
    pub(crate) fn new(
        id: AgentId,
        tenant: String,
        hosted: Arc<Hosted>,
        here: NodeId,
        facts: Facts,
    ) -> Self {
        Self {
            id,
            tenant,
            name: facts.spec.name.clone(),
            hosted,
            here,
            facts: RwLock::new(Arc::new(facts)),
            away: Away::default(),
            success_rate: AtomicU64::new(1.0_f64.to_bits()),
        }
    }

    /// Share of its late attempts that succeeded; 1 without history.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        f64::from_bits(self.success_rate.load(Ordering::Relaxed))
    }

    /// Publishes that share; its proxy alone does.
    pub(crate) fn set_success_rate(&self, rate: f64) {
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

    /// Changes it: its owner's word, or its host's.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Facts) -> R) -> R {
        let mut facts = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut facts))
    }

    /// Whether this node hosts it, as these facts say.
    #[must_use]
    pub fn is_here(&self, facts: &Facts) -> bool {
        facts
            .host
            .as_ref()
            .is_some_and(|(node, _)| *node == self.here)
    }

    /// Whether a node hosts it, as its owner says.
    pub(crate) fn is_hosted_by(&self, node: NodeId) -> bool {
        let facts = self.facts();
        facts.host.as_ref().is_some_and(|(host, _)| *host == node)
    }

    /// How busy it is: counted here, or as its host said last.
    #[must_use]
    pub fn load(&self, facts: &Facts) -> Load {
        if self.is_here(facts) {
            let gate = &self.hosted.gate;
            Load {
                limit: gate.limit(),
                taken: gate.taken(),
                assigned: gate.assigned(),
            }
        } else if facts.host.is_some() {
            Load {
                limit: self.away.limit.load(Ordering::Relaxed),
                taken: self.away.taken.load(Ordering::Relaxed),
                assigned: self.away.assigned.load(Ordering::Relaxed),
            }
        } else {
            Load::default()
        }
    }

    /// Takes its host's figures in, unless later ones came before.
    pub(crate) fn report(&self, from: NodeId, figures: &Figures) -> Reported {
        if !self.is_hosted_by(from) {
            return Reported::Foreign;
        }
        let facts = self.facts();
        let mut said = self
            .away
            .said
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|(node, serial)| node == from && serial >= figures.serial) {
            return Reported::Old;
        }
        *said = Some((from, figures.serial));
        self.away.limit.store(figures.limit, Ordering::Relaxed);
        self.away.taken.store(figures.taken, Ordering::Relaxed);
        self.away
            .assigned
            .store(figures.assigned, Ordering::Relaxed);
        self.set_success_rate(figures.success_rate);
        let stands = (&facts.health, facts.circuit, facts.admits);
        if stands != (&figures.health, figures.circuit, figures.admits) {
            self.change(|facts| {
                facts.circuit = figures.circuit;
                facts.admits = figures.admits;
                if let Some(report) = &figures.health {
                    facts.known_health = Some(report.status);
                    facts.health = Some(report.clone());
                }
            });
        }
        Reported::Taken
    }

    /// Counts a slot that its host is being asked for, until the host says more.
    pub(crate) fn lent(&self) {
        self.away.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Its host did not answer: the slot that was asked for is not counted any more.
    pub(crate) fn unanswered(&self) {
        let taken = &self.away.taken;
        let _ = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            taken.checked_sub(1)
        });
    }
}

/// What became of a host's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reported {
    /// They are what is known now.
    Taken,
    /// Later ones are known.
    Old,
    /// Another node, or none, hosts the agent.
    Foreign,
}

/// Tools that an agent declares.
#[must_use]
fn tools(spec: &AgentSpec) -> Arc<[String]> {
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
