//! What the journal keeps: one record an append, chained by hash.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    entity::EntityId,
    epoch::Epoch,
    id::{CommandId, NodeId},
    time::Timestamp,
};

/// A SHA-256 that covers a record and, through the one before it, the whole stream.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainHash(pub [u8; 32]);

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One append to one stream: the events that one command led to, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stream, named as its entity.
    pub stream: EntityId,
    /// Position of the first event in its stream; the first of all is 1.
    pub seq: u64,
    /// How many events the record holds; the next record starts at `seq + count`.
    pub count: u32,
    /// Under which ownership it was appended.
    pub epoch: Epoch,
    /// Which process appended it.
    pub owner: NodeId,
    /// The command that led to it.
    pub cmd_id: CommandId,
    /// Whose data it is.
    pub tenant: String,
    /// Who asked for it.
    pub actor: String,
    /// When it was appended.
    pub at: Timestamp,
    /// Version of the event format.
    pub version: u16,
    /// The events as a JSON array.
    pub data: String,
    /// Covers this record and the one before it.
    pub hash: ChainHash,
}

impl Record {
    /// The position behind this record's last event.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.seq + self.count as u64 - 1
    }

    /// What `hash` must be when the record before it has `previous`.
    ///
    /// Every field is followed by its length, so no two records read alike.
    #[must_use]
    pub fn chain(&self, previous: ChainHash) -> ChainHash {
        let mut digest = Sha256::new();
        digest.update(previous.0);
        digest.update(self.stream.key().as_bytes());
        digest.update(self.seq.to_be_bytes());
        digest.update(self.count.to_be_bytes());
        digest.update(self.epoch.to_i64().to_be_bytes());
        digest.update(self.owner.uuid().as_bytes());
        digest.update(self.cmd_id.uuid().as_bytes());
        digest.update(self.at.as_micros().to_be_bytes());
        digest.update(self.version.to_be_bytes());
        for text in [
            self.stream.kind().as_str(),
            &self.tenant,
            &self.actor,
            &self.data,
        ] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        }
        ChainHash(digest.finalize().into())
    }
}

/// What lists show of a stream, kept beside it in the same transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The entity's status, as the API prints it.
    pub status: String,
    /// Whether there is unfinished work: such a stream is activated at start without being asked.
    pub open: bool,
    /// Whether it was removed: lists leave it out, its records stay.
    pub hidden: bool,
    /// The user it belongs to.
    pub user: String,
    /// A unique name within tenant and kind, where the entity has one.
    pub name: Option<String>,
    /// The entity that it belongs to, such as a parent task.
    pub parent: Option<EntityId>,
    /// The workflow that it is a run of. The first append says so, later ones change nothing.
    #[serde(default)]
    pub workflow: Option<EntityId>,
    /// Whether all that the run could go on with waits for something.
    #[serde(default)]
    pub waits: bool,
    /// The body that lists show, as JSON.
    pub body: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn record() -> Record {
        Record {
            stream: EntityId::new(crate::entity::EntityKind::Task, Uuid::from_u128(1)),
            seq: 3,
            count: 2,
            epoch: Epoch::new(1, 2),
            owner: NodeId::from_uuid(Uuid::from_u128(2)),
            cmd_id: CommandId::from_uuid(Uuid::from_u128(3)),
            tenant: "default".into(),
            actor: "ann".into(),
            at: Timestamp::from_micros(5),
            version: 1,
            data: "[]".into(),
            hash: ChainHash::default(),
        }
    }

    #[test]
    fn every_field_moves_the_hash() {
        let base = record().chain(ChainHash::default());
        let changes: [fn(&mut Record); 10] = [
            |r| r.stream = EntityId::new(crate::entity::EntityKind::Agent, Uuid::from_u128(1)),
            |r| r.seq = 4,
            |r| r.count = 3,
            |r| r.epoch = r.epoch.next(),
            |r| r.owner = NodeId::from_uuid(Uuid::from_u128(9)),
            |r| r.cmd_id = CommandId::from_uuid(Uuid::from_u128(9)),
            |r| (r.tenant, r.actor) = ("defaultann".into(), String::new()),
            |r| r.at = Timestamp::from_micros(6),
            |r| r.version = 2,
            |r| r.data = "[1]".into(),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut changed = record();
            change(&mut changed);
            assert_ne!(changed.chain(ChainHash::default()), base, "change {index}");
        }
        assert_ne!(record().chain(ChainHash([1; 32])), base);
        assert_eq!(record().head(), 4);
    }
}
