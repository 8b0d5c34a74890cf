//! An agent as we see it: its record, and the proxy beside the tool that does the work.
//!
//! [`AgentRecord`] is what its events say, [`breaker`] when to leave it alone, [`stats`] what it
//! has done. An `AgentEntity` is its proxy: it runs attempts, checks health, and keeps the
//! agent's entry in the registry.

pub(crate) mod actor;
pub mod breaker;
pub mod state;
pub mod stats;
mod token;
pub mod view;

pub use state::AgentRecord;
pub(crate) use token::token_hash;
