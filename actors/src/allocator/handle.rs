//! [`Allocator`]: gives a step to an agent at once, or lets it wait for one.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use protocol::{
    agent::{Health, Resources},
    allocation::ScoreCard,
    id::{AgentId, NodeId, TaskId},
    task::Priority,
    time::Timestamp,
};
use runtime::{clock::Clock, entity::Host, supervision::Address};

use super::{
    AgentSnapshot, NodeLoad, Ranking, Request, Requirement, Terms, actor::Message, evaluate,
};
use crate::{
    config::Config,
    hold::{Held, Holds},
    host::Hosts,
    registry::{Agent, Registry, Slot, Tenant},
    task::actor::TaskEntity,
};

/// Sessions whose last agent is remembered.
const SESSIONS: usize = 100_000;

/// A step that looks for an agent.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What it asks for.
    pub requirement: Arc<Requirement>,
    /// What else its task is about.
    pub wanted: Arc<[String]>,
    /// Whose step it is.
    pub user: Arc<str>,
    /// The task.
    pub task: TaskId,
    /// Which of its steps.
    pub step: usize,
    /// The conversation that it belongs to.
    pub session: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// Since when it could start.
    pub since: Timestamp,
}

/// An agent with a slot that is taken for the step.
#[derive(Debug)]
pub struct Grant {
    /// The agent.
    pub agent: Arc<Agent>,
    /// Its slot, free again when this is dropped.
    pub slot: Slot,
    /// Why this agent.
    pub card: ScoreCard,
}

/// Which agent gets a step. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Allocator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    config: Config,
    clock: Clock,
    node: NodeId,
    address: Address<Message>,
    tasks: OnceLock<Host<TaskEntity>>,
    waiting: AtomicUsize,
    closed: AtomicBool,
    sessions: DashMap<(String, String), AgentId>,
    load: RwLock<NodeLoad>,
    /// What other nodes said of themselves.
    others: RwLock<Vec<NodeLoad>>,
    has_others: AtomicBool,
    hosts: OnceLock<Hosts>,
    holds: OnceLock<Holds>,
}

impl Allocator {
    /// An allocator over a registry, on a node that offers `capacity` to declared work.
    #[must_use]
    pub fn new(
        registry: Registry,
        config: Config,
        clock: Clock,
        node: NodeId,
        capacity: Resources,
    ) -> Self {
        let load = NodeLoad {
            node,
            cpu_used: 0.0,
            memory_used: 0.0,
            disk_used: 0.0,
            capacity,
            taken: Resources::default(),
        };
        Self(Arc::new(Inner {
            registry,
            config,
            clock,
            node,
            address: Address::vacant(),
            tasks: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            sessions: DashMap::new(),
            load: RwLock::new(load),
            others: RwLock::default(),
            has_others: AtomicBool::new(false),
            hosts: OnceLock::new(),
            holds: OnceLock::new(),
        }))
    }

    /// Gives a step to the best agent that is free, unless others wait already.
    #[must_use]
    pub fn try_now(&self, ask: &Ask) -> Option<Grant> {
        if self.waiting() > 0 {
            return None;
        }
        self.grant(ask)
    }

    /// Lets a step wait; its task is told when an agent is found.
    pub fn wait(&self, ask: Ask) {
        // Without an actor nothing is lost: when it is back, every task asks again.
        let _ = self.0.address.cast(Message::Wait(Box::new(ask)));
    }

    /// The step does not wait any more.
    pub fn forget(&self, task: TaskId, step: usize) {
        let _ = self.0.address.cast(Message::Forget { task, step });
    }

    /// A slot of this agent is free.
    pub fn freed(&self, agent: AgentId) {
        if self.waiting() > 0 {
            let _ = self.0.address.cast(Message::Freed(agent));
        }
    }

    /// An agent came, went, or may be chosen again.
    pub fn changed(&self) {
        if self.waiting() > 0 {
            let _ = self.0.address.cast(Message::Changed);
        }
    }

    /// How this node stands, as measured: shares in use from 0 to 1.
    pub fn observe(&self, cpu_used: f64, memory_used: f64, disk_used: f64) {
        let mut load = self.0.load.write().unwrap_or_else(PoisonError::into_inner);
        (load.cpu_used, load.memory_used, load.disk_used) = (cpu_used, memory_used, disk_used);
        if let Some(hosts) = self.0.hosts.get() {
            hosts.observe(*load);
        }
    }

