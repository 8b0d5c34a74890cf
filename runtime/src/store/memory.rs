//! The reference implementation, for tests: everything in one map behind one lock.

mod admissions;
mod chronicles;
mod log;
mod members;
mod tables;

use std::{
    collections::{BTreeMap, HashMap},
    future,
    sync::{Mutex, MutexGuard, PoisonError},
};

use protocol::{
    entity::EntityId,
    epoch::Epoch,
    id::NodeId,
    record::{ChainHash, Record},
    time::Timestamp,
};
use uuid::Uuid;

use self::members::Seat;
use super::{
    Answer, Chapter, Delivery, Error, Founding, IdentityRow, JoinToken, Segment, ShardRow,
    Snapshot, StreamRow,
};
use crate::clock::Clock;

/// A store that forgets everything when it is dropped.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    /// Decides whose lease is over.
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    streams: BTreeMap<EntityId, StreamRow>,
    /// In journal order; a record's place is its index and one.
    records: Vec<Record>,
    /// Indexes into `records`.
    by_stream: HashMap<EntityId, Vec<usize>>,
    idempotency: HashMap<(String, String), (ChainHash, EntityId)>,
    reminders: BTreeMap<(EntityId, String), Timestamp>,
    outbox: BTreeMap<Uuid, Delivery>,
    snapshots: HashMap<EntityId, Snapshot>,
    nodes: HashMap<NodeId, String>,
    epoch: Epoch,
    founding: Option<Founding>,
    members: BTreeMap<NodeId, Seat>,
    shards: Vec<ShardRow>,
    tokens: Vec<JoinToken>,
    identities: BTreeMap<Uuid, IdentityRow>,
    rows: BTreeMap<(String, String), String>,
    chapters: BTreeMap<(NodeId, u64), Chapter>,
    segments: BTreeMap<(NodeId, u64), Segment>,
    /// Before which moment chapters are missing.
    forgotten: Option<Timestamp>,
    cursors: HashMap<String, i64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// An empty one whose leases run by `clock`.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self {
            state: Mutex::default(),
            clock,
        }
    }

    /// Answers what `work` makes of the state, unless the store is closed.
    fn with<'a, T: Send + 'a>(&self, work: impl FnOnce(&mut State) -> T) -> Answer<'a, T> {
        let mut state = self.lock();
        let answer = if state.closed {
            Err(Error::Unavailable("it was closed".into()))
        } else {
            Ok(work(&mut state))
        };
        Box::pin(future::ready(answer))
    }

    /// Nothing here panics while it holds the lock, and a panic elsewhere leaves the state whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::Shared;

    async fn fresh() -> (Shared, ()) {
        (Arc::new(Memory::new()), ())
    }

    crate::store_conformance!(fresh);
}
