//! Reads definitions when a run needs them, and starts runs where they belong. A version never changes,
//! so nothing that is kept goes stale.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use protocol::{
    access::Caller,
    id::{TaskId, WorkflowId},
    task::{Budget, Priority},
    time::Timestamp,
    workflow::{Definition, Origin},
};
use runtime::{journal::Journal, store};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Edition;
use crate::{
    Rejection,
    workflow::{graph::Graph, state::Workflow},
};

/// Versions that are kept; when there are more, those that nobody uses are forgotten.
const KEPT: usize = 1_000;

/// Runs with ids that were given are begun one at a time in each of so many lanes.
const LANES: usize = 64;

/// Definitions of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Library(Arc<Inner>);

struct Inner {
    journal: Journal,
    known: Mutex<HashMap<(WorkflowId, u32), Arc<Edition>>>,
    /// By tenant and name. A name may have gone to another since: whoever asks looks at its row.
    names: Mutex<HashMap<(String, String), WorkflowId>>,
    lanes: Vec<tokio::sync::Mutex<()>>,
    starts: OnceLock<Box<dyn Starts>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

/// What begins runs, on whichever node they belong.
pub(crate) trait Starts: Send + Sync {
    /// Makes a run durable. Asked again with the same id, it does nothing.
    fn start(&self, caller: Caller, run: NewRun) -> Starting;
}

/// A run that is being begun: the task, once it is on disk.
pub(crate) type Starting = Pin<Box<dyn Future<Output = Result<TaskId, Rejection>> + Send>>;

/// A run that is to begin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NewRun {
    /// Its id, if that is known before: then it begins once, however often it is asked for.
    #[serde(default)]
    pub(crate) id: Option<TaskId>,
    /// What makes it the only one for ever, where its id does not.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// Of which workflow: its name or id.
    pub(crate) workflow: String,
    /// Which version; the newest without it.
    #[serde(default)]
    pub(crate) version: Option<u32>,
    /// What it is given.
    #[serde(default)]
    pub(crate) input: Value,
    #[serde(default)]
    pub(crate) priority: Option<Priority>,
    /// No node starts before this moment.
    #[serde(default)]
    pub(crate) start_at: Option<Timestamp>,
    /// Its limits; where one is absent, that of the definition counts.
    #[serde(default)]
    pub(crate) budget: Budget,
    #[serde(default)]
    pub(crate) session_id: Option<String>,
    /// The task that it is a part of.
    #[serde(default)]
    pub(crate) parent_id: Option<TaskId>,
    #[serde(default)]
    pub(crate) metadata: Map<String, Value>,
    /// The run that it is forked from.
    #[serde(default)]
    pub(crate) origin: Option<Origin>,
}

impl Library {
    pub(crate) fn new(journal: Journal) -> Self {
        Self(Arc::new(Inner {
            journal,
            known: Mutex::default(),
            names: Mutex::default(),
            lanes: (0..LANES).map(|_| tokio::sync::Mutex::default()).collect(),
            starts: OnceLock::new(),
        }))
    }

    /// Hands over what begins runs; only the first time counts.
    pub(crate) fn provide(&self, starts: Box<dyn Starts>) {
        let _ = self.0.starts.set(starts);
    }

    /// Begins a run where it belongs, on this node or another, for tasks, schedules and triggers. Asked
    /// again with the same id, it does nothing.
    ///
    /// # Errors
    ///
    /// `Invalid` when the input does not fit, `NotFound` without such a workflow, `Conflict` when none of
    /// its runs may begin, `Overloaded` or `Unavailable` when another try can help.
    pub(crate) async fn start(&self, caller: Caller, run: NewRun) -> Result<TaskId, Rejection> {
        match self.0.starts.get() {
            Some(starts) => starts.start(caller, run).await,
            None => Err(Rejection::Unavailable {
                message: "the node is starting".to_owned(),
                retry_after: std::time::Duration::from_secs(1),
            }),
        }
    }

    /// Where runs with this id are begun, one at a time.
    pub(crate) async fn lane(&self, id: TaskId) -> tokio::sync::MutexGuard<'_, ()> {
        let number = id.uuid().as_u128() % LANES as u128;
        let lane = usize::try_from(number).unwrap_or_default();
        self.0.lanes[lane].lock().await
    }

    /// The workflow that had this name when it was looked for last.
    pub(crate) fn named(&self, tenant: &str, name: &str) -> Option<WorkflowId> {
        let key = (tenant.to_owned(), name.to_owned());
        self.names().get(&key).copied()
    }

    /// A workflow has this name.
    pub(crate) fn is_named(&self, tenant: &str, name: &str, id: WorkflowId) {
        let mut names = self.names();
        if names.len() >= KEPT {
            names.clear();
        }
        names.insert((tenant.to_owned(), name.to_owned()), id);
    }

    /// A version, from memory or else from the store; nothing when there is none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn edition(
        &self,
        id: WorkflowId,
        version: u32,
    ) -> Result<Option<Arc<Edition>>, store::Error> {
        if let Some(known) = self.known().get(&(id, version)) {
            return Ok(Some(known.clone()));
        }
        let workflow = self.0.journal.load::<Workflow>(id.into()).await?;
        let found = workflow.as_ref().and_then(|it| it.version(version));
        found
            .map(|found| self.learn(id, version, found.definition.clone()))
            .transpose()
    }

    /// What a version says, compiled.
    ///
    /// # Errors
    ///
    /// When the store fails, or holds no such version.
    pub(crate) async fn graph(
        &self,
        id: WorkflowId,
        version: u32,
    ) -> Result<Arc<Graph>, store::Error> {
        match self.edition(id, version).await? {
            Some(edition) => Ok(edition.graph.clone()),
            None => Err(store::Error::Corrupt(format!(
                "{id} has no version {version}"
            ))),
        }
    }

    fn learn(
        &self,
        id: WorkflowId,
        version: u32,
        definition: Arc<Definition>,
    ) -> Result<Arc<Edition>, store::Error> {
        // It was compiled before it was published: this build knows less than the one that did.
        let edition = Edition::new(definition).map_err(|fault| {
            store::Error::Unusable(format!("{id} version {version} cannot be run: {fault}"))
        })?;
        let edition = Arc::new(edition);
        let mut known = self.known();
        if known.len() >= KEPT {
            known.retain(|_, edition| Arc::strong_count(&edition.graph) > 1);
        }
        if known.len() < KEPT {
            known.insert((id, version), edition.clone());
        }
        Ok(edition)
    }

    fn names(&self) -> MutexGuard<'_, HashMap<(String, String), WorkflowId>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(WorkflowId, u32), Arc<Edition>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
