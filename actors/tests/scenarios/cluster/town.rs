//! Several nodes over one store, and who is said to own and to host what.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use actors::{
    Orchestrator,
    adapter::Adapter,
    cluster::{Cluster, Lease, Net, Owner, Site, Standing, Surroundings},
    host::{Worker, WorkerSetup},
    orchestrator::{self, Placement, Setup},
};
use futures_util::FutureExt;
use protocol::{
    access::Caller,
    agent::Resources,
    api::{AgentView, AttemptView, TaskView},
    entity::{EntityId, EntityKind},
    id::{NodeId, TaskId},
    member::{NodeRole, Roles},
    wire::Service,
};
use runtime::{
    clock::Clock,
    cluster::{Fault, Peer},
    membership::Fence,
    store::{self, EventLog, Memory},
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use super::{asks::Asks, board::Board, turns::Sums};
use crate::{
    life::Life,
    people::Curious,
    support::{quick, task, until, within},
    tool::Tool,
};

/// Longer than any machine runs.
pub(crate) const LONG: Duration = Duration::from_secs(1 << 36);

/// The map of the town, the same for all.
#[derive(Debug, Default)]
struct Map {
    memory: Arc<Memory>,
    sites: Mutex<Vec<Site>>,
    dead: Mutex<HashSet<NodeId>>,
    fenced: Mutex<HashSet<NodeId>>,
    parted: Mutex<HashMap<NodeId, Instant>>,
    owners: Mutex<HashMap<EntityId, NodeId>>,
    changes: watch::Sender<u64>,
}

impl Map {
    /// Who made it, unless a test said otherwise.
    fn owner(&self, entity: EntityId) -> Option<NodeId> {
        let moved = self.owners.lock().unwrap().get(&entity).copied();
        let made = || {
            let first = self.memory.read(entity, 0, 1).now_or_never();
            let first = first.unwrap().unwrap_or_default();
            first.first().map(|record| record.owner)
        };
        // What nobody made yet will belong to the first on the map.
        let will_be = || {
            let is_question = entity.kind() == EntityKind::Question;
            let sites = self.sites.lock().unwrap();
            sites.first().filter(|_| is_question).map(|site| site.node)
        };
        moved.or_else(made).or_else(will_be)
    }
}

/// The map as one node reads it.
#[derive(Debug)]
struct View {
    me: NodeId,
    map: Arc<Map>,
}

impl Cluster for View {
    fn owner(&self, entity: EntityId) -> Owner {
        match self.map.owner(entity) {
            Some(node) if node == self.me && self.map.fenced.lock().unwrap().contains(&node) => {
                Owner::Nobody
            }
            Some(node) if node == self.me => Owner::Here,
            Some(node) => Owner::There(node),
            None => Owner::Nobody,
        }
    }

    fn controls(&self) -> Vec<NodeId> {
        let sites = self.sites();
        let controls = sites
            .iter()
            .filter(|site| site.roles.has(NodeRole::Control));
        controls.map(|site| site.node).collect()
    }

    fn sites(&self) -> Vec<Site> {
        self.map.sites.lock().unwrap().clone()
    }

    fn gone(&self, node: NodeId) -> bool {
        self.map.dead.lock().unwrap().contains(&node)
    }

    fn parted(&self, node: NodeId) -> Option<Duration> {
        let parted = self.map.parted.lock().unwrap();
        parted.get(&node).map(Instant::elapsed)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.map.changes.subscribe()
    }
}

impl Placement for View {
    fn owner(&self, id: EntityId) -> Owner {
        Cluster::owner(self, id)
    }

    fn controls(&self) -> Vec<NodeId> {
        let mut controls = Cluster::controls(self);
        controls.sort_by_key(|node| *node != self.me);
        controls
    }

    /// What is made here stays here.
    fn own_id(&self, fresh: &mut dyn FnMut() -> Uuid) -> Option<Uuid> {
        Some(fresh())
    }
}

/// Whether a node passes on what belongs to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Routing {
    #[default]
    Refused,
    PassedOn,
}

