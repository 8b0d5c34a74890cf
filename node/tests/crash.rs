//! What crashes, full disks and dying tools do to a real node: the promises, on real processes.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "crash/disk.rs"]
mod disk;
#[path = "crash/ends.rs"]
mod ends;
#[path = "crash/failures.rs"]
mod failures;
#[path = "crash/ledger.rs"]
mod ledger;
#[path = "crash/process.rs"]
mod process;
#[path = "crash/witness.rs"]
mod witness;
