//! Who owns what, as far as a use case needs to know it.

use protocol::{entity::EntityId, id::NodeId};
use uuid::Uuid;

pub use crate::cluster::Owner;

/// What this node knows of ownership. Never waits; a later answer may differ from an earlier one.
pub trait Placement: Send + Sync + std::fmt::Debug {
    /// Who owns this entity.
    fn owner(&self, id: EntityId) -> Owner;

    /// Nodes that have the store and live: this one first if it is one of them, then the nearest.
    fn controls(&self) -> Vec<NodeId>;

    /// Whether a node of this name is a member that lives, reached or not.
    fn lives(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// The first of `fresh` ids that would belong to this node, so that what is made here stays here;
    /// none when this node owns no part of the whole.
    fn own_id(&self, fresh: &mut dyn FnMut() -> Uuid) -> Option<Uuid>;
}
