//! Stands around a user's actor and keeps its row in the tree true.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::watchdog::Watched;
use crate::supervision::{
    Message, Status, Tree,
    handle::{Origin, Slot},
    metrics,
    tree::Entry,
};

/// Who takes an actor's row out of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervision) enum Keeper {
    /// The actor, when it ends.
    Actor,
    /// Its supervisor, when it forgets the child.
    Supervisor,
}

/// `A` as ractor sees it: the same messages and state, with its life kept track of.
pub(in crate::supervision) struct Supervised<A: Actor> {
    actor: A,
    life: Life<A::Msg>,
}

struct Life<M> {
    tree: Tree,
    entry: Arc<Entry>,
    slot: Arc<Slot<M>>,
    keeper: Keeper,
    id: OnceLock<ActorId>,
    is_over: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    Failed,
}

/// A panic of an actor, as an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Panicked(String);

/// What a panic says, marked as one.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "panicked: {}",
        text.unwrap_or("with something that is no text")
    )
}

impl<A> Supervised<A>
where
    A: Actor,
    A::Msg: Message,
{
    pub(in crate::supervision) fn new(actor: A, origin: Origin, slot: Arc<Slot<A::Msg>>) -> Self {
        let life = Life {
            tree: origin.tree,
            entry: origin.entry,
            slot,
            keeper: origin.keeper,
            id: OnceLock::new(),
            is_over: AtomicBool::new(false),
        };
        Self { actor, life }
    }
}

impl<A> Actor for Supervised<A>
where
    A: Actor,
    A::Msg: Message,
{
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        args: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        self.life.begin(myself.clone());
        let started = AssertUnwindSafe(self.actor.pre_start(myself, args)).catch_unwind();
        self.life.judge(started.await)
    }

    async fn post_start(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        let started = AssertUnwindSafe(self.actor.post_start(myself, state)).catch_unwind();
        self.life.judge(started.await)?;
        self.life.entry.set_status(Status::Running);
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.life.entry.set_status(Status::Stopping);
        let stopped = AssertUnwindSafe(self.actor.post_stop(myself, state)).catch_unwind();
        self.life.judge(stopped.await)?;
        self.life.end(End::Orderly);
        Ok(())
    }

    // Not an async function: that would hold the message and the actor's future twice, in each actor.
    fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send {
        let handling = self.life.take(&message);
        let (name, entry) = (message.name(), &self.life.entry);
        let handled = self.actor.handle(myself, message, state);
        let tell = move |took: Duration| {
            metrics::blocked(entry.kind());
            tracing::debug!(
                path = entry.path(),
                message = name,
                ?took,
                "a handler kept its thread"
            );
        };
        let handled = Watched::new(handled, self.life.tree.clock().clone(), tell);
        handled.map(move |handled| {
            drop(handling);
            self.life.judge(Ok(handled))
        })
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        let handled = self.actor.handle_supervisor_evt(myself, event, state);
        self.life
            .judge(AssertUnwindSafe(handled).catch_unwind().await)
    }
}

impl<M: Message> Life<M> {
    fn begin(&self, actor: ActorRef<M>) {
        // An actor begins once, so that the cell is empty.
        let _ = self.id.set(actor.get_id());
        if self.entry.path().starts_with("/system") {
            let cell = actor.get_cell();
            self.entry.set_killer(Box::new(move || cell.kill()));
        }
        self.slot.occupy(actor, Arc::clone(&self.entry));
    }

    fn take(&self, message: &M) -> Handling<'_, M> {
        let since = self.tree.clock().coarse();
        self.entry.take(message.name(), since);
        Handling(self)
    }

    /// Passes an outcome on; a failure is the end, before anybody hears of it.
    fn judge<T>(
        &self,
        outcome: Result<Result<T, ActorProcessingErr>, Box<dyn Any + Send>>,
    ) -> Result<T, ActorProcessingErr> {
        let failure = match outcome {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(panic) => Panicked(panic_text(panic.as_ref())).into(),
        };
        self.end(End::Failed);
        Err(failure)
    }
}

impl<M> Life<M> {
    fn end(&self, end: End) {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(id) = self.id.get() {
            self.slot.vacate(*id);
        }
        if self.keeper == Keeper::Actor {
            self.tree.remove(&self.entry);
        }
        if end == End::Failed {
            metrics::failed(self.entry.kind());
        }
    }
}

/// Whatever else ends an actor, such as a kill, drops it.
impl<M> Drop for Life<M> {
    fn drop(&mut self) {
        self.end(End::Failed);
    }
}

/// A message in hand; a panic or a kill drops it.
struct Handling<'a, M>(&'a Life<M>);

impl<M> Drop for Handling<'_, M> {
    fn drop(&mut self) {
        self.0.entry.settle();
        // Catching the panic of each message would cost each message; ractor catches it further out.
        if thread::panicking() {
            self.0.entry.panicked();
            self.0.end(End::Failed);
        }
    }
}
