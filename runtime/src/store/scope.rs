//! Which part of all streams a question is about.

use std::collections::BTreeSet;

use protocol::{entity::EntityId, shard::Shard};

/// All streams, or those of some shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every stream.
    All,
    /// Streams of these shards.
    Shards {
        /// How many shards the cluster has.
        count: u16,
        /// Which of them.
        shards: BTreeSet<Shard>,
    },
}

impl Scope {
    /// Whether a stream is meant.
    #[must_use]
    pub fn holds(&self, stream: EntityId) -> bool {
        match self {
            Self::All => true,
            Self::Shards { count, shards } => shards.contains(&Shard::of(stream, *count)),
        }
    }
}
