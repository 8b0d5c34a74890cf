//! Entities and what follows from their events, over a store that outlives the process.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not recognise outside a test function"
)]

mod counter;
mod follow;
mod journal;
mod lives;
mod ownership;
