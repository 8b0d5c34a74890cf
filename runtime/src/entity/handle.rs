//! [`Host`]: tell an entity something by its address, wherever it is in its life.

mod arrival;
mod departure;
mod parking;
mod places;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, OnceLock, RwLock},
    time::Duration,
};

use dashmap::{DashMap, DashSet};
use protocol::entity::EntityId;
use ractor::{ActorCell, ActorId};
use tokio::{sync::watch, task::JoinError};

use self::places::Sign;
use super::{Entity, activation::Blame};
use crate::{
    journal::Journal,
    redact::redact,
    supervision::{self, Address, Gone, Guard, Tree},
};

/// How long a message may take to find its entity active.
const REACH: Duration = Duration::from_secs(10);

/// Until the notice of an actor's end has reached its supervisor.
const SOON: Duration = Duration::from_millis(1);

/// What a new entity starts from.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Whose data it is.
    pub tenant: Arc<str>,
    /// By which name the supervision tree shows it; by its id when absent.
    pub name: Option<Arc<str>>,
}

/// Why an entity could not be told something. Nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// There is no stream of this name.
    #[error("{0} does not exist")]
    NoSuchEntity(EntityId),
    /// It failed again and again and waits for an operator.
    #[error("{id} is out of service after repeated failures: {errors}")]
    Parked {
        /// Which one.
        id: EntityId,
        /// The last ones.
        errors: String,
    },
    /// It could not be loaded.
    #[error("{id} could not be activated: {cause}")]
    Activation {
        /// Which one.
        id: EntityId,
        /// Why.
        cause: String,
        /// Whether another try can help.
        blame: Blame,
    },
    /// This node does not own it.
    #[error("{0} is not on this node")]
    Elsewhere(EntityId),
    /// It came and went too often while the message waited.
    #[error("{0} could not be reached in time")]
    Unreachable(EntityId),
}

impl TellError {
    /// Of a task that was to bring an entity into memory, and panicked.
    fn broken(id: EntityId, error: &JoinError) -> Self {
        Self::Activation {
            id,
            cause: redact(&error.to_string()).into_owned(),
            blame: Blame::Entity,
        }
    }
}

/// Raised by an activation whose stream is empty.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0} does not exist")]
pub(super) struct NoSuchEntity(pub(super) EntityId);

/// Whom a broadcast reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broadcast {
    /// How many were told.
    pub told: usize,
    /// Who is to be in memory and could not be told: being loaded, about to come back after a failure, or
    /// on the way out.
    pub missed: Vec<EntityId>,
}

/// The entities of one kind on this node. Cheap to clone.
pub struct Host<E: Entity>(Arc<Inner<E>>);

pub(super) struct Inner<E: Entity> {
    pub(super) journal: Journal,
    pub(super) names: DashMap<ActorId, EntityId>,
    services: OnceLock<E::Services>,
    tree: Tree,
    slots: DashMap<EntityId, Slot<E>>,
    /// The rows of the tree: they stay while an entity comes back after a failure.
    places: DashMap<EntityId, Arc<Guard>>,
    /// Those whose place says that they are out of service.
    parked: DashSet<EntityId>,
    /// Recovered because their shards were taken, and not yet in memory.
    arriving: DashSet<EntityId>,
    /// Being sent away politely; killed when that takes too long.
    leaving: DashMap<EntityId, ActorCell>,
    supervisor: RwLock<Option<ActorCell>>,
}

/// Where an entity of this node is in its life; absent means passive.
enum Slot<E: Entity> {
    Active(Address<E::Message>),
    /// Being loaded, or on its way out; the sender is dropped when that is over.
    Busy {
        over: watch::Receiver<()>,
        _done: Option<watch::Sender<()>>,
    },
}

impl<E: Entity> Clone for Host<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Entity> fmt::Debug for Host<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("kind", &E::KIND)
            .field("active", &self.active())
            .finish()
    }
}

impl<E: Entity> From<Arc<Inner<E>>> for Host<E> {
    fn from(inner: Arc<Inner<E>>) -> Self {
        Self(inner)
    }
}

impl<E: Entity> Host<E> {
    /// A host without entities. [`provide`](Self::provide) comes before the first message, and its
    /// [`supervisor`](Self::supervisor) runs while it is used.
    #[must_use]
    pub fn new(tree: Tree, journal: Journal) -> Self {
        Self(Arc::new(Inner {
            journal,
            names: DashMap::new(),
            services: OnceLock::new(),
            tree,
            slots: DashMap::new(),
            places: DashMap::new(),
            parked: DashSet::new(),
            arriving: DashSet::new(),
            leaving: DashMap::new(),
            supervisor: RwLock::new(None),
        }))
    }

    /// Hands over what all entities share; only the first time counts.
    pub fn provide(&self, services: E::Services) {
        let _ = self.0.services.set(services);
    }

    /// The child that supervises these entities; to be started under the root.
    #[must_use]
    pub fn supervisor(&self) -> supervision::ChildSpec {
        let inner = self.0.clone();
        supervision::child(
            E::FOLDER,
            "supervisor",
            supervision::Restart::Permanent,
            move || {
                (
                    super::actor::HostActor {
                        inner: inner.clone(),
                    },
                    (),
                )
            },
        )
        .0
    }

