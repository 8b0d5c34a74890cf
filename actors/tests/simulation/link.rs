//! Messages, and a link that loses, delays, reorders and duplicates them.

use std::{collections::BTreeMap, rc::Rc};

use protocol::{
    entity::EntityId,
    id::{CommandId, NodeId},
    plan::{Effect, StepSpec},
    task::{Finding, Outcome, TaskStatus},
    time::Timestamp,
};

use crate::{
    chance::MS,
    faults::Fault,
    world::{Event, World},
};

/// An end of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Node(usize),
    Client(usize),
}

/// What a client wants done.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) client: usize,
    pub(crate) number: usize,
    pub(crate) key: String,
    pub(crate) steps: Vec<StepSpec>,
}

/// One attempt, as its host is told.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stream: EntityId,
    pub(crate) step: String,
    pub(crate) number: u32,
    pub(crate) token: String,
    pub(crate) effect: Effect,
    /// When its intent was recorded.
    pub(crate) since: Timestamp,
}

/// What one end tells another.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Submit(Rc<Order>),
    /// Forwarded to the owner of a stream that is yet to be made.
    Create(EntityId, CommandId, Rc<Order>),
    /// An order made this task before: its owner is to say so.
    Confirm(EntityId, Rc<Order>),
    Accepted(usize, EntityId),
    Read {
        order: usize,
        ask: usize,
        client: usize,
        stream: EntityId,
    },
    Status {
        order: usize,
        ask: usize,
        status: TaskStatus,
        head: u64,
    },
    Cancel(EntityId),
    Dispatch(usize, Rc<Run>),
    Begun(EntityId, String),
    /// Does the host know this attempt?
    Query(usize, Rc<Run>),
    Known(EntityId, String),
    /// It never began there and never will.
    Unknown(EntityId, String),
    Result(usize, Rc<Run>, Rc<Outcome>),
    Recorded(String),
    Stop(usize, Rc<Run>),
    Probe(usize, Rc<Run>),
    Found(EntityId, String, u32, Rc<Finding>),
}

/// The state of the link between all ends.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Directions in which nothing passes, each as often as it was cut.
    pub(crate) cuts: BTreeMap<(End, End), u32>,
    /// How many windows of bad weather are open.
    pub(crate) lossy: u32,
    /// When the last message of each direction arrives.
    last: BTreeMap<(End, End), u64>,
}

impl World {
    /// Sends a message; `to_life` names the start of the node that is meant, where that matters.
    pub(crate) fn send(&mut self, from: End, to: End, to_life: Option<NodeId>, message: Message) {
        if self.link.cuts.contains_key(&(from, to)) {
            let one_way = !self.link.cuts.contains_key(&(to, from));
            self.met(if one_way {
                Fault::CutOneWay
            } else {
                Fault::Cut
            });
            return;
        }
        let bad = self.link.lossy > 0 && from != to;
        if bad && self.chance.percent(15) {
            self.met(Fault::Lost);
            self.trace(format_args!("lost {from:?}->{to:?} {message:?}"));
            return;
        }
        if bad && self.chance.percent(10) {
            self.met(Fault::Duplicated);
            self.arrive(from, to, to_life, message.clone());
        }
        self.arrive(from, to, to_life, message);
    }

    fn arrive(&mut self, from: End, to: End, to_life: Option<NodeId>, message: Message) {
        let mut delay = self.chance.between(MS / 5, 2 * MS);
        if self.link.lossy > 0 && self.chance.percent(20) {
            delay = self.chance.between(50 * MS, 3_000 * MS);
            self.met(Fault::Delayed);
        }
        let at = self.now + delay;
        let last = self.link.last.entry((from, to)).or_default();
        let overtakes = at < *last;
        *last = at.max(*last);
        if overtakes {
            self.met(Fault::Reordered);
        }
        self.at(at, Event::Arrives(from, to, to_life, message));
    }
}
