//! Runs that schedules and triggers start: recorded first under an id of their own, then made.
//!
//! A [`Ledger`] holds what an entity has to start and has started. Making a run is tried until it is
//! there or given up; whoever tries again, after a crash or on another node, makes the same one.

mod handle;
mod ledger;
mod target;

pub(crate) use handle::{Order, outcomes, spawn};
pub use ledger::{Entry, Ledger, State};
pub use target::{Aim, aim, checked, run_id};
