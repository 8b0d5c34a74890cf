//! Several nodes over one store: whichever is asked, the right one answers.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not recognise outside a test function"
)]

mod acting;
mod agents;
mod feeds;
mod following;
mod links;
mod net;
mod nodes;
mod owners;
mod pausing;
mod stopping;
mod tasks;
mod tenants;
mod tickets;
mod tree;
mod trouble;
