//! Durable wake-ups: a passive entity comes back when its reminder is due, also after a restart.
//!
//! Reminders are set and cleared together with events, by [`crate::journal::Commit`]. They are
//! delivered at least once and never early; a receiver recognises a repeat by its own state.

mod actor;

pub use actor::{Wake, reminders};
