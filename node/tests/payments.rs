//! What kills at any moment do to workflows that pay: whole runs on a real node, and a till that counts.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "other processes live by the machine's clock"
)]
#![expect(
    clippy::print_stdout,
    reason = "what the kills hit belongs to the result"
)]

#[path = "support/clerk.rs"]
mod clerk;
#[path = "support/judge.rs"]
mod judge;
#[path = "payments/kills.rs"]
mod kills;
#[path = "support/ledger.rs"]
mod ledger;
#[path = "payments/moments.rs"]
mod moments;
#[path = "support/orders.rs"]
mod orders;
#[path = "support/process.rs"]
mod process;
#[path = "support/till.rs"]
mod till;
#[path = "payments/workflows.rs"]
mod workflows;
