//! The HTTP interface, as a client meets it: a node on a free port, real requests.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[path = "rest/access.rs"]
mod access;
#[path = "rest/agents.rs"]
mod agents;
#[path = "rest/connections.rs"]
mod connections;
#[path = "rest/events.rs"]
mod events;
#[path = "rest/mcp.rs"]
mod mcp;
#[path = "rest/questions.rs"]
mod questions;
#[path = "rest/requests.rs"]
mod requests;
#[path = "rest/schedules.rs"]
mod schedules;
#[path = "rest/tasks.rs"]
mod tasks;
#[path = "rest/templates.rs"]
mod templates;
#[path = "rest/tree.rs"]
mod tree;
#[path = "rest/workflows.rs"]
mod workflows;
