//! Who owns what, as a test has it: the last byte of an id decides.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use actors::orchestrator::{Owner, Placement};
use protocol::{entity::EntityId, id::NodeId};
use uuid::Uuid;

/// What one or all nodes believe.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owners(Arc<Mutex<Table>>);

#[derive(Debug, Clone, Default)]
struct Table {
    /// By the last byte of an id, modulo their number.
    parts: Vec<Option<NodeId>>,
    /// Entities that were moved.
    moved: HashMap<EntityId, Option<NodeId>>,
    controls: Vec<NodeId>,
}

/// What one node believes.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) me: NodeId,
    pub(crate) owners: Owners,
}

impl Owners {
    pub(crate) fn share(&self, controls: &[NodeId]) {
        let mut table = self.0.lock().unwrap();
        table.parts = controls.iter().copied().map(Some).collect();
        table.controls = controls.to_vec();
    }

    pub(crate) fn give(&self, entity: impl Into<EntityId>, to: Option<NodeId>) {
        self.0.lock().unwrap().moved.insert(entity.into(), to);
    }

    /// The same as it is now, on a node that learns of no change.
    pub(crate) fn as_of_now(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }

    fn owner(&self, id: EntityId) -> Option<NodeId> {
        let table = self.0.lock().unwrap();
        let last = usize::from(id.key().as_bytes()[15]);
        match table.moved.get(&id) {
            Some(owner) => *owner,
            None => table.parts[last % table.parts.len()],
        }
    }
}

impl Placement for View {
    fn owner(&self, id: EntityId) -> Owner {
        match self.owners.owner(id) {
            Some(node) if node == self.me => Owner::Here,
            Some(node) => Owner::There(node),
            None => Owner::Nobody,
        }
    }

    fn controls(&self) -> Vec<NodeId> {
        let mut controls = self.owners.0.lock().unwrap().controls.clone();
        controls.sort_by_key(|node| *node != self.me);
        controls
    }

    fn own_id(&self, fresh: &mut dyn FnMut() -> Uuid) -> Option<Uuid> {
        let table = self.owners.0.lock().unwrap().clone();
        if !table.parts.contains(&Some(self.me)) {
            return None;
        }
        std::iter::repeat_with(fresh).take(10_000).find(|id| {
            let last = usize::from(id.as_bytes()[15]);
            table.parts[last % table.parts.len()] == Some(self.me)
        })
    }
}
