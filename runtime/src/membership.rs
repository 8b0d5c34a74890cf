//! Who is in the cluster: one table in the store, its clock, and a lease each.
//!
//! [`Roster`] is what it says at one moment. A [`Membership`] keeps it up to date on this node,
//! renews the node's lease, and says when the node may not act on it any more.

mod actor;
mod fence;
mod handle;
mod rival;
mod roster;

pub use actor::{Registrar, membership};
pub use fence::Fence;
pub use handle::{
    Hindrance, Membership, SponsorRegistrar, Standing, StoreRegistrar, announce, sponsor,
};
pub use rival::Rival;
pub use roster::Roster;
