//! Workflows: graphs of nodes that a client writes down and that run as tasks.
//!
//! [`expression`], [`template`] and [`condition`] are the language of definitions. A definition is compiled
//! into a [`graph`]; [`run`] holds the rules by which a task that is a run of it goes on.

pub mod condition;
pub mod expression;
pub mod graph;
pub(crate) mod library;
pub mod run;
pub mod template;
