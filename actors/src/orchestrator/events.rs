//! Events of the whole cluster: which are wanted, how far they are told, and what is new of nodes. Pure.

mod cursor;
mod name;
mod workers;

pub(super) use cursor::Cursor;
pub use name::EventTypes;
pub(super) use workers::Workers;

use protocol::api::{EventView, WorkerStatus};

/// Something that who follows the cluster's events is told.
#[derive(Debug, Clone, PartialEq)]
pub enum HappeningFrame {
    /// Something was recorded, under this name.
    Recorded(String, EventView),
    /// A node changed.
    Worker(Box<WorkerStatus>),
    /// Nothing that was asked for; so far it is told.
    Mark,
}

/// What changes of nodes are called.
pub const WORKER_STATUS: &str = "worker.status";
