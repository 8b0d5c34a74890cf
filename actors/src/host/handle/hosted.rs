//! [`Hosted`]: an agent's part on the node that hosts it, and its slots there.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use protocol::{
    api::HealthReport,
    id::{AgentId, NodeId},
    task::TokenHash,
    time::Timestamp,
};
use runtime::supervision::Address;
use tokio_util::sync::CancellationToken;

use super::Outranked;
use crate::{
    adapter::Adapter,
    agent::breaker::Position,
    allocator::Circuit,
    host::{
        actor::proxy,
        diary::Diary,
        message::{Figures, Order, Stamp},
    },
    registry::Gate,
};

/// An agent as its host knows it. On a node that does not host it, its gate is closed.
pub(crate) struct Hosted {
    pub(crate) id: AgentId,
    pub(crate) gate: Arc<Gate>,
    pub(crate) proxy: Address<proxy::Message>,
    diary: Mutex<Diary>,
    running: Mutex<HashMap<TokenHash, Attempt>>,
    posting: RwLock<Posting>,
    vitals: RwLock<Vitals>,
    /// Counts the figures that were given of it, from a number that is greater than that of any before
    /// the agent left and came back.
    serial: AtomicU64,
    /// Nodes that were refused a slot and wait for one.
    refused: Mutex<HashSet<NodeId>>,
    has_refused: AtomicBool,
}

/// The last word of an owner on whether it is hosted here.
#[derive(Debug, Default)]
struct Posting {
    stamp: Stamp,
    post: Option<Arc<Post>>,
}

/// An attempt that runs here.
#[derive(Debug)]
struct Attempt {
    cancel: CancellationToken,
    /// Why it was told to stop first.
    why: Option<Box<str>>,
}

impl Attempt {
    fn stop(&mut self, why: &str) {
        // An older node says nothing.
        let why = Some(why).filter(|why| !why.is_empty());
        self.why = self.why.take().or(why.map(Box::from));
        self.cancel.cancel();
    }
}

/// What an owner told the host to be, and what the host made of it.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) order: Order,
    /// How it is called; absent when its configuration makes no sense to this build.
    pub(crate) adapter: Option<Arc<dyn Adapter>>,
    /// Of the node's fence, when it was told so.
    pub(crate) laps: u64,
}

/// What the host has found of the agent.
#[derive(Debug, Clone)]
pub(crate) struct Vitals {
    pub(crate) health: Option<HealthReport>,
    /// Checks in a row that failed.
    pub(crate) failures: u32,
    pub(crate) circuit: Position,
    pub(crate) admits: Circuit,
    pub(crate) success_rate: f64,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            health: None,
            failures: 0,
            circuit: Position::Closed,
            admits: Circuit::Passable,
            success_rate: 1.0,
        }
    }
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hosted({}, {:?})", self.id, self.gate)
    }
}

impl Hosted {
    pub(super) fn new(id: AgentId, gate: Arc<Gate>, now: Timestamp) -> Self {
        Self {
            id,
            gate,
            proxy: Address::vacant(),
            diary: Mutex::default(),
            running: Mutex::default(),
            posting: RwLock::default(),
            vitals: RwLock::default(),
            serial: AtomicU64::new(u64::try_from(now.as_micros()).unwrap_or(0)),
            refused: Mutex::default(),
            has_refused: AtomicBool::new(false),
        }
    }

    /// What it was told to be, while it is hosted here.
    pub(crate) fn post(&self) -> Option<Arc<Post>> {
        let posting = self.posting.read().unwrap_or_else(PoisonError::into_inner);
        posting.post.clone()
    }

    /// Hosts it as told, or hosts it no more, unless a later word came before this one.
    pub(super) fn obey(&self, stamp: Stamp, post: Option<Arc<Post>>) -> Result<(), Outranked> {
        let mut posting = self.posting.write().unwrap_or_else(PoisonError::into_inner);
        if posting.stamp > stamp {
            return Err(Outranked);
        }
        *posting = Posting { stamp, post };
        Ok(())
    }

    pub(crate) fn adapter(&self) -> Option<Arc<dyn Adapter>> {
        self.post()?.adapter.clone()
    }

