//! The handle of a supervisor.

use std::{future, sync::Arc, time::Duration};

use ractor::ActorCell;
use tokio::sync::watch;

use super::{Address, CallError, Origin, SpawnError, launch};
use crate::supervision::{
    ChildSpec, Restart, Spec, Status, Tree,
    actor::{Args, KILL_GRACE, Message, SupervisorActor},
};

/// Why a supervisor ended otherwise than by being told to; nothing while it runs.
pub(in crate::supervision) type Fate = watch::Sender<Option<String>>;

/// A supervisor, whichever incarnation of it runs.
#[derive(Debug, Clone)]
pub struct SupervisorRef {
    address: Address<Message>,
    fate: Arc<Fate>,
}

/// A child as its supervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildView {
    /// What its supervisor calls it.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// When it is restarted.
    pub restart: Restart,
    /// What it does.
    pub status: Status,
}

/// Why a supervisor did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Another child has the name.
    #[error("there is a child `{0}` already")]
    NameTaken(String),
    /// No child has the name.
    #[error("there is no child `{0}`")]
    NoSuchChild(String),
    /// A temporary child did not start, and is forgotten.
    #[error("`{0}` did not start")]
    DidNotStart(String),
    /// The supervisor itself is not there, or ended meanwhile.
    #[error("the supervisor is gone")]
    Gone,
}

/// A supervisor that did not stop in time was killed, and its children with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor did not stop in time and was killed")]
pub struct Overdue;

/// Starts its children, restarts those that fail, and stops them in reverse order.
#[derive(Debug)]
pub struct Supervisor;

impl Supervisor {
    /// What the tree calls it.
    pub const KIND: &'static str = "supervisor";

    /// Starts a supervisor at `path` with `children`, in their order; without `parent` it is a root.
    ///
    /// A child that does not start counts as a failed child; it is tried again.
    pub async fn start(
        tree: &Tree,
        path: impl Into<Arc<str>>,
        spec: Spec,
        children: Vec<ChildSpec>,
        parent: Option<&ActorCell>,
    ) -> Result<SupervisorRef, SpawnError> {
        let handle = SupervisorRef::vacant();
        let origin = Origin::fresh(tree, path, Self::KIND);
        let args = Args::new(tree, origin.entry.path(), spec, children, &handle);
        launch(
            origin,
            &handle.address,
            SupervisorActor,
            args,
            parent.cloned(),
        )
        .await?;
        Ok(handle)
    }
}

impl SupervisorRef {
    pub(super) fn vacant() -> Self {
        Self {
            address: Address::vacant(),
            fate: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Starts another child, after all others. One that does not start is tried again like any
    /// failed child, unless it is temporary.
    pub async fn add(&self, child: ChildSpec) -> Result<(), Rejection> {
        let asked = self.address.ask(|reply| Message::Add(child, reply));
        asked.await.map_err(Rejection::from)?
    }

    /// Stops a child and forgets it.
    pub async fn remove(&self, name: impl Into<String>) -> Result<(), Rejection> {
        let name = name.into();
        let asked = self.address.ask(|reply| Message::Remove(name, reply));
        asked.await.map_err(Rejection::from)?
    }

    /// Stops a child, if it runs, and starts it again; this does not count as a failure.
    pub async fn restart(&self, name: impl Into<String>) -> Result<(), Rejection> {
        let name = name.into();
        let asked = self.address.ask(|reply| Message::Restart(name, reply));
        asked.await.map_err(Rejection::from)?
    }

    /// The children, in the order in which they were started.
    pub async fn which(&self) -> Result<Vec<ChildView>, Rejection> {
        Ok(self.address.ask(Message::Which).await?)
    }

    /// Stops the children in reverse order, each within its own limit, and then the supervisor.
    ///
    /// After `timeout` whatever is left is killed.
    pub async fn shutdown(&self, timeout: Duration) -> Result<(), Overdue> {
        let Some(actor) = self.cell() else {
            return Ok(());
        };
        actor.stop(Some("shutdown".to_owned()));
        if actor.wait(Some(timeout)).await.is_ok() {
            return Ok(());
        }
        actor.kill();
        // Only a handler that blocks its thread outlives this.
        let _ = actor.wait(Some(KILL_GRACE)).await;
        Err(Overdue)
    }

    /// Kills it and all below it at once, as the end of the process would.
    pub fn kill(&self) {
        if let Some(actor) = self.cell() {
            actor.kill();
        }
    }

    /// Ends when the supervisor has given up or was killed, and says why; never after an orderly
    /// end. A node awaits this of its root, and then ends the process.
    pub async fn escalated(&self) -> String {
        let mut fate = self.fate.subscribe();
        let reason = fate.wait_for(Option::is_some).await;
        match reason.ok().and_then(|reason| reason.clone()) {
            Some(reason) => reason,
            // The sender lives in `self`, so that the wait cannot end without a reason.
            None => future::pending().await,
        }
    }

    /// Waits until the incarnation that runs now has ended.
    pub async fn ended(&self) {
        self.address.ended().await;
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.address.is_running()
    }

    /// The incarnation that runs now, as a parent to spawn under.
    #[must_use]
    pub fn cell(&self) -> Option<ActorCell> {
        self.address.cell()
    }

    pub(in crate::supervision) fn address(&self) -> &Address<Message> {
        &self.address
    }

    pub(in crate::supervision) fn fate(&self) -> &Arc<Fate> {
        &self.fate
    }
}

impl From<CallError> for Rejection {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Gone | CallError::NoReply | CallError::Timeout => Self::Gone,
        }
    }
}
