//! What callers see of a whole system in one process: one test a fact.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not recognise outside a test function"
)]

mod agents;
mod allocation;
mod cluster;
mod control;
mod doubts;
mod events;
mod feed;
mod forks;
mod hanging;
mod holding;
mod intake;
mod large;
mod later;
mod life;
mod parts;
mod past;
mod pausing;
mod people;
mod recovery;
mod runs;
mod schedules;
mod spend;
mod support;
mod tasks;
mod tool;
mod triggers;
mod waiting;
mod workflows;