    /// Entities in memory.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.slots.len()
    }

    /// Makes an entity and tells it its first message, which must record something.
    ///
    /// # Errors
    ///
    /// When the actor cannot be started, or the entity would not be this node's.
    pub async fn create(
        &self,
        id: EntityId,
        seed: Seed,
        message: E::Message,
    ) -> Result<(), TellError> {
        let host = self.clone();
        // In a task of its own: an actor whose creator gave up would wait for its first message for ever.
        let creating = tokio::spawn(async move { host.create_whole(id, seed, message).await });
        creating
            .await
            .unwrap_or_else(|error| Err(TellError::broken(id, &error)))
    }

    async fn create_whole(
        &self,
        id: EntityId,
        seed: Seed,
        message: E::Message,
    ) -> Result<(), TellError> {
        self.owned(id)?;
        let (tenant, name) = (Arc::clone(&seed.tenant), seed.name.clone());
        let sign = Sign::new(&tenant, name.as_deref());
        let address = self.spawn(id, sign, Some(seed), None).await;
        if address.is_err() {
            self.0.gone(id);
        }
        address?
            .cast(message)
            .map_err(|Gone| TellError::Unreachable(id))
    }

    /// Tells an entity something, activating it when it is passive.
    ///
    /// # Errors
    ///
    /// When it does not exist, is parked, or cannot be loaded.
    pub async fn tell(&self, id: EntityId, message: E::Message) -> Result<(), TellError> {
        let mut message = message;
        let deadline = tokio::time::Instant::now() + REACH;
        while tokio::time::Instant::now() < deadline {
            let address = self.activate(id).await?;
            match address.offer(message) {
                Ok(()) => return Ok(()),
                // It is on its way out: its slot changes when it is gone.
                Err(back) => message = back,
            }
            self.0.left(id).await;
        }
        Err(TellError::Unreachable(id))
    }

    /// Asks an entity something. The answer is `None` when the entity failed before it answered.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    pub async fn ask<R: Send + 'static>(
        &self,
        id: EntityId,
        message: impl FnOnce(tokio::sync::oneshot::Sender<R>) -> E::Message,
    ) -> Result<Option<R>, TellError> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.tell(id, message(reply)).await?;
        Ok(answer.await.ok())
    }

    /// Tells an entity something only if it is in memory now; answers whether it was told.
    pub fn tell_active(&self, id: EntityId, message: E::Message) -> bool {
        let address = match self.0.slots.get(&id).as_deref() {
            Some(Slot::Active(address)) => address.clone(),
            Some(Slot::Busy { .. }) | None => return false,
        };
        address.cast(message).is_ok()
    }

    /// Tells every entity in memory something.
    pub fn broadcast(&self, message: impl Fn() -> E::Message) -> Broadcast {
        let (mut told, mut missed) = (0, self.0.returning());
        let returning: HashSet<EntityId> = missed.iter().copied().collect();
        for slot in &self.0.slots {
            if returning.contains(slot.key()) {
                continue;
            }
            match slot.value() {
                Slot::Active(address) if address.cast(message()).is_ok() => told += 1,
                Slot::Active(_) | Slot::Busy { .. } => missed.push(*slot.key()),
            }
        }
        Broadcast { told, missed }
    }

    /// The journal below.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    pub(super) fn inner(&self) -> &Inner<E> {
        &self.0
    }

    #[expect(
        clippy::expect_used,
        reason = "an entity lives only after its services were provided"
    )]
    pub(super) fn services(&self) -> &E::Services {
        self.0
            .services
            .get()
            .expect("services are provided before the first message")
    }
}

impl<E: Entity> Inner<E> {
    pub(super) fn supervised_by(&self, cell: ActorCell) {
        *self
            .supervisor
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(cell);
    }

    fn supervisor(&self) -> Option<ActorCell> {
        self.supervisor
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Begins a life of the supervisor: what its predecessor supervised died with it.
    pub(super) fn abandon(&self) -> bool {
        let abandoned = !self.slots.is_empty() || !self.places.is_empty();
        self.names.clear();
        self.slots.clear();
        self.clear_places();
        abandoned
    }

    /// The entity was loaded.
    pub(super) fn activated(&self, id: EntityId, address: Address<E::Message>) {
        self.slots.insert(id, Slot::Active(address));
    }

    /// Entities that are to come into memory and have not begun to.
    fn returning(&self) -> Vec<EntityId> {
        let places = self.places.iter().map(|place| *place.key());
        let arriving = self.arriving.iter().map(|id| *id);
        let all: HashSet<EntityId> = places.chain(arriving).collect();
        let absent = all.into_iter().filter(|id| !self.slots.contains_key(id));
        absent.collect()
    }

    /// Marks an active entity as on its way out; false when it is so already.
    pub(super) fn release(&self, id: EntityId) -> bool {
        match self.slots.get_mut(&id) {
            Some(mut slot) if matches!(slot.value(), Slot::Active(_)) => {
                let (done, over) = watch::channel(());
                *slot = Slot::Busy {
                    over,
                    _done: Some(done),
                };
                true
            }
            Some(_) | None => false,
        }
    }

    /// The actor ended; the next message may start another.
    pub(super) fn gone(&self, id: EntityId) {
        self.slots.remove(&id);
    }

    /// Waits until the activation that refused a message has left its slot.
    async fn left(&self, id: EntityId) {
        let over = match self.slots.get(&id).as_deref() {
            Some(Slot::Busy { over, .. }) => Some(over.clone()),
            Some(Slot::Active(_)) | None => None,
        };
        match over {
            Some(mut over) => {
                let _ = tokio::time::timeout(REACH, over.changed()).await;
            }
            // The notice of its end is on its way to the supervisor.
            None => tokio::time::sleep(SOON).await,
        }
    }
}
