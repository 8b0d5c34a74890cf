//! What becomes of the tree, as it happens, from every node.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt, future::ready, stream};
use protocol::{
    access::{Caller, Role},
    api::{Life, LifeEvent, LifeQuery, TreeDelta},
    entity::meant_by,
    id::NodeId,
    member::MemberState,
    time::Timestamp,
};
use runtime::supervision::{Changes, Tree};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::super::{
    Answer, Orchestrator,
    cases::{
        KnowsNode, KnowsPath, NodeEnd, RelayNews, TOLD_WITHIN, TellNews, Wanted, at_least, is_path,
    },
};
use crate::{
    Rejection,
    orchestrator::{
        members,
        tree::{Heard, LifeFilter, LifeFrame, News, Position, Told, deltas, lives},
    },
};

/// What becomes of something, until its reader goes.
pub type Feed<T> = Pin<Box<dyn Stream<Item = Told<T>> + Send>>;

/// How often it is looked in the past of a node that is gone whether its end is written.
const LOOKS: u32 = 4;

/// How often it is looked which nodes there are.
const LOOK: Duration = Duration::from_millis(500);

/// How long a node waits for news before it says that there is none.
const WAIT: Duration = Duration::from_secs(1);

/// The shortest time between two questions to one node.
const PACE: Duration = Duration::from_millis(200);

/// The pause after a node did not answer; after so many it is silent.
const RETRY: Duration = Duration::from_millis(400);
const FAILURES: u32 = 2;

/// What a slow reader may be behind before nodes are asked no more.
const ROOM: usize = 16;

/// After so long, what happened is in the store.
const WRITTEN: Duration = Duration::from_millis(1_500);

/// How long the log of changes outlives the last question, and how exactly that is known.
const KEPT: Duration = Duration::from_secs(10);
const EACH: Duration = Duration::from_secs(1);

/// How often who is told nothing hears at least how far it is: a cursor that is hours old is worth
/// nothing when the reader comes back.
const MARK: Duration = Duration::from_secs(5);

/// Keeps the log of a tree's changes while somebody on another node follows it: each question is a
/// reader of its own, and the log is given up with the last one.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Followed(Arc<Mutex<VecDeque<Kept>>>);

/// What was asked about since a moment: readers who stay where those are that asked.
#[derive(Debug)]
struct Kept {
    since: Instant,
    cursor: u64,
    _reader: Changes,
}

impl Followed {
    /// Whoever was told up to this cursor will ask what came after it.
    pub(in super::super) fn keep(&self, tree: &Tree, cursor: u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = kept.is_empty();
        let now = Instant::now();
        kept.retain(|it| now - it.since < KEPT);
        match kept.back_mut() {
            Some(last) if now - last.since < EACH && last.cursor <= cursor => {}
            Some(_) | None => kept.push_back(Kept {
                since: now,
                cursor,
                _reader: tree.changes_since(cursor),
            }),
        }
        drop(kept);
        if !was_empty {
            return;
        }
        let followed = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                sleep(KEPT).await;
                let Some(followed) = followed.upgrade() else {
                    return;
                };
                let mut kept = followed.lock().unwrap_or_else(PoisonError::into_inner);
                kept.retain(|it| it.since.elapsed() < KEPT);
                if kept.is_empty() {
                    return;
                }
            }
        });
    }
}

impl Orchestrator {
    /// The tree of all nodes from `path` down and what becomes of it, after a cursor that a frame
    /// brought, or from scratch.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role viewer, `Invalid` when it is no path or no frame brought the cursor,
    /// `NotFound` from scratch where nothing stands, and nothing stood as far as is kept.
    pub async fn follow_tree(
        &self,
        caller: &Caller,
        path: Option<&str>,
        cursor: Option<&str>,
    ) -> Answer<Feed<TreeDelta>> {
        at_least(caller, Role::Viewer)?;
        is_path(path)?;
        let path = meant_by(path.unwrap_or("/"), &caller.tenant);
        if cursor.is_none() && path != "/" {
            let case = KnowsPath { path: path.clone() };
            // Where that cannot be told now, something may stand.
            if let Ok(false) = self.carry_out(caller, case).await {
                return Err(Rejection::not_found(path));
            }
        }
        self.follow(caller, &path, Wanted::Rows, cursor, deltas)
    }

