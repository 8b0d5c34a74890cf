//! [`Journaled`]: a state and its stream; written first, then believed.

use std::{ops::Deref, sync::Arc};

use protocol::{
    entity::EntityId,
    epoch::Epoch,
    id::CommandId,
    json,
    record::{ChainHash, Record, Summary},
    time::Timestamp,
};

use super::{
    Error, Journal,
    replay::{events, follows},
};
use crate::{
    journal::{EventSourced, snapshot},
    store::{self, Append, AppendError, Delivery, Idempotency, Refusal, ReminderChange, Snapshot},
};

/// Times an append is repeated when its outcome is not known.
const REPEATS: u32 = 5;

/// How deep the parts of an event may lie in each other: less than a parser goes down, for what is read
/// may stand deeper in something else then. What comes from outside is bounded far below that.
const MAX_DEPTH: usize = 112;

/// Whether an event, as it is to be written, would be read as what it is. A record that nobody can read
/// would take the whole stream with it.
fn readable(event: &[u8]) -> Result<(), &'static str> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = event.get(at) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                let from = at + 1;
                at = from;
                while let Some(byte) = event.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                let text = event.get(from..at).unwrap_or_default();
                if json::is_reserved(text) && event.get(at + 1) == Some(&b':') {
                    return Err("has a name that the parser keeps for itself");
                }
            }
            _ => {}
        }
        if depth >= MAX_DEPTH {
            return Err("is nested too deeply to be read again");
        }
        at += 1;
    }
    Ok(())
}

/// What comes with a commit beside the events.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The command that led to it.
    pub command: CommandId,
    /// Who asked for it.
    pub actor: Arc<str>,
    /// The client's key, only with a stream's first commit.
    pub idempotency: Option<Idempotency>,
    /// Wake-ups to set or forget.
    pub reminders: Vec<ReminderChange>,
    /// Effects to bring about.
    pub outbox: Vec<Delivery>,
}

impl Commit {
    /// A commit with events alone.
    #[must_use]
    pub const fn by(actor: Arc<str>, command: CommandId) -> Self {
        Self {
            command,
            actor,
            idempotency: None,
            reminders: Vec::new(),
            outbox: Vec::new(),
        }
    }
}

/// A state together with its stream.
///
/// [`stage`](Self::stage) applies an event for the decisions that follow in the same handler;
/// [`commit`](Self::commit) writes all that was staged. Nobody else may see the state, and no
/// effect may start, between the two. When a commit fails, the actor that holds this must end: the
/// next activation replays what the store has.
#[derive(Debug)]
pub struct Journaled<S: EventSourced> {
    journal: Journal,
    stream: EntityId,
    tenant: Arc<str>,
    state: S,
    head: u64,
    hash: ChainHash,
    /// Under which it was loaded or made; another one since means that others may have appended.
    epoch: Option<Epoch>,
    snapshot: u64,
    /// The JSON array of staged events, without its closing bracket.
    staged: Vec<u8>,
    staged_count: u32,
    now: Timestamp,
    /// Set when a commit failed: only the stream knows what is true then.
    spent: bool,
}

impl<S: EventSourced> Deref for Journaled<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S: EventSourced> Journaled<S> {
    pub(super) fn new(journal: &Journal, stream: EntityId, tenant: &str) -> Self {
        Self {
            journal: journal.clone(),
            stream,
            tenant: tenant.into(),
            state: S::default(),
            head: 0,
            hash: ChainHash::default(),
            epoch: journal.holdings().appends(stream),
            snapshot: 0,
            staged: Vec::new(),
            staged_count: 0,
            now: journal.clock().now(),
            spent: false,
        }
    }

    /// Takes over what a snapshot kept.
    pub(super) fn restore(&mut self, state: S, snapshot: &Snapshot) {
        self.state = state;
        self.head = snapshot.seq;
        self.snapshot = snapshot.seq;
        self.hash = snapshot.hash;
    }

    pub(super) fn belongs_to(&mut self, tenant: Arc<str>) {
        self.tenant = tenant;
    }

    /// Position of the last committed event; 0 before the first.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Under which ownership it was made or loaded; the lowest one when it was only read.
    #[must_use]
    pub fn owned_under(&self) -> Epoch {
        self.epoch.unwrap_or_default()
    }

    /// Whose stream it is.
    #[must_use]
    pub const fn stream(&self) -> EntityId {
        self.stream
    }

    /// Whose data it is.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Whether anything waits for [`commit`](Self::commit).
    #[must_use]
    pub const fn is_staged(&self) -> bool {
        self.staged_count > 0
    }

