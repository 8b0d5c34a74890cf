//! One node: its clock, its lease, the shards it owns; driven as `membership` and `placement` drive.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use protocol::{
    entity::EntityId,
    epoch::Epoch,
    id::NodeId,
    member::{Member, Roles},
    shard::Shard,
    time::Timestamp,
};
use runtime::{
    clock::TestClock,
    membership::{Fence, Roster},
    placement::{
        Holdings,
        plan::{Takeover, plan},
    },
    store::{Scope, Survey},
};
use uuid::Uuid;

use crate::{
    bug::Bug,
    chance::Chance,
    host::Hosted,
    link::{End, Message},
    owner::Entity,
    store::{Answer, Ask, Away, START},
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
    Answered(Rc<Ask>, Result<Rc<Answer>, Away>),
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

    fn enter(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.renewing = true;
        let member = Box::new(node.member.clone());
        let former = node.former;
        let sent = node.boot();
        self.ask(
            n,
            Ask::Enter {
                member,
                former,
                sent,
            },
        );
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
            Notice::Answered(ask, answer) => self.answered(n, &ask, answer),
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

    fn look(&mut self, n: usize) {
        self.check_fence(n);
        let node = &mut self.nodes[n];
        let now = node.boot();
        let due = node.sent.is_none_or(|sent| now >= sent + self.timing.renew);
        if due && !node.renewing {
            node.sent = Some(now);
            if node.fence.left() == Some(Duration::ZERO) && node.former != Some(node.id()) {
                // It never became a member.
                self.enter(n);
            } else {
                node.renewing = true;
                self.ask(n, Ask::Renew { sent: now });
            }
        }
        self.survey(n);
    }

    fn check_fence(&mut self, n: usize) {
        let node = &self.nodes[n];
        if node.fence.left() == Some(Duration::ZERO) && node.standing == Standing::Member {
            self.fenced(n);
        }
    }

    fn survey(&mut self, n: usize) {
        if std::mem::replace(&mut self.nodes[n].surveying, true) {
            self.nodes[n].again = true;
        } else {
            self.ask(n, Ask::Survey);
        }
    }

    /// The lease is over: known, or by this node's own clock.
    fn fenced(&mut self, n: usize) {
        self.trace(format_args!("node {n} is fenced"));
        let node = &mut self.nodes[n];
        node.fence.lower();
        node.steady = None;
        node.standing = Standing::Fenced;
        self.abandon_attempts(n);
        self.place(n);
    }

    /// The store confirmed the lease by an answer to what was sent at `sent`.
    fn confirmed(&mut self, n: usize, sent: Duration) {
        let timing = self.timing;
        let node = &mut self.nodes[n];
        let since = match node.steady {
            Some((since, last)) if sent.saturating_sub(last) <= timing.ttl / 2 => since,
            Some(_) | None => sent,
        };
        node.steady = Some((since, sent));
        // Those that held an attempt of this node for lost while its lease was over were right.
        if node.standing == Standing::Fenced && node.former == Some(node.id()) {
            node.anew = Some(node.wall());
        }
        let until = match self.bug {
            Some(Bug::NoMargin) => sent + timing.ttl,
            _ => timing.acts_until(sent),
        };
        node.fence.extend(until);
        node.standing = Standing::Member;
        // From now on it renews.
        node.former = Some(node.id());
        self.place(n);
    }

    fn answered(&mut self, n: usize, ask: &Rc<Ask>, answer: Result<Rc<Answer>, Away>) {
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

    fn renewed(&mut self, n: usize, sent: Duration, answer: Result<Rc<Answer>, Away>) {
        self.nodes[n].renewing = false;
        match answer.as_deref() {
            Ok(Answer::Renewed(true)) => self.confirmed(n, sent),
            Ok(Answer::Renewed(false)) => {
                self.fenced(n);
                self.enter(n);
            }
            Ok(Answer::Entered(Ok(()))) => {
                if self.nodes[n].former == Some(self.nodes[n].id()) {
                    self.lost(n);
                }
                self.confirmed(n, sent);
            }
            // A namesake's lease still runs.
            Ok(_) | Err(_) => {}
        }
    }

    /// What the lease stood for is gone.
    fn lost(&mut self, n: usize) {
        let holdings = &self.nodes[n].holdings;
        for shard in holdings.held().into_keys() {
            holdings.drop(shard);
        }
    }

    fn surveyed(&mut self, n: usize, answer: Result<Rc<Answer>, Away>) {
        let node = &mut self.nodes[n];
        node.surveying = false;
        if let Ok(Answer::Survey(survey)) = answer.as_deref() {
            node.roster = Roster::new(Survey::clone(survey));
            self.place(n);
            self.watch_hosts(n);
        }
        if std::mem::take(&mut self.nodes[n].again) {
            self.survey(n);
        }
    }

    /// As a placer looks.
    fn place(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let stood = std::mem::replace(&mut node.stood, node.standing);
        if node.standing != Standing::Member {
            if stood != node.standing && self.bug != Some(Bug::NoFence) {
                self.evict_at_once(n, &Scope::All);
            }
            return;
        }
        let held = node.holdings.held();
        if stood == Standing::Fenced && !held.is_empty() {
            let scope = node.holdings.scope();
            self.ask(n, Ask::Open(scope));
        }
        let node = &self.nodes[n];
        let takeover = if node.is_steady(self.timing.ttl) {
            Takeover::Allowed
        } else {
            Takeover::FreeOnly
        };
        let plan = plan(&node.roster, node.id(), &held, takeover);
        if !plan.lost.is_empty() {
            self.trace(format_args!("node {n} lost {:?}", plan.lost));
            for shard in &plan.lost {
                self.nodes[n].holdings.drop(*shard);
            }
            let scope = self.nodes[n].scope(&plan.lost);
            self.evict_at_once(n, &scope);
        }
        let node = &mut self.nodes[n];
        let mut back = plan.give_back;
        if !node.taking {
            back.extend(plan.stray);
        }
        let mut take = plan.take;
        take.retain(|shard| !node.leaving.contains(shard));
        if !take.is_empty() && !std::mem::replace(&mut node.taking, true) {
            self.ask(n, Ask::Take(take));
        }
        let node = &mut self.nodes[n];
        if node.leaving.is_empty() && !back.is_empty() {
            node.leaving.extend(&back);
            self.leave(n, back);
        }
    }

    fn taken(&mut self, n: usize, taken: Option<&(Epoch, Vec<Shard>)>) {
        let node = &mut self.nodes[n];
        node.taking = false;
        if let Some((epoch, shards)) = taken {
            for shard in shards {
                node.holdings.hold(*shard, *epoch);
            }
            let scope = node.scope(shards);
            self.trace(format_args!("node {n} holds {epoch} {shards:?}"));
            self.ask(n, Ask::Open(scope));
            self.one_believes();
        }
        self.survey(n);
    }

    /// Streams with unfinished work come to life.
    fn opened(&mut self, n: usize, scope: &Scope, answer: Result<Rc<Answer>, Away>) {
        let Ok(Answer::Open(streams)) = answer.as_deref() else {
            let again = Rc::new(Ask::Open(scope.clone()));
            self.after(n, PAUSE, Notice::Again(again));
            return;
        };
        for stream in streams {
            self.activate(n, *stream);
        }
    }

    fn leave(&mut self, n: usize, shards: Vec<Shard>) {
        let wait = self.number();
        for shard in &shards {
            self.nodes[n].holdings.leave(*shard);
        }
        let scope = self.nodes[n].scope(&shards);
        self.trace(format_args!("node {n} leaves {shards:?}"));
        self.nodes[n].departing = Some((shards, wait));
        self.dismiss(n, &scope);
        self.after(n, POLITE, Notice::Hurry(wait));
        self.departed(n);
    }

    fn hurry(&mut self, n: usize, wait: u64) {
        if let Some((shards, of)) = &self.nodes[n].departing
            && *of == wait
        {
            let scope = self.nodes[n].scope(shards);
            self.evict_at_once(n, &scope);
        }
    }

    /// Gives shards back once their entities are gone.
    pub(crate) fn departed(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some((shards, _)) = &node.departing else {
            return;
        };
        let scope = node.scope(shards);
        if node.entities.keys().any(|stream| scope.holds(*stream)) {
            return;
        }
        if let Some((shards, _)) = node.departing.take() {
            for shard in &shards {
                node.holdings.drop(*shard);
            }
            self.ask(n, Ask::GiveBack(shards));
        }
    }

    /// At most one node believes that it may act for a shard.
    pub(crate) fn one_believes(&mut self) {
        let mut owners: BTreeMap<Shard, usize> = BTreeMap::new();
        for n in 0..self.nodes.len() {
            if self.nodes[n].power != Power::Up {
                continue;
            }
            self.nodes[n].pass(self.now);
            for shard in (0..SHARDS).map(Shard) {
                if self.nodes[n].holdings.owns(shard)
                    && let Some(other) = owners.insert(shard, n)
                {
                    let why = format!("P8: nodes {other} and {n} both believe to own {shard}");
                    self.oracle.object(why);
                }
            }
        }
    }

    pub(crate) fn send_to_owner(&mut self, n: usize, stream: EntityId, message: Message) {
        if let Some((place, owner)) = self.nodes[n].owner_of(stream) {
            self.send(End::Node(n), End::Node(place), Some(owner), message);
        }
    }

    fn remind(&mut self, n: usize) {
        let node = &self.nodes[n];
        let ask = Ask::Due(node.holdings.scope(), node.wall());
        self.ask(n, ask);
    }

    fn due(&mut self, n: usize, answer: Result<Rc<Answer>, Away>) {
        if let Ok(Answer::Due(due)) = answer.as_deref() {
            for (stream, name, due) in due {
                if self.bug == Some(Bug::ReminderForgottenFirst) {
                    let (stream, name, due) = (*stream, name.clone(), *due);
                    self.ask(n, Ask::Delivered { stream, name, due });
                } else {
                    self.wake(n, *stream, name, *due);
                }
            }
        }
        self.after(n, REMIND, Notice::Remind);
    }

    fn forgotten(&mut self, n: usize, stream: EntityId, name: &str, due: Timestamp) {
        if self.bug == Some(Bug::ReminderForgottenFirst) {
            self.wake(n, stream, name, due);
        }
    }
}
