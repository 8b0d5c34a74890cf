//! How an actor stays alive, in one place, with its memory. Knows nothing of agents or tasks.
//!
//! - [`supervision`]: who restarts whom, how often, and the tree that operators see.
//! - [`chronicle`]: the past of that tree.
//! - [`store`]: the door to the database; [`journal`]: event sourcing on top of it.
//! - [`entity`]: virtual actors; [`reminder`], [`outbox`], [`projection`]: what follows from events.
//! - [`cluster`]: the door to other nodes; [`membership`]: who they are; [`placement`]: who owns what.
//! - `testkit`, a feature: what tests need around a runtime.
//! - [`trace`]: where requests spent their time, for a collector to show.
//! - [`redact`]: what no text may show.
//! - [`clock`]: time and chance, passed in rather than reached for.

pub mod chronicle;
pub mod clock;
pub mod cluster;
pub mod entity;
pub mod journal;
pub mod membership;
pub mod metrics;
pub mod outbox;
pub mod placement;
pub mod projection;
pub mod redact;
pub mod reminder;
pub mod store;
pub mod supervision;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
pub mod trace;