    pub(crate) fn vitals(&self) -> Vitals {
        let vitals = self.vitals.read().unwrap_or_else(PoisonError::into_inner);
        vitals.clone()
    }

    /// Where its breaker stands, and whether it lets a call through.
    pub(crate) fn circuit(&self) -> (Position, Circuit) {
        let vitals = self.vitals.read().unwrap_or_else(PoisonError::into_inner);
        (vitals.circuit, vitals.admits)
    }

    /// Changes what was found; its proxy alone does.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Vitals)) {
        change(&mut self.vitals.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// What it did lately; short, and nobody waits while it is held.
    pub(crate) fn diary(&self) -> MutexGuard<'_, Diary> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its figures now.
    pub(crate) fn figures(&self) -> Figures {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        let vitals = self.vitals();
        Figures {
            agent: self.id,
            serial,
            limit: self.gate.limit(),
            taken: self.gate.taken(),
            assigned: self.gate.assigned(),
            success_rate: vitals.success_rate,
            circuit: vitals.circuit,
            admits: vitals.admits,
            health: vitals.health,
            failures: vitals.failures,
        }
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<TokenHash, Attempt>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn starts(&self, token: TokenHash, cancel: CancellationToken) {
        let attempt = Attempt { cancel, why: None };
        self.attempts().insert(token, attempt);
    }

    pub(crate) fn ends(&self, token: &TokenHash) {
        self.attempts().remove(token);
    }

    /// Whether an attempt runs here, or its result is on its way.
    pub(crate) fn runs(&self, token: &TokenHash) -> bool {
        self.attempts().contains_key(token)
    }

    pub(crate) fn running(&self) -> usize {
        self.attempts().len()
    }

    /// Stops an attempt, whose past tells why; answers whether it was here.
    pub(crate) fn stop(&self, token: &TokenHash, why: &str) -> bool {
        let mut attempts = self.attempts();
        let running = attempts.get_mut(token);
        running.map(|running| running.stop(why)).is_some()
    }

    pub(crate) fn stop_all(&self, why: &str) {
        for running in self.attempts().values_mut() {
            running.stop(why);
        }
    }

    /// Why an attempt was told to stop, if it was.
    pub(crate) fn why_stopped(&self, token: &TokenHash) -> Option<Box<str>> {
        self.attempts().get(token)?.why.clone()
    }

    /// A node found no slot and is to be told of the next one.
    pub(super) fn refuse(&self, node: NodeId) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(node);
        self.has_refused.store(true, Ordering::SeqCst);
    }

    /// Whom to tell that a slot is free.
    pub(super) fn refused(&self) -> Vec<NodeId> {
        if !self.has_refused.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_refused.store(false, Ordering::SeqCst);
        refused.drain().collect()
    }
}

#[cfg(test)]
mod tests {
    use protocol::epoch::Epoch;

    use super::*;

    fn stamp(epoch: u64, moment: u64) -> Stamp {
        let epoch = Epoch::new(1, epoch);
        Stamp { epoch, moment }
    }

    #[test]
    fn a_word_that_was_overtaken_does_not_count_whoever_said_it_and_one_that_is_repeated_does() {
        let id = AgentId::from_uuid(uuid::Uuid::nil());
        let hosted = Hosted::new(id, Arc::new(Gate::new(0, || ())), Timestamp::default());
        for (stamp, counts) in [
            (stamp(1, 10), Ok(())),
            (stamp(1, 10), Ok(())),
            (stamp(2, 5), Ok(())),
            (stamp(1, 99), Err(Outranked)),
            (stamp(2, 4), Err(Outranked)),
            (stamp(2, 6), Ok(())),
        ] {
            assert_eq!(hosted.obey(stamp, None), counts, "{stamp:?}");
        }
    }

    #[test]
    fn who_was_refused_a_slot_is_told_once() {
        let id = AgentId::from_uuid(uuid::Uuid::nil());
        let hosted = Hosted::new(id, Arc::new(Gate::new(1, || ())), Timestamp::default());
        let node = NodeId::from_uuid(uuid::Uuid::from_u128(7));
        hosted.refuse(node);
        hosted.refuse(node);
        assert_eq!(hosted.refused(), [node]);
        assert_eq!(hosted.refused(), []);
    }
}
