//! Where to reach an actor, whichever incarnation of it runs.

use std::{
    fmt,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use ractor::{ActorCell, ActorRef, MessagingErr};
use tokio::{sync::oneshot, time};

use super::Reply;
use crate::supervision::{Status, tree::Entry};

/// A message that can be shown while it is handled.
pub trait Message: ractor::Message {
    /// The name of the variant, such as `Settle`.
    fn name(&self) -> &'static str;
}

/// The typed address of a supervised actor, the only way to send to it.
///
/// It stays valid when the actor is restarted; while none runs, sending says [`Gone`].
pub struct Address<M>(Arc<Slot<M>>);

/// Where the running incarnation stands, if any.
///
/// Most actors have one incarnation: it is reached without a lock, which would cost each message.
pub(in crate::supervision) struct Slot<M> {
    first: OnceLock<Live<M>>,
    stage: AtomicU8,
    later: RwLock<Option<Box<Live<M>>>>,
}

/// The first incarnation runs. In any other stage `later` tells.
const FIRST: u8 = 1;
const OTHER: u8 = 0;

struct Live<M> {
    actor: ActorRef<M>,
    entry: Arc<Entry>,
}

impl<M: Message> Address<M> {
    /// An address at which nobody is yet; see [`super::spawn_at`] and [`super::child_at`].
    #[must_use]
    pub fn vacant() -> Self {
        Self(Arc::new(Slot {
            first: OnceLock::new(),
            stage: AtomicU8::new(OTHER),
            later: RwLock::new(None),
        }))
    }

    /// Puts `message` into the actor's mailbox.
    pub fn cast(&self, message: M) -> Result<(), Gone> {
        // An undelivered message is dropped after the lock: its drop may run anything.
        let sent = self.0.with(|live| {
            live.entry.send();
            let sent = live.actor.send_message(message);
            if sent.is_err() {
                live.entry.unsend();
            }
            sent
        });
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(
                MessagingErr::SendErr(_)
                | MessagingErr::ChannelClosed
                | MessagingErr::InvalidActorType,
            ))
            | None => Err(Gone),
        }
    }

    /// Puts `message` into the actor's mailbox, or hands it back when nobody takes it.
    ///
    /// # Errors
    ///
    /// The message, when no incarnation of the actor runs or the one that does takes no more.
    pub fn offer(&self, message: M) -> Result<(), M> {
        let mut message = Some(message);
        let sent = self.0.with(|live| {
            let offered = message.take()?;
            live.entry.send();
            match live.actor.send_message(offered) {
                Ok(()) => None,
                Err(MessagingErr::SendErr(back)) => {
                    live.entry.unsend();
                    Some(back)
                }
                Err(MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => {
                    live.entry.unsend();
                    None
                }
            }
        });
        match sent.flatten().or(message) {
            None => Ok(()),
            Some(back) => Err(back),
        }
    }

    /// Asks the actor, and waits for its answer for at most `timeout`.
    pub async fn call<R>(
        &self,
        timeout: Duration,
        make: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, CallError> {
        match time::timeout(timeout, self.ask(make)).await {
            Ok(answer) => answer,
            Err(time::error::Elapsed { .. }) => Err(CallError::Timeout),
        }
    }

    /// Asks an actor that is known to answer or to drop the reply.
    pub(super) async fn ask<R>(&self, make: impl FnOnce(Reply<R>) -> M) -> Result<R, CallError> {
        let (reply, answer) = Reply::channel();
        self.cast(make(reply)).map_err(|Gone| CallError::Gone)?;
        answer
            .await
            .map_err(|oneshot::error::RecvError { .. }| CallError::NoReply)
    }

    /// How many messages wait in the mailbox; the one being handled is not among them.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.0.with(|live| live.entry.depth()).unwrap_or(0)
    }

    /// Whether the actor has started and handles messages.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let status = self.0.with(|live| live.entry.status());
        matches!(status, Some(Status::Running | Status::Paused))
    }

    /// Tells the actor to stop after the message in hand; those that wait are dropped.
    ///
    /// A supervisor starts a permanent child again, as after any other end.
    pub fn stop(&self, reason: &str) {
        if let Some(actor) = self.cell() {
            actor.stop(Some(reason.to_owned()));
        }
    }

    /// Waits until the incarnation that runs now has ended.
    pub async fn ended(&self) {
        if let Some(actor) = self.cell() {
            // Without a limit there is no timeout to report.
            let _ = actor.wait(None).await;
        }
    }

    /// The incarnation that runs now, to be linked to or killed; messages go through the address.
    #[must_use]
    pub fn cell(&self) -> Option<ActorCell> {
        self.0.with(|live| live.actor.get_cell())
    }

    pub(in crate::supervision) fn slot(&self) -> &Arc<Slot<M>> {
        &self.0
    }
}

impl<M> Slot<M> {
    #[inline]
    fn with<T>(&self, look: impl FnOnce(&Live<M>) -> T) -> Option<T> {
        if self.stage.load(Ordering::Acquire) == FIRST {
            return self.first.get().map(look);
        }
        let later = self.later.read().unwrap_or_else(PoisonError::into_inner);
        later.as_deref().map(look)
    }

    /// Another incarnation takes the place.
    pub(in crate::supervision) fn occupy(&self, actor: ActorRef<M>, entry: Arc<Entry>) {
        let mut later = self.later.write().unwrap_or_else(PoisonError::into_inner);
        entry.discard();
        let former = match self.first.set(Live { actor, entry }) {
            Ok(()) => {
                self.stage.store(FIRST, Ordering::Release);
                None
            }
            Err(live) => {
                self.stage.store(OTHER, Ordering::Release);
                later.replace(Box::new(live))
            }
        };
        drop(later);
        drop(former);
    }

    /// The incarnation of this number leaves, if it is still there.
    pub(in crate::supervision) fn vacate(&self, id: u64) {
        let mut later = self.later.write().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |live: &Live<M>| live.actor.get_id().pid() == id;
        if self.stage.load(Ordering::Acquire) == FIRST {
            if let Some(first) = self.first.get().filter(|first| is_meant(first)) {
                self.stage.store(OTHER, Ordering::Release);
                // Who saw it a moment ago may still send to it, and count what nobody will take;
                // the next incarnation discards that, too.
                first.entry.discard();
            }
            return;
        }
        let former = later.take_if(|live| is_meant(live));
        // No sender holds the lock, so what is counted now is all there was.
        if let Some(former) = &former {
            former.entry.discard();
        }
        drop(later);
        drop(former);
    }
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.with(|live| live.entry.path().to_owned()) {
            Some(path) => write!(f, "Address({path})"),
            None => f.write_str("Address(nobody)"),
        }
    }
}

/// No incarnation of the actor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the actor is gone")]
pub struct Gone;

/// Why a call brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No incarnation of the actor runs.
    #[error("the actor is gone")]
    Gone,
    /// The answer did not come in time; the actor may still be at it.
    #[error("the actor did not answer in time")]
    Timeout,
    /// The actor ended, or dropped the question, without an answer.
    #[error("the actor gave no answer")]
    NoReply,
}
