//! [`Membership`]: the cluster as this node knows it, and how this node stands in it.

mod registrar;
mod sponsor;

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use protocol::{id::NodeId, member::Member};
use tokio::sync::{Notify, watch};

use super::{Fence, Roster};
use crate::{clock::Clock, placement::Timing};

pub use registrar::StoreRegistrar;
pub use sponsor::{SponsorRegistrar, announce, sponsor};

/// What keeps a node from becoming a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    /// Cause and remedy, in a line.
    pub why: String,
    /// Whether it may be over later though nobody changes anything here.
    pub passes: bool,
}

/// How this node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its lease runs, as far as it knows.
    Member,
    /// It may not act: its lease is over, or the store has not confirmed it in time.
    Fenced,
    /// It is a member no more and never will be again in this process: why.
    Ended(String),
}

/// What this node says of itself with each renewal, as JSON.
type Health = Box<dyn Fn() -> String + Send + Sync>;

/// The cluster as seen from this node. Cheap to clone.
#[derive(Clone)]
pub struct Membership(Arc<Inner>);

struct Inner {
    me: Member,
    timing: Timing,
    clock: Clock,
    fence: Fence,
    roster: watch::Sender<Arc<Roster>>,
    standing: watch::Sender<Standing>,
    /// Since when the store has been heard of without a gap; microseconds of the boot clock.
    steady: Mutex<Option<Steady>>,
    hurry: Notify,
    /// This node gives its lease up, and takes no other.
    is_leaving: AtomicBool,
    /// An earlier start of this node that is proved dead and may be a member still.
    former: Mutex<Option<NodeId>>,
    /// Why the store, or who has it, did not make this node a member the last time.
    hindrance: Mutex<Option<Hindrance>>,
    health: RwLock<Health>,
    on_loss: RwLock<Vec<Box<dyn Fn() + Send + Sync>>>,
}

#[derive(Debug, Clone, Copy)]
struct Steady {
    since: Duration,
    last: Duration,
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Membership({:?})", self.standing())
    }
}

impl Membership {
    /// As it is before the first word of the store. `fence` is open only where no other node could
    /// ever own what this one owns.
    #[must_use]
    pub fn new(me: Member, roster: Roster, timing: Timing, clock: Clock, fence: Fence) -> Self {
        let standing = if fence.holds() {
            Standing::Member
        } else {
            Standing::Fenced
        };
        Self(Arc::new(Inner {
            me,
            timing,
            clock,
            fence,
            roster: watch::channel(Arc::new(roster)).0,
            standing: watch::channel(standing).0,
            steady: Mutex::new(None),
            hurry: Notify::new(),
            is_leaving: AtomicBool::new(false),
            former: Mutex::new(None),
            hindrance: Mutex::new(None),
            health: RwLock::new(Box::new(|| "{}".to_owned())),
            on_loss: RwLock::new(Vec::new()),
        }))
    }

    /// This node's id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.me.node
    }

    /// As this node announces itself.
    #[must_use]
    pub fn me(&self) -> &Member {
        &self.0.me
    }

    /// The clockwork.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.0.timing
    }

    /// Until when this node may act.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.0.fence
    }

    /// The newest picture.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        self.0.roster.borrow().clone()
    }

    /// Each new picture.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Roster>> {
        self.0.roster.subscribe()
    }

    /// How this node stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.standing.borrow().clone()
    }

    /// Each change of it.
    #[must_use]
    pub fn watch_standing(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// Asks for a look at the store now: something has changed.
    pub fn hurry(&self) {
        self.0.hurry.notify_one();
    }

    /// This process takes the place of an earlier start of its node, which is proved dead.
    pub fn replaces(&self, former: NodeId) {
        *lock(&self.0.former) = Some(former);
    }

    /// This node is about to give up its lease: a renewal that is under way meanwhile must not make
    /// it a member anew.
    pub fn leaves(&self) {
        self.0.is_leaving.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.0.is_leaving.load(Ordering::SeqCst)
    }

    /// Who leaves when this node enters: what it replaces, after that only itself.
    pub(super) fn former(&self) -> NodeId {
        lock(&self.0.former).unwrap_or(self.0.me.node)
    }

    /// This node is a member in place of its earlier start.
    pub(super) fn entered(&self) {
        *lock(&self.0.former) = None;
    }

    /// What this node says of itself with each renewal.
    pub fn tell_health(&self, health: impl Fn() -> String + Send + Sync + 'static) {
        *self
            .0
            .health
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Box::new(health);
    }

    /// Runs `forget` when the lease, and with it all that was owned, is known to be lost; before this
    /// node becomes a member anew.
    pub fn when_lost(&self, forget: impl Fn() + Send + Sync + 'static) {
        let mut on_loss = self
            .0
            .on_loss
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        on_loss.push(Box::new(forget));
    }

    /// Whether the store has been heard of for at least the time of a lease without a gap, so that
    /// everyone who lives had time to renew.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        let steady = *lock(&self.0.steady);
        steady.is_some_and(|steady| {
            self.0.clock.boot().saturating_sub(steady.since) >= self.0.timing.ttl
        })
    }

    /// This process is a member no more, as another node says that knows: why.
    pub fn expelled(&self, why: String) {
        self.ended(why);
    }

    /// Stops acting at once and for good, and tells nobody, as the end of the process would.
    pub fn abandon(&self) {
        self.ended("the node was dropped".to_owned());
    }

    /// Why this node is no member yet, as far as it was told.
    #[must_use]
    pub fn hindrance(&self) -> Option<Hindrance> {
        lock(&self.0.hindrance).clone()
    }

    pub(super) fn hindered(&self, by: Hindrance) {
        *lock(&self.0.hindrance) = Some(by);
    }

    pub(super) async fn hurried(&self) {
        self.0.hurry.notified().await;
    }

    /// That, as it would be said now.
    #[must_use]
    pub fn health(&self) -> String {
        self.0.health.read().unwrap_or_else(PoisonError::into_inner)()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The store confirmed the lease by an answer to what was sent at `sent`, a moment of
    /// [`Clock::boot`].
    pub fn confirmed(&self, sent: Duration) {
        let mut steady = lock(&self.0.steady);
        let gap = |steady: &Steady| sent.saturating_sub(steady.last) > self.0.timing.ttl / 2;
        let since = match *steady {
            Some(steady) if !gap(&steady) => steady.since,
            Some(_) | None => sent,
        };
        *steady = Some(Steady { since, last: sent });
        drop(steady);
        self.0.fence.extend(self.0.timing.acts_until(sent));
        self.stand(Standing::Member);
    }

    /// The lease is over: known, or by this node's own clock.
    pub(super) fn fenced(&self) {
        self.0.fence.lower();
        *lock(&self.0.steady) = None;
        self.stand(Standing::Fenced);
    }

    /// What the lease stood for is gone.
    pub(super) fn lost(&self) {
        let on_loss = self
            .0
            .on_loss
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for forget in on_loss.iter() {
            forget();
        }
    }

    /// This process is a member no more.
    pub(super) fn ended(&self, why: String) {
        self.0.fence.lower();
        self.stand(Standing::Ended(why));
    }

    pub(super) fn learn(&self, roster: Roster) {
        self.0.roster.send_replace(Arc::new(roster));
    }

    fn stand(&self, standing: Standing) {
        self.0.standing.send_if_modified(|now| {
            let changes = *now != standing && !matches!(now, Standing::Ended(_));
            if changes {
                *now = standing;
            }
            changes
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
