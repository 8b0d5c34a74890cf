//! The real in-memory store behind a connection that may be slow, cut, or lose answers.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use protocol::{
    entity::{EntityId, EntityKind},
    epoch::Epoch,
    id::NodeId,
    member::Member,
    record::Record,
    shard::Shard,
    time::Timestamp,
};
use runtime::{
    clock::TestClock,
    store::{
        Answer as StoreAnswer, Append, Appended, EntryRefusal, EventLog as _, Founding,
        Members as _, Memory, Ownership as _, Refusal, Reminders as _, Renewal, Scope,
        Streams as _, Survey,
    },
};
use uuid::Uuid;

use crate::node::SHARDS;

/// Wall time at the start of every run.
pub(crate) const START: i64 = 1_700_000_000_000_000;

/// What a node asks of the store, with what it needs to make sense of the answer.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Renew {
        sent: Duration,
    },
    Enter {
        member: Box<Member>,
        former: Option<NodeId>,
        sent: Duration,
    },
    Survey,
    Take(Vec<Shard>),
    GiveBack(Vec<Shard>),
    Open(Scope),
    Claim {
        stream: EntityId,
        life: u64,
        epoch: Epoch,
    },
    Load {
        stream: EntityId,
        life: u64,
        epoch: Epoch,
    },
    Append {
        life: u64,
        append: Box<Append>,
        repeats: u32,
    },
    Due(Scope, Timestamp),
    Delivered {
        stream: EntityId,
        name: String,
        due: Timestamp,
    },
}

/// What the store said.
#[derive(Debug)]
pub(crate) enum Answer {
    Renewed(bool),
    Entered(Result<(), EntryRefusal>),
    Survey(Box<Survey>),
    Taken(Option<(Epoch, Vec<Shard>)>),
    Open(Vec<EntityId>),
    /// Whether the stream is the asker's; `None` when there is none.
    Claimed(Option<bool>),
    Records(Vec<Record>),
    Appended(Result<Appended, Refusal>),
    Due(Vec<(EntityId, String, Timestamp)>),
    Done,
}

/// No answer came; it may have happened all the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Away;

/// The store and its clock.
#[derive(Debug)]
pub(crate) struct Store {
    memory: Memory,
    hands: TestClock,
    at: u64,
}

fn ready<T>(answer: StoreAnswer<'_, T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(answer).as_mut().poll(&mut context) {
        Poll::Ready(Ok(value)) => value,
        Poll::Ready(Err(error)) => panic!("the memory store failed: {error}"),
        Poll::Pending => panic!("the memory store answers at once"),
    }
}

impl Store {
    pub(crate) fn new() -> Self {
        let hands = TestClock::at(Timestamp::from_micros(START));
        let memory = Memory::with_clock(hands.clock());
        ready(memory.found(Founding {
            cluster: Uuid::nil(),
            shards: SHARDS,
        }));
        Self {
            memory,
            hands,
            at: 0,
        }
    }

    pub(crate) fn pass(&mut self, now: u64) {
        self.hands.advance(Duration::from_micros(now - self.at));
        self.at = now;
    }

    pub(crate) fn perform(&self, from: NodeId, ask: &Ask, ttl: Duration) -> Answer {
        let memory = &self.memory;
        match ask {
            Ask::Renew { .. } => {
                let renewal = Renewal {
                    node: from,
                    health: String::new(),
                };
                Answer::Renewed(!ready(memory.renew(&[renewal], ttl)).is_empty())
            }
            Ask::Enter { member, former, .. } => {
                Answer::Entered(ready(memory.enter(member, ttl, *former)))
            }
            Ask::Survey => Answer::Survey(Box::new(ready(memory.survey()))),
            Ask::Take(shards) => Answer::Taken(ready(memory.take(from, shards))),
            Ask::GiveBack(shards) => {
                ready(memory.give_back(from, shards));
                Answer::Done
            }
            Ask::Open(scope) => {
                Answer::Open(ready(memory.open(EntityKind::Task, scope, None, 10_000)))
            }
            Ask::Claim { stream, epoch, .. } => Answer::Claimed(self.claim(*stream, *epoch, from)),
            Ask::Load { stream, .. } => Answer::Records(self.records(*stream)),
            Ask::Append { append, .. } => {
                let mut verdicts = ready(memory.append(std::slice::from_ref(&**append)));
                Answer::Appended(verdicts.remove(0))
            }
            Ask::Due(scope, now) => Answer::Due(ready(memory.due(scope, *now, 256))),
            Ask::Delivered { stream, name, due } => {
                ready(memory.delivered(*stream, name, *due));
                Answer::Done
            }
        }
    }

    fn claim(&self, stream: EntityId, epoch: Epoch, owner: NodeId) -> Option<bool> {
        let row = ready(self.memory.stream(stream))?;
        if row.epoch == epoch {
            return Some(true);
        }
        Some(!ready(self.memory.claim(&[stream], epoch, owner)).is_empty())
    }

    pub(crate) fn records(&self, stream: EntityId) -> Vec<Record> {
        ready(self.memory.read(stream, 0, u32::MAX))
    }

    /// Under which epoch a stream was appended or claimed last.
    pub(crate) fn epoch_of(&self, stream: EntityId) -> Option<Epoch> {
        ready(self.memory.stream(stream)).map(|row| row.epoch)
    }

    /// Reminders due by the store's clock.
    pub(crate) fn due(&self) -> Vec<(EntityId, String, Timestamp)> {
        ready(self.memory.due(&Scope::All, self.hands.clock().now(), 256))
    }
}
