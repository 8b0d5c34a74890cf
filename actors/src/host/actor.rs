//! Supervises the agent-proxies of a node, and tells control nodes how their agents do.

pub(crate) mod proxy;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use protocol::id::{AgentId, NodeId};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use runtime::{
    entity::activation::{Blame, Failures, Verdict},
    supervision::{self, ChildSpec, Guard, Restart, Status, child_at, spawn_in},
};

use tokio::sync::watch;

use self::proxy::{AgentProxy, Run, path_of_agent, path_of_proxy};
use super::{Figures, Hosts};
use crate::task::links::agent_of;

/// How often control nodes are told what is new.
const PERIOD: Duration = Duration::from_secs(1);

/// How long what comes together is gathered before they are told of it.
const SOON: Duration = Duration::from_millis(20);

/// How long a proxy rests that fails again and again.
const REST: Duration = Duration::from_secs(60);

/// Figures that go into one message.
const FIGURES: usize = 256;

struct HostsActor {
    hosts: Hosts,
}

/// What lies in its mailbox.
#[derive(Debug)]
pub(crate) enum Message {
    /// An agent is hosted here.
    Start(AgentId),
    /// It is not any more.
    Stop(AgentId),
    /// An attempt found its proxy not there.
    Run(AgentId, Box<Run>),
    /// Something is new that steps may wait for: control nodes hear of it soon.
    News,
    /// Agents came: control nodes wait to hear how they do.
    Tell,
    /// Time passed.
    Tick,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "Start",
            Self::Stop(_) => "Stop",
            Self::Run(..) => "Run",
            Self::News => "News",
            Self::Tell => "Tell",
            Self::Tick => "Tick",
        }
    }
}

/// The child that supervises the proxies, by the name under which it stands in the tree.
pub(crate) fn hosts(hosts: &Hosts, name: &'static str) -> ChildSpec {
    let own = hosts.clone();
    let make = move || (HostsActor { hosts: own.clone() }, ());
    child_at::<HostsActor>(
        hosts.address(),
        name,
        "supervisor",
        Restart::Permanent,
        make,
    )
}

#[derive(Default)]
struct State {
    names: HashMap<ActorId, AgentId>,
    /// The rows of the tree: they stay while a proxy comes back after a failure.
    places: HashMap<AgentId, Guard>,
    failures: HashMap<AgentId, Failures>,
    /// Control nodes that know which Rust code this node has.
    introduced: HashSet<NodeId>,
    /// What each control node was told.
    told: HashMap<NodeId, HashMap<AgentId, Figures>>,
    /// Whether they are about to be told.
    telling: bool,
    changes: Option<watch::Receiver<u64>>,
}

