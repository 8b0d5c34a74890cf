//! Questions of agents to other agents, wherever these are hosted.
//!
//! A question is put to the owner of the task for which it is asked: that knows who asks, for whom and
//! how long it may take. The owner hands it to the agent's host as it does with attempts, so that
//! slots, breakers, draining and fencing hold for both alike; but nothing of it is recorded.
//! [`among`] gives agents written in Rust their colleagues.

mod handle;
mod message;
mod rules;

pub use handle::among;
pub(crate) use handle::{Asked, Asks, Callers, serve};