    /// What becomes of actors from now on, or after a cursor; with a moment or a number in the query,
    /// what is kept of it comes first, and has no cursor. What is not known is told as a gap.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role viewer, `Invalid` for a pattern, a kind or a cursor that is none.
    pub async fn follow_life(
        &self,
        caller: &Caller,
        query: &LifeQuery,
        cursor: Option<&str>,
    ) -> Answer<Feed<LifeFrame>> {
        at_least(caller, Role::Viewer)?;
        let path = query.path.as_deref();
        let path = path.map(|path| meant_by(path, &caller.tenant));
        let filter = LifeFilter::new(path.as_deref(), query.kind.as_deref())?;
        let mut last = Instant::now();
        let told = move |heard, position: &mut Position| {
            let mut told = lives(heard, position);
            told.retain(|told| match &told.what {
                LifeFrame::Turn(event) => filter.admits(event),
                LifeFrame::Gap(_) | LifeFrame::Mark => true,
            });
            if told.is_empty() && last.elapsed() >= MARK {
                let cursor = position.to_string();
                let what = LifeFrame::Mark;
                told.push(Told { cursor, what });
            }
            if !told.is_empty() {
                last = Instant::now();
            }
            told
        };
        let live = self.follow(caller, "/", Wanted::Life, cursor, told)?;
        if cursor.is_some() || (query.from.is_none() && query.limit.is_none()) {
            return Ok(live);
        }
        let kept = self.life(caller, query).await?.items;
        let mut seen: HashSet<_> = kept.iter().map(key).collect();
        let (at, caller, query) = (self.clone(), caller.clone(), query.clone());
        let rest = async move {
            // What happened just before this node listened is on its way to the store.
            sleep(WRITTEN).await;
            let kept = at.life(&caller, &query).await;
            let kept = kept.map_or_else(|_| Vec::new(), |page| page.items);
            let kept: Vec<_> = kept.into_iter().filter(|it| seen.insert(key(it))).collect();
            let live = live.filter(move |told| {
                ready(match &told.what {
                    LifeFrame::Turn(event) => !seen.contains(&key(event)),
                    LifeFrame::Gap(_) | LifeFrame::Mark => true,
                })
            });
            stream::iter(kept.into_iter().map(uncounted)).chain(live)
        };
        let kept = stream::iter(kept.into_iter().map(uncounted));
        Ok(Box::pin(kept.chain(stream::once(rest).flatten())))
    }

    fn follow<T: Send + 'static>(
        &self,
        caller: &Caller,
        path: &str,
        wanted: Wanted,
        cursor: Option<&str>,
        tell: impl FnMut(Heard, &mut Position) -> Vec<Told<T>> + Send + 'static,
    ) -> Answer<Feed<T>> {
        let position = match cursor {
            Some(cursor) => Position::read(cursor).ok_or_else(|| {
                let message = "is not the `id` of an event of this stream; send the last one that came, or leave it out to begin anew";
                Rejection::field("cursor", message)
            })?,
            None => Position::default(),
        };
        let (heard, hears) = mpsc::channel(ROOM);
        let ear = Ear {
            at: self.clone(),
            caller: caller.clone(),
            path: path.to_owned(),
            wanted,
            heard,
        };
        let listening = tokio::spawn(ear.attend(position.clone()));
        let reader = Reader {
            hears,
            position,
            tell,
            ready: VecDeque::new(),
            _listening: AbortOnDropHandle::new(listening),
        };
        Ok(Box::pin(stream::unfold(reader, Reader::next)))
    }

    /// How a node ended that is a member no more, where its past does not tell.
    fn farewell(&self, name: &str) -> LifeEvent {
        let roster = self.0.roll.as_ref().map(|roll| roll.membership.roster());
        let row = roster.as_ref().and_then(|it| members::named(it, name).ok());
        let (what, reason) = match row.map(|row| row.state) {
            Some(MemberState::Left) => (Life::Stopped, "the node stopped"),
            Some(MemberState::Removed) => (Life::NodeLost, "the node was removed"),
            Some(MemberState::Up | MemberState::Draining) | None => {
                (Life::NodeLost, "the node is not heard of any more")
            }
        };
        LifeEvent {
            at: self.0.tree.clock().now(),
            node: name.to_owned(),
            path: "/".to_owned(),
            kind: "node".to_owned(),
            what,
            reason: Some(reason.to_owned()),
            restored_from: None,
        }
    }

    /// Asks a node for news, by way of one with the store where there is no link.
    async fn news(&self, caller: &Caller, case: TellNews) -> Answer<News> {
        let node = case.node;
        let is_near = node == self.0.id
            || self.0.own.is_some()
            || self.0.member.as_ref().is_some_and(|member| {
                let peers = member.peers.peers();
                peers.iter().any(|peer| peer.node == node)
            });
        if is_near {
            let until = Instant::now() + case.wait + TOLD_WITHIN;
            self.ask_once(caller, node, case, until).await
        } else {
            self.carry_out(caller, RelayNews { case }).await
        }
    }
}

