//! An entity on the node that owns it: loads, decides, writes, then believes and acts.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use actors::task::{Attempt, Task, rules::Moment};
use protocol::{
    entity::EntityId,
    epoch::Epoch,
    id::{CommandId, NodeId},
    record::{ChainHash, Record},
    task::{Event, Failure, Outcome},
    time::Timestamp,
};
use runtime::{
    journal::{EventSourced as _, decode},
    membership::Roster,
    placement::Evict,
    store::{Append, Appended, Idempotency, Refusal, ReminderChange, Scope},
};

use crate::{
    bug::Bug,
    faults::Fault,
    link::{End, Message, Order, Run},
    node::Notice,
    store::{Answer, Ask, Away},
    world::World,
};

const WAKE: &str = "wake";

/// Times an append is repeated when its outcome is not known.
const REPEATS: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Claims its stream and reads it.
    Loading,
    Resting,
    Writing,
}

/// What lies in an entity's mailbox.
#[derive(Debug, Clone)]
pub(crate) enum Mail {
    Submit(CommandId, Rc<Order>),
    /// A repeated order: the task that it made is here.
    Confirm(Rc<Order>),
    Read {
        order: usize,
        ask: usize,
        client: usize,
    },
    Cancel,
    Result(usize, Rc<Run>, Rc<Outcome>),
    /// A host says that an attempt never began there.
    NotThere(String),
    Found(String, u32, Rc<protocol::task::Finding>),
    /// Hosts of running attempts may have died.
    HostsGone,
    Reminder(String, Timestamp),
    Look,
}

/// What is done once the staged events are on disk.
#[derive(Debug)]
pub(crate) enum Effect {
    Dispatch(Rc<Run>),
    Accept(Rc<Order>),
    Status {
        order: usize,
        ask: usize,
        client: usize,
    },
    Recorded(usize, String),
}

/// One activation of a task.
#[derive(Debug)]
pub(crate) struct Entity {
    pub(crate) life: u64,
    pub(crate) epoch: Epoch,
    pub(crate) phase: Phase,
    pub(crate) task: Task,
    pub(crate) head: u64,
    hash: ChainHash,
    pub(crate) mailbox: VecDeque<Mail>,
    staged: Vec<Event>,
    at: Timestamp,
    pub(crate) effects: Vec<Effect>,
    command: Option<(CommandId, Rc<Order>)>,
    idle: bool,
    leaving: bool,
    /// Attempts whose hosts did not yet say that they have them.
    pub(crate) unsure: BTreeMap<String, Rc<Run>>,
    /// Of those, the ones that were found on loading: they are asked for, not handed over.
    pub(crate) found: Vec<String>,
    /// When all was looked at last: what comes due while a commit is written has its timer too.
    pub(crate) looked: Timestamp,
    pub(crate) timer: Option<Timestamp>,
    pub(crate) nagging: bool,
}

impl Entity {
    fn new(life: u64, epoch: Epoch, phase: Phase) -> Self {
        Self {
            life,
            epoch,
            phase,
            task: Task::default(),
            head: 0,
            hash: ChainHash::default(),
            mailbox: VecDeque::new(),
            staged: Vec::new(),
            at: Timestamp::default(),
            effects: Vec::new(),
            command: None,
            idle: false,
            leaving: false,
            unsure: BTreeMap::new(),
            found: Vec::new(),
            looked: Timestamp::default(),
            timer: None,
            nagging: false,
        }
    }

    pub(crate) fn stage(&mut self, event: Event, now: Timestamp) {
        if self.staged.is_empty() {
            self.at = now;
        }
        self.task.apply(&event, self.at);
        self.staged.push(event);
    }

    pub(crate) const fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    pub(crate) fn stage_all(&mut self, events: Vec<Event>, now: Timestamp) {
        for event in events {
            self.stage(event, now);
        }
    }

    /// Whether the cluster says that the host of a running attempt is gone.
    pub(crate) fn has_lost(&self, roster: &Roster) -> bool {
        let mut running = self.task.steps.iter().filter_map(|step| step.running());
        running.any(|attempt| host_is_gone(roster, attempt.node))
    }
}

/// A host that the cluster knows, and whose lease is over. One that the roster does not show yet
/// joined after it was made.
pub(crate) fn host_is_gone(roster: &Roster, node: NodeId) -> bool {
    roster.member(node).is_some_and(|row| !row.lives())
}

