//! How an actor stays alive, in one place, with its memory. Knows nothing of agents or tasks.

pub mod metrics;
pub mod store;
