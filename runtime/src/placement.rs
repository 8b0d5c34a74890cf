//! Who owns which shard: rendezvous says who should, a lease says who may, an epoch fences.
//!
//! [`Holdings`] is what this node owns now; the journal asks it before each append. A `Placer` takes
//! shards that are free, gives back those that belong elsewhere, and has their entities brought to
//! life and put away ([`Moves`]).

mod actor;
mod handle;
pub mod lease;
pub mod plan;
pub mod rendezvous;

pub use actor::{Arrival, Evict, Moves, placer};
pub use handle::Holdings;
pub use lease::Timing;
