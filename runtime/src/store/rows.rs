//! What the databases' rows mean; both engines name their columns alike.

use protocol::{
    entity::EntityId,
    epoch::Epoch,
    id::{CommandId, NodeId},
    record::{ChainHash, Record, Summary},
    time::Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    Chapter, Delivery, Error, Founding, IdentityRow, JoinToken, MemberRow, Segment, SegmentKind,
    ShardRow, Snapshot, StreamRow, key,
};

/// A row's cells by the types that the schema uses.
pub(super) trait Cells {
    fn number(&self, column: &str) -> Result<i64, Error>;
    fn flag(&self, column: &str) -> Result<bool, Error>;
    fn text(&self, column: &str) -> Result<String, Error>;
    fn maybe_text(&self, column: &str) -> Result<Option<String>, Error>;
    fn bytes(&self, column: &str) -> Result<&[u8], Error>;
    fn maybe_bytes(&self, column: &str) -> Result<Option<&[u8]>, Error>;

    fn maybe_number(&self, column: &str) -> Result<Option<i64>, Error>;

    fn stream(&self) -> Result<EntityId, Error> {
        key::unpack(self.bytes("stream")?)
    }

    fn position(&self, column: &str) -> Result<u64, Error> {
        Ok(self.number(column)?.cast_unsigned())
    }

    fn small<N: TryFrom<i64>>(&self, column: &str) -> Result<N, Error> {
        let number = self.number(column)?;
        N::try_from(number).map_err(|_| Error::Corrupt(format!("{column} cannot be {number}")))
    }

    fn moment(&self, column: &str) -> Result<Timestamp, Error> {
        Ok(Timestamp::from_micros(self.number(column)?))
    }

    fn uuid(&self, column: &str) -> Result<Uuid, Error> {
        uuid(column, self.bytes(column)?)
    }

    fn maybe_uuid(&self, column: &str) -> Result<Option<Uuid>, Error> {
        let bytes = self.maybe_bytes(column)?;
        bytes.map(|bytes| uuid(column, bytes)).transpose()
    }

    /// What was written as JSON.
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, Error> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|error| Error::Corrupt(format!("{column}: {error}")))
    }

    fn hash(&self, column: &str) -> Result<ChainHash, Error> {
        let bytes = self.bytes(column)?.try_into().map(ChainHash);
        bytes.map_err(|_| Error::Corrupt(format!("{column} is no SHA-256")))
    }

    fn epoch(&self) -> Result<Epoch, Error> {
        epoch(self.number("epoch")?)
    }
}

pub(super) fn uuid(column: &str, bytes: &[u8]) -> Result<Uuid, Error> {
    Uuid::from_slice(bytes).map_err(|_| Error::Corrupt(format!("{column} is no UUID")))
}

macro_rules! cells {
    ($row:ty) => {
        impl Cells for $row {
            fn number(&self, column: &str) -> Result<i64, Error> {
                Ok(self.try_get(column)?)
            }
            fn flag(&self, column: &str) -> Result<bool, Error> {
                Ok(self.try_get(column)?)
            }
            fn text(&self, column: &str) -> Result<String, Error> {
                Ok(self.try_get(column)?)
            }
            fn maybe_text(&self, column: &str) -> Result<Option<String>, Error> {
                Ok(self.try_get(column)?)
            }
            fn bytes(&self, column: &str) -> Result<&[u8], Error> {
                Ok(self.try_get(column)?)
            }
            fn maybe_bytes(&self, column: &str) -> Result<Option<&[u8]>, Error> {
                Ok(self.try_get(column)?)
            }
            fn maybe_number(&self, column: &str) -> Result<Option<i64>, Error> {
                Ok(self.try_get(column)?)
            }
        }
    };
}
cells!(SqliteRow);
cells!(PgRow);

pub(super) fn streams(rows: &[impl Cells]) -> Result<Vec<EntityId>, Error> {
    rows.iter().map(Cells::stream).collect()
}

/// An epoch as the store counts it.
pub(super) fn epoch(stored: i64) -> Result<Epoch, Error> {
    Epoch::from_i64(stored).ok_or_else(|| Error::Corrupt(format!("{stored} is no epoch")))
}

pub(super) fn record(row: &impl Cells) -> Result<Record, Error> {
    Ok(Record {
        stream: row.stream()?,
        seq: row.position("seq")?,
        count: row.small("count")?,
        epoch: row.epoch()?,
        owner: NodeId::from_uuid(row.uuid("owner")?),
        cmd_id: CommandId::from_uuid(row.uuid("cmd_id")?),
        tenant: row.text("tenant")?,
        actor: row.text("actor")?,
        at: row.moment("at")?,
        version: row.small("version")?,
        data: row.text("data")?,
        hash: row.hash("hash")?,
    })
}

