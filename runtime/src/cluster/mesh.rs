//! [`Mesh`]: asks and tells other nodes.
//!
//! A link brings [frames](protocol::wire); a `Session` per link keeps what both sides await over it.
//! Requests are handled each in a task of its own; what is told is heard in order, one at a time for
//! each peer and service, and a service that hears slowly slows down its own lane alone.

mod handling;
mod inbox;
mod meters;
mod outgoing;
mod parcel;
mod receiving;
mod session;
#[cfg(test)]
mod tests;
mod trace;
mod tuning;
mod view;
mod window;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use protocol::{id::NodeId, wire::Service};
use tokio::{runtime::Handle, sync::broadcast, time::Instant};

use self::{
    inbox::Inbox,
    receiving::Received,
    session::{Session, Stage},
    window::Tally,
};
use super::{Fault, Handler, Link, MAX_PAYLOAD, Peer};

pub use trace::{current_trace, traced};
pub use tuning::{Limits, Timing, Tuning, Untunable};
pub use view::{PeerState, PeerView};

/// Changes that a watcher may be behind.
const BACKLOG: usize = 256;

/// The longest that anybody waits for an answer: its milliseconds fit an envelope.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// How long it is known when a node that is gone was heard last; longer than any lease.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A change among the nodes that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// It can be reached now. Said again when a new link took the place of a former one: what was on
    /// its way then may be lost.
    Up(Arc<Peer>),
    /// It cannot be reached any more; whether it lives, its lease says.
    Down(NodeId),
}

/// The other nodes, as far as they can be reached from here. Cheap to clone.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

struct Inner {
    me: NodeId,
    tuning: Tuning,
    handlers: DashMap<Service, Handler>,
    sessions: DashMap<LinkKey, Arc<Session>>,
    /// The one session of each peer that counts.
    peers: DashMap<NodeId, Seat>,
    inboxes: DashMap<NodeId, Weak<Inbox>>,
    /// When those that are gone were heard last.
    gone: DashMap<NodeId, Instant>,
    turns: AtomicU64,
    order: Mutex<()>,
    events: broadcast::Sender<PeerEvent>,
}

/// A session, and when it was opened: by the turns of the node with the lesser id, so that
/// both ends prefer the same of two.
struct Seat {
    session: Arc<Session>,
    turn: u64,
}

/// Where a link lies in memory; its session keeps it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LinkKey(usize);

impl LinkKey {
    fn of(link: &Arc<dyn Link>) -> Self {
        Self(Arc::as_ptr(link).cast::<()>().addr())
    }
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mesh({}, {} peers)", self.0.me, self.0.peers.len())
    }
}

impl Mesh {
    /// A mesh without links.
    #[must_use]
    pub fn new(me: NodeId) -> Self {
        Self::unchecked(me, Tuning::default())
    }

    /// A mesh without links that keeps to other numbers.
    ///
    /// # Errors
    ///
    /// When the numbers do not go together.
    pub fn tuned(me: NodeId, tuning: Tuning) -> Result<Self, Untunable> {
        tuning.check()?;
        Ok(Self::unchecked(me, tuning))
    }

    fn unchecked(me: NodeId, tuning: Tuning) -> Self {
        Self(Arc::new(Inner {
            me,
            tuning,
            handlers: DashMap::new(),
            sessions: DashMap::new(),
            peers: DashMap::new(),
            inboxes: DashMap::new(),
            gone: DashMap::new(),
            turns: AtomicU64::new(0),
            order: Mutex::new(()),
            events: broadcast::channel(BACKLOG).0,
        }))
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.0.me
    }

    /// Offers a service to other nodes; a later handler replaces an earlier one.
    pub fn serve(&self, service: Service, handler: Handler) {
        self.0.handlers.insert(service, handler);
    }

    /// Asks another node, and waits no longer than `within`. When the future is dropped, so is the
    /// handler's at the other end.
    ///
    /// # Errors
    ///
    /// Exactly one [`Fault`] when there is no answer.
    pub async fn ask(
        &self,
        to: NodeId,
        service: Service,
        payload: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, Fault> {
        check(&payload)?;
        let until = Instant::now() + within.min(LONGEST);
        let session = self.session(to)?;
        let (id, answer) = session.request(service, payload, until)?;
        let asked = Asked { session, id };
        let answer = tokio::time::timeout_at(until, answer).await;
        drop(asked);
        match answer {
            Ok(answer) => answer.unwrap_or(Err(Fault::Lost(to))),
            Err(_) => Err(Fault::Deadline(to)),
        }
    }

    /// Tells another node something, at most once. It hears what one node tells one service in order.
    ///
    /// # Errors
    ///
    /// When it is certain that it will not arrive.
    pub fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        check(&payload)?;
        self.session(to)?.tell(service, payload)
    }

    fn session(&self, to: NodeId) -> Result<Arc<Session>, Fault> {
        let seat = self.0.peers.get(&to).ok_or(Fault::Unreachable(to))?;
        Ok(seat.session.clone())
    }

