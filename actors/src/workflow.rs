//! Workflows: graphs of nodes that a client writes down and that run as tasks.
//!
//! [`expression`], [`template`] and [`condition`] are the language of definitions. [`read`] makes a
//! definition of a text, [`check`] says what is wrong with one, [`draw`] shows one.

pub mod check;
pub mod condition;
pub mod draw;
pub mod expression;
pub mod read;
pub mod template;
