//! The reference implementation, for tests: everything in one map behind one lock.

mod log;
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

use super::{Answer, Delivery, Error, Snapshot, StreamRow};

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
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
    rows: BTreeMap<(String, String), String>,
    cursors: HashMap<String, i64>,
}

impl Memory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
