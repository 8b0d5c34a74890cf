//! [`Hosts`]: what a node hosts, and how its tasks reach what others host.

mod files;
mod hosted;
mod natives;
mod reach;
mod report;
mod serve;
mod tell;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use protocol::{
    api::AgentLogLine,
    entity::EntityId,
    id::{AgentId, NodeId},
    task::TokenHash,
    time::Timestamp,
};
use runtime::{
    clock::Clock,
    entity::Host,
    supervision::{Address, Tree},
};

pub(crate) use self::{
    hosted::{Hosted, Post, Vitals},
    natives::Offer,
    report::{End, Report, record},
};
use super::{
    Run,
    actor::{self, proxy},
    booking::{Bookings, Tokens},
    message::{Order, Retire, Running},
    store::Ledger,
};
use crate::{
    Config,
    adapter::{Adapter, Doors, for_agent},
    agent::actor::AgentEntity,
    allocator::{Allocator, NodeLoad},
    cluster::{Carrier, Lease, Owner, Surroundings, parcel::Limits},
    registry::{Gate, Registry, Slot},
    task::actor::TaskEntity,
};

/// What a node hosts. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(Arc<Inner>);

/// What it is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) tree: Tree,
    pub(crate) doors: Doors,
    pub(crate) around: Surroundings,
    /// Where attempts are written down, on a node without a store.
    pub(crate) ledger: Option<Ledger>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) parts: Parts,
    hosted: DashMap<AgentId, Arc<Hosted>>,
    bookings: Mutex<Bookings<(AgentId, Slot)>>,
    tokens: Mutex<Tokens>,
    /// Whether `tokens` holds any: attempts of this node look no further.
    has_tokens: AtomicBool,
    fenced: AtomicBool,
    /// Of the fence, at the last look.
    laps: AtomicU64,
    closed: AtomicBool,
    local: OnceLock<Local>,
    load: Mutex<Option<NodeLoad>>,
    /// Agents written in Rust that other nodes have, as far as they told.
    natives: DashMap<NodeId, HashSet<String>>,
    address: Address<actor::Message>,
}

/// The parts of a control node that hosting concerns; a worker has none.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) registry: Registry,
    pub(crate) allocator: Allocator,
    pub(crate) tasks: Host<TaskEntity>,
    pub(crate) agents: Host<AgentEntity>,
}

/// A later owner said otherwise, or the node may host nothing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outranked;

impl std::ops::Deref for Hosts {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

impl Hosts {
    pub(crate) fn new(mut parts: Parts) -> Self {
        let carrier = Carrier::new(parts.around.net, Limits::WORK);
        parts.around.net = Arc::new(carrier);
        let laps = parts.around.fence.laps();
        Self(Arc::new(Inner {
            parts,
            hosted: DashMap::new(),
            bookings: Mutex::default(),
            tokens: Mutex::default(),
            has_tokens: AtomicBool::new(false),
            fenced: AtomicBool::new(false),
            laps: AtomicU64::new(laps),
            closed: AtomicBool::new(false),
            local: OnceLock::new(),
            load: Mutex::default(),
            natives: DashMap::new(),
            address: Address::vacant(),
        }))
    }

    /// Hands over what else a control node has; only the first time counts.
    pub(crate) fn provide(&self, local: Local) {
        let _ = self.0.local.set(local);
    }

    pub(crate) fn local(&self) -> Option<&Local> {
        self.0.local.get()
    }

    pub(super) fn address(&self) -> &Address<actor::Message> {
        &self.0.address
    }

    /// This node.
    pub(crate) fn me(&self) -> NodeId {
        self.around.me.node
    }

    pub(crate) fn owner(&self, entity: impl Into<EntityId>) -> Owner {
        self.around.cluster.owner(entity.into())
    }

    /// The control nodes beside this one.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        let mut controls = self.around.cluster.controls();
        controls.retain(|node| *node != self.me());
        controls
    }

    /// An agent's part on this node, hosted here or not.
    pub(crate) fn hosted(&self, id: AgentId) -> Arc<Hosted> {
        if let Some(hosted) = self.0.hosted.get(&id) {
            return hosted.clone();
        }
        let make = || {
            let own = self.clone();
            let gate = Arc::new(Gate::new(0, move || own.freed(id)));
            Arc::new(Hosted::new(id, gate, self.moment()))
        };
        self.0.hosted.entry(id).or_insert_with(make).clone()
    }

    fn known(&self, id: AgentId) -> Option<Arc<Hosted>> {
        self.0.hosted.get(&id).map(|hosted| hosted.clone())
    }

    pub(super) fn all(&self) -> Vec<Arc<Hosted>> {
        self.0.hosted.iter().map(|hosted| hosted.clone()).collect()
    }

    /// Attempts that run, are about to, or whose results are not recorded yet.
    pub(crate) fn running(&self) -> usize {
        let busy = |hosted: &Hosted| {
            let taken = usize::try_from(hosted.gate.taken()).unwrap_or(usize::MAX);
            hosted.running().max(taken)
        };
        self.0.hosted.iter().map(|hosted| busy(&hosted)).sum()
    }