/// A control node that hosts agents too.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) orchestrator: Orchestrator,
    pub(crate) tool: Arc<Tool>,
    pub(crate) lease: watch::Sender<Lease>,
    pub(crate) fence: Fence,
    pub(crate) life: Arc<Life>,
}

impl std::ops::Deref for Node {
    type Target = Orchestrator;

    fn deref(&self) -> &Orchestrator {
        &self.orchestrator
    }
}

/// A node without a store.
pub(crate) struct Hand {
    pub(crate) id: NodeId,
    pub(crate) tool: Arc<Tool>,
    pub(crate) worker: Worker,
    pub(crate) lease: watch::Sender<Lease>,
    pub(crate) fence: Fence,
}

#[derive(Default)]
pub(crate) struct Town {
    pub(crate) board: Board,
    map: Arc<Map>,
    nodes: HashMap<String, Node>,
    started: u128,
    routing: Routing,
}

impl std::ops::Index<&str> for Town {
    type Output = Node;

    fn index(&self, name: &str) -> &Node {
        &self.nodes[name]
    }
}

fn natives(tool: &Arc<Tool>, names: &[&str]) -> HashMap<String, Arc<dyn Adapter>> {
    let one = |name: &&str| ((*name).to_owned(), tool.clone() as Arc<dyn Adapter>);
    let asks = ("asks".to_owned(), Arc::new(Asks) as Arc<dyn Adapter>);
    let sums = (
        "sums".to_owned(),
        Arc::new(Sums(tool.clone())) as Arc<dyn Adapter>,
    );
    let curious = (
        "curious".to_owned(),
        Arc::new(Curious::default()) as Arc<dyn Adapter>,
    );
    let others = [asks, sums, curious];
    names.iter().map(one).chain(others).collect()
}

impl Town {
    /// Control nodes of these names. Each has a tool of its own behind every native agent.
    pub(crate) async fn of(names: &[&str]) -> Self {
        let mut town = Self::default();
        for name in names {
            town.start(name).await;
        }
        town
    }

    /// The same, and whichever is asked, the right one answers.
    pub(crate) async fn routed(names: &[&str]) -> Self {
        let mut town = Self {
            routing: Routing::PassedOn,
            ..Self::default()
        };
        for name in names {
            town.start(name).await;
        }
        town
    }

    pub(crate) async fn start(&mut self, name: &str) {
        let (around, lease) = self.surroundings(name, Roles::all());
        let fence = around.fence.clone();
        let (life, tool) = (
            Arc::new(Life::new(self.map.memory.clone())),
            Arc::new(Tool::default()),
        );
        let setup = Setup {
            config: quick(),
            node: name.to_owned(),
            store: life.clone(),
            data_dir: std::env::temp_dir().join("troupe-scenarios-none"),
            natives: natives(&tool, &["one", "two"]),
        };
        let id = around.me.node;
        let started = match self.routing {
            Routing::Refused => Orchestrator::start_among(setup, around).await,
            Routing::PassedOn => {
                let cluster = orchestrator::Cluster {
                    peers: Arc::new(self.board.socket(id)),
                    placement: Arc::new(View {
                        me: id,
                        map: self.map.clone(),
                    }),
                };
                Orchestrator::start_routed(setup, around, cluster).await
            }
        };
        let node = Node {
            id,
            orchestrator: started.unwrap(),
            tool,
            lease,
            fence,
            life,
        };
        self.nodes.insert(name.to_owned(), node);
        self.changed();
    }

    /// A worker of this name over what an earlier one left in `data_dir`.
    pub(crate) async fn hire(&mut self, name: &str, data_dir: &Path) -> Hand {
        self.hire_with(name, data_dir, &["one", "two"]).await
    }

