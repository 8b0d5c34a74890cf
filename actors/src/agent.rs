//! An agent as we see it: its record, and which node hosts it.
//!
//! [`AgentRecord`] is what its events say, [`placing`] which node is to host it, [`breaker`] when to
//! leave it alone, [`stats`] what it has done. An `AgentEntity` keeps the record and sees that a node
//! hosts the agent; what runs there is in [`host`](crate::host).

pub(crate) mod actor;
pub mod breaker;
pub mod placing;
pub mod spreading;
pub mod state;
pub mod stats;
mod token;
pub mod view;

pub use state::AgentRecord;
pub(crate) use token::token_hash;
