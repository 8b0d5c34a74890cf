//! What crashes, full disks and dying tools do to a real node: the promises, on real processes.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "other processes live by the machine's clock"
)]
#![expect(
    clippy::print_stdout,
    reason = "what a fault hit belongs to the result"
)]

#[path = "crash/disk.rs"]
mod disk;
#[path = "crash/ends.rs"]
mod ends;
#[path = "crash/failures.rs"]
mod failures;
#[path = "support/ledger.rs"]
mod ledger;
#[path = "support/orders.rs"]
mod orders;
#[path = "support/process.rs"]
mod process;
#[path = "crash/witness.rs"]
mod witness;
