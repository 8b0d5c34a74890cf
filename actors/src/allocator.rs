//! Chooses the agent for a step, and keeps the steps that none is free for.
//!
//! [`evaluate`] filters and scores agents and says why; a [`WaitingRoom`] decides who is next when
//! a slot comes free. Whether the slot is still there is for the agent's proxy to say.

pub(crate) mod actor;
mod handle;
mod matching;
mod requirement;
mod waiting;

pub(crate) use handle::disk_used;
pub use handle::{Allocator, Ask, Grant, machine};
pub use matching::{AgentSnapshot, Circuit, NodeLoad, Ranking, Terms, eligible, evaluate};
pub use requirement::{Pin, Request, Requirement};
pub use waiting::{Line, Waiting, WaitingRoom};
