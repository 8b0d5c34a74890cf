//! Keeps the steps that wait, and serves them when agents become free.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use protocol::{
    allocation::Exclusion,
    id::{AgentId, TaskId},
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::supervision::{self, ChildSpec, Restart, child_at};

use super::{
    Ranking, Waiting, WaitingRoom, eligible,
    handle::{Allocator, Ask, Grant, candidates},
};
use crate::{registry::Agent, task::actor as task};

/// How often steps that wait are looked at without being told, for what changes unseen.
const PERIOD: Duration = Duration::from_millis(500);

/// Ill agents that are looked at with each tick.
const CHECKED: usize = 32;

/// Agents that are asked for a slot before a step waits.
const ASKED: usize = 8;

/// A step, by its task and place.
type Key = (TaskId, usize);

pub(crate) struct AllocatorActor {
    allocator: Allocator,
}

/// What lies in the allocator's mailbox.
#[derive(Debug)]
pub(crate) enum Message {
    /// A step found no free agent.
    Wait(Box<Ask>),
    /// A step does not wait any more.
    Forget { task: TaskId, step: usize },
    /// Nodes were asked for a slot for a step, as the offer of this number.
    Offered {
        key: Key,
        number: u64,
        grant: Option<Box<Grant>>,
    },
    /// A slot is free.
    Freed(AgentId),
    /// Any agent may be free.
    Changed,
    /// An ill agent was looked at.
    Checked(AgentId),
    /// Time passed.
    Tick,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Wait(_) => "Wait",
            Self::Forget { .. } => "Forget",
            Self::Offered { .. } => "Offered",
            Self::Freed(_) => "Freed",
            Self::Changed => "Changed",
            Self::Checked(_) => "Checked",
            Self::Tick => "Tick",
        }
    }
}

/// The child that keeps the waiting room.
pub(crate) fn allocator(allocator: &Allocator) -> ChildSpec {
    let own = allocator.clone();
    let make = move || {
        let actor = AllocatorActor {
            allocator: own.clone(),
        };
        (actor, ())
    };
    child_at::<AllocatorActor>(
        allocator.address(),
        "allocator",
        "system",
        Restart::Permanent,
        make,
    )
}

pub(crate) struct State {
    room: WaitingRoom<Key>,
    asks: HashMap<Key, Ask>,
    /// Steps for which other nodes are being asked: they wait no more, and not yet again.
    offered: HashMap<Key, (u64, Ask)>,
    offers: u64,
    /// Ill agents that are being looked at.
    checking: HashSet<AgentId>,
}

impl Actor for AllocatorActor {
    type Msg = Message;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        self.allocator.set_waiting(0);
        // What waited in the room of the one before asks again.
        if let Some(tasks) = self.allocator.tasks() {
            tasks.broadcast(|| task::Message::Requeue);
        }
        myself.send_after(PERIOD, || Message::Tick);
        Ok(State {
            room: WaitingRoom::new(self.allocator.ageing()),
            asks: HashMap::new(),
            offered: HashMap::new(),
            offers: 0,
            checking: HashSet::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Wait(ask) => self.wait(state, *ask),
            Message::Offered { key, number, grant } => self.offered(state, key, number, grant),
            Message::Forget { task, step } => {
                state.room.remove(&(task, step));
                state.asks.remove(&(task, step));
                // A slot that is found all the same is given back.
                state.offered.remove(&(task, step));
            }
            Message::Freed(agent) => {
                if let Some(agent) = self.allocator.registry().get(agent) {
                    self.serve(state, &agent);
                }
            }
            Message::Changed => self.serve_all(state),
            Message::Checked(agent) => {
                state.checking.remove(&agent);
            }
            Message::Tick => {
                self.serve_all(state);
                self.look_at_the_ill(state);
                let depth = u32::try_from(state.asks.len()).unwrap_or(u32::MAX);
                metrics::gauge!(crate::metrics::QUEUE_DEPTH, "queue" => "global")
                    .set(f64::from(depth));
                let now = self.allocator.clock().now();
                let oldest = state.asks.values().map(|ask| now.since(ask.since)).max();
                metrics::gauge!(crate::metrics::QUEUE_OLDEST)
                    .set(oldest.unwrap_or_default().as_secs_f64());
                myself.send_after(PERIOD, || Message::Tick);
            }
        }
        self.allocator.set_waiting(state.asks.len());
        Ok(())
    }
}

impl AllocatorActor {
    /// Asks the best agents one after the other, or lets the step wait behind those that do already.
    fn wait(&self, state: &mut State, ask: Ask) {
        if !state.asks.is_empty() {
            self.enter(state, ask);
            return;
        }
        let (agents, ranking) = self.allocator.order(&ask);
        let mut agents = agents.into_iter();
        while let Some(agent) = agents.next() {
            if let Some(slot) = agent.hosted.gate.take() {
                let key = (ask.task, ask.step);
                let grant = self.allocator.granted(&ask, &agent, slot, ranking);
                self.tell(key, grant);
                return;
            }
            if !agent.is_here(&agent.facts()) {
                let agents = std::iter::once(agent).chain(agents).collect();
                self.offer(state, ask, agents, ranking);
                return;
            }
        }
        self.enter(state, ask);
    }