    /// Every agent of the tenant with its first failing filter or its scores.
    #[must_use]
    pub fn explain(&self, ask: &Ask) -> ScoreCard {
        let tenant = self.0.registry.tenant(&ask.requirement.tenant);
        let agents: Vec<&Arc<Agent>> = tenant.agents.values().collect();
        let mut card = self.rank(ask, &agents).card;
        card.chosen = None;
        card
    }

    /// Gives nothing any more: the node is about to stop, and what waits is for its next start.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    /// How many steps wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// How another node stands, by its own word.
    pub(crate) fn observe_other(&self, load: NodeLoad) {
        let Some(hosts) = self.0.hosts.get() else {
            return;
        };
        let mut others = self
            .0
            .others
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_news = !others.contains(&load);
        others.retain(|other| other.node != load.node && !hosts.around.cluster.gone(other.node));
        others.push(load);
        self.0.has_others.store(true, Ordering::SeqCst);
        drop(others);
        if is_news {
            self.changed();
        }
    }

    /// Whom to tell of a grant, how to reach agents elsewhere, and what is held; only the first time
    /// counts.
    pub(crate) fn provide(&self, tasks: Host<TaskEntity>, hosts: Hosts, holds: Holds) {
        let _ = self.0.tasks.set(tasks);
        let _ = self.0.hosts.set(hosts);
        let _ = self.0.holds.set(holds);
    }

    pub(super) fn hosts(&self) -> Option<&Hosts> {
        self.0.hosts.get()
    }

    pub(super) fn tasks(&self) -> Option<&Host<TaskEntity>> {
        self.0.tasks.get()
    }

    pub(super) fn address(&self) -> &Address<Message> {
        &self.0.address
    }

