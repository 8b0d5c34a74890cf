//! Reads definitions when a run needs them. A version never changes, so nothing here goes stale.

use std::sync::Arc;

use dashmap::DashMap;
use protocol::id::WorkflowId;
use runtime::store;

use crate::workflow::graph::Graph;

/// Versions that are kept; when there are more, those that no run uses are forgotten.
const KEPT: usize = 1_000;

/// Compiled definitions. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Library(Arc<DashMap<(WorkflowId, u32), Arc<Graph>>>);

impl Library {
    /// What a version says.
    ///
    /// # Errors
    ///
    /// When the store fails, or holds no such version.
    pub(crate) async fn graph(
        &self,
        id: WorkflowId,
        version: u32,
    ) -> Result<Arc<Graph>, store::Error> {
        let known = self.0.get(&(id, version)).map(|graph| graph.clone());
        known.ok_or_else(|| store::Error::Corrupt(format!("{id} has no version {version}")))
    }

    /// A version that was published.
    pub(crate) fn learn(&self, id: WorkflowId, version: u32, graph: Arc<Graph>) {
        if self.0.len() >= KEPT {
            self.0.retain(|_, graph| Arc::strong_count(graph) > 1);
        }
        self.0.insert((id, version), graph);
    }
}
