//! [`Holdings`]: which shards this node owns now, and under which epochs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use protocol::{entity::EntityId, epoch::Epoch, shard::Shard};

use crate::{membership::Fence, store::Scope};

/// Set while a shard's entities are put away: what runs may finish, nothing new begins.
const LEAVING: u64 = 1 << 63;

/// What this node owns. Cheap to clone; asked before each append.
#[derive(Debug, Clone)]
pub struct Holdings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fence: Fence,
    /// By shard: the epoch, 0 for none, with [`LEAVING`].
    shards: Box<[AtomicU64]>,
    /// By shard: the name of the node that owned it before, if that was another.
    origins: RwLock<BTreeMap<Shard, Arc<str>>>,
}

impl Holdings {
    /// Nothing yet of `count` shards, under a fence.
    #[must_use]
    pub fn none(count: u16, fence: Fence) -> Self {
        let shards = (0..count).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner {
            fence,
            shards,
            origins: RwLock::default(),
        }))
    }

    /// Everything, for good: the store has no other owner.
    #[must_use]
    pub fn everything(epoch: Epoch) -> Self {
        let holdings = Self::none(1, Fence::open());
        holdings.hold(Shard(0), epoch);
        holdings
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        u16::try_from(self.0.shards.len()).unwrap_or(u16::MAX)
    }

    /// The shard of an entity.
    #[must_use]
    pub fn shard(&self, entity: EntityId) -> Shard {
        Shard::of(entity, self.count())
    }

    /// Under which epoch an entity that is active here may append, if it may.
    #[must_use]
    pub fn appends(&self, entity: EntityId) -> Option<Epoch> {
        self.read(self.shard(entity)).map(|(epoch, _)| epoch)
    }

    /// Under which epoch an entity may be activated or made here, if it may.
    #[must_use]
    pub fn activates(&self, entity: EntityId) -> Option<Epoch> {
        self.read(self.shard(entity))
            .filter(|(_, leaving)| !leaving)
            .map(|(epoch, _)| epoch)
    }

    /// Whether this node owns a shard and keeps it.
    #[must_use]
    pub fn owns(&self, shard: Shard) -> bool {
        self.read(shard).is_some_and(|(_, leaving)| !leaving)
    }

    /// Everything owned, whether or not the lease runs.
    #[must_use]
    pub fn held(&self) -> BTreeMap<Shard, Epoch> {
        (0..self.count())
            .map(Shard)
            .filter_map(|shard| Some((shard, self.word(shard)?.0)))
            .collect()
    }

    /// The streams of everything that is owned and kept.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let shards: std::collections::BTreeSet<_> = (0..self.count())
            .map(Shard)
            .filter(|shard| self.owns(*shard))
            .collect();
        if shards.len() == usize::from(self.count()) {
            Scope::All
        } else {
            Scope::Shards {
                count: self.count(),
                shards,
            }
        }
    }

    /// Until when this node may act on what it owns.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.0.fence
    }

    /// A shard was taken.
    pub fn hold(&self, shard: Shard, epoch: Epoch) {
        self.set(shard, epoch.to_i64().cast_unsigned());
    }

    /// A shard that is about to be held was owned by another node, if it was.
    pub fn came_from(&self, shard: Shard, name: Option<Arc<str>>) {
        let mut origins = self
            .0
            .origins
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match name {
            Some(name) => origins.insert(shard, name),
            None => origins.remove(&shard),
        };
    }

    /// On which node an entity was before its shard was taken here, if that is known.
    #[must_use]
    pub fn origin(&self, entity: EntityId) -> Option<Arc<str>> {
        let origins = self
            .0
            .origins
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        origins.get(&self.shard(entity)).cloned()
    }

    /// A shard's entities are being put away.
    pub fn leave(&self, shard: Shard) {
        if let Some((epoch, _)) = self.word(shard) {
            self.set(shard, epoch.to_i64().cast_unsigned() | LEAVING);
        }
    }

    /// A shard is owned no more.
    pub fn drop(&self, shard: Shard) {
        self.set(shard, 0);
    }

    fn set(&self, shard: Shard, word: u64) {
        if let Some(cell) = self.0.shards.get(usize::from(shard.0)) {
            cell.store(word, Ordering::Release);
        }
    }

    fn word(&self, shard: Shard) -> Option<(Epoch, bool)> {
        let word = self.0.shards.get(usize::from(shard.0))?;
        let word = word.load(Ordering::Acquire);
        if word == 0 {
            return None;
        }
        let epoch = Epoch::from_i64((word & !LEAVING).cast_signed())?;
        Some((epoch, word & LEAVING != 0))
    }

    fn read(&self, shard: Shard) -> Option<(Epoch, bool)> {
        self.word(shard).filter(|_| self.0.fence.holds())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::{entity::EntityKind, time::Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::clock::TestClock;

    fn task(number: u128) -> EntityId {
        EntityId::new(EntityKind::Task, Uuid::from_u128(number))
    }

    #[test]
    fn a_shard_that_is_left_lets_what_runs_finish_and_nothing_begin() {
        let holdings = Holdings::none(4, Fence::open());
        let epoch = Epoch::new(1, 7);
        holdings.hold(Shard(3), epoch);
        assert_eq!(holdings.activates(task(3)), Some(epoch));
        assert_eq!(holdings.activates(task(2)), None);
        holdings.leave(Shard(3));
        assert_eq!(holdings.activates(task(7)), None);
        assert_eq!(holdings.appends(task(7)), Some(epoch));
        holdings.drop(Shard(3));
        assert_eq!(holdings.appends(task(7)), None);
        assert_eq!(holdings.held().len(), 0);
    }

    #[test]
    fn nothing_is_owned_once_the_fence_is_down() {
        let hands = TestClock::at(Timestamp::default());
        let fence = Fence::closed(hands.clock());
        let holdings = Holdings::none(1, fence.clone());
        holdings.hold(Shard(0), Epoch::new(1, 1));
        assert_eq!(holdings.appends(task(1)), None);
        fence.extend(Duration::from_secs(3));
        assert!(holdings.appends(task(1)).is_some());
        assert_eq!(holdings.scope(), Scope::All);
        hands.advance(Duration::from_secs(3));
        assert_eq!(holdings.appends(task(1)), None);
        assert!(holdings.scope() != Scope::All);
    }
}
