//! Who is in the cluster, until when, and which shards each owns.
//!
//! The store's clock decides alone: a lease is over when that clock says so. A member with a lease
//! may take shards that are free, or whose owner's lease is over; each taking has an epoch greater
//! than any before, and an append under a lower one is refused once the stream was claimed.

use std::time::Duration;

use protocol::{
    epoch::Epoch,
    id::NodeId,
    member::{Member, MemberState},
    shard::Shard,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Answer, Error};

/// For how long a survey shows members that left or lapsed.
pub(super) const RECENT: Duration = Duration::from_hours(24);

/// What holds for a cluster's whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Founding {
    /// Which cluster it is.
    pub cluster: Uuid,
    /// How many shards it has.
    pub shards: u16,
}

impl Founding {
    /// This, unless a cluster with it cannot be what was `wanted`.
    pub(super) fn agree(self, wanted: Self) -> Result<Self, Error> {
        if self.shards == wanted.shards && self.shards > 0 {
            return Ok(self);
        }
        Err(Error::Unusable(format!(
            "the cluster was founded with {} shards and this node wants {}; the number cannot \
             change, so set it to that of the cluster",
            self.shards, wanted.shards
        )))
    }
}

/// A member, and how it stands by the store's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// As it announced itself.
    pub member: Member,
    /// By its own word or an operator's.
    pub state: MemberState,
    /// What is left of its lease; zero when it is over.
    pub lease_left: Duration,
    /// When the lease ends or ended, by the store's clock.
    pub lease_until: Timestamp,
    /// What it said of itself last, as JSON: load, counts.
    pub health: String,
}

impl MemberRow {
    /// Whether its lease runs.
    #[must_use]
    pub const fn lives(&self) -> bool {
        !self.lease_left.is_zero()
    }
}

/// A shard: under which epoch it was taken last, and by whom, unless it was given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRow {
    /// Who took it last and did not give it back; its lease may be over.
    pub owner: Option<NodeId>,
    /// Of the last taking; 0 before the first.
    pub epoch: Epoch,
}

/// Members and shards at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// That moment, by the store's clock.
    pub at: Timestamp,
    /// Which life of the database this is: greater after a restore or failover.
    pub incarnation: u32,
    /// Members; of those that left or lapsed, the recent ones.
    pub members: Vec<MemberRow>,
    /// By number of the shard.
    pub shards: Vec<ShardRow>,
}

/// A renewal of one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Whose.
    pub node: NodeId,
    /// What it says of itself, as JSON.
    pub health: String,
}

/// Why a node did not become a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EntryRefusal {
    /// Another start of a node of this name has a lease that runs.
    #[error(
        "another process runs as node `{name}`, at {} since {since}; stop that one, or start this one with an empty data directory, another name and a new token of `troupe token create`",
        .address.as_deref().unwrap_or("an address that it did not tell")
    )]
    NameHeld {
        /// The name.
        name: String,
        /// Who has it.
        by: NodeId,
        /// Where others reach that one.
        #[serde(default)]
        address: Option<String>,
        /// When it was started.
        #[serde(default)]
        since: Timestamp,
        /// When its lease is over, by the store's clock, unless it is renewed.
        #[serde(default)]
        lease_until: Timestamp,
    },
    /// This start of the node was removed, and never comes back.
    #[error("an operator removed this node from the cluster")]
    Removed,
}

impl EntryRefusal {
    /// The name is held by this member.
    pub(super) fn name_held(by: Member, lease_until: Timestamp) -> Self {
        Self::NameHeld {
            name: by.name,
            by: by.node,
            address: by.mesh,
            since: by.started_at,
            lease_until,
        }
    }
}

/// The cluster's members and the shards they own.
pub trait Members: Send + Sync {
    /// Writes down what holds for the cluster's life, unless that was done; answers what holds.
    /// `Unusable` when the cluster has another number of shards than `wanted`.
    fn found(&self, wanted: Founding) -> Answer<'_, Founding>;

    /// Makes `member` a member whose lease runs for `ttl`. `former` is an earlier start of the same
    /// node that is proved dead, by the lock on its directory say: it leaves, and its shards are free.
    /// One that was told to drain and comes back within the same start drains still.
    fn enter<'a>(
        &'a self,
        member: &'a Member,
        ttl: Duration,
        former: Option<NodeId>,
    ) -> Answer<'a, Result<(), EntryRefusal>>;

    /// Lets the leases of members run for `ttl` from now; answers whose were renewed. A lease that is
    /// over is not renewed if any of the member's shards was taken since, nor for one that left or was
    /// removed.
    fn renew<'a>(&'a self, renewals: &'a [Renewal], ttl: Duration) -> Answer<'a, Vec<NodeId>>;

    /// Says where a member stands. `Left` and `Removed` end its lease and free its shards.
    fn set_state(&self, node: NodeId, state: MemberState) -> Answer<'_, ()>;

    /// Everyone, and every shard.
    fn survey(&self) -> Answer<'_, Survey>;

    /// Takes those shards among `shards` that are free or whose owner's lease is over, all under one
    /// new epoch. Takes none when the taker's own lease is over. Answers which it took.
    fn take<'a>(
        &'a self,
        taker: NodeId,
        shards: &'a [Shard],
    ) -> Answer<'a, Option<(Epoch, Vec<Shard>)>>;

    /// Frees shards that `owner` owns under these epochs; others are left alone. So one that comes late
    /// frees nothing that its sender has taken again since.
    fn give_back<'a>(&'a self, owner: NodeId, shards: &'a [(Shard, Epoch)]) -> Answer<'a, ()>;

    /// Forgets members whose lease ended so long ago and that own nothing, and tokens that let nobody
    /// in any more for as long. Answers how many rows went.
    fn prune(&self, older: Duration) -> Answer<'_, u64>;
}
