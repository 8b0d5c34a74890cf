//! What Troupe writes down or sends: everything that outlives a process.
//!
//! - [`id`], [`entity`], [`epoch`], [`time`]: the words that every contract shares.
//! - [`record`]: what the journal keeps, with the hash chain over it.
//! - [`task`], [`plan`], [`agent`], [`allocation`], [`hold`]: the domain's specifications and events.
//! - [`question`]: what is asked of people, and what becomes of it.
//! - [`workflow`]: definitions of workflows, and what their runs record.
//! - [`template`]: tasks with blanks, and what is recorded of them.
//! - [`schedule`], [`trigger`]: what starts tasks and workflows by itself.
//! - [`member`], [`shard`]: who is in the cluster, and what is shared out among them.
//! - [`wire`]: what nodes send each other.
//! - [`access`]: who is calling.
//! - [`api`]: the bodies of the HTTP contract.
//! - [`json`]: what others wrote, read as it was meant.
//! - [`words`]: what is wrong with a text, as people read it.
//!
//! No behaviour lives here but parsing, printing and checking.

#![warn(missing_docs)]

pub mod access;
pub mod agent;
pub mod allocation;
pub mod api;
pub mod entity;
pub mod epoch;
pub mod hold;
pub mod id;
pub mod json;
pub mod member;
pub mod plan;
pub mod question;
pub mod record;
pub mod schedule;
pub mod shard;
pub mod task;
pub mod template;
pub mod time;
pub mod trigger;
pub mod usage;
pub mod wire;
pub mod words;
pub mod workflow;
