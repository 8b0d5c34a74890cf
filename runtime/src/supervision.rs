//! Actors that are restarted when they fail, in Erlang's words and meanings.
//!
//! Every actor is started by [`spawn`], or by a supervisor from a [`ChildSpec`] made with [`child`]
//! or [`branch`]; others reach it by its [`Address`], which outlives its restarts; the [`Tree`] shows
//! them all. [`Supervisor::start`] carries out what the rules decide: [`Strategy`] who goes down and
//! comes up, [`Intensity`] when it is too much, [`Backoff`] how long to wait. A [`sentry`] names
//! actors that are stuck; [`Tree::changes`] tells what became of the tree.

mod actor;
mod backoff;
mod child;
mod handle;
mod intensity;
mod metrics;
mod strategy;
#[cfg(test)]
mod tests;
mod tree;

pub use actor::sentry;
pub use backoff::{Backoff, Streak};
pub use child::{ChildSpec, Exit, Restart, Shutdown};
pub use handle::{
    Address, Answer, CallError, ChildView, Gone, Message, Overdue, Rejection, Reply, SpawnError,
    Supervisor, SupervisorRef, branch, child, child_at, spawn, spawn_at, spawn_in, spawn_root,
};
pub use intensity::{Intensity, Restarts, Verdict};
pub(crate) use metrics::{OF_KINDS as METRICS_OF_KINDS, describe as describe_metrics};
pub use strategy::{RestartPlan, Sibling, Standing, Strategy};
pub(crate) use tree::parent;
pub use tree::{Changes, Deaf, Delta, Failure, Guard, Kill, Pause, Status, Tree, join, veil};

/// How a supervisor treats its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Who restarts with a failed child.
    pub strategy: Strategy,
    /// How many restarts are too many.
    pub intensity: Intensity,
    /// How long a failed child waits.
    pub backoff: Backoff,
}

impl Spec {
    /// What suits a node's infrastructure: five restarts in thirty seconds, up to five seconds apart.
    #[must_use]
    pub const fn infrastructure(strategy: Strategy) -> Self {
        Self {
            strategy,
            intensity: Intensity::INFRASTRUCTURE,
            backoff: Backoff::INFRASTRUCTURE,
        }
    }

    /// The root of a node: after more than three restarts in a minute it gives up.
    #[must_use]
    pub const fn root() -> Self {
        Self {
            intensity: Intensity::ROOT,
            ..Self::infrastructure(Strategy::OneForOne)
        }
    }
}
