//! What operators keep from starting: scopes that are paused, and dependencies that are held.
//!
//! A [`Hold`] is an entity with its own events; [`Held`] is all that is held now, and decides what that
//! keeps. `Holds` is a node's copy of it: every control node has one, and its tasks act on it.

mod actor;
mod handle;
mod rules;
mod state;

pub(crate) use actor::{Command, HoldEntity, Message, keeper};
pub(crate) use handle::{Act, Acted, Fate, Holds, News, Open, serve};
pub use rules::{Held, Standing, keeps};
pub use state::Hold;
