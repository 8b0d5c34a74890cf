//! Runs one entity, and supervises all of a kind.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use protocol::{api::ActorLink, entity::EntityId};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tracing::Instrument;

use super::{
    Entity, Host,
    activation::{Blame, Failures, Verdict},
    handle::{Inner, Seed, TellError},
};
use crate::{
    journal::{self, Journal, Journaled},
    placement::Arrival,
    supervision::{Address, Message, Pause},
};

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
    address: Address<E::Message>,
    /// Whether the tree shows it as paused.
    shows_paused: bool,
    /// What the tree shows it as having to do with others.
    shows_links: Vec<ActorLink>,
    /// Names the entity in what is logged meanwhile.
    span: tracing::Span,
    stage: Stage,
    /// It wanted to leave memory before it had begun.
    leaves: AtomicBool,
}

/// How far an activation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not under its supervisor yet: one that ends now would count as failed.
    Recovers,
    Runs,
}

impl<E: Entity> Context<E> {
    /// Which entity this is.
    #[must_use]
    pub const fn id(&self) -> EntityId {
        self.id
    }

    /// Whether this node still owns the entity as it did when it was loaded. A node that slept may have
    /// lost it without knowing: what it then shows or sets off would be an earlier state's.
    ///
    /// # Errors
    ///
    /// `Deposed`: the activation is to end.
    pub fn owned(&self) -> Result<(), journal::Error> {
        let now = self.journal().holdings().appends(self.id);
        if now == Some(self.state.owned_under()) {
            return Ok(());
        }
        Err(journal::Error::Deposed(self.id))
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
        // One that is on its way out takes no more.
        let _ = self.address.cast(message);
    }

    /// Tells itself something later, if it is still active then: a timer, not a reminder.
    pub fn tell_self_after(&self, after: Duration, message: E::Message) {
        let address = self.address.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let _ = address.cast(message);
        });
    }

    /// Lets the tree say whether a person holds it, if that is on disk. Done after each message; an
    /// entity that answers earlier does it before.
    pub fn show_pause(&mut self) {
        if self.state.is_staged() {
            return;
        }
        let paused = E::is_paused(&self.state);
        if std::mem::replace(&mut self.shows_paused, paused) != paused {
            let pause = if paused { Pause::Begins } else { Pause::Ends };
            self.host.inner().show_pause(self.id, pause);
        }
    }

    /// Lets the tree show what it has to do with others.
    pub fn show_links(&mut self, links: Vec<ActorLink>) {
        if self.shows_links != links {
            self.shows_links.clone_from(&links);
            self.host.inner().show_links(self.id, links);
        }
    }

    /// It is about to end, which its past tells with its end: to be said once why is on disk.
    pub fn ends_because(&self, why: &str) {
        self.host.inner().ends_because(self.id, why);
    }

    /// Leaves memory after the messages that wait already; a later message brings it back.
    pub fn passivate(&self) {
        if self.stage == Stage::Recovers {
            self.leaves.store(true, Ordering::SeqCst);
            return;
        }
        if self.host.inner().release(self.id)
            && let Some(own) = self.address.cell()
        {
            let _ = own.drain();
        }
    }
}