pub(crate) fn node_lost() -> Failure {
    Failure::new("node_lost", "the node that ran it is gone")
}

pub(crate) fn run_of(stream: EntityId, step: &actors::task::Step, attempt: &Attempt) -> Rc<Run> {
    Rc::new(Run {
        stream,
        step: step.spec.id.clone(),
        number: attempt.number,
        token: attempt.token.clone(),
        effect: step.spec.effect,
        since: attempt.started_at,
    })
}

impl World {
    /// Puts something into an entity's mailbox, bringing it to life; whether it is this node's.
    pub(crate) fn tell(&mut self, n: usize, stream: EntityId, mail: Mail) -> bool {
        if !self.nodes[n].entities.contains_key(&stream) {
            self.activate(n, stream);
        }
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return false;
        };
        entity.mailbox.push_back(mail);
        self.serve(n, stream);
        true
    }

    /// Brings an entity to life that this node owns.
    pub(crate) fn activate(&mut self, n: usize, stream: EntityId) {
        if self.nodes[n].entities.contains_key(&stream) {
            return;
        }
        if let Some(epoch) = self.nodes[n].holdings.activates(stream) {
            let life = self.number();
            let entity = Entity::new(life, epoch, Phase::Loading);
            self.nodes[n].entities.insert(stream, entity);
            let claim = if self.bug == Some(Bug::NoClaim) {
                Ask::Load {
                    stream,
                    life,
                    epoch,
                }
            } else {
                Ask::Claim {
                    stream,
                    life,
                    epoch,
                }
            };
            self.ask(n, claim);
        }
    }

    /// Makes an entity, if this node owns what it would be.
    pub(crate) fn create(&mut self, n: usize, stream: EntityId, mail: Mail) {
        if !self.nodes[n].entities.contains_key(&stream)
            && let Some(epoch) = self.nodes[n].holdings.activates(stream)
        {
            let life = self.number();
            let entity = Entity::new(life, epoch, Phase::Resting);
            self.nodes[n].entities.insert(stream, entity);
        }
        if self.nodes[n].entities.contains_key(&stream) {
            self.tell(n, stream, mail);
        }
    }

    pub(crate) fn entity(&mut self, n: usize, stream: EntityId, life: u64) -> Option<&mut Entity> {
        let entity = self.nodes[n].entities.get_mut(&stream)?;
        (entity.life == life).then_some(entity)
    }

    pub(crate) fn claimed(
        &mut self,
        n: usize,
        stream: EntityId,
        life: u64,
        epoch: Epoch,
        answer: Result<Rc<Answer>, Away>,
    ) {
        if self.entity(n, stream, life).is_none() {
            return;
        }
        match answer.as_deref() {
            Ok(Answer::Claimed(Some(true))) => {
                let load = Ask::Load {
                    stream,
                    life,
                    epoch,
                };
                self.ask(n, load);
            }
            // There is none, or a later owner has it.
            Ok(_) => self.gone(n, stream),
            Err(Away) => self.failed(n, stream),
        }
    }

    pub(crate) fn read(
        &mut self,
        n: usize,
        stream: EntityId,
        life: u64,
        answer: Result<Rc<Answer>, Away>,
    ) {
        if self.entity(n, stream, life).is_none() {
            return;
        }
        match answer.as_deref() {
            Ok(Answer::Records(records)) if !records.is_empty() => {
                self.replay(n, stream, life, records);
            }
            Ok(_) => self.gone(n, stream),
            Err(Away) => self.failed(n, stream),
        }
    }

    fn replay(&mut self, n: usize, stream: EntityId, life: u64, records: &[Record]) {
        let Some(entity) = self.entity(n, stream, life) else {
            return;
        };
        for record in records {
            for event in decode::<Event>(record).unwrap() {
                entity.task.apply(&event, record.at);
            }
            (entity.head, entity.hash) = (record.head(), record.hash);
        }
        entity.phase = Phase::Resting;
        self.nodes[n].failures.remove(&stream);
        self.recover(n, stream);
        self.serve(n, stream);
    }

    /// What ran when the owner before went away goes on if its host lives; the rest is lost.
    fn recover(&mut self, n: usize, stream: EntityId) {
        self.lose_gone(n, stream);
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        for step in &entity.task.steps {
            if let Some(attempt) = step.running() {
                let run = run_of(stream, step, attempt);
                entity.found.push(run.token.clone());
                entity.unsure.insert(run.token.clone(), run);
            }
        }
        self.flush(n, stream);
    }

    /// Attempts whose hosts are gone are lost.
    pub(crate) fn lose_gone(&mut self, n: usize, stream: EntityId) {
        if self.bug == Some(Bug::ForgottenLostAttempt) {
            return;
        }
        let chance = self.chance.unit();
        let node = &mut self.nodes[n];
        let (now, roster) = (node.wall(), &node.roster);
        if let Some(entity) = node.entities.get_mut(&stream) {
            let moment = Moment {
                now,
                chance,
                limits: &self.limits,
            };
            let gone = |attempt: &Attempt| host_is_gone(roster, attempt.node);
            let events = entity.task.lose(&node_lost(), moment, gone);
            entity.stage_all(events, now);
        }
    }

    /// Writes what is staged, or goes on at once when nothing is.
    pub(crate) fn commit(&mut self, n: usize, stream: EntityId, idle: Option<Timestamp>) {
        let appends = self.nodes[n].holdings.appends(stream);
        let fenced = self.bug != Some(Bug::NoFence);
        let command = CommandId::from_uuid(self.chance.uuid());
        let owner = self.nodes[n].id();
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        if entity.staged.is_empty() {
            self.carry_out(n, stream);
            return;
        }
        if fenced && appends != Some(entity.epoch) {
            self.met(Fault::SelfFenced);
            self.failed(n, stream);
            return;
        }
        let order = entity.command.clone().filter(|_| entity.head == 0);
        let data = serde_json::to_string(&entity.staged).unwrap();
        let mut record = Record {
            stream,
            seq: entity.head + 1,
            count: u32::try_from(entity.staged.len()).unwrap(),
            epoch: entity.epoch,
            owner,
            cmd_id: order.as_ref().map_or(command, |(command, _)| *command),
            tenant: "default".to_owned(),
            actor: "sim".to_owned(),
            at: entity.at,
            version: 1,
            data,
            hash: ChainHash::default(),
        };
        record.hash = record.chain(entity.hash);
        let set = idle.map(|due| ReminderChange::Set {
            name: WAKE.to_owned(),
            due,
        });
        let append = Append {
            record,
            summary: entity.task.summary(),
            idempotency: order.map(|(_, order)| Idempotency {
                key: order.key.clone(),
                body_hash: ChainHash::default(),
            }),
            reminders: set.into_iter().collect(),
            outbox: Vec::new(),
        };
        entity.phase = Phase::Writing;
        entity.idle = idle.is_some();
        let life = entity.life;
        let ask = Ask::Append {
            life,
            append: Box::new(append),
            repeats: 0,
        };
        self.ask(n, ask);
        match self.bug {
            Some(Bug::EarlyAck) => {
                self.carry_out_some(n, stream, |effect| matches!(effect, Effect::Accept(_)))
            }
            Some(Bug::DispatchBeforeCommit) => {
                self.carry_out_some(n, stream, |effect| matches!(effect, Effect::Dispatch(_)))
            }
            Some(_) | None => {}
        }
    }

    pub(crate) fn appended(&mut self, n: usize, ask: &Rc<Ask>, answer: Result<Rc<Answer>, Away>) {
        let Ask::Append {
            life,
            append,
            repeats,
        } = &**ask
        else {
            return;
        };
        let stream = append.record.stream;
        let Some(entity) = self.entity(n, stream, *life) else {
            return;
        };
        let order = entity.command.clone().map(|(_, order)| order);
        match answer.as_deref() {
            // Somebody else made it with the same command: what is staged here never was.
            Ok(Answer::Appended(Ok(Appended::Before))) if *repeats == 0 => self.failed(n, stream),
            Ok(Answer::Appended(Ok(_))) => self.believe(n, stream, &append.record),
            Ok(Answer::Appended(Err(Refusal::Repeated { stream: made, .. }))) => {
                if *made == stream {
                    self.believe(n, stream, &append.record);
                } else {
                    let made = *made;
                    self.gone(n, stream);
                    if let Some(order) = order {
                        self.send_to_owner(n, made, Message::Confirm(made, order));
                    }
                }
            }
            Err(Away) if *repeats < REPEATS => {
                let wait = Duration::from_millis(20 << (repeats + 1));
                self.after(n, wait, Notice::Repeat(ask.clone()));
            }
            Ok(_) | Err(Away) => self.failed(n, stream),
        }
    }

    pub(crate) fn repeat(&mut self, n: usize, ask: &Ask) {
        let Ask::Append {
            life,
            append,
            repeats,
        } = ask
        else {
            return;
        };
        if self.entity(n, append.record.stream, *life).is_some() {
            let (life, append, repeats) = (*life, append.clone(), repeats + 1);
            self.ask(
                n,
                Ask::Append {
                    life,
                    append,
                    repeats,
                },
            );
        }
    }

    fn believe(&mut self, n: usize, stream: EntityId, record: &Record) {
        if let Some(entity) = self.nodes[n].entities.get_mut(&stream) {
            (entity.head, entity.hash) = (record.head(), record.hash);
            entity.staged.clear();
            entity.phase = Phase::Resting;
            self.carry_out(n, stream);
        }
    }

    /// After what is on disk was acted on: leave memory, or go on.
    pub(crate) fn settle_down(&mut self, n: usize, stream: EntityId) {
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        let over = entity.task.status.is_terminal() || entity.head == 0;
        let idle = std::mem::take(&mut entity.idle);
        if (over || idle || entity.leaving) && entity.mailbox.is_empty() {
            self.gone(n, stream);
        } else {
            self.serve(n, stream);
        }
    }

    /// The activation is over.
    pub(crate) fn gone(&mut self, n: usize, stream: EntityId) {
        self.nodes[n].entities.remove(&stream);
        self.departed(n);
    }

    /// It ends because of what surrounds it, and comes back if it is still this node's.
    pub(crate) fn failed(&mut self, n: usize, stream: EntityId) {
        self.trace(format_args!("node {n}: {stream} fails"));
        self.gone(n, stream);
        if self.nodes[n].holdings.activates(stream).is_some() {
            let failures = self.nodes[n].failures.entry(stream).or_default();
            *failures += 1;
            let wait = Duration::from_millis(25 << (*failures).min(7));
            self.after(n, wait, Notice::Revive(stream));
        }
    }

    pub(crate) fn evict_at_once(&mut self, n: usize, scope: &Scope) {
        self.evict(n, scope, Evict::AtOnce);
    }

    /// Sends entities out of memory when they have done what they do.
    pub(crate) fn dismiss(&mut self, n: usize, scope: &Scope) {
        self.evict(n, scope, Evict::Politely);
    }

    fn evict(&mut self, n: usize, scope: &Scope, how: Evict) {
        let here = self.nodes[n].entities.iter_mut();
        let meant = here.filter(|(stream, _)| scope.holds(**stream));
        let mut out = Vec::new();
        for (stream, entity) in meant {
            match how {
                Evict::AtOnce => out.push(*stream),
                Evict::Politely => {
                    entity.leaving = true;
                    if entity.phase == Phase::Resting && entity.mailbox.is_empty() {
                        out.push(*stream);
                    }
                }
            }
        }
        for stream in out {
            self.gone(n, stream);
        }
    }

    /// Under the planted bug, the store takes any epoch.
    pub(crate) fn with_fence_off(&self, ask: &Rc<Ask>) -> Option<Rc<Ask>> {
        if self.bug != Some(Bug::NoFence) {
            return None;
        }
        let Ask::Append {
            life,
            append,
            repeats,
        } = &**ask
        else {
            return None;
        };
        let epoch = self.store.epoch_of(append.record.stream)?;
        if epoch <= append.record.epoch {
            return None;
        }
        let mut append = append.clone();
        append.record.epoch = epoch;
        let records = self.store.records(append.record.stream);
        let last = records.last().map_or_else(ChainHash::default, |r| r.hash);
        append.record.hash = append.record.chain(last);
        Some(Rc::new(Ask::Append {
            life: *life,
            append,
            repeats: *repeats,
        }))
    }

    pub(crate) fn remember(
        &mut self,
        n: usize,
        stream: EntityId,
        command: CommandId,
        order: Rc<Order>,
    ) {
        if let Some(entity) = self.nodes[n].entities.get_mut(&stream) {
            entity.command = Some((command, order));
        }
    }

    /// Answers the client whose order made a task.
    pub(crate) fn accept(&mut self, n: usize, order: &Order, made: EntityId) {
        let accepted = Message::Accepted(order.number, made);
        self.send(End::Node(n), End::Client(order.client), None, accepted);
    }
}
