//! Agents, tasks and plans, as supervised and durable actors.
//!
//! Outsiders need [`Orchestrator`], the one way in, and [`adapter`], how to call a tool of their own.

pub mod adapter;
pub mod agent;
pub mod allocator;
pub mod ask;
pub mod cluster;
pub mod config;
pub mod firing;
mod history;
pub mod hold;
pub mod host;
pub mod metrics;
mod naming;
pub mod orchestrator;
pub mod planner;
pub mod question;
pub mod registry;
pub mod rejection;
pub mod schedule;
pub mod schema;
mod services;
pub mod task;
pub mod template;
pub mod trigger;
pub mod workflow;

pub use config::Config;
pub use orchestrator::Orchestrator;
pub use rejection::Rejection;
