//! One run: an event queue in virtual time, and everything that takes part.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    time::Duration,
};

use actors::config;
use protocol::id::NodeId;
use runtime::placement::Timing;

use crate::{
    bug::Bug,
    chance::{Chance, MS, SECOND},
    client::{self, Client},
    faults::{self, Fault, StoreFaults, Turn},
    link::{End, Link, Message},
    node::{Node, Notice, Power},
    oracle::Oracle,
    store::{Answer, Ask, Away, Store},
    trace::{Keep, Trace},
};

/// How long after the last fault everything must be settled: the longest waits for a retry, one
/// after the other, are part of it.
const SETTLES: u64 = 240 * SECOND;

/// What happens at a moment.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// To one start of a node.
    Node(usize, NodeId, Notice),
    Arrives(End, End, Option<NodeId>, Message),
    AtStore(usize, NodeId, Rc<Ask>, Listens),
    Client(usize, client::Notice),
    Turn(Turn),
    Check,
}

/// Whether anybody waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listens {
    Asker,
    /// It gave up; what it asked for is under way all the same.
    Nobody,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) met: BTreeMap<Fault, u64>,
    pub(crate) events: u64,
    /// How long the run was, in virtual microseconds.
    pub(crate) lasted: u64,
    pub(crate) tasks: usize,
    pub(crate) hash: u64,
    pub(crate) trace: String,
}

/// Everything in one run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    /// The last of the numbers that order events of one moment and name activations.
    order: u64,
    pub(crate) chance: Chance,
    pub(crate) bug: Option<Bug>,
    pub(crate) timing: Timing,
    pub(crate) limits: config::Tasks,
    pub(crate) store: Store,
    pub(crate) troubles: StoreFaults,
    pub(crate) link: Link,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    pub(crate) met: BTreeMap<Fault, u64>,
    pub(crate) oracle: Oracle,
    trace: Trace,
    /// Numbers given to steps' tools, to find repeats.
    pub(crate) heal: u64,
}

/// Plays the run of a seed.
pub(crate) fn run(seed: u64, bug: Option<Bug>, keep: Keep) -> Outcome {
    let mut chance = Chance::new(seed);
    let nodes = 3 + chance.below(3);
    let mut world = World {
        now: 0,
        queue: BTreeMap::new(),
        order: 0,
        chance,
        bug,
        timing: Timing::default(),
        limits: config::Tasks::default(),
        store: Store::new(),
        troubles: StoreFaults::default(),
        link: Link::default(),
        nodes: Vec::new(),
        clients: Vec::new(),
        met: BTreeMap::new(),
        oracle: Oracle::default(),
        trace: Trace::new(keep),
        heal: 0,
    };
    for index in 0..nodes {
        let node = Node::new(index, &mut world.chance);
        world.nodes.push(node);
        let at = world.chance.between(0, SECOND);
        world.at(at, Event::Turn(Turn::Start(index)));
    }
    client::begin(&mut world);
    world.heal = faults::plan(&mut world);
    world.at(world.heal + SECOND, Event::Check);
    world.play()
}

