//! Members and shards at one moment, by the store's clock.

use std::time::Duration;

use protocol::{
    entity::EntityId,
    epoch::Epoch,
    id::NodeId,
    member::{MemberState, NodeRole},
    shard::Shard,
    time::Timestamp,
};

use crate::{
    placement::rendezvous::Candidate,
    store::{MemberRow, ShardRow, Survey},
};

/// An immutable picture of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    survey: Survey,
}

impl Roster {
    /// What a survey of the store found.
    #[must_use]
    pub fn new(mut survey: Survey) -> Self {
        survey.members.sort_by_key(|row| row.member.node);
        Self { survey }
    }

    /// A cluster of one node without a store's word for it: it owns every shard.
    #[must_use]
    pub fn empty(shards: u16) -> Self {
        Self {
            survey: Survey {
                at: Timestamp::default(),
                incarnation: 1,
                members: Vec::new(),
                shards: vec![ShardRow::default(); usize::from(shards)],
            },
        }
    }

    /// As the store told it.
    #[must_use]
    pub const fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Everyone, the oldest start first; also those that left or lapsed lately.
    #[must_use]
    pub fn members(&self) -> &[MemberRow] {
        &self.survey.members
    }

    /// By number of the shard.
    #[must_use]
    pub fn shards(&self) -> &[ShardRow] {
        &self.survey.shards
    }

    /// One member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&MemberRow> {
        self.survey
            .members
            .iter()
            .find(|row| row.member.node == node)
    }

    /// Whether its lease runs.
    #[must_use]
    pub fn lives(&self, node: NodeId) -> bool {
        self.member(node).is_some_and(MemberRow::lives)
    }

    /// When a member renewed its lease of `ttl` last, by the store's clock.
    #[must_use]
    pub fn last_sign(&self, node: NodeId, ttl: Duration) -> Option<Timestamp> {
        let until = self.member(node)?.lease_until;
        Some(Timestamp::from_micros(
            until.as_micros() - i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX),
        ))
    }

    /// Members whose lease runs.
    pub fn living(&self) -> impl Iterator<Item = &MemberRow> {
        self.survey.members.iter().filter(|row| row.lives())
    }

    /// Members whose lease runs and that have a role.
    pub fn with_role(&self, role: NodeRole) -> impl Iterator<Item = &MemberRow> {
        self.living().filter(move |row| row.member.roles.has(role))
    }

    /// Which shard an entity belongs to.
    #[must_use]
    pub fn shard(&self, entity: EntityId) -> Shard {
        let count = u16::try_from(self.survey.shards.len()).unwrap_or(u16::MAX);
        Shard::of(entity, count.max(1))
    }

    /// Who owns an entity, and under which epoch; its lease may be over.
    #[must_use]
    pub fn owner(&self, entity: EntityId) -> Option<(NodeId, Epoch)> {
        let row = self.survey.shards.get(usize::from(self.shard(entity).0))?;
        row.owner.map(|owner| (owner, row.epoch))
    }

    /// Among whom shards are shared out.
    #[must_use]
    pub fn owners_to_be(&self) -> Vec<Candidate<'_>> {
        self.with_role(NodeRole::Control)
            .filter(|row| row.state == MemberState::Up)
            .map(|row| Candidate {
                name: &row.member.name,
                node: row.member.node,
            })
            .collect()
    }
}
