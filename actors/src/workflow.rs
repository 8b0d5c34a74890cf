//! Workflows: graphs of nodes that a client writes down and that run as tasks.
//!
//! [`expression`], [`template`] and [`condition`] are the language of definitions. [`read`] makes a
//! definition of a text, [`check`] says what is wrong with one, [`draw`] shows one. It is compiled into a
//! [`graph`]; [`run`] holds the rules by which a task that is a run of it goes on, [`view`] is what clients
//! see of it, and [`news`] what they are told. [`large`] keeps its large values once.
//!
//! [`state::Workflow`] is what the events of a definition say, [`draft`] takes what a client gave. A
//! `Library` has each version in memory that is used, a `WorkflowEntity` records them.

pub(crate) mod actor;
pub mod check;
pub mod condition;
pub mod draft;
pub mod draw;
pub mod expression;
pub mod graph;
pub mod input;
pub mod large;
pub(crate) mod library;
pub mod news;
pub mod read;
pub mod run;
pub mod state;
pub mod template;
pub mod view;
