//! An entity that counts, and a process that runs such entities.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::{
    entity::{EntityId, EntityKind},
    id::{CommandId, NodeId},
    record::Summary,
    time::Timestamp,
};
use ractor::ActorProcessingErr;
use runtime::{
    clock::Clock,
    entity::{Context, Entity, Host, Seed},
    journal::{self, Commit, EventSourced, Journal},
    placement::Holdings,
    store::{Delivery, Memory, ReminderChange, Shared, Writer},
    supervision::{Spec, Supervisor, SupervisorRef, Tree},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use uuid::Uuid;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) sum: u64,
    pub(crate) added: Vec<u64>,
    pub(crate) closed: bool,
    pub(crate) paused: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Event {
    Added(u64),
    Closed,
    Paused,
    Resumed,
}

impl EventSourced for Count {
    type Event = Event;
    const EVENT_VERSION: u16 = 1;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, _: Timestamp) {
        match event {
            Event::Added(number) => {
                self.sum += number;
                self.added.push(*number);
            }
            Event::Closed => self.closed = true,
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            status: "counting".to_owned(),
            open: !self.closed,
            body: "{}".to_owned(),
            ..Summary::default()
        }
    }
}

pub(crate) enum Message {
    /// Records, answers the sum once it is on disk.
    Add(u64, oneshot::Sender<u64>),
    /// The same, and leaves memory.
    AddThenLeave(u64, oneshot::Sender<u64>),
    Close(oneshot::Sender<u64>),
    Pause(oneshot::Sender<u64>),
    Resume(oneshot::Sender<u64>),
    /// Stages, then fails before the commit.
    StageThenFail(u64),
    Read(oneshot::Sender<Count>),
    Remind(Timestamp, oneshot::Sender<u64>),
    Deliver(Uuid, oneshot::Sender<u64>),
    Wake,
}
impl ractor::Message for Message {}
impl runtime::supervision::Message for Message {
    fn name(&self) -> &'static str {
        "Message"
    }
}

/// What all counters of a process share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shares {
    pub(crate) fenced: Arc<AtomicUsize>,
    pub(crate) recovered: Arc<AtomicUsize>,
    pub(crate) woken: Arc<AtomicUsize>,
    /// How many lives are over as soon as they have recovered.
    pub(crate) short: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
pub(crate) struct Counter;

type Cx = Context<Counter>;

impl Entity for Counter {
    type State = Count;
    type Message = Message;
    type Services = Shares;
    const KIND: EntityKind = EntityKind::Task;
    const FOLDER: &'static str = "counters";

    fn is_paused(count: &Count) -> bool {
        count.paused
    }

    async fn recover(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
        cx.services.recovered.fetch_add(1, Ordering::SeqCst);
        let (short, order) = (&cx.services.short, Ordering::SeqCst);
        if short
            .fetch_update(order, order, |left| left.checked_sub(1))
            .is_ok()
        {
            cx.passivate();
        }
        Ok(())
    }

    async fn handle(cx: &mut Cx, message: Message) -> Result<(), ActorProcessingErr> {
        let mut commit = commit();
        let (event, reply) = match message {
            Message::Add(number, reply) => (Event::Added(number), reply),
            Message::AddThenLeave(number, reply) => {
                cx.state.stage(&Event::Added(number))?;
                record(cx, commit).await?;
                cx.passivate();
                let _ = reply.send(cx.state.sum);
                return Ok(());
            }
            Message::Close(reply) => (Event::Closed, reply),
            Message::Pause(reply) => (Event::Paused, reply),
            Message::Resume(reply) => (Event::Resumed, reply),
            Message::StageThenFail(number) => {
                cx.state.stage(&Event::Added(number))?;
                return Err("told to fail".into());
            }
            Message::Read(reply) => {
                let _ = reply.send(cx.state.clone());
                return Ok(());
            }
            Message::Remind(due, reply) => {
                let name = "wake".to_owned();
                commit.reminders = vec![ReminderChange::Set { name, due }];
                cx.passivate();
                (Event::Added(0), reply)
            }
            Message::Deliver(id, reply) => {
                commit.outbox = vec![Delivery {
                    id,
                    stream: cx.id(),
                    kind: "letter".to_owned(),
                    payload: "{}".to_owned(),
                    due: Timestamp::default(),
                    tries: 0,
                }];
                (Event::Added(0), reply)
            }
            Message::Wake => {
                cx.services.woken.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
        };
        cx.state.stage(&event)?;
        record(cx, commit).await?;
        cx.show_pause();
        let _ = reply.send(cx.state.sum);
        Ok(())
    }
}

async fn record(cx: &mut Cx, commit: Commit) -> Result<(), journal::Error> {
    let recorded = cx.state.commit(commit).await;
    if matches!(recorded, Err(journal::Error::Refused(_))) {
        cx.services.fenced.fetch_add(1, Ordering::SeqCst);
    }
    recorded
}

pub(crate) fn commit() -> Commit {
    Commit::by("test".into(), CommandId::from_uuid(Uuid::now_v7()))
}

pub(crate) fn id(number: u128) -> EntityId {
    EntityId::new(EntityKind::Task, Uuid::from_u128(number))
}

pub(crate) async fn journal(store: &Shared, clock: Clock) -> Journal {
    let node = NodeId::from_uuid(Uuid::now_v7());
    let epoch = store.begin(node, "here").await.unwrap();
    Journal::new(
        store.clone(),
        Writer::start(store.clone()),
        clock,
        node,
        Holdings::everything(epoch),
    )
}

/// One start of a process.
pub(crate) struct Process {
    pub(crate) host: Host<Counter>,
    pub(crate) shares: Shares,
    pub(crate) journal: Journal,
    pub(crate) tree: Tree,
    _root: SupervisorRef,
}

impl Process {
    pub(crate) async fn start(store: &Shared) -> Self {
        let clock = Clock::system();
        let journal = journal(store, clock.clone()).await;
        let tree = Tree::new("here", clock);
        let host = Host::new(tree.clone(), journal.clone());
        let shares = Shares::default();
        host.provide(shares.clone());
        let root = Supervisor::start(&tree, "/", Spec::root(), vec![host.supervisor()], None);
        let _root = root.await.unwrap();
        Self {
            host,
            shares,
            journal,
            tree,
            _root,
        }
    }

    /// Makes a counter that holds `number`.
    pub(crate) async fn make(&self, id: EntityId, number: u64) {
        let (reply, answer) = oneshot::channel();
        let seed = Seed {
            tenant: "default".into(),
            name: None,
        };
        let made = self.host.create(id, seed, Message::Add(number, reply));
        made.await.unwrap();
        assert_eq!(answer.await.unwrap(), number);
    }

    /// As the tree shows it.
    pub(crate) fn shown(&self, id: EntityId) -> Option<String> {
        let row = self.tree.actor(&format!("/counters/{id}"));
        row.map(|view| view.row.state)
    }

    pub(crate) async fn read(&self, id: EntityId) -> Count {
        self.host.ask(id, Message::Read).await.unwrap().unwrap()
    }
}

pub(crate) fn memory() -> Shared {
    Arc::new(Memory::new())
}

/// Asks again and again until the answer is there.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking)
        .await
        .unwrap()
}
