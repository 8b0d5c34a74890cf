//! Shards: the parts of all entities that change owners together.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::entity::EntityId;

/// How many shards a cluster has unless its founder says otherwise; fixed for the cluster's life.
pub const DEFAULT_SHARDS: u16 = 256;

/// One of a cluster's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of an entity among `count`: its [`slot`] modulo the count.
    ///
    /// # Panics
    ///
    /// When `count` is 0.
    #[must_use]
    pub const fn of(entity: EntityId, count: u16) -> Self {
        Self(slot(entity) % count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What of an entity's key decides its shard: the last two bytes, big-endian. They are random in
/// UUIDs of versions 4 and 7, and part of the hash in version 5. Stores keep it beside the key.
#[must_use]
pub const fn slot(entity: EntityId) -> u16 {
    let [.., high, low] = *entity.key().as_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::entity::EntityKind;

    #[test]
    fn the_last_two_bytes_decide() {
        let entity = EntityId::new(EntityKind::Task, Uuid::from_u128(0xabcd_0103));
        assert_eq!(slot(entity), 0x0103);
        assert_eq!(Shard::of(entity, 256), Shard(3));
        assert_eq!(Shard::of(entity, 7), Shard(0x0103 % 7));
    }
}
