//! One node: its clock, its lease, the shards it owns; driven as `membership` and `placement` drive.

mod lease;
mod placer;
mod reminders;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use protocol::{
    entity::EntityId,
    id::NodeId,
    member::{Member, Roles},
    shard::Shard,
    time::Timestamp,
};
use runtime::{
    clock::TestClock,
    membership::{Fence, Roster},
    placement::Holdings,
    store::Scope,
};
use uuid::Uuid;

use crate::{
    chance::Chance,
    host::Hosted,
    link::{End, Message},
    owner::Entity,
    store::{Answer, Ask, START, Told},
    world::{Event, World},
};

/// Few, so that entities share them.
pub(crate) const SHARDS: u16 = 8;

const TICK: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(500);
const REMIND: Duration = Duration::from_millis(500);

/// How long entities may take to finish what they do when they have to leave.
const POLITE: Duration = Duration::from_secs(2);

/// How far a node's wall clock may be off; its speed is off by up to a fifth.
pub(crate) const WALL_ERROR: u64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    Up,
    /// Since when.
    Paused(u64),
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Member,
    Fenced,
}

/// What lies in one of a node's mailboxes.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    Look,
    Tick,
    Remind,
    Answered(Rc<Ask>, Told),
    /// Asks again what could not be asked.
    Again(Rc<Ask>),
    /// Entities had long enough to leave.
    Hurry(u64),
    /// An entity's timer, or what it tries again to get across.
    Wake(EntityId, u64),
    Nag(EntityId, u64),
    /// An append is repeated.
    Repeat(Rc<Ask>),
    /// An entity comes back after a failure.
    Revive(EntityId),
    /// The tool of an attempt does what it is for, or is done.
    Takes(String),
    Ends(String),
    /// A result is told again.
    Report(String),
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what is under way, as membership and placer keep it"
)]
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) index: usize,
    member: Member,
    former: Option<NodeId>,
    pub(crate) power: Power,
    pub(crate) held: Vec<Event>,
    hands: TestClock,
    /// How fast its clock runs.
    pub(crate) rate: f64,
    offset: i64,
    synced: u64,
    pub(crate) fence: Fence,
    pub(crate) holdings: Holdings,
    standing: Standing,
    stood: Standing,
    /// Since when the store was heard of without a gap, and when last.
    steady: Option<(Duration, Duration)>,
    renewing: bool,
    surveying: bool,
    again: bool,
    sent: Option<Duration>,
    pub(crate) roster: Roster,
    taking: bool,
    leaving: BTreeSet<Shard>,
    /// Waits for entities to leave: which shards, and which wait it is.
    departing: Option<(Vec<Shard>, u64)>,
    pub(crate) entities: BTreeMap<EntityId, Entity>,
    pub(crate) failures: BTreeMap<EntityId, u32>,
    pub(crate) hosted: BTreeMap<String, Hosted>,
    /// Attempts that never begin here any more.
    pub(crate) closed: BTreeSet<String>,
    /// When it might act again after it was fenced, by its wall clock.
    pub(crate) anew: Option<Timestamp>,
}

impl Node {
    pub(crate) fn new(index: usize, chance: &mut Chance) -> Self {
        let hands = TestClock::at(Timestamp::from_micros(START));
        let fence = Fence::closed(hands.clock());
        let error = i64::try_from(chance.between(0, 2 * WALL_ERROR)).unwrap();
        Self {
            index,
            member: Member {
                node: NodeId::from_uuid(Uuid::nil()),
                name: format!("n{index}"),
                roles: Roles::all(),
                mesh: None,
                edge: None,
                region: String::new(),
                version: "1".to_owned(),
                protocol: 1,
                started_at: Timestamp::default(),
                admin: None,
            },
            former: None,
            power: Power::Down,
            held: Vec::new(),
            hands,
            rate: 0.8 + 0.45 * chance.unit(),
            offset: error - i64::try_from(WALL_ERROR).unwrap(),
            synced: 0,
            holdings: Holdings::none(SHARDS, fence.clone()),
            fence,
            standing: Standing::Fenced,
            stood: Standing::Fenced,
            steady: None,
            renewing: false,
            surveying: false,
            again: false,
            sent: None,
            roster: Roster::empty(SHARDS),
            taking: false,
            leaving: BTreeSet::new(),
            departing: None,
            entities: BTreeMap::new(),
            failures: BTreeMap::new(),
            hosted: BTreeMap::new(),
            closed: BTreeSet::new(),
            anew: None,
        }
    }

    pub(crate) const fn id(&self) -> NodeId {
        self.member.node
    }

    /// Moves its clocks to where they are when the world's is at `now`.
    pub(crate) fn pass(&mut self, now: u64) {
        let span = Duration::from_micros(now - self.synced).mul_f64(self.rate);
        self.synced = now;
        self.hands.advance(span);
        let true_now = START + i64::try_from(now).unwrap();
        self.hands
            .set_wall(Timestamp::from_micros(true_now + self.offset));
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.hands.clock().now()
    }

    fn boot(&self) -> Duration {
        self.hands.clock().boot()
    }