    /// How many slots of the agents that are hosted here are taken, and how many there are.
    pub(crate) fn slots(&self) -> (u32, u32) {
        let hosted = self.0.hosted.iter();
        hosted.fold((0, 0), |(taken, limit), hosted| {
            let gate = &hosted.gate;
            (taken + gate.taken(), limit + gate.limit())
        })
    }

    /// What an agent of this tenant did here after a moment.
    pub(crate) fn diary(
        &self,
        agent: AgentId,
        tenant: &str,
        since: Timestamp,
    ) -> Option<Vec<AgentLogLine>> {
        let hosted = self.known(agent)?;
        let post = hosted.post()?;
        (&*post.order.tenant == tenant).then(|| hosted.diary().after(since))
    }

    /// Agents that are hosted here.
    pub(crate) fn hosting(&self) -> usize {
        let hosted = self.0.hosted.iter();
        hosted.filter(|hosted| hosted.post().is_some()).count()
    }

    /// Takes nothing any more: the node is about to stop. What runs goes on.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        for hosted in self.all() {
            hosted.gate.set_limit(0);
        }
    }

    /// Ends everything that runs here: the node stops.
    pub(crate) fn stop_all(&self) {
        for hosted in &self.0.hosted {
            hosted.stop_all("stopped with its node");
            if let Some(post) = hosted.post().filter(|_| self.is_fenced()) {
                self.ends_with_lease(&post);
            }
        }
    }

    /// The proxy of an agent ends with the node's lease, which its past tells with its end.
    fn ends_with_lease(&self, post: &Post) {
        let path = proxy::path_of_proxy(&post.order);
        self.tree.ends_because(&path, &proxy::ended_with_lease());
    }

    /// Hosts an agent from now on, as its owner says.
    pub(crate) fn host(&self, order: Order) -> Result<(), Outranked> {
        if self.is_fenced() || self.0.closed.load(Ordering::SeqCst) {
            return Err(Outranked);
        }
        let id = order.agent;
        let hosted = self.hosted(id);
        let before = hosted.post();
        let is_new = before.is_none();
        let same = before.filter(|post| post.order.spec == order.spec);
        let adapter = match &same {
            Some(post) => post.adapter.clone(),
            None => self.adapter(&order),
        };
        let (limit, running) = (order.slots(), order.running);
        let (stamp, changed) = (order.stamp, same.is_none());
        if is_new {
            hosted.change(|vitals| *vitals = Vitals::default());
        }
        let laps = self.around.fence.laps();
        let post = Arc::new(Post {
            order,
            adapter,
            laps,
        });
        hosted.obey(stamp, Some(post))?;
        hosted.gate.set_limit(limit);
        if running == Running::Ends {
            hosted.stop_all(WITH_AGENT);
        }
        // Also when it is here already: who says so may not have heard how it does.
        let _ = self.0.address.cast(actor::Message::Start(id));
        if changed && !is_new {
            let _ = hosted.proxy.cast(proxy::Message::Changed);
        }
        Ok(())
    }

    fn adapter(&self, order: &Order) -> Option<Arc<dyn Adapter>> {
        for_agent(&order.spec, &self.doors)
            .inspect_err(|errors| {
                let agent = &order.spec.name;
                tracing::error!(
                    agent,
                    ?errors,
                    "the agent's configuration makes no sense to this build"
                );
            })
            .ok()
    }

    /// Hosts an agent no more: its gate is closed, what runs ends as asked. Answers how many of its
    /// slots are taken still.
    pub(crate) fn retire(&self, retire: Retire) -> Result<u32, Outranked> {
        let Some(hosted) = self.known(retire.agent) else {
            return Ok(0);
        };
        let before = hosted.post();
        hosted.obey(retire.stamp, None)?;
        hosted.gate.set_limit(0);
        if retire.running == Running::Ends {
            hosted.stop_all(WITH_AGENT);
        }
        let laps = self.around.fence.laps();
        let slept = before.as_ref().is_some_and(|post| post.laps != laps);
        if let Some(post) = before
            && (self.is_fenced() || retire.unseen && slept)
        {
            self.ends_with_lease(&post);
        }
        let _ = self.0.address.cast(actor::Message::Stop(retire.agent));
        Ok(hosted.gate.taken())
    }

    /// Runs an attempt whose slot is on this node.
    pub(crate) fn run(&self, hosted: &Hosted, run: Box<Run>) {
        if let Err(proxy::Message::Run(run)) = hosted.proxy.offer(proxy::Message::Run(run)) {
            // Its proxy is about to start: it is told once it has. Else the run reports itself.
            let _ = self.0.address.cast(actor::Message::Run(hosted.id, run));
        }
    }

    /// Stops an attempt that runs here, or that is about to.
    pub(crate) fn stop_here(&self, agent: AgentId, token: &TokenHash, why: &str) {
        let hosted = self.hosted(agent);
        if !hosted.stop(token, why) {
            // One of the two sees the other: this one the attempt, or the attempt this.
            self.give_up(token);
            hosted.stop(token, why);
        }
    }

    /// Whether an attempt is here; if not it never will be.
    pub(crate) fn knows(&self, agent: AgentId, token: &TokenHash) -> bool {
        let hosted = self.hosted(agent);
        if hosted.runs(token) {
            return true;
        }
        if self.tokens().is_known(token) {
            return true;
        }
        self.give_up(token);
        hosted.runs(token)
    }

    /// A moment that no change of the wall clock moves, for what is kept for a while.
    fn moment(&self) -> Timestamp {
        Timestamp::default().plus(self.clock.monotonic())
    }

    fn give_up(&self, token: &TokenHash) {
        let now = self.moment();
        self.tokens().give_up(token, now);
        self.mark_tokens();
    }

    fn mark_tokens(&self) {
        self.0.has_tokens.store(true, Ordering::SeqCst);
    }

    /// Whether an attempt that is about to run must not.
    pub(super) fn is_given_up(&self, token: &TokenHash) -> bool {
        self.0.has_tokens.load(Ordering::SeqCst) && self.tokens().is_given_up(token)
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bookings(&self) -> MutexGuard<'_, Bookings<(AgentId, Slot)>> {
        let bookings = self.0.bookings.lock();
        bookings.unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees what was kept in vain, and forgets what nobody can send any more.
    pub(super) fn tidy(&self) {
        self.mind_lapse();
        let now = self.moment();
        let gone = |node| self.around.cluster.gone(node);
        // Dropped after the lock: a slot that comes free may be asked for at once.
        let lapsed = self.bookings().lapsed(now, gone);
        drop(lapsed);
        self.0.natives.retain(|node, _| !gone(*node));
        let mut tokens = self.tokens();
        tokens.forget(now);
        let any = !tokens.is_empty();
        self.0.has_tokens.store(any, Ordering::SeqCst);
        drop(tokens);
        // Agents that were removed: nobody else holds a part of them.
        self.0.hosted.retain(|_, hosted| {
            Arc::strong_count(hosted) > 1 || hosted.post().is_some() || hosted.gate.taken() > 0
        });
    }

    /// Asks proxies for a check whose last one is older than an interval and the time that a check may
    /// take: they lost their timers, in a restart say.
    pub(crate) fn check_overdue(&self) {
        let health = &self.config.health;
        let limit = health.interval.0 + health.timeout.0;
        let now = self.clock.now();
        for hosted in &self.0.hosted {
            let checked = hosted.vitals().health.map(|report| report.checked_at);
            if hosted.post().is_some() && checked.is_some_and(|at| now.since(at) > limit) {
                let _ = hosted.proxy.cast(proxy::Message::Check { reply: None });
            }
        }
    }

    /// Whether nothing may begin here.
    pub(super) fn is_fenced(&self) -> bool {
        self.0.fenced.load(Ordering::SeqCst) || !self.around.fence.holds()
    }

    /// Ends what runs when the node's lease is gone, and takes nothing until it is back.
    pub(crate) fn follow_lease(&self) {
        let (hosts, mut lease) = (self.clone(), self.around.lease.clone());
        tokio::spawn(async move {
            loop {
                let stands = *lease.borrow_and_update();
                hosts.obey(stands);
                if lease.changed().await.is_err() {
                    // Nobody watches over it: it stays as it is.
                    return;
                }
            }
        });
    }

    /// Ends what ran before the lease was over, if it was since the last look, however short: others
    /// may count it as lost.
    pub(super) fn mind_lapse(&self) {
        let laps = self.around.fence.laps();
        if self.0.laps.swap(laps, Ordering::SeqCst) != laps {
            self.abandon();
        }
    }

    /// Whether the lease was over since the last look.
    pub(super) fn has_lapsed(&self) -> bool {
        self.around.fence.laps() != self.0.laps.load(Ordering::SeqCst)
    }

    /// Ends all that runs here, and frees what is kept.
    fn abandon(&self) {
        let running = self.running();
        if running > 0 {
            tracing::warn!(running, "the node's lease is gone: all that it runs ends");
        }
        let why = proxy::ended_with_lease();
        for hosted in self.all() {
            hosted.stop_all(&why);
        }
        let kept = self.bookings().drain();
        drop(kept);
    }

    fn obey(&self, lease: Lease) {
        self.mind_lapse();
        let lost = lease == Lease::Lost;
        if self.0.fenced.swap(lost, Ordering::SeqCst) == lost {
            return;
        }
        for hosted in self.all() {
            let limit = hosted.post().map_or(0, |post| post.order.slots());
            let open = !lost && !self.0.closed.load(Ordering::SeqCst);
            hosted.gate.set_limit(if open { limit } else { 0 });
        }
        if lost {
            self.abandon();
        }
    }
}

/// Why an attempt ends whose agent is stopped.
const WITH_AGENT: &str = "stopped with its agent";

/// The longest wait between two tries to reach a node.
const LONGEST: Duration = Duration::from_secs(10);