    /// Whom this node can reach.
    #[must_use]
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        let peers = self.0.peers.iter();
        peers.map(|seat| seat.session.link.peer().clone()).collect()
    }

    /// How those that this node can reach look from here.
    #[must_use]
    pub fn peers_view(&self) -> Vec<PeerView> {
        let sessions: Vec<_> = self
            .0
            .peers
            .iter()
            .map(|seat| seat.session.clone())
            .collect();
        sessions
            .iter()
            .map(|session| session.view(&self.0))
            .collect()
    }

    /// How long ago another node was heard last; `None` of one that never was, or not lately.
    #[must_use]
    pub fn silent(&self, node: NodeId) -> Option<Duration> {
        let seat = self.0.peers.get(&node);
        let heard = seat.map(|seat| seat.session.lock().heard);
        let heard = heard.or_else(|| self.0.gone.get(&node).map(|heard| *heard))?;
        Some(heard.elapsed())
    }

    /// Changes from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<PeerEvent> {
        self.0.events.subscribe()
    }

    /// A link stands. Its peer is [up](PeerEvent::Up) once it said hello. Called within a tokio runtime.
    pub fn opened(&self, link: Arc<dyn Link>) {
        let Ok(runtime) = Handle::try_current() else {
            link.close("it was opened outside of a runtime");
            return;
        };
        let inner = &self.0;
        let turn = inner.turns.fetch_add(1, Ordering::Relaxed);
        let inbox = inner.inbox(link.peer().node);
        let key = LinkKey::of(&link);
        let session = Arc::new(Session::new(link, turn, runtime.clone(), inbox, inner));
        inner.sessions.insert(key, session.clone());
        session.greet(inner, Stage::Greeting);
        runtime.spawn(session.drive());
    }

    /// A link brought a frame; frames of one link come one after another.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a link is done with a frame, and what is kept of it may change"
    )]
    pub fn received(&self, link: &Arc<dyn Link>, frame: Vec<u8>) {
        let session = self.0.sessions.get(&LinkKey::of(link));
        let Some(session) = session.map(|session| session.clone()) else {
            return;
        };
        match session.receive(&self.0, &frame) {
            Ok(Received::Taken) => {}
            Ok(Received::Opened { turn }) => self.0.seat(session, turn),
            Err(breach) => {
                let peer = session.link.peer();
                tracing::warn!(peer = %peer.name, node = %peer.node, %breach, "link refused");
                session.fail(&breach.to_string());
            }
        }
    }

    /// Bytes of a frame that is not complete came in: a slow link is not a silent one.
    pub fn stirred(&self, link: &Arc<dyn Link>) {
        if let Some(session) = self.0.sessions.get(&LinkKey::of(link)) {
            session.lock().heard = Instant::now();
        }
    }

    /// Closes every link, as when this node stops.
    pub fn leave(&self, reason: &str) {
        let sessions: Vec<_> = self
            .0
            .sessions
            .iter()
            .map(|session| session.clone())
            .collect();
        for session in sessions {
            session.fail(reason);
        }
    }

    /// A link is gone.
    pub fn closed(&self, link: &Arc<dyn Link>, reason: &str) {
        // A node that was killed lived until then; one that fell silent was given up before.
        self.0.end(link, reason, Instant::now());
    }
}

impl Inner {
    fn handler(&self, service: Service) -> Option<Handler> {
        self.handlers.get(&service).map(|handler| handler.clone())
    }

    /// What this node takes on each lane.
    const fn window(&self) -> Tally {
        Tally {
            envelopes: self.tuning.limits.window as usize,
            bytes: self.tuning.limits.window_bytes as usize,
        }
    }

    /// The inbox that still holds what a former link brought, or a new one.
    fn inbox(&self, node: NodeId) -> Arc<Inbox> {
        self.inboxes.retain(|_, inbox| inbox.strong_count() > 0);
        let mut entry = self.inboxes.entry(node).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let inbox = Arc::default();
            *entry = Arc::downgrade(&inbox);
            inbox
        })
    }

    /// A peer said hello over a session; of two to the same peer, the later stays.
    fn seat(&self, session: Arc<Session>, theirs: u64) {
        let peer = session.link.peer().clone();
        let turn = if self.me < peer.node {
            session.turn
        } else {
            theirs
        };
        if let Some(loser) = self.place(peer, Seat { session, turn }) {
            loser.fail("a newer link took its place");
        }
    }

    /// Gives a session its seat unless it is gone; whichever it displaces, or that displaces it.
    fn place(&self, peer: Arc<Peer>, seat: Seat) -> Option<Arc<Session>> {
        let _order = self.order();
        if !self.sessions.contains_key(&LinkKey::of(&seat.session.link)) {
            return None;
        }
        let meters = seat.session.meters.clone();
        let loser = match self.peers.entry(peer.node) {
            Entry::Occupied(former) if former.get().turn > seat.turn => return Some(seat.session),
            Entry::Occupied(mut former) => Some(former.insert(seat).session),
            Entry::Vacant(free) => {
                free.insert(seat);
                None
            }
        };
        meters.up();
        // Nobody may be watching.
        let _ = self.events.send(PeerEvent::Up(peer));
        loser
    }

    /// Held while a peer comes or goes, so that events tell it in the order in which it happened.
    fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, link: &Arc<dyn Link>, reason: &str, heard: Instant) {
        let order = self.order();
        let Some((_, session)) = self.sessions.remove(&LinkKey::of(link)) else {
            return;
        };
        let peer = link.peer();
        let seat = self
            .peers
            .remove_if(&peer.node, |_, seat| Arc::ptr_eq(&seat.session, &session));
        if seat.is_some() {
            tracing::info!(peer = %peer.name, node = %peer.node, reason, "peer is down");
            self.gone.retain(|_, heard| heard.elapsed() < REMEMBERED);
            self.gone.insert(peer.node, heard);
            // Nobody may be watching.
            let _ = self.events.send(PeerEvent::Down(peer.node));
        }
        drop(order);
        session.end();
        if seat.is_some() {
            session.meters.down();
        }
    }
}

/// A request that is awaited: whoever drops it withdraws it.
struct Asked {
    session: Arc<Session>,
    id: u64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.session.withdraw(self.id);
    }
}

fn check(payload: &[u8]) -> Result<(), Fault> {
    if payload.len() > MAX_PAYLOAD {
        return Err(Fault::TooLarge {
            size: payload.len(),
            limit: MAX_PAYLOAD,
        });
    }
    Ok(())
}