    /// Asks agents for a slot, beside the mailbox.
    fn offer(&self, state: &mut State, ask: Ask, agents: Vec<Arc<Agent>>, ranking: Ranking) {
        let Some(hosts) = self.allocator.hosts().cloned() else {
            self.enter(state, ask);
            return;
        };
        state.offers += 1;
        let (number, key) = (state.offers, (ask.task, ask.step));
        state.offered.insert(key, (number, ask.clone()));
        let allocator = self.allocator.clone();
        // Counted at once, or all that wait would be offered to the one slot that is free.
        if let Some(first) = agents.first() {
            first.lent();
        }
        tokio::spawn(async move {
            let mut grant = None;
            for (position, agent) in agents.iter().take(ASKED).enumerate() {
                let here = agent.hosted.gate.take();
                let slot = match here {
                    Some(slot) => Some(slot),
                    None if agent.is_here(&agent.facts()) => None,
                    None => {
                        if position > 0 {
                            agent.lent();
                        }
                        hosts.reserve(agent, key.0, key.1).await
                    }
                };
                if let Some(slot) = slot {
                    grant = Some(Box::new(allocator.granted(&ask, agent, slot, ranking)));
                    break;
                }
            }
            // Without an actor the slot is given back, and every task asks again.
            let _ = allocator
                .address()
                .cast(Message::Offered { key, number, grant });
        });
    }

    fn offered(&self, state: &mut State, key: Key, number: u64, grant: Option<Box<Grant>>) {
        let Entry::Occupied(offered) = state.offered.entry(key) else {
            return;
        };
        if offered.get().0 != number {
            return;
        }
        let (_, ask) = offered.remove();
        match grant {
            Some(grant) => self.tell(key, *grant),
            None => self.enter(state, ask),
        }
    }

    /// Lets a step wait.
    fn enter(&self, state: &mut State, ask: Ask) {
        let key = (ask.task, ask.step);
        let waiting = Waiting {
            key,
            user: ask.user.clone(),
            requirement: ask.requirement.clone(),
            priority: ask.priority,
            since: ask.since,
            until: None,
        };
        let tenant = self.allocator.registry().tenant(&ask.requirement.tenant);
        let agents: Vec<Arc<Agent>> = candidates(&tenant, &ask.requirement)
            .into_iter()
            .cloned()
            .collect();
        state.room.push(waiting);
        state.asks.insert(key, ask);
        // From here on a slot that comes free is announced; one that came free before is seen below.
        self.allocator.set_waiting(state.asks.len());
        for agent in agents.iter().filter(|agent| agent.hosted.gate.free() > 0) {
            self.serve(state, agent);
        }
    }

    fn serve_all(&self, state: &mut State) {
        if state.asks.is_empty() {
            return;
        }
        for agent in self.allocator.registry().all() {
            self.serve(state, &agent);
        }
    }

    /// Agents that only their health keeps from a step that waits are looked at again and again: when
    /// it is back, the step does not wait for the next check by the interval.
    fn look_at_the_ill(&self, state: &mut State) {
        let Some(hosts) = self.allocator.hosts().cloned() else {
            return;
        };
        if state.asks.is_empty() {
            return;
        }
        let all = self.allocator.registry().all().into_iter();
        let ill = all.filter(|agent| {
            let snapshot = self.allocator.snapshot(agent);
            self.allocator.with_terms(|terms| {
                let mut asks = state.asks.values();
                asks.any(|ask| {
                    eligible(&ask.requirement, &snapshot, terms) == Some(Exclusion::Unhealthy)
                })
            })
        });
        for agent in ill.take(CHECKED) {
            if !state.checking.insert(agent.id) {
                continue;
            }
            let (hosts, address) = (hosts.clone(), self.allocator.address().clone());
            tokio::spawn(async move {
                // What it finds, its host tells everybody.
                drop(hosts.check(&agent).await);
                let _ = address.cast(Message::Checked(agent.id));
            });
        }
    }

    /// Gives the agent's free slots to those that are next for what it can do.
    fn serve(&self, state: &mut State, agent: &Arc<Agent>) {
        loop {
            let facts = agent.facts();
            let load = agent.load(&facts);
            if state.asks.is_empty() || load.taken >= load.limit {
                return;
            }
            let snapshot = self.allocator.snapshot(agent);
            let next = self
                .allocator
                .with_terms(|terms| state.room.pop_for(&snapshot, terms));
            let Some(waiting) = next else {
                return;
            };
            let Some(ask) = state.asks.remove(&waiting.key) else {
                continue;
            };
            if !agent.is_here(&facts) {
                let ranking = self.allocator.order(&ask).1;
                self.offer(state, ask, vec![agent.clone()], ranking);
                continue;
            }
            match self.allocator.grant(&ask) {
                Some(grant) => self.tell(waiting.key, grant),
                // Somebody was faster: it keeps its place.
                None => {
                    state.asks.insert(waiting.key, ask);
                    state.room.push(waiting);
                    return;
                }
            }
        }
    }

    /// Tells the task, bringing it back if need be. A grant that finds nobody frees its slot.
    fn tell(&self, (task, step): Key, grant: Grant) {
        let Some(tasks) = self.allocator.tasks().cloned() else {
            return;
        };
        tokio::spawn(async move {
            if let Err(error) = tasks
                .tell(task.into(), task::Message::Granted { step, grant })
                .await
            {
                tracing::warn!(%task, %error, "a task could not be told of its agent");
            }
        });
    }
}
