//! Workflows: graphs of nodes that a client writes down and that run as tasks.
//!
//! [`expression`], [`template`] and [`condition`] are the language of definitions.

pub mod condition;
pub mod expression;
pub mod template;
