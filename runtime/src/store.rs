//! DOOR to the database: what the journal, reminders, outbox and views are kept in.
//!
//! One trait a concern, [`Store`] for all of them together, one `conformance` suite that every
//! engine passes. Nothing above this folder knows which engine it is, and nothing else names sqlx.

mod address;
mod admissions;
mod batch;
mod chronicles;
#[cfg(any(test, feature = "testkit"))]
pub mod conformance;
mod fault;
mod key;
mod living;
mod members;
mod memory;
mod migration;
mod postgres;
mod rows;
mod scope;
mod sqlite;
mod transfer;
mod writer;

use std::{fmt, pin::Pin, sync::Arc};

use protocol::{
    entity::{EntityId, EntityKind},
    epoch::Epoch,
    id::{CommandId, NodeId},
    record::{ChainHash, Record, Summary},
    time::Timestamp,
};

pub use address::{Address, InvalidAddress, open, open_to_serve};
pub use admissions::{Admissions, IdentityRow, JoinToken, TokenRefusal};
pub use chronicles::{Chapter, Chronicles, Segment, SegmentKind};
pub use living::Living;
pub use members::{EntryRefusal, Founding, MemberRow, Members, Renewal, ShardRow, Survey};
pub use memory::Memory;
pub use postgres::Postgres;
pub use scope::Scope;
pub use sqlite::Sqlite;
pub use transfer::{Moved, TransferError, copy_ahead, reopen, retire, transfer};
pub use writer::{AppendError, Writer};

/// What every store method answers: a future that may be sent between threads.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The store could not do it; nothing is said about whether it happened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk is full; nothing was written.
    #[error("the disk that holds the store is full")]
    Full,
    /// Nothing was done: the database gives no connection, or others keep it from this for longer than
    /// anybody waits, as an operator does who locks a table.
    #[error("the store is busy: {0}")]
    Busy(String),
    /// The database cannot be reached or is busy; the caller may try again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored is not what was written; the stream must not be served.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The store was written by a newer build, or the directory is in use by another process.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
}

impl Error {
    /// Whether the same may go well later though nobody changes anything here.
    #[must_use]
    pub const fn passes(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Busy(_) => true,
            Self::Full | Self::Corrupt(_) | Self::Unusable(_) => false,
        }
    }
}

/// A client's key that makes a repeated request harmless; unique within tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// As the client sent it.
    pub key: String,
    /// SHA-256 of the request body: the same key with another body is a mistake.
    pub body_hash: ChainHash,
}

impl Idempotency {
    /// A key under which no other body can come: its maker says the same whenever it says it again.
    #[must_use]
    pub fn of_its_own(key: String) -> Self {
        Self {
            key,
            body_hash: ChainHash::default(),
        }
    }
}

/// A wake-up that survives a restart; one a name and stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReminderChange {
    /// Wakes the stream's entity at `due`, replacing an earlier reminder of this name.
    Set {
        /// Which of the stream's reminders.
        name: String,
        /// Never before this moment.
        due: Timestamp,
    },
    /// Forgets it; no error when there is none.
    Clear {
        /// Which of the stream's reminders.
        name: String,
    },
}

/// An effect on the world that must be brought about at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Unique for ever; receivers drop repeats by it.
    pub id: uuid::Uuid,
    /// The entity whose event led to it.
    pub stream: EntityId,
    /// Which courier brings it about.
    pub kind: String,
    /// For that courier, as JSON.
    pub payload: String,
    /// Not before this moment.
    pub due: Timestamp,
    /// How often it was tried.
    pub tries: u32,
}

/// One append: records, index, reminders and outbox change together or not at all.
#[derive(Debug, Clone)]
pub struct Append {
    /// The record to add. `seq` of 1 makes the stream, which the owner of its shard alone may; else the stream's head must be `seq - 1`
    /// and its epoch at most `record.epoch`.
    pub record: Record,
    /// What lists show of the stream from now on.
    pub summary: Summary,
    /// The client's key, only with `seq` of 1.
    pub idempotency: Option<Idempotency>,
    /// Wake-ups to set or forget.
    pub reminders: Vec<ReminderChange>,
    /// Effects to bring about.
    pub outbox: Vec<Delivery>,
}

/// Why an append changed nothing. Only the append itself is refused, never its neighbours in a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another owner appended, or holds a later epoch: whoever sent this is deposed.
    #[error("{stream} is at {head} under epoch {epoch}, not where the append expected it")]
    Fenced {
        /// The stream.
        stream: EntityId,
        /// Its last position.
        head: u64,
        /// Under which epoch it was last appended or claimed.
        epoch: Epoch,
    },
    /// The client's key was used before.
    #[error("the idempotency key was used for {stream}")]
    Repeated {
        /// What it made.
        stream: EntityId,
        /// Whether the body was the same.
        same_body: bool,
    },
    /// Another stream of this kind and tenant has the name.
    #[error("the name is taken by {stream}")]
    NameTaken {
        /// By whom.
        stream: EntityId,
    },
}

/// An append was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// By this call.
    Now,
    /// By an earlier call with the same `cmd_id` whose answer was lost.
    Before,
}