    pub(super) fn set_waiting(&self, count: usize) {
        self.0.waiting.store(count, Ordering::SeqCst);
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(super) fn ageing(&self) -> Duration {
        self.0.config.allocator.ageing.0
    }

    /// Takes a slot of the best agent that still has one, if that is on this node. When one elsewhere
    /// is better, the step goes by way of the waiting room, which asks it.
    pub(super) fn grant(&self, ask: &Ask) -> Option<Grant> {
        if self.0.closed.load(Ordering::SeqCst) {
            return None;
        }
        let tenant = self.0.registry.tenant(&ask.requirement.tenant);
        let agents = candidates(&tenant, &ask.requirement);
        let mut ranking = self.rank(ask, &agents);
        for position in std::mem::take(&mut ranking.order) {
            let agent = agents[position];
            if let Some(slot) = agent.hosted.gate.take() {
                return Some(self.granted(ask, agent, slot, ranking));
            }
            if !agent.is_here(&agent.facts()) {
                return None;
            }
        }
        None
    }

    pub(super) fn granted(
        &self,
        ask: &Ask,
        agent: &Arc<Agent>,
        slot: Slot,
        mut ranking: Ranking,
    ) -> Grant {
        ranking.choose(&agent.name);
        self.remember(ask, agent.id);
        Grant {
            agent: agent.clone(),
            slot,
            card: ranking.card,
        }
    }

    /// The agents that may have a step, the best first, and why. Nothing once it is closed.
    pub(super) fn order(&self, ask: &Ask) -> (Vec<Arc<Agent>>, Ranking) {
        let tenant = self.0.registry.tenant(&ask.requirement.tenant);
        let agents = candidates(&tenant, &ask.requirement);
        let mut ranking = self.rank(ask, &agents);
        let order = std::mem::take(&mut ranking.order);
        if self.0.closed.load(Ordering::SeqCst) {
            return (Vec::new(), ranking);
        }
        let order = order.into_iter().map(|position| agents[position].clone());
        (order.collect(), ranking)
    }

    fn rank(&self, ask: &Ask, agents: &[&Arc<Agent>]) -> Ranking {
        let snapshots: Vec<AgentSnapshot> =
            agents.iter().map(|agent| self.snapshot(agent)).collect();
        let request = Request {
            requirement: &ask.requirement,
            wanted: &ask.wanted,
            last_agent: self.last_agent(ask),
        };
        self.with_terms(|terms| evaluate(&request, &snapshots, terms))
    }

    pub(super) fn with_terms<R>(&self, look: impl FnOnce(&Terms<'_>) -> R) -> R {
        let mut load = *self.0.load.read().unwrap_or_else(PoisonError::into_inner);
        load.taken = self.0.registry.declared();
        let config = &self.0.config;
        let near = self.near();
        let held = self.held();
        let (own, all);
        let nodes = if self.0.has_others.load(Ordering::Relaxed) {
            let others = self.0.others.read().unwrap_or_else(PoisonError::into_inner);
            all = others.iter().copied().chain([load]).collect::<Vec<_>>();
            &all[..]
        } else {
            own = [load];
            &own[..]
        };
        look(&Terms {
            now: self.0.clock.now(),
            fresh_for: config.health.interval.0 * 2 + config.health.timeout.0,
            weights: config.allocator.weights,
            memory_limit: config.allocator.memory_limit,
            disk_limit: config.allocator.disk_limit,
            cpu_limit: config.allocator.cpu_limit,
            here: self.0.node,
            near: &near,
            nodes,
            held: held.as_deref(),
        })
    }

    /// What operators hold; nothing most of the time.
    fn held(&self) -> Option<Arc<Held>> {
        self.0.holds.get()?.get()
    }

    /// The other nodes of this one's region, where nodes have any.
    fn near(&self) -> Vec<NodeId> {
        let Some(hosts) = self
            .hosts()
            .filter(|hosts| !hosts.around.me.region.is_empty())
        else {
            return Vec::new();
        };
        let mut sites = hosts.around.cluster.sites();
        sites.retain(|site| site.region == hosts.around.me.region);
        sites.iter().map(|site| site.node).collect()
    }

    pub(super) fn snapshot(&self, agent: &Agent) -> AgentSnapshot {
        let facts = agent.facts();
        let checked = facts
            .health
            .as_ref()
            .map(|report| (report.status, report.checked_at));
        // What was known before this start, or nothing bad yet, counts until the first check.
        let known = || {
            (
                facts.known_health.unwrap_or(Health::Healthy),
                self.0.clock.now(),
            )
        };
        let load = agent.load(&facts);
        let on = facts.host.as_ref().map(|(_, name)| &**name);
        let held = self.held();
        let hold = held.and_then(|held| {
            let hold = held.on_agent(&agent.tenant, &facts.spec, on);
            hold.map(|hold| hold.id)
        });
        AgentSnapshot {
            hold,
            id: agent.id,
            name: agent.name.clone(),
            tenant: agent.tenant.clone(),
            capabilities: facts.spec.capabilities.clone(),
            tools: facts.tools.to_vec(),
            mode: facts.mode,
            checked: Some(checked.unwrap_or_else(known)),
            circuit: facts.admits,
            slots: load.limit,
            running: load.taken,
            assigned: load.assigned,
            success_rate: agent.success_rate(),
            node: facts.host.as_ref().map_or(self.0.node, |(node, _)| *node),
            resources: facts.spec.resources,
        }
    }

    fn last_agent(&self, ask: &Ask) -> Option<AgentId> {
        let session = ask.session.clone()?;
        self.0
            .sessions
            .get(&(ask.requirement.tenant.clone(), session))
            .map(|agent| *agent)
    }

    fn remember(&self, ask: &Ask, agent: AgentId) {
        if let Some(session) = ask.session.clone() {
            if self.0.sessions.len() >= SESSIONS {
                self.0.sessions.clear();
            }
            self.0
                .sessions
                .insert((ask.requirement.tenant.clone(), session), agent);
        }
    }
}

/// Agents that come into question by what does not change while a step waits.
pub(super) fn candidates<'a>(tenant: &'a Tenant, requirement: &Requirement) -> Vec<&'a Arc<Agent>> {
    match (&requirement.agent, &requirement.capability) {
        (Some(pin), _) => tenant.agent(pin.as_str()).into_iter().collect(),
        (None, Some(capability)) => tenant.able(capability).collect(),
        (None, None) => tenant.agents.values().collect(),
    }
}

/// The share in use of the disk that holds a directory, as far as other users may fill it.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more digits than a float has"
)]
pub(crate) fn disk_used(directory: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    let (all, free) = (disk.f_blocks as f64, disk.f_bavail as f64);
    (all > 0.0).then(|| 1.0 - free / all)
}

/// What the machine offers to work that declares what it takes.
#[must_use]
pub fn machine() -> Resources {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    Resources {
        cpu: f64::from(u32::try_from(cores).unwrap_or(u32::MAX)),
        // Unknown elsewhere than on Linux: then memory is no filter.
        memory: memory.map_or(u64::MAX, |kib| kib * 1024),
    }
}
