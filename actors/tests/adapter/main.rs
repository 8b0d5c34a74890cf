//! Adapters against real processes and real connections.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not recognise outside a test function"
)]

mod command;
mod command_ends;
mod conformance;
mod http;
mod oauth;
mod stub;
mod support;
