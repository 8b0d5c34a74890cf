//! [`Orchestrator`]: one method a use case, one file a subject.

mod agents;
mod feed;
mod rebuild;
mod start;
mod submission;
mod system;
mod tasks;

use std::{collections::HashMap, path::PathBuf, pin::Pin, sync::Arc};

use futures_util::Stream;
use protocol::{
    api::{EventView, TaskView},
    id::NodeId,
    time::Timestamp,
};
use runtime::{
    journal::Journal,
    store::{self, Writer},
    supervision::{SupervisorRef, Tree},
};

pub use rebuild::{Rebuilt, rebuild};
pub use tasks::Cancel;

use crate::{Config, Rejection, adapter::Adapter, services::Services};

/// Events of one entity, in order, without gaps, until it can have no more.
pub type EventFeed = Pin<Box<dyn Stream<Item = Result<EventView, Rejection>> + Send>>;

/// What a node hands to its orchestrator.
#[derive(Debug)]
pub struct Setup {
    /// This crate's sections of the configuration.
    pub config: Config,
    /// The node's name, the same after a restart.
    pub node: String,
    /// Where everything is kept.
    pub store: store::Shared,
    /// Where artifacts and private working directories lie.
    pub data_dir: PathBuf,
    /// Agents written in Rust, by the name under which `native` agents refer to them.
    pub natives: HashMap<String, Arc<dyn Adapter>>,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The task.
    pub task: TaskView,
    /// Whether this call made it; false when the idempotency key was used before.
    pub fresh: bool,
}

/// The one way in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orchestrator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    services: Services,
    journal: Journal,
    writer: Writer,
    root: SupervisorRef,
    id: NodeId,
    tree: Tree,
    started_at: Timestamp,
    data_dir: PathBuf,
}

/// What every method answers.
type Answer<T> = Result<T, Rejection>;