/// Events in order of their streams, and of the whole journal.
pub trait EventLog: Send + Sync {
    /// Commits a batch in one transaction and gives each append its own verdict, in order.
    ///
    /// A stream must not stand twice in one batch.
    fn append<'a>(&'a self, batch: &'a [Append]) -> Answer<'a, Vec<Result<Appended, Refusal>>>;

    /// Records of one stream that hold events after position `after`, in order, at most `limit`.
    fn read(&self, stream: EntityId, after: u64, limit: u32) -> Answer<'_, Vec<Record>>;

    /// Records of all streams after a place in the journal, in an order in which every record comes
    /// after those of its stream before it, at most `limit`.
    fn journal(&self, after: i64, limit: u32) -> Answer<'_, Vec<(i64, Record)>>;

    /// How far the journal goes.
    fn end(&self) -> Answer<'_, End>;
}

/// How far the journal goes: no record that is committed later stands at `whole` or before it, and
/// none that was committed before this was asked stands behind `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Up to there [`EventLog::journal`] reads now; places up to there that are empty stay so.
    pub whole: i64,
    /// Where the last record stands that is committed; others before it may be under way still.
    pub last: i64,
}

/// What the index says of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    /// The stream.
    pub stream: EntityId,
    /// Whose data it is.
    pub tenant: String,
    /// Position of its last event.
    pub head: u64,
    /// Under which epoch it was last appended or claimed.
    pub epoch: Epoch,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was appended to last.
    pub updated_at: Timestamp,
    /// What lists show.
    pub summary: Summary,
    /// Why it was taken out of service, if it was: the last errors.
    pub parked: Option<String>,
}

/// Which streams a list holds, the newest first. Hidden ones never are.
#[derive(Debug, Clone)]
pub struct StreamQuery {
    /// Of this tenant.
    pub tenant: String,
    /// Of this kind.
    pub kind: EntityKind,
    /// With this status.
    pub status: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// Parts of this entity.
    pub parent: Option<EntityId>,
    /// Runs of workflows alone.
    pub runs: Option<Runs>,
    /// Whose body contains this text, case aside.
    pub text: Option<String>,
    /// Made before this one: the cursor.
    pub before: Option<EntityId>,
    /// At most so many.
    pub limit: u32,
}

/// Which runs of workflows a list holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// Of this workflow.
    pub of: Option<EntityId>,
    /// Those that wait, or those that do not.
    pub waits: Option<bool>,
}

impl Runs {
    fn hold(&self, summary: &Summary) -> bool {
        summary.workflow.is_some()
            && (self.of.is_none() || self.of == summary.workflow)
            && self.waits.is_none_or(|waits| waits == summary.waits)
    }
}

impl StreamQuery {
    /// Whether a row belongs in the list, its place aside.
    fn holds(&self, row: &StreamRow) -> bool {
        let StreamRow {
            stream,
            tenant,
            summary,
            ..
        } = row;
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        stream.kind() == self.kind
            && *tenant == self.tenant
            && !summary.hidden
            && is(&self.status, &summary.status)
            && is(&self.user, &summary.user)
            && (self.parent.is_none() || self.parent == summary.parent)
            && self.runs.is_none_or(|runs| runs.hold(summary))
            && self.text.as_ref().is_none_or(|text| {
                let body = summary.body.to_lowercase();
                body.contains(&text.to_lowercase())
            })
    }
}

/// The index of streams: what lists show, and which streams have unfinished work.
pub trait Streams: Send + Sync {
    /// One stream, hidden or not.
    fn stream(&self, stream: EntityId) -> Answer<'_, Option<StreamRow>>;

    /// Which stream a client's key made, and from which body.
    fn made_by<'a>(
        &'a self,
        tenant: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<(EntityId, ChainHash)>>;

    /// A page of streams, the newest first.
    fn list<'a>(&'a self, query: &'a StreamQuery) -> Answer<'a, Vec<StreamRow>>;

    /// The same for somebody who leafs through: it may be a moment behind, where the store has a copy
    /// that is read in its place.
    fn browse<'a>(&'a self, query: &'a StreamQuery) -> Answer<'a, Vec<StreamRow>> {
        self.list(query)
    }

    /// How many streams of a kind have each status; hidden ones aside.
    fn count<'a>(&'a self, tenant: &'a str, kind: EntityKind) -> Answer<'a, Vec<(String, u64)>>;

    /// Streams with unfinished work that are not parked, of one kind, in order of their ids.
    fn open<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<EntityId>>;

    /// Streams that are out of service, of one kind, in order of their ids.
    fn parked<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<StreamRow>>;

    /// Takes a stream out of service and says why, or puts it back with `None`.
    fn park<'a>(&'a self, stream: EntityId, reason: Option<&'a str>) -> Answer<'a, ()>;

    /// Replaces a stream's summary without an event: only for rebuilding the index.
    fn reindex<'a>(&'a self, stream: EntityId, summary: &'a Summary) -> Answer<'a, ()>;
}

/// A state as it was after some event, so that recovery need not start from the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream.
    pub stream: EntityId,
    /// After which event.
    pub seq: u64,
    /// The chain's hash there.
    pub hash: ChainHash,
    /// Version of the state's format; another version is ignored.
    pub version: u16,
    /// The state, as JSON.
    pub data: String,
}

