//! One unit of work: a plan of steps, each tried by agents until it is settled.
//!
//! [`Task`] is what its events say, [`rules`] decide what may happen next, [`retry`] how often and
//! when, [`pause`] what keeps it from going on. A `TaskEntity` runs one while it is open; [`view`] is what clients see,
//! and [`links`] what it has to do with other actors.

pub(crate) mod actor;
pub(crate) mod ending;
pub(crate) mod handle;
pub mod links;
pub mod pause;
pub mod retry;
pub mod rules;
mod running;
pub mod state;
mod steering;
pub mod suspend;
pub mod trace;
pub mod view;
pub mod why;

pub(crate) use handle::serve;
pub use state::{Attempt, Step, Task};
