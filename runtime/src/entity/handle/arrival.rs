//! Entities that come into memory: because they are told something, or because they have work left.

use std::collections::BTreeMap;

use dashmap::Entry;
use futures_util::{StreamExt, stream};
use protocol::{entity::EntityId, epoch::Epoch};
use tokio::sync::watch;

use super::{Host, REACH, Seed, Slot, TellError, places::Sign};
use crate::{
    entity::{
        Entity,
        activation::Blame,
        actor::{EntityActor, HostMessage},
    },
    metrics,
    placement::Arrival,
    redact::redact,
    store,
    supervision::{self, Address, SpawnError},
};

/// Streams listed and claimed together.
const BATCH: u32 = 200;

/// Of these, how many are loaded at the same time: each waits for the store twice.
const AT_ONCE: usize = 8;

/// Whether an entity was this node's already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Standing,
    New,
}

impl<E: Entity> Host<E> {
    /// Activates every stream of `scope` with unfinished work that is not in memory, oldest first, and
    /// shows those that are out of service; answers how many were activated.
    ///
    /// # Errors
    ///
    /// When the store cannot list them.
    pub async fn recover(
        &self,
        scope: &store::Scope,
        arrival: Arrival,
    ) -> Result<u64, store::Error> {
        let journal = &self.0.journal;
        let store = journal.store().clone();
        let (mut after, mut count) = (None, 0);
        loop {
            let mut ids = store.open(E::KIND, scope, after, BATCH).await?;
            let Some(last) = ids.last() else {
                self.show_parked(scope, arrival).await?;
                return Ok(count);
            };
            after = Some(*last);
            ids.retain(|id| !self.0.slots.contains_key(id));
            if let Arrival::Taken { .. } = arrival {
                // Their rows say nothing of it once they are claimed.
                for id in &ids {
                    self.0.arriving.insert(*id);
                }
            }
            for (epoch, of) in self.by_epoch(&ids) {
                if let Err(error) = store.claim(&of, epoch, journal.owner()).await {
                    // Whoever comes later does not arrive from elsewhere for it.
                    for id in &ids {
                        self.0.arriving.remove(id);
                    }
                    return Err(error);
                }
            }
            count += ids.len() as u64;
            stream::iter(ids)
                .for_each_concurrent(AT_ONCE, |id| self.bring_back(id, arrival))
                .await;
        }
    }

    async fn bring_back(&self, id: EntityId, arrival: Arrival) {
        self.revive(id).await;
        self.0.arriving.remove(&id);
        if let Arrival::Taken { since: Some(since) } = arrival {
            let span = self.0.journal.clock().boot().saturating_sub(since);
            ::metrics::histogram!(metrics::RECOVERY_SECONDS).record(span);
        }
    }

    /// Streams that this node owns, by the epoch under which it does.
    fn by_epoch(&self, ids: &[EntityId]) -> BTreeMap<Epoch, Vec<EntityId>> {
        let mut groups: BTreeMap<Epoch, Vec<EntityId>> = BTreeMap::new();
        for id in ids {
            if let Some(epoch) = self.0.journal.holdings().activates(*id) {
                groups.entry(epoch).or_default().push(*id);
            }
        }
        groups
    }

    pub(super) fn owned(&self, id: EntityId) -> Result<Epoch, TellError> {
        let holdings = self.0.journal.holdings();
        holdings.activates(id).ok_or(TellError::Elsewhere(id))
    }

    /// Activates an entity that has unfinished work; the supervisor sees to it when that fails.
    pub(in crate::entity) async fn revive(&self, id: EntityId) {
        if let Err(error) = self.activate(id).await
            && let Some(supervisor) = self.0.supervisor()
        {
            match error {
                // Its shard moved on, or it was removed, while this was on its way: nothing failed.
                TellError::Elsewhere(_) | TellError::NoSuchEntity(_) => {
                    tracing::debug!(entity = %id, %error, "entity is not to come back here");
                }
                TellError::Parked { .. }
                | TellError::Activation { .. }
                | TellError::Unreachable(_) => {
                    tracing::warn!(entity = %id, %error, "entity did not come back");
                }
            }
            if let Ok(Some(row)) = self.0.journal.store().stream(id).await {
                // Until it is back, its row says why it is not.
                self.0.stand(id, Sign::of(&row));
            }
            // Its next life recovers all streams anew.
            let _ = supervisor.send_message(HostMessage::Failed(error));
        }
    }