    /// Whether a fault would meet anything here.
    pub(crate) fn is_busy(&self) -> bool {
        !self.entities.is_empty() || !self.hosted.is_empty()
    }

    /// The process ends; what it had in memory is gone.
    pub(crate) fn die(&mut self) {
        self.power = Power::Down;
        self.held.clear();
        self.entities.clear();
        self.failures.clear();
        self.hosted.clear();
        self.closed.clear();
        self.anew = None;
    }

    fn is_steady(&self, ttl: Duration) -> bool {
        self.steady
            .is_some_and(|(since, _)| self.boot().saturating_sub(since) >= ttl)
    }

    pub(crate) fn scope(&self, shards: &[Shard]) -> Scope {
        Scope::Shards {
            count: SHARDS,
            shards: shards.iter().copied().collect(),
        }
    }

    /// Which node of the world a member is, going by its name.
    pub(crate) fn place_of(&self, node: NodeId) -> Option<usize> {
        self.roster.member(node)?.member.name[1..].parse().ok()
    }

    /// Who owns a stream as far as this node knows.
    pub(crate) fn owner_of(&self, stream: EntityId) -> Option<(usize, NodeId)> {
        let (owner, _) = self.roster.owner(stream)?;
        Some((self.place_of(owner)?, owner))
    }
}

impl World {
    /// A node's process starts, as a stranger that has nothing but the name.
    pub(crate) fn start(&mut self, index: usize) {
        let id = NodeId::from_uuid(self.chance.uuid());
        // The lock on its directory proves that the process before it is gone, where there is one.
        let proved = self.chance.percent(50);
        let now = self.now;
        let node = &mut self.nodes[index];
        let former = (node.id().uuid() != Uuid::nil()).then_some(node.id());
        node.former = former.filter(|_| proved);
        node.member.node = id;
        node.power = Power::Up;
        node.fence = Fence::closed(node.hands.clock());
        node.holdings = Holdings::none(SHARDS, node.fence.clone());
        (node.standing, node.stood) = (Standing::Fenced, Standing::Fenced);
        (node.steady, node.sent) = (None, None);
        (node.renewing, node.surveying, node.again) = (false, false, false);
        (node.taking, node.departing) = (false, None);
        node.leaving.clear();
        node.roster = Roster::empty(SHARDS);
        node.pass(now);
        self.trace(format_args!("node {index} is {id}"));
        self.enter(index);
        self.after(index, Duration::ZERO, Notice::Look);
        self.after(index, Duration::ZERO, Notice::Tick);
        self.after(index, REMIND, Notice::Remind);
    }

    pub(crate) fn handle(&mut self, n: usize, notice: Notice) {
        match notice {
            Notice::Look => {
                self.look(n);
                self.after(n, self.timing.look, Notice::Look);
            }
            Notice::Tick => {
                self.place(n);
                self.after(n, TICK, Notice::Tick);
            }
            Notice::Remind => self.remind(n),
            Notice::Answered(ask, answer) => self.answered(n, &ask, &answer),
            Notice::Again(ask) => self.ask(n, (*ask).clone()),
            Notice::Hurry(wait) => self.hurry(n, wait),
            Notice::Wake(stream, life) => self.timer(n, stream, life),
            Notice::Nag(stream, life) => self.nag(n, stream, life),
            Notice::Repeat(ask) => self.repeat(n, &ask),
            Notice::Revive(stream) => self.activate(n, stream),
            Notice::Takes(token) => self.takes_effect(n, &token),
            Notice::Ends(token) => self.attempt_over(n, &token),
            Notice::Report(token) => self.report(n, &token),
        }
    }

    fn answered(&mut self, n: usize, ask: &Rc<Ask>, answer: &Told) {
        match &**ask {
            Ask::Renew { sent } | Ask::Enter { sent, .. } => self.renewed(n, *sent, answer),
            Ask::Survey => self.surveyed(n, answer),
            Ask::Take(_) => match answer.as_deref() {
                Ok(Answer::Taken(taken)) => self.taken(n, taken.as_ref()),
                Ok(_) | Err(_) => {
                    self.nodes[n].taking = false;
                    self.survey(n);
                }
            },
            Ask::GiveBack(_) if answer.is_ok() => {
                self.nodes[n].leaving.clear();
                self.survey(n);
            }
            Ask::GiveBack(_) => self.after(n, PAUSE, Notice::Again(ask.clone())),
            Ask::Open(scope) => self.opened(n, scope, answer),
            Ask::Claim {
                stream,
                life,
                epoch,
            } => self.claimed(n, *stream, *life, *epoch, answer),
            Ask::Load { stream, life, .. } => self.read(n, *stream, *life, answer),
            Ask::Append { .. } => self.appended(n, ask, answer),
            Ask::Due(..) => self.due(n, answer),
            Ask::Delivered { stream, name, due } => self.forgotten(n, *stream, name, *due),
        }
    }

    pub(crate) fn send_to_owner(&mut self, n: usize, stream: EntityId, message: Message) {
        if let Some((place, owner)) = self.nodes[n].owner_of(stream) {
            self.send(End::Node(n), End::Node(place), Some(owner), message);
        }
    }
}
