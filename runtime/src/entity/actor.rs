//! Runs one entity, and supervises all of a kind.

use std::{collections::HashMap, sync::Arc, time::Duration};

use protocol::entity::EntityId;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::{
    Entity, Host,
    activation::{Failures, Verdict},
    handle::{Inner, Seed, TellError},
};
use crate::{
    journal::{Journal, Journaled},
    supervision::Message,
};

/// How often an entity that failed looks whether the store is back.
const AWAY: Duration = Duration::from_secs(1);

/// What an entity works with while it is active.
#[derive(Debug)]
pub struct Context<E: Entity> {
    /// What is recorded.
    pub state: Journaled<E::State>,
    /// What is not: gone with the activation.
    pub volatile: E,
    /// What all entities of the kind share.
    pub services: E::Services,
    id: EntityId,
    host: Host<E>,
    myself: ActorRef<E::Message>,
}

impl<E: Entity> Context<E> {
    /// Which entity this is.
    #[must_use]
    pub const fn id(&self) -> EntityId {
        self.id
    }

    /// The journal below.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        self.host.journal()
    }

    /// All entities of the kind.
    #[must_use]
    pub const fn host(&self) -> &Host<E> {
        &self.host
    }

    /// Tells itself something, behind what waits already.
    pub fn tell_self(&self, message: E::Message) {
        self.host.tell_active(self.id, message);
    }

    /// Tells itself something later, if it is still active then: a timer, not a reminder.
    pub fn tell_self_after(&self, after: Duration, message: E::Message) {
        let (host, id) = (self.host.clone(), self.id);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            host.tell_active(id, message);
        });
    }

    /// Leaves memory after the messages that wait already; a later message brings it back.
    pub fn passivate(&self) {
        if self.host.inner().release(self.id) {
            let _ = self.myself.drain();
        }
    }
}

/// The ractor actor of one activation.
pub(super) struct EntityActor<E: Entity> {
    pub(super) host: Host<E>,
    pub(super) id: EntityId,
}

impl<E: Entity> Actor for EntityActor<E> {
    type Msg = E::Message;
    type State = Context<E>;
    type Arguments = Option<Seed>;

    async fn pre_start(
        &self,
        myself: ActorRef<E::Message>,
        seed: Option<Seed>,
    ) -> Result<Context<E>, ActorProcessingErr> {
        let journal = self.host.journal();
        let (state, is_new) = match seed {
            Some(seed) => (journal.create::<E::State>(self.id, &seed.tenant), true),
            None => match journal.load::<E::State>(self.id).await? {
                Some(state) => (state, false),
                None => return Err(super::handle::NoSuchEntity(self.id).into()),
            },
        };
        self.host.inner().names.insert(myself.get_id(), self.id);
        let mut context = Context {
            state,
            volatile: E::default(),
            services: self.host.services().clone(),
            id: self.id,
            host: self.host.clone(),
            myself,
        };
        if !is_new && let Err(error) = E::recover(&mut context).await {
            let inner = self.host.inner();
            inner.names.remove(&context.myself.get_id());
            return Err(error);
        }
        Ok(context)
    }

    async fn handle(
        &self,
        _: ActorRef<E::Message>,
        message: E::Message,
        context: &mut Context<E>,
    ) -> Result<(), ActorProcessingErr> {
        E::handle(context, message).await
    }
}

/// Supervises the entities of one kind; its own messages bring them back after a failure.
pub(super) struct HostActor<E: Entity> {
    pub(super) inner: Arc<Inner<E>>,
}

#[derive(Debug)]
pub(super) enum HostMessage {
    Activate(EntityId),
    /// It could not be activated though the store answers: the fault is its own.
    NotActivated(EntityId, String),
}
impl ractor::Message for HostMessage {}
impl Message for HostMessage {
    fn name(&self) -> &'static str {
        match self {
            Self::Activate(_) => "Activate",
            Self::NotActivated(..) => "NotActivated",
        }
    }
}

impl<E: Entity> Actor for HostActor<E> {
    type Msg = HostMessage;
    type State = HashMap<EntityId, Failures>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<HostMessage>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        let abandoned = self.inner.abandon();
        self.inner.supervised_by(myself.get_cell());
        if abandoned {
            let host = Host::from(self.inner.clone());
            tokio::spawn(async move {
                if let Err(error) = host.recover().await {
                    tracing::error!(kind = %E::KIND, %error, "unfinished work was not recovered");
                }
            });
        }
        Ok(HashMap::new())
    }

    async fn handle(
        &self,
        myself: ActorRef<HostMessage>,
        message: HostMessage,
        failures: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HostMessage::Activate(id) => {
                tokio::spawn(bring_back(Host::from(self.inner.clone()), myself, id));
            }
            HostMessage::NotActivated(id, error) => match self.failed(id, error, failures) {
                Verdict::Again(after) => {
                    myself.send_after(after, move || HostMessage::Activate(id));
                }
                Verdict::Park(errors) => {
                    let inner = self.inner.clone();
                    tokio::spawn(async move { inner.park(id, errors).await });
                }
            },
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<HostMessage>,
        event: SupervisionEvent,
        failures: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, error) = match event {
            SupervisionEvent::ActorTerminated(cell, ..) => (cell, None),
            SupervisionEvent::ActorFailed(cell, error) => (cell, Some(error.to_string())),
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => return Ok(()),
        };
        let Some((_, id)) = self.inner.names.remove(&cell.get_id()) else {
            return Ok(());
        };
        match error {
            None => {
                failures.remove(&id);
                self.inner.gone(id);
            }
            Some(error) => match self.failed(id, error, failures) {
                Verdict::Again(after) => {
                    self.inner.gone(id);
                    myself.send_after(after, move || HostMessage::Activate(id));
                }
                // Until that is on disk nobody may bring it back.
                Verdict::Park(errors) => {
                    let inner = self.inner.clone();
                    tokio::spawn(async move {
                        inner.park(id, errors).await;
                        inner.gone(id);
                    });
                }
            },
        }
        Ok(())
    }
}

impl<E: Entity> HostActor<E> {
    /// Counts a failure and says what follows.
    fn failed(
        &self,
        id: EntityId,
        error: String,
        failures: &mut HashMap<EntityId, Failures>,
    ) -> Verdict {
        tracing::error!(entity = %id, error, "entity failed");
        let now = self.inner.journal.clock().now();
        let verdict = failures.entry(id).or_default().add(now, error);
        if matches!(verdict, Verdict::Park(_)) {
            failures.remove(&id);
        }
        verdict
    }
}

/// Activates an entity that failed. A store that is away is no fault of the entity: it comes back
/// when the store does.
async fn bring_back<E: Entity>(host: Host<E>, supervisor: ActorRef<HostMessage>, id: EntityId) {
    let error = match host.activate(id).await {
        Ok(_) => return,
        Err(error @ (TellError::NoSuchEntity(_) | TellError::Parked { .. })) => {
            tracing::warn!(entity = %id, %error, "entity did not come back");
            return;
        }
        Err(error @ (TellError::Activation { .. } | TellError::Unreachable(_))) => error,
    };
    if host.journal().store().stream(id).await.is_ok() {
        // A supervisor that ended has nobody to bring back.
        let _ = supervisor.cast(HostMessage::NotActivated(id, error.to_string()));
    } else {
        tracing::warn!(entity = %id, %error, "entity waits for the store");
        supervisor.send_after(AWAY, move || HostMessage::Activate(id));
    }
}
