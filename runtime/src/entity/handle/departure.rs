//! Entities that leave memory because their shard does, or because this node may not act any more.

use std::time::Duration;

use protocol::entity::EntityId;

use super::{Host, Inner, SOON, Slot, TellError};
use crate::{
    entity::{Entity, actor::HostMessage},
    placement::Evict,
    store,
};

/// How long an entity may take to finish what it does when it has to leave.
const POLITE: Duration = Duration::from_secs(2);

impl<E: Entity> Host<E> {
    /// Takes the entities of `scope` out of memory; answers when they are gone. What is told them
    /// meanwhile is refused, as long as this node does not own them.
    pub async fn evict(&self, scope: &store::Scope, how: Evict) {
        let ids: Vec<EntityId> = self
            .0
            .slots
            .iter()
            .map(|slot| *slot.key())
            .filter(|id| scope.holds(*id))
            .collect();
        if how == Evict::AtOnce {
            for id in &ids {
                self.0.ends_with_lease(*id);
            }
        }
        let all = ids.iter().map(|id| self.0.put_away(*id, how));
        futures_util::future::join_all(all).await;
        self.0.forget_parked(scope);
    }

    /// Takes one entity out of memory and brings it back from its stream. When that fails, its
    /// supervisor tries again, as after any failure.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    pub async fn restart(&self, id: EntityId, how: Evict) -> Result<(), TellError> {
        self.0.put_away(id, how).await;
        let back = self.activate(id).await.map(drop);
        if back.is_err()
            && let Some(supervisor) = self.0.supervisor()
        {
            // Its next life recovers all streams anew.
            let _ = supervisor.send_message(HostMessage::Activate(id));
        }
        back
    }
}

impl<E: Entity> Inner<E> {
    /// Sends an entity out of memory; nothing happens when it is on its way already, unless at once.
    fn dismiss(&self, id: EntityId, how: Evict) {
        let cell = match self.slots.get(&id).as_deref() {
            Some(Slot::Active(address)) => address.cell(),
            Some(Slot::Busy { .. }) | None => None,
        };
        match (how, cell) {
            (Evict::Politely, Some(cell)) => {
                if self.release(id) {
                    let _ = cell.drain();
                    self.leaving.insert(id, cell);
                }
            }
            (Evict::AtOnce, Some(cell)) => {
                self.release(id);
                cell.kill();
            }
            (Evict::AtOnce, None) => {
                if let Some((_, cell)) = self.leaving.remove(&id) {
                    cell.kill();
                }
            }
            (Evict::Politely, None) => {}
        }
    }

    /// Sends an entity out of memory and waits until it is gone; one that takes too long is killed.
    async fn put_away(&self, id: EntityId, how: Evict) {
        let gone = tokio::time::timeout(POLITE, self.leaves(id, how)).await;
        if gone.is_err() {
            // Killed at its next pause; a handler that never pauses is the watchdog's matter.
            let _ = tokio::time::timeout(POLITE, self.leaves(id, Evict::AtOnce)).await;
        }
        self.leaving.remove(&id);
    }

    async fn leaves(&self, id: EntityId, how: Evict) {
        loop {
            self.dismiss(id, how);
            let over = match self.slots.get(&id).as_deref() {
                Some(Slot::Busy { over, .. }) => Some(over.clone()),
                // Its actor has just ended.
                Some(Slot::Active(_)) => None,
                None => return,
            };
            match over {
                // It may have been about to come to life: then it is sent away in the next round.
                Some(mut over) => drop(over.changed().await),
                None => tokio::time::sleep(SOON).await,
            }
        }
    }
}
