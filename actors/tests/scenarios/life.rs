//! One life of a process over a store that outlives it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::{
    entity::{EntityId, EntityKind},
    epoch::Epoch,
    id::NodeId,
    member::{Member, MemberState},
    record::{ChainHash, Record, Summary},
    shard::Shard,
    time::Timestamp,
};
use runtime::store::{
    Admin, Admissions, Answer, Append, Appended, Census, Chapter, Chronicles, Delivery, End,
    EntryRefusal, Error, EventLog, Founding, IdentityRow, JoinToken, Members, Memory, Outbox,
    Ownership, Refusal, Reminders, Renewal, Scope, Segment, Snapshot, Snapshots, StreamQuery,
    StreamRow, Streams, Survey, TokenRefusal, Views,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::support::within;

/// The store as one process reaches it: nothing comes through after its end.
#[derive(Debug)]
pub(crate) struct Life {
    store: Arc<Memory>,
    over: AtomicBool,
    folds: AtomicBool,
    asked: AtomicUsize,
    refused: AtomicUsize,
    unreadable: Mutex<Option<(EntityKind, usize)>>,
    gate: Mutex<Option<(Asked, EntityId, Arc<Gate>)>>,
}

/// What is asked of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Row,
    Events,
}

/// Keeps one answer, which is out of date when it is let go.
#[derive(Debug)]
pub(crate) struct Gate {
    arrived: Semaphore,
    open: Semaphore,
}

impl Gate {
    /// When the answer is known, and not told.
    pub(crate) async fn is_reached(&self) {
        within(self.arrived.acquire()).await.unwrap().forget();
    }

    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }
}

impl Life {
    pub(crate) fn new(store: Arc<Memory>) -> Self {
        Self {
            store,
            over: AtomicBool::new(false),
            folds: AtomicBool::new(true),
            asked: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            unreadable: Mutex::default(),
            gate: Mutex::default(),
        }
    }

    /// The next answer about this stream waits.
    pub(crate) fn keep(&self, what: Asked, stream: impl Into<EntityId>) -> Arc<Gate> {
        let gate = Arc::new(Gate {
            arrived: Semaphore::new(0),
            open: Semaphore::new(0),
        });
        let mut kept = self.gate.lock().unwrap();
        *kept = Some((what, stream.into(), gate.clone()));
        gate
    }

    fn kept<'a, T: Send + 'a>(
        &'a self,
        what: Asked,
        stream: EntityId,
        answer: Answer<'a, T>,
    ) -> Answer<'a, T> {
        let mut kept = self.gate.lock().unwrap();
        let meant = kept.take_if(|(of, on, _)| *of == what && *on == stream);
        let Some((_, _, gate)) = meant else {
            return answer;
        };
        Box::pin(async move {
            let answer = answer.await;
            gate.pass().await;
            answer
        })
    }

    /// Dies: what is under way is not written, what is written is not told.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// It was only away.
    pub(crate) fn back(&self) {
        self.over.store(false, Ordering::SeqCst);
    }

    /// Views stay as they are.
    pub(crate) fn fold_no_more(&self) {
        self.folds.store(false, Ordering::SeqCst);
    }

    /// So many times the row of one of this kind cannot be looked up.
    pub(crate) fn lose_rows(&self, kind: EntityKind, times: usize) {
        *self.unreadable.lock().unwrap() = Some((kind, times));
    }

    /// How many of these times are left.
    pub(crate) fn rows_to_lose(&self) -> usize {
        let unreadable = self.unreadable.lock().unwrap();
        unreadable.map_or(0, |(_, times)| times)
    }

    fn loses_row(&self, kind: EntityKind) -> bool {
        let mut unreadable = self.unreadable.lock().unwrap();
        match &mut *unreadable {
            Some((lost, times)) if *lost == kind && *times > 0 => {
                *times -= 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// How often one stream was read, or its row looked up.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How many commits were refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
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
        Box::pin(async move {
            let answers = self.ask(|| self.store.append(batch)).await?;
            let refused = answers.iter().filter(|answer| answer.is_err()).count();
            self.refused.fetch_add(refused, Ordering::SeqCst);
            Ok(answers)
        })
    }
    fn read(&self, stream: EntityId, after: u64, limit: u32) -> Answer<'_, Vec<Record>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.ask(|| self.store.read(stream, after, limit));
        self.kept(Asked::Events, stream, answer)
    }
    fn journal(&self, after: i64, limit: u32) -> Answer<'_, Vec<(i64, Record)>> {
        self.ask(|| self.store.journal(after, limit))
    }
    fn end(&self) -> Answer<'_, End> {
        self.ask(|| self.store.end())
    }
}