    /// The same, whose program has these native agents.
    pub(crate) async fn hire_with(&mut self, name: &str, data_dir: &Path, has: &[&str]) -> Hand {
        let roles = [NodeRole::Worker].into_iter().collect();
        let (around, lease) = self.surroundings(name, roles);
        let fence = around.fence.clone();
        let (id, tool) = (around.me.node, Arc::new(Tool::default()));
        let setup = WorkerSetup {
            config: quick(),
            data_dir: data_dir.to_owned(),
            natives: actors::ask::among(natives(&tool, has), &around),
            capacity: Resources::default(),
            children: Vec::new(),
        };
        let worker = Worker::start(setup, around).await.unwrap();
        self.changed();
        Hand {
            id,
            tool,
            worker,
            lease,
            fence,
        }
    }

    fn surroundings(&mut self, name: &str, roles: Roles) -> (Surroundings, watch::Sender<Lease>) {
        self.started += 1;
        let me = Site {
            node: NodeId::from_uuid(Uuid::from_u128(self.started)),
            name: name.into(),
            region: "".into(),
            roles: roles.clone(),
            standing: Standing::Up,
        };
        let socket = self.board.join(Peer {
            node: me.node,
            name: name.to_owned(),
            roles,
        });
        self.map.sites.lock().unwrap().push(me.clone());
        let (held, lease) = watch::channel(Lease::Held);
        let fence = Fence::closed(Clock::system());
        fence.extend(LONG);
        let around = Surroundings {
            cluster: Arc::new(View {
                me: me.node,
                map: self.map.clone(),
            }),
            me,
            net: socket,
            lease,
            fence,
        };
        (around, held)
    }

    pub(crate) fn changed(&self) {
        self.map.changes.send_modify(|count| *count += 1);
    }

    /// Nobody reaches it any more, and it does not reach its store; nobody knows yet.
    pub(crate) fn vanish(&self, node: &Node) {
        self.board.cut(node.id);
        node.life.end();
    }

    /// It does not know any more whether it owns what it owned; the others do not know that yet.
    pub(crate) fn fence(&self, node: NodeId) {
        self.map.fenced.lock().unwrap().insert(node);
    }

    /// The links to it break, and everybody notices; whether it is dead, nobody knows.
    pub(crate) fn part(&self, node: NodeId) {
        self.board.cut(node);
        let mut parted = self.map.parted.lock().unwrap();
        parted.insert(node, Instant::now());
    }

    /// They stand again.
    pub(crate) fn meet(&self, node: NodeId) {
        self.map.parted.lock().unwrap().remove(&node);
        self.board.heal(node);
    }

    /// Everybody learns that it is dead.
    pub(crate) fn bury(&self, node: NodeId) {
        self.map.dead.lock().unwrap().insert(node);
        self.map
            .sites
            .lock()
            .unwrap()
            .retain(|site| site.node != node);
        self.changed();
    }

    /// Its lease is over, which the others see; it may come back.
    pub(crate) fn lapse(&self, node: NodeId) {
        let mut sites = self.map.sites.lock().unwrap();
        sites.retain(|site| site.node != node);
        drop(sites);
        self.changed();
    }

    /// It takes no agents in any more.
    pub(crate) fn drain(&self, node: NodeId) {
        for site in &mut *self.map.sites.lock().unwrap() {
            if site.node == node {
                site.standing = Standing::Draining;
            }
        }
        self.changed();
    }

    /// Another node owns a task or an agent from now on.
    pub(crate) fn give(&self, entity: impl Into<EntityId>, to: NodeId) {
        self.map.owners.lock().unwrap().insert(entity.into(), to);
        self.changed();
    }

    /// Which node owns a task or an agent.
    pub(crate) fn owner(&self, entity: impl Into<EntityId>) -> Option<NodeId> {
        self.map.owner(entity.into())
    }

    /// A native agent that `at` registers, to be hosted on the node `on`, known to all when this ends.
    pub(crate) async fn agent(&self, at: &str, name: &str, on: &str, slots: u32) -> AgentView {
        self.register(at, name, json!({ "node": on }), slots).await
    }

