//! The node itself.

use std::{path::Path, time::Duration};

use protocol::{
    access::{Caller, Role},
    api::{Check, NodeView, StoreView, TreeQuery, TreeView},
};

use super::{Answer, Orchestrator, tasks::at_least};

/// How long a check of a part may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Orchestrator {
    /// The supervision tree of this node.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role viewer.
    pub async fn tree(&self, caller: &Caller, query: &TreeQuery) -> Answer<TreeView> {
        at_least(caller, Role::Viewer)?;
        let path = query.path.as_deref().unwrap_or("/");
        if query
            .node
            .as_deref()
            .is_some_and(|node| node != &*self.0.services.node)
        {
            return Ok(TreeView {
                path: path.to_owned(),
                total: 0,
                nodes: Vec::new(),
            });
        }
        Ok(self.0.tree.snapshot(path, query.depth))
    }

    /// Whether each part works.
    pub async fn checks(&self) -> Vec<Check> {
        let probe = tokio::time::timeout(PATIENCE, self.0.journal.store().probe()).await;
        let store = match probe {
            Ok(Ok(())) => Ok("a write was committed".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no write was committed within {PATIENCE:?}")),
        };
        let tree = if self.0.root.is_running() {
            Ok(format!("{} actors", self.0.tree.len()))
        } else {
            Err("the root supervisor does not run".to_owned())
        };
        [("store", store), ("supervision", tree)]
            .into_iter()
            .map(|(name, found)| Check {
                name: name.to_owned(),
                ok: found.is_ok(),
                detail: found.unwrap_or_else(|cause| cause),
            })
            .collect()
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeView {
        NodeView {
            id: self.0.id,
            name: self.0.services.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.0.started_at,
            active_entities: (self.0.services.tasks.active() + self.0.services.agents.active())
                as u64,
        }
    }

    /// The store.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn store(&self, caller: &Caller) -> Answer<StoreView> {
        at_least(caller, Role::Viewer)?;
        let store = self.0.journal.store();
        let census = store.census().await?;
        Ok(StoreView {
            engine: store.engine().to_owned(),
            schema: census.schema,
            streams: census.streams,
            open: census.open,
            records: census.records,
            bytes: census.bytes,
        })
    }

    /// How this machine stands, as measured: shares in use from 0 to 1. The allocator gives no work
    /// with declared resources to a node that is short.
    pub fn observe(&self, cpu_used: f64, memory_used: f64) {
        let disk_used = disk_used(&self.0.data_dir).unwrap_or(0.0);
        self.0
            .services
            .allocator
            .observe(cpu_used, memory_used, disk_used);
    }
}

/// The share in use of the disk that holds a directory, as far as other users may fill it.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more digits than a float has"
)]
fn disk_used(directory: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    let (all, free) = (disk.f_blocks as f64, disk.f_bavail as f64);
    (all > 0.0).then(|| 1.0 - free / all)
}