/// What tells one turn from another.
fn key(event: &LifeEvent) -> (Timestamp, String, String, Life) {
    let LifeEvent {
        at,
        node,
        path,
        what,
        ..
    } = event;
    (*at, node.clone(), path.clone(), *what)
}

/// Who breaks off here begins anew.
const fn uncounted(event: LifeEvent) -> Told<LifeFrame> {
    Told {
        cursor: String::new(),
        what: LifeFrame::Turn(event),
    }
}

/// Who reads what was heard.
struct Reader<T, F> {
    hears: mpsc::Receiver<Heard>,
    position: Position,
    tell: F,
    ready: VecDeque<Told<T>>,
    _listening: AbortOnDropHandle<()>,
}

impl<T, F: FnMut(Heard, &mut Position) -> Vec<Told<T>>> Reader<T, F> {
    async fn next(mut self) -> Option<(Told<T>, Self)> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Some((told, self));
            }
            let heard = self.hears.recv().await?;
            self.ready = (self.tell)(heard, &mut self.position).into();
        }
    }
}

/// Listens to all nodes.
#[derive(Clone)]
struct Ear {
    at: Orchestrator,
    caller: Caller,
    path: String,
    wanted: Wanted,
    heard: mpsc::Sender<Heard>,
}

impl Ear {
    /// Listens to each node as long as it is there.
    async fn attend(self, mut position: Position) {
        let mut listeners = BTreeMap::<String, (NodeId, AbortOnDropHandle<()>)>::new();
        // Of these the reader knows rows from before.
        let mut known: HashSet<String> = position.heard_of().map(str::to_owned).collect();
        loop {
            let company = self.at.company();
            listeners.retain(|name, (node, _)| company.get(name) == Some(node));
            let left: Vec<String> = known
                .iter()
                .filter(|name| !company.contains_key(*name))
                .cloned()
                .collect();
            for (name, node) in company {
                if listeners.contains_key(&name) {
                    continue;
                }
                // Another start of a node is told from scratch.
                let after = position.after(&name);
                position.forget(&name);
                let listener = self.clone().listen(name.clone(), node, after);
                let listener = AbortOnDropHandle::new(tokio::spawn(listener));
                known.insert(name.clone());
                listeners.insert(name, (node, listener));
            }
            for name in left {
                known.remove(&name);
                let heard = match self.was_node(&name).await {
                    true => Heard::Left(name.clone(), self.end_of(&name).await),
                    false => Heard::Nobody(name),
                };
                if self.heard.send(heard).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = self.heard.closed() => return,
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Whether a name is that of a node that was there; one that nobody can ask counts.
    async fn was_node(&self, name: &str) -> bool {
        if self.at.meant(Some(name)).is_ok() {
            return true;
        }
        let name = name.to_owned();
        let known = self.at.carry_out(&self.caller, KnowsNode { name }).await;
        !matches!(known, Ok(false))
    }

    /// How a node ended, as its past tells it: whoever writes that finds it out at the same time.
    async fn end_of(&self, name: &str) -> LifeEvent {
        // Who follows rows is not told how.
        let looks = match self.wanted {
            Wanted::Rows => 0,
            Wanted::Life => LOOKS,
        };
        for look in 0..looks {
            if look > 0 {
                sleep(LOOK).await;
            }
            let name = name.to_owned();
            match self.at.carry_out(&self.caller, NodeEnd { name }).await {
                Ok(Some(end)) => return end,
                Ok(None) => {}
                // Other nodes are not kept waiting for a store that does not answer.
                Err(_) => break,
            }
        }
        self.at.farewell(name)
    }

    /// Asks one node again and again.
    async fn listen(self, name: String, node: NodeId, mut after: Option<u64>) {
        let mut failures = 0;
        loop {
            let next = Instant::now() + PACE;
            let case = TellNews {
                node,
                after,
                path: self.path.clone(),
                wanted: self.wanted,
                wait: WAIT,
            };
            let heard = match self.at.news(&self.caller, case).await {
                Ok(news) => {
                    failures = 0;
                    after = Some(news.cursor);
                    Some(Heard::News(name.clone(), news))
                }
                Err(error) => {
                    tracing::debug!(node = name, %error, "nothing is heard of it");
                    failures += 1;
                    sleep(RETRY).await;
                    (failures == FAILURES).then(|| {
                        after = match self.wanted {
                            Wanted::Rows => None,
                            Wanted::Life => after,
                        };
                        Heard::Silent(name.clone())
                    })
                }
            };
            if let Some(heard) = heard
                && self.heard.send(heard).await.is_err()
            {
                return;
            }
            sleep_until(next).await;
        }
    }
}
