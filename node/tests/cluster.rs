//! What kills, freezes, restarts and cut links do to a cluster of real processes on PostgreSQL.
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

#[path = "cluster/agents.rs"]
mod agents;
#[path = "support/clerk.rs"]
mod clerk;
#[path = "cluster/dependencies.rs"]
mod dependencies;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/ledger.rs"]
mod ledger;
#[path = "cluster/load.rs"]
mod load;
#[path = "cluster/machine.rs"]
mod machine;
#[path = "cluster/machines.rs"]
mod machines;
#[path = "cluster/map.rs"]
mod map;
#[path = "cluster/nets.rs"]
mod nets;
#[path = "cluster/operators.rs"]
mod operators;
#[path = "support/orders.rs"]
mod orders;
#[path = "cluster/partitions.rs"]
mod partitions;
#[path = "cluster/past.rs"]
mod past;
#[path = "cluster/pipes.rs"]
mod pipes;
#[path = "support/process.rs"]
mod process;
#[path = "cluster/regions.rs"]
mod regions;
#[path = "cluster/schedules.rs"]
mod schedules;
#[path = "cluster/strangers.rs"]
mod strangers;
#[path = "cluster/terminal.rs"]
mod terminal;
#[path = "support/till.rs"]
mod till;
#[path = "cluster/trouble.rs"]
mod trouble;
#[path = "cluster/wires.rs"]
mod wires;
#[path = "cluster/workflows.rs"]
mod workflows;
