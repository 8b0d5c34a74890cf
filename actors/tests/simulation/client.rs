//! Clients: they order under a key until they are answered, some watch, some change their mind.

use std::rc::Rc;

use protocol::{
    entity::EntityId,
    plan::{Effect, RetryPolicy, StepSpec},
    task::TaskStatus,
    time::Span,
};

use crate::{
    chance::{Chance, MS, SECOND},
    link::{End, Message, Order},
    world::{Event, World},
};

/// Orders of one client, and what it was told.
#[derive(Debug)]
pub(crate) struct Client {
    orders: Vec<Placed>,
}

#[derive(Debug)]
struct Placed {
    order: Rc<Order>,
    made: Option<EntityId>,
    watch: Watch,
    /// What had been seen when each question was asked, and what has been now.
    asked: Vec<(u8, u64)>,
    seen: (u8, u64),
    over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Never asks again.
    No,
    Yes,
    /// Asks to stop after this long.
    Cancel(u64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Notice {
    Submit(usize),
    Look(usize),
    Cancel(usize),
}

/// Lets clients place their orders over the run.
pub(crate) fn begin(world: &mut World) {
    let clients = 2 + world.chance.below(2);
    for client in 0..clients {
        let mut orders = Vec::new();
        for number in 0..=world.chance.below(3) {
            let at = world.chance.between(SECOND, 20 * SECOND);
            world.at(at, Event::Client(client, Notice::Submit(number)));
            let watch = match world.chance.below(10) {
                0..3 => Watch::No,
                3..9 => Watch::Yes,
                _ => Watch::Cancel(world.chance.between(MS, 8 * SECOND)),
            };
            let order = Order {
                client,
                number,
                key: format!("{client}/{number}"),
                steps: steps(&mut world.chance),
            };
            orders.push(Placed {
                order: Rc::new(order),
                made: None,
                watch,
                asked: Vec::new(),
                seen: (0, 0),
                over: false,
            });
        }
        world.clients.push(Client { orders });
    }
}

fn steps(chance: &mut Chance) -> Vec<StepSpec> {
    let effects = [
        Effect::Pure,
        Effect::Idempotent,
        Effect::Guarded,
        Effect::Irreversible,
    ];
    let count = 1 + chance.below(4);
    (0..count)
        .map(|at| {
            let backoff = if chance.percent(30) {
                chance.between(15, 40)
            } else {
                1
            };
            let needs = (0..at).filter(|_| chance.percent(60)).collect::<Vec<_>>();
            StepSpec {
                id: format!("s{at}"),
                agent: None,
                capability: None,
                description: None,
                input: serde_json::Value::Null,
                needs: needs.iter().map(|need| format!("s{need}")).collect(),
                effect: effects[chance.below(4)],
                retry: Some(RetryPolicy {
                    max_attempts: 3,
                    backoff: Span(std::time::Duration::from_secs(backoff)),
                }),
                timeout: None,
            }
        })
        .collect()
}

impl Client {
    pub(crate) fn waits(&self) -> Vec<String> {
        let waiting = self.orders.iter().filter(|placed| placed.made.is_none());
        waiting
            .map(|placed| format!("order {} was never answered", placed.order.key))
            .collect()
    }

    pub(crate) fn acked(&self) -> Vec<(String, EntityId)> {
        let acked = self.orders.iter();
        acked
            .filter_map(|placed| Some((placed.order.key.clone(), placed.made?)))
            .collect()
    }
}

impl World {
    pub(crate) fn client(&mut self, client: usize, notice: Notice) {
        let end = End::Client(client);
        let node = End::Node(self.chance.below(self.nodes.len()));
        let now = self.now;
        match notice {
            Notice::Submit(number) => {
                let placed = &self.clients[client].orders[number];
                if placed.made.is_none() {
                    let order = placed.order.clone();
                    self.send(end, node, None, Message::Submit(order));
                    let again = Event::Client(client, Notice::Submit(number));
                    self.at(now + 1_500 * MS, again);
                }
            }
            Notice::Look(number) => {
                let placed = &mut self.clients[client].orders[number];
                if let Some(stream) = placed.made
                    && !placed.over
                {
                    placed.asked.push(placed.seen);
                    let read = Message::Read {
                        order: number,
                        ask: placed.asked.len() - 1,
                        client,
                        stream,
                    };
                    self.send(end, node, None, read);
                    let again = Event::Client(client, Notice::Look(number));
                    self.at(now + 500 * MS, again);
                }
            }
            Notice::Cancel(number) => {
                let placed = &self.clients[client].orders[number];
                if let Some(stream) = placed.made
                    && !placed.over
                {
                    self.send(end, node, None, Message::Cancel(stream));
                    let again = Event::Client(client, Notice::Cancel(number));
                    self.at(now + 2_000 * MS, again);
                }
            }
        }
    }

    /// A node answers a client.
    pub(crate) fn told(&mut self, client: usize, message: Message) {
        match message {
            Message::Accepted(number, stream) => self.accepted(client, number, stream),
            Message::Status {
                order,
                ask,
                status,
                head,
            } => self.shown(client, order, ask, (status, head)),
            other => unreachable!("no client is told {other:?}"),
        }
    }

    fn accepted(&mut self, client: usize, number: usize, stream: EntityId) {
        let placed = &mut self.clients[client].orders[number];
        let key = placed.order.key.clone();
        let before = placed.made.replace(stream);
        let watch = placed.watch;
        self.trace(format_args!("client {client} has {stream} for {key}"));
        self.oracle.exists(&key, stream);
        match before {
            None => {
                let now = self.now;
                if watch != Watch::No {
                    let look = Event::Client(client, Notice::Look(number));
                    self.at(now + 100 * MS, look);
                }
                if let Watch::Cancel(after) = watch {
                    let cancel = Event::Client(client, Notice::Cancel(number));
                    self.at(now + after, cancel);
                }
            }
            Some(before) if before != stream => {
                let why = format!("P2: key {key} made {before} and {stream}");
                self.oracle.object(why);
            }
            Some(_) => {}
        }
    }

    /// An answer shows at least what its client had seen when it asked.
    fn shown(&mut self, client: usize, number: usize, ask: usize, shown: (TaskStatus, u64)) {
        let placed = &mut self.clients[client].orders[number];
        let (status, head) = shown;
        let (now, then) = ((rank(status), head), placed.asked[ask]);
        if now.0 < then.0 || now.1 < then.1 {
            let key = &placed.order.key;
            let why = format!("P3: client {client} saw {key} at {now:?} after {then:?}");
            self.oracle.object(why);
            return;
        }
        placed.seen = placed.seen.max(now);
        placed.over |= status.is_terminal();
    }
}

const fn rank(status: TaskStatus) -> u8 {
    match status {
        TaskStatus::Pending => 0,
        TaskStatus::Planning => 1,
        TaskStatus::Executing | TaskStatus::Paused => 2,
        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => 3,
    }
}
