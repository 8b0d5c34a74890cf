//! How an actor stays alive, in one place, with its memory. Knows nothing of agents or tasks.
//!
//! - [`supervision`]: who restarts whom, how often, and the tree that operators see.
//! - [`store`]: the door to the database.
//! - [`clock`]: time and chance, passed in rather than reached for.

pub mod clock;
pub mod metrics;
pub mod store;
pub mod supervision;