/// The ractor actor of one activation.
pub(super) struct EntityActor<E: Entity> {
    pub(super) host: Host<E>,
    pub(super) id: EntityId,
    /// Its own.
    pub(super) address: Address<E::Message>,
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
        let mut context = Context {
            state,
            volatile: E::default(),
            services: self.host.services().clone(),
            id: self.id,
            host: self.host.clone(),
            address: self.address.clone(),
            shows_paused: false,
            shows_links: Vec::new(),
            span: tracing::info_span!("entity", entity = %self.id),
            stage: Stage::Recovers,
            leaves: AtomicBool::new(false),
        };
        // Before it recovers: what it tells itself then is to find it, and it may leave at once.
        let inner = self.host.inner();
        inner.names.insert(myself.get_id(), self.id);
        inner.activated(self.id, self.address.clone());
        if !is_new {
            let span = context.span.clone();
            let recovered = E::recover(&mut context).instrument(span).await;
            if recovered.is_err() {
                // Whoever started it hears of it, the supervisor does not.
                inner.names.remove(&myself.get_id());
            }
            recovered?;
            context.show_pause();
        }
        Ok(context)
    }

    async fn post_start(
        &self,
        _: ActorRef<E::Message>,
        context: &mut Context<E>,
    ) -> Result<(), ActorProcessingErr> {
        context.stage = Stage::Runs;
        if context.leaves.load(Ordering::SeqCst) {
            context.passivate();
        }
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<E::Message>,
        message: E::Message,
        context: &mut Context<E>,
    ) -> Result<(), ActorProcessingErr> {
        context.owned()?;
        let span = context.span.clone();
        E::handle(context, message).instrument(span).await?;
        context.show_pause();
        Ok(())
    }
}

/// Supervises the entities of one kind; its own messages bring them back after a failure.
pub(super) struct HostActor<E: Entity> {
    pub(super) inner: Arc<Inner<E>>,
}

#[derive(Debug)]
pub(super) enum HostMessage {
    Activate(EntityId),
    /// It could not be activated though it has to be.
    Failed(TellError),
}
impl ractor::Message for HostMessage {}
impl Message for HostMessage {
    fn name(&self) -> &'static str {
        match self {
            Self::Activate(_) => "Activate",
            Self::Failed(_) => "Failed",
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
                let scope = host.journal().holdings().scope();
                if let Err(error) = host.recover(&scope, Arrival::Own).await {
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
                let host = Host::from(self.inner.clone());
                tokio::spawn(async move { host.revive(id).await });
            }
            HostMessage::Failed(error) => match error {
                // Its row says which entity it is, and that it is not active.
                TellError::Activation { id, cause, blame } => {
                    self.failed(&myself, failures, id, &cause, blame);
                }
                TellError::Unreachable(id) => {
                    let text = error.to_string();
                    self.failed(&myself, failures, id, &text, Blame::Surroundings);
                }
                // It is shown as such from when that was found.
                TellError::Parked { id, .. } => drop(failures.remove(&id)),
                TellError::NoSuchEntity(id) | TellError::Elsewhere(id) => {
                    failures.remove(&id);
                    self.inner.left_place(id);
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
            SupervisionEvent::ActorFailed(cell, error) => {
                let blame = Blame::of(&*error);
                (cell, Some((error.to_string(), blame)))
            }
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
                self.inner.left_place(id);
                self.inner.gone(id);
            }
            Some((error, blame)) => self.failed(&myself, failures, id, &error, blame),
        }
        Ok(())
    }
}

impl<E: Entity> HostActor<E> {
    /// Brings a failed entity back after a while, or takes it out of service.
    fn failed(
        &self,
        myself: &ActorRef<HostMessage>,
        failures: &mut HashMap<EntityId, Failures>,
        id: EntityId,
        error: &str,
        blame: Blame,
    ) {
        if self.inner.journal.holdings().activates(id).is_none() {
            tracing::info!(entity = %id, error, "entity goes on elsewhere");
            failures.remove(&id);
            self.inner.ends_with_lease(id);
            self.inner.left_place(id);
            self.inner.gone(id);
            return;
        }
        tracing::error!(entity = %id, error, "entity failed");
        self.inner.show_failure(id, error);
        let now = self.inner.journal.clock().now();
        match failures.entry(id).or_default().add(now, error, blame) {
            Verdict::Again(after) => {
                self.inner.gone(id);
                myself.send_after(after, move || HostMessage::Activate(id));
            }
            Verdict::Park(errors) => {
                failures.remove(&id);
                self.inner.park(id, errors);
            }
        }
    }
}
