//! What starts tasks and workflows by the clock.
//!
//! [`Slots`] says when, [`Schedule`] decides what becomes of each slot, once: that is recorded with the
//! id of the run before the run is made. The entity runs one while something is due.

mod actor;
mod rules;
mod slots;
mod state;

pub(crate) use actor::{Command, Message, ScheduleEntity, invalid};
pub use rules::{Busy, Decision};
pub use slots::{Due, Slots};
pub use state::{Schedule, ScheduleStatus, checked};