    /// The entity's actor, started if need be.
    pub(in crate::entity) async fn activate(
        &self,
        id: EntityId,
    ) -> Result<Address<E::Message>, TellError> {
        let deadline = tokio::time::Instant::now() + REACH;
        while tokio::time::Instant::now() < deadline {
            let mut busy = match self.0.slots.entry(id) {
                Entry::Occupied(slot) => match slot.get() {
                    Slot::Active(address) => return Ok(address.clone()),
                    Slot::Busy { over, .. } => over.clone(),
                },
                Entry::Vacant(slot) => {
                    self.owned(id)?;
                    let (done, over) = watch::channel(());
                    slot.insert(Slot::Busy { over, _done: None });
                    return self.load(id, done).await;
                }
            };
            // An error says that the sender is gone: it is over.
            let _ = tokio::time::timeout_at(deadline, busy.changed()).await;
        }
        Err(TellError::Unreachable(id))
    }

    /// Loads the entity in a task of its own, which a caller that gives up does not stop.
    async fn load(
        &self,
        id: EntityId,
        done: watch::Sender<()>,
    ) -> Result<Address<E::Message>, TellError> {
        let host = self.clone();
        let loading = tokio::spawn(async move {
            let loaded = host.wake(id).await;
            if loaded.is_err() {
                host.0.gone(id);
            }
            drop(done);
            loaded
        });
        loading
            .await
            .unwrap_or_else(|error| Err(TellError::broken(id, &error)))
    }

    async fn wake(&self, id: EntityId) -> Result<Address<E::Message>, TellError> {
        let row =
            self.0
                .journal
                .store()
                .stream(id)
                .await
                .map_err(|error| TellError::Activation {
                    id,
                    cause: redact(&error.to_string()).into_owned(),
                    blame: Blame::of(&error),
                })?;
        match row {
            None => Err(TellError::NoSuchEntity(id)),
            Some(row) => match row.parked {
                Some(ref errors) => {
                    self.show_one_parked(&row, Arrival::Own);
                    let errors = errors.clone();
                    Err(TellError::Parked { id, errors })
                }
                None => {
                    let claimed = self.claim(id, row.epoch).await?;
                    let arrives = self.0.arriving.remove(&id).is_some();
                    let origin = match claimed {
                        Claim::Standing if !arrives => None,
                        Claim::Standing | Claim::New => self.0.journal.holdings().origin(id),
                    };
                    let sign = Sign::of(&row);
                    self.spawn(id, sign, None, origin.as_deref()).await
                }
            },
        }
    }

    /// Makes sure that no earlier owner can append any more.
    async fn claim(&self, id: EntityId, last: Epoch) -> Result<Claim, TellError> {
        let epoch = self.owned(id)?;
        if last == epoch {
            return Ok(Claim::Standing);
        }
        let journal = &self.0.journal;
        let claimed = journal.store().claim(&[id], epoch, journal.owner()).await;
        match claimed {
            Ok(claimed) if claimed.contains(&id) => Ok(Claim::New),
            // A later owner has it.
            Ok(_) => Err(TellError::Elsewhere(id)),
            Err(error) => Err(TellError::Activation {
                id,
                cause: redact(&error.to_string()).into_owned(),
                blame: Blame::of(&error),
            }),
        }
    }

    pub(super) async fn spawn(
        &self,
        id: EntityId,
        sign: Sign<'_>,
        seed: Option<Seed>,
        origin: Option<&str>,
    ) -> Result<Address<E::Message>, TellError> {
        let activation = |cause: String, blame| TellError::Activation { id, cause, blame };
        let supervisor = self.0.supervisor().ok_or_else(|| {
            let cause = "the node is starting or stopping".to_owned();
            activation(cause, Blame::Surroundings)
        })?;
        let address = Address::vacant();
        let actor = EntityActor {
            host: self.clone(),
            id,
            address: address.clone(),
        };
        let (place, returns) = self.0.place(id, sign);
        if let Some(origin) = origin.filter(|_| !returns) {
            place.moved_from(origin);
        }
        let spawned = supervision::spawn_in(&place, &address, actor, seed, &supervisor).await;
        spawned.map_err(|error: SpawnError| {
            if !returns {
                self.0.left_place(id);
            }
            let blame = Blame::of(&*error.source);
            activation(redact(&error.source.to_string()).into_owned(), blame)
        })?;
        Ok(address)
    }
}