/// Snapshots: one a stream, the newest.
pub trait Snapshots: Send + Sync {
    /// The newest one.
    fn snapshot(&self, stream: EntityId) -> Answer<'_, Option<Snapshot>>;

    /// Keeps one, unless a newer is there.
    fn save<'a>(&'a self, snapshot: &'a Snapshot) -> Answer<'a, ()>;
}

/// Who may append.
pub trait Ownership: Send + Sync {
    /// Registers this start of a node and hands it an epoch greater than any before.
    fn begin<'a>(&'a self, node: NodeId, name: &'a str) -> Answer<'a, Epoch>;

    /// Claims streams for an epoch: from here on no earlier one can append. Answers those claimed;
    /// a stream that a later epoch holds is left out, and so is one whose shard another took since.
    fn claim<'a>(
        &'a self,
        streams: &'a [EntityId],
        epoch: Epoch,
        owner: NodeId,
    ) -> Answer<'a, Vec<EntityId>>;
}

/// Durable wake-ups; they are set and cleared by appends.
pub trait Reminders: Send + Sync {
    /// Those due at `now`, the earliest first.
    fn due<'a>(
        &'a self,
        scope: &'a Scope,
        now: Timestamp,
        limit: u32,
    ) -> Answer<'a, Vec<(EntityId, String, Timestamp)>>;

    /// When the next one is due, if any.
    fn next_due<'a>(&'a self, scope: &'a Scope) -> Answer<'a, Option<Timestamp>>;

    /// Forgets one that was delivered, unless it was set to another moment since.
    fn delivered<'a>(&'a self, stream: EntityId, name: &'a str, due: Timestamp) -> Answer<'a, ()>;
}

/// Effects to bring about; they are added by appends.
pub trait Outbox: Send + Sync {
    /// Those due at `now`, the earliest first, hidden from other couriers until `until`.
    fn claim_due(&self, now: Timestamp, until: Timestamp, limit: u32) -> Answer<'_, Vec<Delivery>>;

    /// It was brought about, or given up.
    fn settle(&self, id: uuid::Uuid) -> Answer<'_, ()>;

    /// It will be tried again at `due`; counts the try.
    fn postpone(&self, id: uuid::Uuid, due: Timestamp) -> Answer<'_, ()>;
}

/// Rows of read models that projections keep, and how far each has come.
pub trait Views: Send + Sync {
    /// One row's body.
    fn row<'a>(&'a self, view: &'a str, key: &'a str) -> Answer<'a, Option<String>>;

    /// All rows of a view, by key; a moment behind, where the store has a copy that is read in its place.
    fn rows<'a>(&'a self, view: &'a str) -> Answer<'a, Vec<(String, String)>>;

    /// The same, with all that was folded before this was asked.
    fn rows_now<'a>(&'a self, view: &'a str) -> Answer<'a, Vec<(String, String)>> {
        self.rows(view)
    }

    /// The place in the journal up to which a view is folded; 0 before the first.
    fn cursor<'a>(&'a self, view: &'a str) -> Answer<'a, i64>;

    /// Writes rows and moves the cursor in one transaction.
    fn fold<'a>(
        &'a self,
        view: &'a str,
        rows: &'a [(String, String)],
        cursor: i64,
    ) -> Answer<'a, ()>;

    /// Drops a view's rows and cursor.
    fn clear<'a>(&'a self, view: &'a str) -> Answer<'a, ()>;
}

/// What operators ask of a store.
pub trait Admin: Send + Sync {
    /// `sqlite`, `postgres` or `memory`.
    fn engine(&self) -> &'static str;

    /// Sizes and schema version.
    fn census(&self) -> Answer<'_, Census>;

    /// Whether a small write can be committed now.
    fn probe(&self) -> Answer<'_, ()>;

    /// Writes everything out and closes; later calls fail.
    fn close(&self) -> Answer<'_, ()>;
}

/// Sizes of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Version of the schema.
    pub schema: u64,
    /// Streams.
    pub streams: u64,
    /// Streams with unfinished work.
    pub open: u64,
    /// Records in the journal.
    pub records: u64,
    /// Bytes on disk, where the engine knows.
    pub bytes: u64,
}

/// Everything a node keeps.
pub trait Store:
    EventLog
    + Streams
    + Snapshots
    + Ownership
    + Members
    + Admissions
    + Reminders
    + Outbox
    + Views
    + Chronicles
    + Admin
    + fmt::Debug
{
}

impl<T> Store for T where
    T: EventLog
        + Streams
        + Snapshots
        + Ownership
        + Members
        + Admissions
        + Reminders
        + Outbox
        + Views
        + Chronicles
        + Admin
        + fmt::Debug
{
}

/// A store that several parts share.
pub type Shared = Arc<dyn Store>;

/// Finds the record of a command in a stream, for appends whose answer was lost.
#[must_use]
pub fn of_command(records: &[Record], command: CommandId) -> Option<&Record> {
    records.iter().find(|record| record.cmd_id == command)
}