    /// Applies an event now and writes it with the next commit. All events of one commit carry the
    /// time of the first.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the event cannot be written as JSON, such as a map with keys that are not text;
    /// `Unusable` after a commit that failed, and for an event that could not be read again: nothing is
    /// applied then.
    pub fn stage(&mut self, event: &S::Event) -> Result<(), store::Error> {
        if self.spent {
            return Err(self.is_spent());
        }
        if self.staged_count == 0 {
            self.now = self.journal.0.clock.now();
        }
        let before = self.staged.len();
        self.staged
            .push(if self.staged_count == 0 { b'[' } else { b',' });
        serde_json::to_writer(&mut self.staged, event).map_err(|error| {
            store::Error::Corrupt(format!("an event cannot be written: {error}"))
        })?;
        if let Err(why) = readable(&self.staged[before + 1..]) {
            self.staged.truncate(before);
            let stream = self.stream;
            return Err(store::Error::Unusable(format!(
                "an event of {stream} {why}"
            )));
        }
        self.staged_count += 1;
        self.state.apply(event, self.now);
        Ok(())
    }

    /// Writes what was staged, in one append; nothing when nothing was.
    ///
    /// # Errors
    ///
    /// `Refused` when nothing was written; `Store` when that is not known.
    pub async fn commit(&mut self, commit: Commit) -> Result<(), Error> {
        if self.staged_count == 0 {
            return Ok(());
        }
        if self.spent {
            return Err(self.is_spent().into());
        }
        let mut data = std::mem::take(&mut self.staged);
        data.push(b']');
        let data = String::from_utf8(data)
            .map_err(|error| store::Error::Corrupt(format!("an event is not text: {error}")))?;
        // Also when this is dropped half way.
        self.spent = true;
        let record = self.record(data, self.epoch()?, &commit);
        self.append(&record, self.state.summary(), commit).await?;
        self.spent = false;
        self.staged_count = 0;
        self.head = record.head();
        self.hash = record.hash;
        self.journal.0.feed.publish(&record);
        if snapshot::is_due(self.head, self.snapshot) {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// Writes a snapshot of the committed state.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn checkpoint(&mut self) -> Result<(), store::Error> {
        let data = serde_json::to_string(&self.state).map_err(|error| {
            store::Error::Corrupt(format!("a state cannot be written: {error}"))
        })?;
        let snapshot = Snapshot {
            stream: self.stream,
            seq: self.head,
            hash: self.hash,
            version: S::STATE_VERSION,
            data,
        };
        self.journal.0.store.save(&snapshot).await?;
        self.snapshot = self.head;
        Ok(())
    }

    fn is_spent(&self) -> store::Error {
        store::Error::Unusable(format!(
            "a commit of {} failed, and nothing may follow it",
            self.stream
        ))
    }

    /// The ownership under which the state was loaded, while it lasts.
    fn epoch(&self) -> Result<Epoch, Error> {
        let now = self.journal.0.holdings.appends(self.stream);
        self.epoch
            .filter(|epoch| now == Some(*epoch))
            .ok_or(Error::Deposed(self.stream))
    }

    fn record(&self, data: String, epoch: Epoch, commit: &Commit) -> Record {
        let mut record = Record {
            stream: self.stream,
            seq: self.head + 1,
            count: self.staged_count,
            epoch,
            owner: self.journal.0.owner,
            cmd_id: commit.command,
            tenant: self.tenant.to_string(),
            actor: commit.actor.to_string(),
            at: self.now,
            version: S::EVENT_VERSION,
            data,
            hash: ChainHash::default(),
        };
        record.hash = record.chain(self.hash);
        record
    }

    /// Appends, and settles a lost answer by repeating the same command: the store recognises it.
    async fn append(&self, record: &Record, summary: Summary, commit: Commit) -> Result<(), Error> {
        let append = Append {
            record: record.clone(),
            summary,
            idempotency: commit.idempotency,
            reminders: commit.reminders,
            outbox: commit.outbox,
        };
        let mut repeats = 0;
        loop {
            match self.journal.0.writer.append(append.clone()).await {
                Ok(_) => return Ok(()),
                // The stream's own first append, whose answer was lost, holds the key or name.
                Err(AppendError::Refused(
                    Refusal::Repeated { stream, .. } | Refusal::NameTaken { stream },
                )) if repeats > 0 && stream == self.stream => return Ok(()),
                // Nothing exists yet that would have to go on: whoever asked for it asks again.
                Err(AppendError::Store(error @ store::Error::Busy(_))) if self.head == 0 => {
                    return Err(error.into());
                }
                Err(AppendError::Store(
                    store::Error::Busy(cause) | store::Error::Unavailable(cause),
                )) if repeats < REPEATS => {
                    repeats += 1;
                    tracing::warn!(stream = %self.stream, repeats, cause, "append is repeated");
                    tokio::time::sleep(std::time::Duration::from_millis(20 << repeats)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes in the record that follows.
    pub(super) fn replay(&mut self, record: &Record) -> Result<(), store::Error> {
        follows(record, self.head, self.hash)?;
        for event in events::<S>(record)? {
            self.state.apply(&event, record.at);
        }
        self.head = record.head();
        self.hash = record.hash;
        if self.tenant.is_empty() {
            self.tenant = record.tenant.as_str().into();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use protocol::{entity::EntityKind, id::NodeId};
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{clock::Clock, journal::replay_until, placement::Holdings, store::Writer};

    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Sum(u64);

    impl EventSourced for Sum {
        type Event = u64;
        const EVENT_VERSION: u16 = 1;
        const STATE_VERSION: u16 = 1;

        fn apply(&mut self, event: &u64, _: Timestamp) {
            self.0 += event;
        }

        fn summary(&self) -> Summary {
            Summary {
                open: true,
                ..Summary::default()
            }
        }
    }

    fn stream(number: u128) -> EntityId {
        EntityId::new(EntityKind::Task, Uuid::from_u128(number))
    }

    async fn journal() -> Journal {
        let store: store::Shared = Arc::new(store::Memory::new());
        let node = NodeId::from_uuid(Uuid::from_u128(1));
        let epoch = store.begin(node, "one").await.unwrap();
        let writer = Writer::start(store.clone());
        Journal::new(
            store,
            writer,
            Clock::system(),
            node,
            Holdings::everything(epoch),
        )
    }

    fn keyed(command: u128) -> Commit {
        let mut commit = Commit::by("ann".into(), CommandId::from_uuid(Uuid::from_u128(command)));
        commit.idempotency = Some(Idempotency {
            key: "k".to_owned(),
            body_hash: ChainHash::default(),
        });
        commit
    }

    #[tokio::test]
    async fn a_state_is_told_as_it_was_up_to_any_of_its_events() {
        let journal = journal().await;
        let mut sum = journal.create::<Sum>(stream(1), "t");
        // More records than are read at once, the first with three events.
        for event in [1, 2, 3] {
            sum.stage(&event).unwrap();
        }
        let by = || Commit::by("ann".into(), CommandId::from_uuid(Uuid::from_u128(1)));
        sum.commit(by()).await.unwrap();
        for event in 4..=600 {
            sum.stage(&event).unwrap();
            sum.commit(by()).await.unwrap();
        }
        let until = async |position| {
            let store = journal.store();
            let replayed = replay_until::<Sum>(store, stream(1), position).await;
            replayed.unwrap().map(|it| (it.position, it.state.0))
        };
        assert_eq!(until(0).await, None);
        for position in [1, 2, 3, 4, 511, 512, 513, 514, 515, 600] {
            let sum = position * (position + 1) / 2;
            assert_eq!(until(position).await, Some((position, sum)));
        }
        assert_eq!(until(u64::MAX).await, Some((600, 600 * 601 / 2)));
    }

    #[tokio::test]
    async fn a_state_whose_commit_was_refused_records_nothing_any_more() {
        let journal = journal().await;
        let mut first = journal.create::<Sum>(stream(1), "t");
        first.stage(&1).unwrap();
        first.commit(keyed(1)).await.unwrap();

        let mut second = journal.create::<Sum>(stream(2), "t");
        second.stage(&2).unwrap();
        let refused = second.commit(keyed(2)).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::Repeated { .. })));
        let mut later = keyed(3);
        later.idempotency = None;
        assert!(second.stage(&3).is_err());
        assert!(second.commit(later).await.is_err());
        assert!(journal.load::<Sum>(stream(2)).await.unwrap().is_none());
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Said(serde_json::Value);

    impl EventSourced for Said {
        type Event = serde_json::Value;
        const EVENT_VERSION: u16 = 1;
        const STATE_VERSION: u16 = 1;

        fn apply(&mut self, event: &serde_json::Value, _: Timestamp) {
            self.0 = event.clone();
        }

        fn summary(&self) -> Summary {
            Summary::default()
        }
    }

    #[tokio::test]
    async fn what_could_not_be_read_again_is_not_written() {
        let nested = |depth| (1..depth).fold(json!(["[[", "]]"]), |inner, _| json!([inner]));
        let reserved = json!({ "a": { "$serde_json::private::RawValue": "[5]" } });
        for wrong in [nested(MAX_DEPTH), nested(200), reserved] {
            let mut said = journal().await.create::<Said>(stream(1), "t");
            let refused = said.stage(&wrong);
            assert!(
                matches!(refused, Err(store::Error::Unusable(_))),
                "{refused:?}"
            );
            assert_eq!((said.is_staged(), &said.0), (false, &json!(null)));
        }
        let journal = journal().await;
        let text = json!({ "\"$serde_json::private::": "$serde_json::private::RawValue" });
        for good in [nested(MAX_DEPTH - 1), text] {
            let number = good.to_string().len() as u128;
            let mut said = journal.create::<Said>(stream(number), "t");
            said.stage(&json!(1)).unwrap();
            said.stage(&good).unwrap();
            let by = Commit::by("ann".into(), CommandId::from_uuid(Uuid::from_u128(number)));
            said.commit(by).await.unwrap();
            let read = journal.load::<Said>(stream(number)).await.unwrap().unwrap();
            assert_eq!(read.0, good);
        }
    }
}