impl Streams for Life {
    fn stream(&self, stream: EntityId) -> Answer<'_, Option<StreamRow>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.loses_row(stream.kind()) {
            let error = Error::Unavailable("the row cannot be read now".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
        let answer = self.ask(|| self.store.stream(stream));
        self.kept(Asked::Row, stream, answer)
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
    fn open<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<EntityId>> {
        self.ask(|| self.store.open(kind, scope, after, limit))
    }
    fn parked<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<StreamRow>> {
        self.ask(|| self.store.parked(kind, scope, after, limit))
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

impl Members for Life {
    fn found(&self, wanted: Founding) -> Answer<'_, Founding> {
        self.ask(|| self.store.found(wanted))
    }
    fn enter<'a>(
        &'a self,
        member: &'a Member,
        ttl: Duration,
        former: Option<NodeId>,
    ) -> Answer<'a, Result<(), EntryRefusal>> {
        self.ask(|| self.store.enter(member, ttl, former))
    }
    fn renew<'a>(&'a self, renewals: &'a [Renewal], ttl: Duration) -> Answer<'a, Vec<NodeId>> {
        self.ask(|| self.store.renew(renewals, ttl))
    }
    fn set_state(&self, node: NodeId, state: MemberState) -> Answer<'_, ()> {
        self.ask(|| self.store.set_state(node, state))
    }
    fn survey(&self) -> Answer<'_, Survey> {
        self.ask(|| self.store.survey())
    }
    fn take<'a>(
        &'a self,
        taker: NodeId,
        shards: &'a [Shard],
    ) -> Answer<'a, Option<(Epoch, Vec<Shard>)>> {
        self.ask(|| self.store.take(taker, shards))
    }
    fn give_back<'a>(&'a self, owner: NodeId, shards: &'a [(Shard, Epoch)]) -> Answer<'a, ()> {
        self.ask(|| self.store.give_back(owner, shards))
    }
    fn prune(&self, older: Duration) -> Answer<'_, u64> {
        self.ask(|| self.store.prune(older))
    }
}

impl Admissions for Life {
    fn add_token<'a>(&'a self, token: &'a JoinToken) -> Answer<'a, ()> {
        self.ask(|| self.store.add_token(token))
    }
    fn tokens(&self) -> Answer<'_, Vec<JoinToken>> {
        self.ask(|| self.store.tokens())
    }
    fn revoke_token(&self, id: Uuid) -> Answer<'_, bool> {
        self.ask(|| self.store.revoke_token(id))
    }
    fn admit<'a>(
        &'a self,
        identity: &'a IdentityRow,
        token: Option<ChainHash>,
    ) -> Answer<'a, Result<(), TokenRefusal>> {
        self.ask(|| self.store.admit(identity, token))
    }
    fn identity(&self, id: Uuid) -> Answer<'_, Option<IdentityRow>> {
        self.ask(|| self.store.identity(id))
    }
    fn revoked(&self) -> Answer<'_, Vec<Uuid>> {
        self.ask(|| self.store.revoked())
    }

    fn revoke_identities<'a>(&'a self, name: &'a str) -> Answer<'a, u64> {
        self.ask(|| self.store.revoke_identities(name))
    }
}

impl Reminders for Life {
    fn due<'a>(
        &'a self,
        scope: &'a Scope,
        now: Timestamp,
        limit: u32,
    ) -> Answer<'a, Vec<(EntityId, String, Timestamp)>> {
        self.ask(|| self.store.due(scope, now, limit))
    }
    fn next_due<'a>(&'a self, scope: &'a Scope) -> Answer<'a, Option<Timestamp>> {
        self.ask(|| self.store.next_due(scope))
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

impl Chronicles for Life {
    fn inscribe<'a>(&'a self, segment: &'a Segment) -> Answer<'a, ()> {
        self.ask(|| self.store.inscribe(segment))
    }
    fn chapters(&self, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Chapter>> {
        self.ask(|| self.store.chapters(from, to))
    }
    fn last_chapter(&self, node: NodeId) -> Answer<'_, Option<Chapter>> {
        self.ask(|| self.store.last_chapter(node))
    }
    fn segments(&self, node: NodeId, chapter: u64, until: Timestamp) -> Answer<'_, Vec<Segment>> {
        self.ask(|| self.store.segments(node, chapter, until))
    }
    fn segments_back(
        &self,
        chapter: (NodeId, u64),
        before: u64,
        until: Timestamp,
        most: u16,
    ) -> Answer<'_, Vec<Segment>> {
        self.ask(|| self.store.segments_back(chapter, before, until, most))
    }
    fn forgotten(&self) -> Answer<'_, Option<Timestamp>> {
        self.ask(|| self.store.forgotten())
    }
    fn forget<'a>(&'a self, chapters: &'a [(NodeId, u64)]) -> Answer<'a, ()> {
        self.ask(|| self.store.forget(chapters))
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
        if !self.folds.load(Ordering::SeqCst) {
            let error = Error::Unavailable("views cannot be written".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
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