pub(super) fn stream_row(row: &impl Cells) -> Result<StreamRow, Error> {
    Ok(StreamRow {
        stream: row.stream()?,
        tenant: row.text("tenant")?,
        head: row.position("head")?,
        epoch: row.epoch()?,
        created_at: row.moment("created_at")?,
        updated_at: row.moment("updated_at")?,
        summary: Summary {
            status: row.text("status")?,
            open: row.flag("open")?,
            hidden: row.flag("hidden")?,
            user: row.text("user_id")?,
            name: row.maybe_text("name")?,
            parent: row.maybe_bytes("parent")?.map(key::unpack).transpose()?,
            workflow: row.maybe_bytes("workflow")?.map(key::unpack).transpose()?,
            waits: row.flag("waits")?,
            body: row.text("body")?,
        },
        parked: row.maybe_text("parked")?,
    })
}

pub(super) fn snapshot(row: &impl Cells) -> Result<Snapshot, Error> {
    Ok(Snapshot {
        stream: row.stream()?,
        seq: row.position("seq")?,
        hash: row.hash("hash")?,
        version: row.small("version")?,
        data: row.text("data")?,
    })
}

pub(super) fn chapter(row: &impl Cells) -> Result<Chapter, Error> {
    Ok(Chapter {
        node: NodeId::from_uuid(row.uuid("node")?),
        name: row.text("name")?,
        chapter: row.position("chapter")?,
        since: row.moment("since")?,
        until: row.moment("until")?,
        ended: row.maybe_number("ended")?.map(Timestamp::from_micros),
        bytes: row.position("bytes")?,
    })
}

pub(super) fn segment(row: &impl Cells) -> Result<Segment, Error> {
    let kind: usize = row.small("kind")?;
    let kind = SegmentKind::ALL.get(kind).copied();
    Ok(Segment {
        node: NodeId::from_uuid(row.uuid("node")?),
        name: row.text("name")?,
        chapter: row.position("chapter")?,
        number: row.position("number")?,
        kind: kind.ok_or_else(|| Error::Corrupt("a segment is of no known kind".into()))?,
        until: row.moment("until")?,
        data: row.bytes("data")?.to_vec(),
    })
}

pub(super) fn delivery(row: &impl Cells) -> Result<Delivery, Error> {
    Ok(Delivery {
        id: row.uuid("id")?,
        stream: row.stream()?,
        kind: row.text("kind")?,
        payload: row.text("payload")?,
        due: row.moment("due")?,
        tries: row.small("tries")?,
    })
}

pub(super) fn reminder(row: &impl Cells) -> Result<(EntityId, String, Timestamp), Error> {
    Ok((row.stream()?, row.text("name")?, row.moment("due")?))
}

pub(super) fn founding(row: &impl Cells) -> Result<Founding, Error> {
    Ok(Founding {
        cluster: row.uuid("cluster")?,
        shards: row.small("shards")?,
    })
}

/// A member as it stands at `now`.
pub(super) fn member(row: &impl Cells, now: Timestamp) -> Result<MemberRow, Error> {
    let lease_until = row.moment("lease_until")?;
    Ok(MemberRow {
        member: row.json("announced")?,
        state: word("state", &row.text("state")?)?,
        lease_left: lease_until.since(now),
        lease_until,
        health: row.text("health")?,
    })
}

pub(super) fn shard(row: &impl Cells) -> Result<ShardRow, Error> {
    Ok(ShardRow {
        owner: row.maybe_uuid("owner")?.map(NodeId::from_uuid),
        epoch: row.epoch()?,
    })
}

pub(super) fn token(row: &impl Cells) -> Result<JoinToken, Error> {
    let used_at = row.maybe_number("used_at")?.map(Timestamp::from_micros);
    Ok(JoinToken {
        id: row.uuid("id")?,
        hash: row.hash("hash")?,
        roles: row.json("roles")?,
        made_by: row.text("made_by")?,
        made_at: row.moment("made_at")?,
        expires_at: row.moment("expires_at")?,
        used: used_at.zip(row.maybe_uuid("used_by")?),
        revoked: row.flag("revoked")?,
    })
}

pub(super) fn identity(row: &impl Cells) -> Result<IdentityRow, Error> {
    Ok(IdentityRow {
        id: row.uuid("id")?,
        name: row.text("name")?,
        roles: row.json("roles")?,
        admitted_at: row.moment("admitted_at")?,
        revoked: row.flag("revoked")?,
    })
}

/// One of an enum's words.
fn word<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Error> {
    let word = serde_json::Value::from(text);
    serde_json::from_value(word).map_err(|error| Error::Corrupt(format!("{column}: {error}")))
}

/// What [`Cells::json`] reads.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Unusable(error.to_string()))
}
