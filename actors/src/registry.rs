//! Which agents the cluster has, what they can do, where they are hosted and how busy they are.
//!
//! [`Registry`] is the index, [`Agent`] one agent's entry, [`Gate`] its slots. Owners and hosts write
//! entries, those of other nodes by way of a `Directory`; planner, allocator and lists read. An
//! `AgentManager` watches over it.

pub(crate) mod actor;
mod agent;
mod gate;
mod handle;
mod index;
pub mod view;

pub(crate) use agent::Reported;
pub use agent::{Agent, Facts, Load};
pub use gate::{Booking, Gate, Slot};
pub(crate) use handle::Directory;
pub use index::{Registry, Tenant};
