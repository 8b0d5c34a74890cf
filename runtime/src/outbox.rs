//! Effects that must happen at least once: recorded together with the event that asks for them,
//! then carried until the carrier succeeds or gives up.

mod actor;
pub mod delivery;

pub use actor::{Carrier, couriers};
