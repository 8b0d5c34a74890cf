//! Stands around a user's actor and keeps its row in the tree true.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::{
    KILLED, error_chain,
    watchdog::{Listener, Watched},
};
use crate::{
    clock::Clock,
    supervision::{
        Message, Status, Tree,
        handle::{Origin, Slot},
        metrics,
        tree::Entry,
    },
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

const NOBODY: u64 = u64::MAX;

struct Life<M> {
    tree: Tree,
    entry: Arc<Entry>,
    slot: Arc<Slot<M>>,
    keeper: Keeper,
    /// The actor's number, which no other local actor ever has; [`NOBODY`] before it begins.
    id: AtomicU64,
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
            id: AtomicU64::new(NOBODY),
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
        // It may show already that a person holds it.
        let entry = &self.life.entry;
        self.life
            .tree
            .turn_status(entry, &[Status::Starting], Status::Running);
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.life.shows(Status::Stopping);
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
        let began = self.life.take(&message);
        let handled = self.actor.handle(myself, message, state);
        Watched::new(handled, Handling(&self.life), began)
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
        self.id.store(actor.get_id().pid(), Ordering::Release);
        if self.entry.is_killable() {
            let cell = actor.get_cell();
            let killer = Box::new(move || cell.kill());
            self.tree.set_killer(&self.entry, killer);
        }
        self.slot.occupy(actor, Arc::clone(&self.entry));
    }

    #[inline]
    fn take(&self, message: &M) -> u64 {
        let since = self.tree.clock().micros();
        self.entry.take(message.name(), since);
        since
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
        self.failed(|| error_chain(failure.as_ref()));
        Err(failure)
    }
}

impl<M> Life<M> {
    fn shows(&self, status: Status) {
        self.tree.set_status(&self.entry, status);
    }

    /// It failed: a supervisor tells so of its children, of others it is told here.
    fn failed(&self, error: impl FnOnce() -> String) {
        if self.keeper == Keeper::Actor && !self.is_over.load(Ordering::Acquire) {
            self.tree.fail(&self.entry, &error());
        }
        self.end(End::Failed);
    }

    fn end(&self, end: End) {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        self.slot.vacate(self.id.load(Ordering::Acquire));
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
        self.failed(|| KILLED.to_owned());
    }
}

/// A message in hand; a panic or a kill drops it.
struct Handling<'a, M>(&'a Life<M>);

impl<M: Message, T> Listener<Result<T, ActorProcessingErr>> for Handling<'_, M> {
    type Told = Result<T, ActorProcessingErr>;

    fn clock(&self) -> &Clock {
        self.0.tree.clock()
    }

    fn kept(&self, took: Duration) {
        let entry = &self.0.entry;
        metrics::blocked(entry.kind());
        tracing::debug!(
            path = entry.path(),
            message = entry.message(),
            ?took,
            "a handler kept its thread"
        );
    }

    fn done(&self, outcome: Result<T, ActorProcessingErr>) -> Self::Told {
        self.0.judge(Ok(outcome))
    }
}

impl<M> Drop for Handling<'_, M> {
    fn drop(&mut self) {
        // Catching the panic of each message would cost each message; ractor catches it further out.
        if thread::panicking() {
            let message = self.0.entry.message();
            self.0.entry.panicked();
            self.0
                .failed(|| format!("panicked while it handled {message}"));
        }
        self.0.entry.settle(self.0.tree.clock());
    }
}
