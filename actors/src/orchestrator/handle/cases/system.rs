//! What can be read of nodes and of the store.

use protocol::{
    access::{Caller, Role},
    api::{StoreView, TreeQuery, TreeView},
    id::NodeId,
};
use serde::{Deserialize, Serialize};

use super::{Answer, Effect, Orchestrator, Place, UseCase, at_least};

/// The supervision tree of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowTree {
    pub(in super::super) node: NodeId,
    pub(in super::super) query: TreeQuery,
}

impl UseCase for ShowTree {
    type Answer = TreeView;
    const NAME: &'static str = "node.tree";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TreeView> {
        at_least(caller, Role::Viewer)?;
        Ok(at.0.tree.view(&self.query))
    }
}

/// What the store holds.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct StoreStatus;

impl UseCase for StoreStatus {
    type Answer = StoreView;
    const NAME: &'static str = "store.status";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<StoreView> {
        at_least(caller, Role::Viewer)?;
        let store = at.own()?.journal.store();
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
}