    pub(crate) async fn register(
        &self,
        at: &str,
        name: &str,
        placement: Value,
        slots: u32,
    ) -> AgentView {
        let spec = json!({
            "name": name, "agent_type": "native", "capabilities": ["work"], "max_tasks": slots,
            "placement": placement, "config": { "name": "one" },
        });
        let spec = serde_json::from_value(spec).unwrap();
        let admin = Caller::admin();
        self[at].register_agent(&admin, spec).await.unwrap();
        for node in self.nodes.values() {
            self.knows(node, name, slots).await;
        }
        self[at].agent(&admin, name).await.unwrap()
    }

    /// An agent that asks people, hosted where it is registered.
    pub(crate) async fn curious(&self, at: &str) {
        let spec = json!({
            "name": "curious", "agent_type": "native", "capabilities": ["ask"],
            "placement": { "node": at }, "config": { "name": "curious" },
        });
        let spec = serde_json::from_value(spec).unwrap();
        let admin = Caller::admin();
        self[at].register_agent(&admin, spec).await.unwrap();
        self.knows(&self[at], "curious", 5).await;
    }

    /// The same, whoever knows of it when this ends.
    pub(crate) async fn agent_unseen(&self, at: &str, name: &str, on: &str) {
        let spec = json!({
            "name": name, "agent_type": "native", "capabilities": ["work"],
            "placement": { "node": on }, "config": { "name": "one" },
        });
        let spec = serde_json::from_value(spec).unwrap();
        let admin = Caller::admin();
        self[at].register_agent(&admin, spec).await.unwrap();
    }

    /// When the node knows the agent, and that it has so many slots.
    pub(crate) async fn knows(&self, node: &Node, name: &str, slots: u32) {
        until(async || {
            let agent = node.agent(&Caller::admin(), name).await.ok()?;
            (agent.capacity == slots).then_some(())
        })
        .await;
    }

    /// A task of one step at a node.
    pub(crate) async fn work(&self, at: &str, step: Value) -> TaskId {
        let mut step = step;
        step["id"] = json!("a");
        let spec = task(json!({ "description": at, "steps": [step] }));
        let submitted = self[at].submit(&Caller::admin(), spec, None, None).await;
        submitted.unwrap().task.id
    }

    pub(crate) async fn settled(&self, at: &str, id: TaskId) -> TaskView {
        let admin = Caller::admin();
        let end = self[at].await_task(&admin, id, Duration::from_secs(60));
        let task = within(end).await.unwrap();
        assert!(task.status.is_terminal(), "{task:?}");
        task
    }

    pub(crate) async fn cancel(&self, at: &str, id: TaskId) {
        let admin = Caller::admin();
        let cancelled = self[at].cancel_task(&admin, id, "why not".to_owned());
        within(cancelled).await.unwrap();
    }

    /// What all control nodes keep together.
    pub(crate) fn store(&self) -> store::Shared {
        self.map.memory.clone()
    }

    /// What the task's stream holds.
    pub(crate) async fn events(&self, id: TaskId) -> Vec<Value> {
        let records = self.map.memory.read(id.into(), 0, 1000).await.unwrap();
        let events = records
            .iter()
            .map(|record| serde_json::from_str::<Vec<Value>>(&record.data).unwrap());
        events.flatten().collect()
    }

    /// Asks a node something in the name of another.
    pub(crate) async fn ask(
        &self,
        from: NodeId,
        to: &str,
        service: Service,
        what: &Value,
    ) -> Result<Vec<u8>, Fault> {
        let payload = serde_json::to_vec(what).unwrap();
        self.ask_in_bytes(from, to, service, payload).await
    }

    pub(crate) async fn ask_in_bytes(
        &self,
        from: NodeId,
        to: &str,
        service: Service,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, Fault> {
        let socket = self.board.socket(from);
        let within = Duration::from_secs(1);
        socket.ask(self[to].id, service, payload, within).await
    }

    pub(crate) async fn attempts(&self, at: &str, id: TaskId) -> Vec<AttemptView> {
        self[at].attempts(&Caller::admin(), id).await.unwrap()
    }
}
