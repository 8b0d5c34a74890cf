//! Links between processes: this one and copies of it.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not recognise outside a test function"
)]

mod links;
mod other;