impl Actor for HostsActor {
    type Msg = Message;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        // What its predecessor supervised died with it.
        for hosted in self.hosts.all() {
            if hosted.post().is_some() {
                myself.cast(Message::Start(hosted.id))?;
            }
        }
        myself.send_after(PERIOD, || Message::Tick);
        Ok(State {
            changes: Some(self.hosts.around.cluster.changes()),
            ..State::default()
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Start(id) => {
                self.start(&myself, state, id).await;
                for told in state.told.values_mut() {
                    told.remove(&id);
                }
                soon(&myself, state);
            }
            Message::News => soon(&myself, state),
            Message::Stop(id) => self.stop(state, id),
            Message::Run(id, run) => {
                let hosted = self.hosts.hosted(id);
                if hosted.post().is_some() {
                    self.start(&myself, state, id).await;
                }
                // Dropped unused, it reports itself.
                drop(hosted.proxy.offer(proxy::Message::Run(run)));
            }
            Message::Tell => {
                state.telling = false;
                self.tell(state);
            }
            Message::Tick => {
                self.hosts.tidy();
                self.tell(state);
                myself.send_after(PERIOD, || Message::Tick);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, error) = match event {
            SupervisionEvent::ActorTerminated(cell, ..) => (cell, None),
            SupervisionEvent::ActorFailed(cell, error) => (cell, Some(error.to_string())),
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => return Ok(()),
        };
        let Some(id) = state.names.remove(&cell.get_id()) else {
            return Ok(());
        };
        match error {
            Some(error) => self.failed(&myself, state, id, &error),
            None if self.hosts.hosted(id).post().is_some() => {
                // It was moved away and back before its end was seen.
                myself.cast(Message::Start(id))?;
            }
            None => {
                state.places.remove(&id);
                state.failures.remove(&id);
            }
        }
        Ok(())
    }
}

/// Tells control nodes in a moment, once for all that comes until then.
fn soon(myself: &ActorRef<Message>, state: &mut State) {
    if !std::mem::replace(&mut state.telling, true) {
        myself.send_after(SOON, || Message::Tell);
    }
}

impl HostsActor {
    async fn start(&self, myself: &ActorRef<Message>, state: &mut State, id: AgentId) {
        let hosted = self.hosts.hosted(id);
        let Some(post) = hosted.post().filter(|_| hosted.proxy.cell().is_none()) else {
            return;
        };
        let place = state.places.entry(id).or_insert_with(|| {
            let place = self
                .hosts
                .tree
                .enter(path_of_proxy(&post.order), "agent-proxy");
            place.show_links(vec![agent_of(path_of_agent(&post.order))]);
            place
        });
        let proxy = AgentProxy {
            hosts: self.hosts.clone(),
            hosted: hosted.clone(),
        };
        match spawn_in(place, &hosted.proxy, proxy, (), &myself.get_cell()).await {
            Ok(()) => {
                if let Some(cell) = hosted.proxy.cell() {
                    state.names.insert(cell.get_id(), id);
                }
            }
            Err(error) => self.failed(myself, state, id, &error.to_string()),
        }
    }

    /// Its end is heard of later; what it runs goes on.
    fn stop(&self, state: &mut State, id: AgentId) {
        let hosted = self.hosts.hosted(id);
        if hosted.post().is_none() {
            hosted.proxy.stop("hosted here no more");
            state.places.remove(&id);
        }
    }

    /// Brings a failed proxy back after a while.
    fn failed(&self, myself: &ActorRef<Message>, state: &mut State, id: AgentId, error: &str) {
        tracing::error!(agent = %id, error, "an agent-proxy failed");
        if let Some(place) = state.places.get(&id) {
            place.failed(error);
            place.set_status(Status::BackingOff);
            place.restart();
        }
        let now = self.hosts.clock.now();
        let failures = state.failures.entry(id).or_default();
        let wait = match failures.add(now, error, Blame::Entity) {
            Verdict::Again(wait) => wait,
            Verdict::Park(_) => REST,
        };
        myself.send_after(wait, move || Message::Start(id));
    }

    /// Tells every other control node what is new since it was told last.
    fn tell(&self, state: &mut State) {
        let others = self.hosts.others();
        if let Some(changes) = &mut state.changes
            && changes.has_changed().unwrap_or(false)
        {
            // What was told before a node could be reached again may not have arrived.
            changes.mark_unchanged();
            state.told.clear();
            state.introduced.clear();
        }
        state.told.retain(|node, _| others.contains(node));
        let load = self.hosts.node_load();
        for node in others {
            if !state.introduced.contains(&node) && self.hosts.tell_natives(node) {
                state.introduced.insert(node);
            }
            let told = state.told.entry(node).or_default();
            let news = self.hosts.figures_beyond(told);
            let mut arrives = true;
            for agents in news.chunks(FIGURES) {
                arrives &= self.hosts.tell_loads(node, agents.to_vec(), None);
            }
            if let Some(load) = load {
                arrives &= self.hosts.tell_loads(node, Vec::new(), Some(load));
            }
            if !arrives {
                // It is told all of it when it can be reached again.
                told.clear();
            }
        }
    }
}
