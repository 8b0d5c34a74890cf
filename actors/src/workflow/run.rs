//! A run of a workflow: where its nodes stand, and what follows from that.
//!
//! [`decide`] says what comes next, from the definition and from what is recorded; it is pure, so that a
//! recorded run can be decided again. The task of the run carries it out.

mod begin;
pub mod choose;
mod decide;
mod follow;
pub mod fork;
pub mod replay;
pub mod scope;
pub mod state;
mod undo;
mod verdict;

pub use decide::{decide, is_taken};
pub use scope::Sight;
pub use state::{Output, Past, Run, Turn, Wait};
