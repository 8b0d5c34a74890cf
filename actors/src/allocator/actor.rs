//! Keeps the steps that wait, and serves them when agents become free.

use std::{collections::HashMap, sync::Arc, time::Duration};

use protocol::id::{AgentId, TaskId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use runtime::supervision::{self, ChildSpec, Restart, child_at};

use super::{
    Waiting, WaitingRoom,
    handle::{Allocator, Ask, Grant, candidates},
};
use crate::{registry::Agent, task::actor as task};

/// How often steps that wait are looked at without being told, for what changes unseen.
const PERIOD: Duration = Duration::from_millis(500);

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
    /// A slot is free.
    Freed(AgentId),
    /// Any agent may be free.
    Changed,
    /// Time passed.
    Tick,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Wait(_) => "Wait",
            Self::Forget { .. } => "Forget",
            Self::Freed(_) => "Freed",
            Self::Changed => "Changed",
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
            Message::Forget { task, step } => {
                state.room.remove(&(task, step));
                state.asks.remove(&(task, step));
            }
            Message::Freed(agent) => {
                if let Some(agent) = self.allocator.registry().get(agent) {
                    self.serve(state, &agent);
                }
            }
            Message::Changed => self.serve_all(state),
            Message::Tick => {
                self.serve_all(state);
                let depth = u32::try_from(state.asks.len()).unwrap_or(u32::MAX);
                metrics::gauge!(crate::metrics::QUEUE_DEPTH, "queue" => "global")
                    .set(f64::from(depth));
                myself.send_after(PERIOD, || Message::Tick);
            }
        }
        self.allocator.set_waiting(state.asks.len());
        Ok(())
    }
}

impl AllocatorActor {
    fn wait(&self, state: &mut State, ask: Ask) {
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
        for agent in agents.iter().filter(|agent| agent.gate.free() > 0) {
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

    /// Gives the agent's free slots to those that are next for what it can do.
    fn serve(&self, state: &mut State, agent: &Agent) {
        while !state.asks.is_empty() && agent.gate.free() > 0 {
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
