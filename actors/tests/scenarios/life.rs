//! One life of a process over a store that outlives it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use protocol::{
    entity::{EntityId, EntityKind},
    epoch::Epoch,
    id::NodeId,
    record::{ChainHash, Record, Summary},
    time::Timestamp,
};
use runtime::store::{
    Admin, Answer, Append, Appended, Census, Delivery, Error, EventLog, Memory, Outbox, Ownership,
    Refusal, Reminders, Snapshot, Snapshots, StreamQuery, StreamRow, Streams, Views,
};
use uuid::Uuid;

/// The store as one process reaches it: nothing comes through after its end.
#[derive(Debug)]
pub(crate) struct Life {
    store: Arc<Memory>,
    over: AtomicBool,
    asked: AtomicUsize,
}

impl Life {
    pub(crate) fn new(store: Arc<Memory>) -> Self {
        Self {
            store,
            over: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        }
    }

    /// Dies: what is under way is not written, what is written is not told.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// It was only away.
    pub(crate) fn back(&self) {
        self.over.store(false, Ordering::SeqCst);
    }

    /// How often one stream was read, or its row looked up.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn ask<'a, T: Send + 'a>(&self, ask: impl FnOnce() -> Answer<'a, T>) -> Answer<'a, T> {
        if self.over.load(Ordering::SeqCst) {
            let error = Error::Unavailable("the process is dead".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
        ask()
    }
}

impl EventLog for Life {
    fn append<'a>(&'a self, batch: &'a [Append]) -> Answer<'a, Vec<Result<Appended, Refusal>>> {
        self.ask(|| self.store.append(batch))
    }
    fn read(&self, stream: EntityId, after: u64, limit: u32) -> Answer<'_, Vec<Record>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.ask(|| self.store.read(stream, after, limit))
    }
    fn journal(&self, after: i64, limit: u32) -> Answer<'_, Vec<(i64, Record)>> {
        self.ask(|| self.store.journal(after, limit))
    }
}

impl Streams for Life {
    fn stream(&self, stream: EntityId) -> Answer<'_, Option<StreamRow>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.ask(|| self.store.stream(stream))
    }
    fn made_by<'a>(
        &'a self,
        tenant: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<(EntityId, ChainHash)>> {
        self.ask(|| self.store.made_by(tenant, key))
    }
    fn list<'a>(&'a self, query: &'a StreamQuery) -> Answer<'a, Vec<StreamRow>> {
        self.ask(|| self.store.list(query))
    }
    fn count<'a>(&'a self, tenant: &'a str, kind: EntityKind) -> Answer<'a, Vec<(String, u64)>> {
        self.ask(|| self.store.count(tenant, kind))
    }
    fn open(
        &self,
        kind: EntityKind,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'_, Vec<EntityId>> {
        self.ask(|| self.store.open(kind, after, limit))
    }
    fn park<'a>(&'a self, stream: EntityId, reason: Option<&'a str>) -> Answer<'a, ()> {
        self.ask(|| self.store.park(stream, reason))
    }
    fn reindex<'a>(&'a self, stream: EntityId, summary: &'a Summary) -> Answer<'a, ()> {
        self.ask(|| self.store.reindex(stream, summary))
    }
}

impl Snapshots for Life {
    fn snapshot(&self, stream: EntityId) -> Answer<'_, Option<Snapshot>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.ask(|| self.store.snapshot(stream))
    }
    fn save<'a>(&'a self, snapshot: &'a Snapshot) -> Answer<'a, ()> {
        self.ask(|| self.store.save(snapshot))
    }
}

impl Ownership for Life {
    fn begin<'a>(&'a self, node: NodeId, name: &'a str) -> Answer<'a, Epoch> {
        self.ask(|| self.store.begin(node, name))
    }
    fn claim<'a>(
        &'a self,
        streams: &'a [EntityId],
        epoch: Epoch,
        owner: NodeId,
    ) -> Answer<'a, Vec<EntityId>> {
        self.ask(|| self.store.claim(streams, epoch, owner))
    }
}

impl Reminders for Life {
    fn due(&self, now: Timestamp, limit: u32) -> Answer<'_, Vec<(EntityId, String, Timestamp)>> {
        self.ask(|| self.store.due(now, limit))
    }
    fn next_due(&self) -> Answer<'_, Option<Timestamp>> {
        self.ask(|| self.store.next_due())
    }
    fn delivered<'a>(&'a self, stream: EntityId, name: &'a str, due: Timestamp) -> Answer<'a, ()> {
        self.ask(|| self.store.delivered(stream, name, due))
    }
}

impl Outbox for Life {
    fn claim_due(&self, now: Timestamp, until: Timestamp, limit: u32) -> Answer<'_, Vec<Delivery>> {
        self.ask(|| self.store.claim_due(now, until, limit))
    }
    fn settle(&self, id: Uuid) -> Answer<'_, ()> {
        self.ask(|| self.store.settle(id))
    }
    fn postpone(&self, id: Uuid, due: Timestamp) -> Answer<'_, ()> {
        self.ask(|| self.store.postpone(id, due))
    }
}

impl Views for Life {
    fn row<'a>(&'a self, view: &'a str, key: &'a str) -> Answer<'a, Option<String>> {
        self.ask(|| self.store.row(view, key))
    }
    fn rows<'a>(&'a self, view: &'a str) -> Answer<'a, Vec<(String, String)>> {
        self.ask(|| self.store.rows(view))
    }
    fn cursor<'a>(&'a self, view: &'a str) -> Answer<'a, i64> {
        self.ask(|| self.store.cursor(view))
    }
    fn fold<'a>(
        &'a self,
        view: &'a str,
        rows: &'a [(String, String)],
        cursor: i64,
    ) -> Answer<'a, ()> {
        self.ask(|| self.store.fold(view, rows, cursor))
    }
    fn clear<'a>(&'a self, view: &'a str) -> Answer<'a, ()> {
        self.ask(|| self.store.clear(view))
    }
}

impl Admin for Life {
    fn census(&self) -> Answer<'_, Census> {
        self.ask(|| self.store.census())
    }
    fn probe(&self) -> Answer<'_, ()> {
        self.ask(|| self.store.probe())
    }
    fn engine(&self) -> &'static str {
        self.store.engine()
    }
    fn close(&self) -> Answer<'_, ()> {
        self.end();
        Box::pin(std::future::ready(Ok(())))
    }
}
