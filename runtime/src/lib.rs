//! How an actor stays alive, in one place, with its memory. Knows nothing of agents or tasks.

pub mod clock;
pub mod store;
pub mod supervision;