impl World {
    fn play(mut self) -> Outcome {
        let mut events = 0;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            events += 1;
            match event {
                Event::Check => {
                    let open = self.unsettled();
                    if open.is_empty() {
                        break;
                    }
                    if at > self.heal + SETTLES {
                        let why = format!("not settled in time: {}", open.join("; "));
                        self.oracle.object(why);
                    } else {
                        self.at(at + 500 * MS, Event::Check);
                    }
                }
                Event::Turn(turn) => self.turn(turn),
                Event::Client(client, notice) => self.client(client, notice),
                Event::AtStore(node, id, ask, listens) => {
                    self.at_store(node, id, &ask, listens);
                }
                Event::Arrives(from, to, id, message) => self.arrives(from, to, id, message),
                Event::Node(node, id, notice) => self.notice(node, id, notice),
            }
            if self.oracle.violation.is_some() {
                break;
            }
        }
        if self.oracle.violation.is_none() {
            self.at_end();
        }
        Outcome {
            violation: self.oracle.violation.take(),
            met: self.met,
            events,
            lasted: self.now,
            tasks: self.oracle.tasks.len(),
            hash: self.trace.hash(),
            trace: self.trace.text(),
        }
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    /// A number that nothing else has.
    pub(crate) fn number(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    pub(crate) fn trace(&mut self, what: fmt::Arguments<'_>) {
        self.trace.line(self.now, what);
    }

    /// Lets something happen at a node after a span of its own clock.
    pub(crate) fn after(&mut self, node: usize, span: Duration, notice: Notice) {
        let rate = self.nodes[node].rate;
        let wait = span.mul_f64(1.0 / rate) + Duration::from_micros(1);
        let at = self.now + u64::try_from(wait.as_micros()).unwrap();
        let id = self.nodes[node].id();
        self.at(at, Event::Node(node, id, notice));
    }

    /// Whether the event is for a process that runs now; one that stands still gets it later.
    fn reaches(&mut self, node: usize, id: Option<NodeId>, event: impl FnOnce() -> Event) -> bool {
        let now = self.now;
        let node = &mut self.nodes[node];
        if id.is_some_and(|id| id != node.id()) {
            return false;
        }
        match node.power {
            Power::Down => false,
            Power::Paused(_) => {
                node.held.push(event());
                false
            }
            Power::Up => {
                node.pass(now);
                true
            }
        }
    }

    fn notice(&mut self, node: usize, id: NodeId, notice: Notice) {
        if self.reaches(node, Some(id), || Event::Node(node, id, notice.clone())) {
            self.handle(node, notice);
        }
    }

    fn arrives(&mut self, from: End, to: End, id: Option<NodeId>, message: Message) {
        match to {
            End::Client(client) => self.told(client, message),
            End::Node(node) => {
                let again = || Event::Arrives(from, to, id, message.clone());
                if self.reaches(node, id, again) {
                    self.trace(format_args!("{from:?}->{to:?} {message:?}"));
                    self.message(node, from, message);
                }
            }
        }
    }

    /// Sends a question to the store.
    pub(crate) fn ask(&mut self, node: usize, ask: Ask) {
        let id = self.nodes[node].id();
        let mut wait = self.chance.between(MS / 4, 3 * MS);
        if self.troubles.slow > 0 && self.chance.percent(40) {
            wait = self.chance.between(100 * MS, 9 * SECOND);
            if wait > SECOND {
                self.met(Fault::SlowStore);
            }
        }
        let ask = Rc::new(ask);
        let mut listens = Listens::Asker;
        let changes = !matches!(*ask, Ask::Survey | Ask::Due(..) | Ask::Open(_));
        if changes && wait > SECOND && self.chance.percent(50) {
            self.met(Fault::CameLate);
            listens = Listens::Nobody;
            let gives_up = self.now + self.chance.between(200 * MS, wait);
            let notice = Notice::Answered(ask.clone(), Err(Away));
            self.at(gives_up, Event::Node(node, id, notice));
        }
        self.at(self.now + wait, Event::AtStore(node, id, ask, listens));
    }

    fn at_store(&mut self, node: usize, id: NodeId, ask: &Rc<Ask>, listens: Listens) {
        let cut = self.troubles.cut.contains(&node);
        let wait = self.chance.between(MS / 4, 3 * MS);
        let answer = if self.troubles.away > 0 || cut {
            if !matches!(**ask, Ask::Survey | Ask::Due(..)) {
                self.met(if cut {
                    Fault::StoreCut
                } else {
                    Fault::StoreAway
                });
            }
            Err(Away)
        } else {
            self.store.pass(self.now);
            let asked = self.with_fence_off(ask);
            let ask = asked.as_ref().unwrap_or(ask);
            let answer = self.store.perform(id, ask, self.timing.ttl);
            self.observe(id, ask, &answer);
            let changes = !matches!(**ask, Ask::Survey | Ask::Due(..) | Ask::Open(_));
            if changes && self.troubles.forgetful > 0 && self.chance.percent(25) {
                self.met(Fault::AnswerLost);
                Err(Away)
            } else {
                Ok(Rc::new(answer))
            }
        };
        if listens == Listens::Asker {
            let notice = Notice::Answered(ask.clone(), answer);
            self.at(self.now + wait, Event::Node(node, id, notice));
        }
    }

    /// What is not as it must be in the end.
    fn unsettled(&self) -> Vec<String> {
        let mut open = Vec::new();
        for client in &self.clients {
            open.extend(client.waits());
        }
        open.extend(self.oracle.open());
        for node in &self.nodes {
            for (token, hosted) in &node.hosted {
                open.push(format!("node {} has {token}: {hosted:?}", node.index));
            }
        }
        for (stream, name, due) in self.store.due() {
            open.push(format!("{name} of {stream} was due at {due}"));
        }
        open
    }

    /// What can be said of a run as a whole.
    fn at_end(&mut self) {
        let faults: BTreeSet<_> = self.met.keys().copied().collect();
        if faults.is_empty() {
            self.oracle
                .object("no fault met anything: the run proves nothing".to_owned());
        }
        for client in 0..self.clients.len() {
            for (key, stream) in self.clients[client].acked() {
                self.oracle.exists(&key, stream);
            }
        }
        self.oracle.effects_at_end();
    }

    fn observe(&mut self, from: NodeId, ask: &Ask, answer: &Answer) {
        match (ask, answer) {
            (Ask::Append { append, .. }, Answer::Appended(verdict)) => {
                self.trace(format_args!(
                    "append {} {} {verdict:?} {}",
                    append.record.stream, append.record.seq, append.record.data
                ));
                match verdict {
                    Ok(runtime::store::Appended::Now) => self.oracle.committed(append, self.now),
                    Ok(runtime::store::Appended::Before) => {}
                    Err(runtime::store::Refusal::Fenced { .. }) => self.met(Fault::DeposedAppend),
                    Err(_) => {}
                }
            }
            (Ask::Take(_), Answer::Taken(Some((epoch, shards)))) => {
                self.trace(format_args!("{from} took {epoch} {shards:?}"));
                self.oracle.taken(from, *epoch, shards);
            }
            (Ask::Load { stream, epoch, .. }, _) => {
                self.trace(format_args!("{from} loaded {stream} {epoch}"));
                self.oracle.loaded(*stream, *epoch);
            }
            (Ask::Enter { .. } | Ask::GiveBack(_), _) => {
                self.trace(format_args!("{from} {ask:?} {answer:?}"));
            }
            (Ask::Renew { .. }, Answer::Renewed(false)) => {
                self.trace(format_args!("{from} not renewed"));
            }
            (Ask::Delivered { stream, name, due }, _) => {
                self.trace(format_args!("delivered {stream} {name} {due}"));
                self.oracle.forgotten(*stream, name, *due);
            }
            _ => {}
        }
    }
}
