//! The node itself.

use std::time::Duration;

use protocol::{
    access::Caller,
    api::{Check, NodeView, StoreView},
    id::NodeId,
};

use super::{Answer, Orchestrator, cases::StoreStatus};
use crate::allocator::disk_used;

/// How long a check of a part may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Orchestrator {
    /// Whether each part works.
    pub async fn checks(&self) -> Vec<Check> {
        let mut found = Vec::new();
        if let Some(own) = &self.0.own {
            let probe = tokio::time::timeout(PATIENCE, own.journal.store().probe()).await;
            let store = match probe {
                Ok(Ok(())) => Ok("a write was committed".to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("no write was committed within {PATIENCE:?}")),
            };
            let tree = if own.root.is_running() {
                Ok(format!("{} actors", self.0.tree.len()))
            } else {
                Err("the root supervisor does not run".to_owned())
            };
            found.extend([("store", store), ("supervision", tree)]);
        } else {
            found.push(("control", self.controls_in_reach()));
        }
        if let Some(membership) = self.membership_check() {
            found.push(("membership", membership));
        }
        found
            .into_iter()
            .map(|(name, found)| Check {
                name: name.to_owned(),
                ok: found.is_ok(),
                detail: found.unwrap_or_else(|cause| cause),
            })
            .collect()
    }

    /// Which start of a node this is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeView {
        let own = self.0.own.as_ref();
        let active = own.map_or(0, |own| {
            let services = &own.services;
            services.tasks.active() + services.agents.active() + services.questions.host().active()
        });
        NodeView {
            id: self.0.id,
            name: self.0.name.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.0.started_at,
            active_entities: active as u64,
        }
    }

    /// The store.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn store(&self, caller: &Caller) -> Answer<StoreView> {
        self.carry_out(caller, StoreStatus).await
    }

    /// How this machine stands, as measured: shares in use from 0 to 1. The allocator gives no work
    /// with declared resources to a node that is short.
    pub fn observe(&self, cpu_used: f64, memory_used: f64) {
        if let Some(worker) = &self.0.worker {
            worker.observe(cpu_used, memory_used);
        }
        let Some(own) = &self.0.own else { return };
        let disk_used = disk_used(&own.data_dir).unwrap_or(0.0);
        let allocator = &own.services.allocator;
        allocator.observe(cpu_used, memory_used, disk_used);
    }
}
