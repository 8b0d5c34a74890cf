//! Turns what a client asks for into a plan: a reviewed graph of steps.
//!
//! [`create_execution_plan`] is the whole way: explicit steps are reviewed as given, a bare
//! description is decomposed by rules over capabilities. [`Graph`] answers what may run when.

mod clauses;
mod graph;
mod review;
mod roster;
mod rules;
mod words;

pub use graph::{Cycle, Graph};
pub use review::{Refusal, review};
pub use roster::{Member, Roster};
pub use rules::{
    Part, create_execution_plan, decompose_task, match_agents_to_steps, optimize_execution_order,
};
pub(crate) use words::nearest;
