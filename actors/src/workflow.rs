//! Workflows: what clients write down, and what starts runs of it.
//!
//! [`state::Workflow`] is what the events of one say, [`draft`] turns what a client gave into a definition,
//! a `Library` has each version in memory that is used. A `WorkflowEntity` records one.

pub(crate) mod actor;
pub mod draft;
pub mod input;
pub(crate) mod library;
pub mod news;
pub mod state;
pub mod view;
