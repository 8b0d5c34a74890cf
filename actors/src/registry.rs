//! Which agents exist, what they can do, and how busy they are: the shared view of all proxies.
//!
//! [`Registry`] is the index, [`Agent`] one agent's entry, [`Gate`] its slots. The proxies write
//! their own entries; planner, allocator and lists read. An `AgentManager` watches over it.

pub(crate) mod actor;
mod agent;
mod gate;
mod index;
pub mod view;

pub(crate) use agent::tools as agent_tools;
pub use agent::{Agent, Facts};
pub use gate::{Gate, Slot};
pub use index::{Registry, Tenant};
