//! Two nodes with one store, `a` and `b`, and one without, `c`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actors::{
    Config, Orchestrator,
    orchestrator::{Cluster, Outpost, Setup},
};
use protocol::{
    access::{Caller, DEFAULT_TENANT, Role},
    id::{NodeId, TaskId},
    member::{NodeRole, Roles},
    task::TaskSpec,
};
use runtime::{
    clock::{Clock, Dice},
    store::{self, Memory},
    supervision::Tree,
};
use serde_json::{Value, json};

use crate::{
    net::Net,
    owners::{Owners, View},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits what must come soon.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

pub(crate) fn user(name: &str, role: Role) -> Caller {
    Caller {
        tenant: DEFAULT_TENANT.to_owned(),
        user: name.to_owned(),
        role,
    }
}

pub(crate) fn spec(spec: Value) -> TaskSpec {
    serde_json::from_value(spec).unwrap()
}

/// One step for this agent.
pub(crate) fn step_for(agent: &str) -> TaskSpec {
    spec(json!({ "description": "one step", "steps": [{ "id": "s", "agent": agent }] }))
}

pub(crate) struct Nodes {
    pub(crate) net: Net,
    pub(crate) owners: Owners,
    pub(crate) a: Orchestrator,
    pub(crate) b: Orchestrator,
    pub(crate) c: Orchestrator,
    pub(crate) admin: Caller,
    pub(crate) store: store::Shared,
}

impl Nodes {
    /// All three, with the agents `echo-a` and `echo-b` on the node of that name, and `held-a` and
    /// `held-b`, which are paused.
    pub(crate) async fn start() -> Self {
        let (net, owners) = (Net::default(), Owners::default());
        let store: store::Shared = Arc::new(Memory::new());
        let (a, b) = (fresh(), fresh());
        owners.share(&[a, b]);
        let control: Roles = [NodeRole::Control].into_iter().collect();
        let mut started = Vec::new();
        for (name, node) in [("a", a), ("b", b)] {
            let setup = Setup {
                config: Config::default(),
                node: name.to_owned(),
                store: store.clone(),
                data_dir: std::env::temp_dir().join("troupe-nodes-none"),
                natives: HashMap::new(),
            };
            let cluster = Cluster {
                peers: net.port(name, node, control.clone()),
                placement: Arc::new(View {
                    me: node,
                    owners: owners.clone(),
                }),
            };
            started.push(Orchestrator::start_in(setup, cluster).await.unwrap());
        }
        let (b, a) = (started.pop().unwrap(), started.pop().unwrap());
        let edge = [NodeRole::Edge].into_iter().collect();
        let c = without_store(&net, "c", edge, owners.clone());
        let nodes = Self {
            net,
            owners,
            a,
            b,
            c,
            admin: Caller::admin(),
            store,
        };
        for (node, name) in [(&nodes.a, "a"), (&nodes.b, "b")] {
            nodes.agent(node, &format!("echo-{name}")).await;
            let held = format!("held-{name}");
            nodes.agent(node, &held).await;
            node.pause_agent(&nodes.admin, &held).await.unwrap();
        }
        nodes
    }

    /// Registers an agent that gives back what it gets.
    pub(crate) async fn agent(&self, node: &Orchestrator, name: &str) {
        let spec = json!({ "name": name, "agent_type": "echo", "capabilities": ["work"] });
        let spec = serde_json::from_value(spec).unwrap();
        let agent = node.register_agent(&self.admin, spec).await.unwrap();
        assert_eq!(agent.name, name);
    }

    /// A task of `a` that waits for its agent.
    pub(crate) async fn held(&self) -> TaskId {
        self.held_at(&self.a, "held-a").await
    }

    /// A task of a node that waits for its agent.
    pub(crate) async fn held_at(&self, at: &Orchestrator, agent: &str) -> TaskId {
        let submitted = at.submit(&self.admin, step_for(agent), None, None).await;
        submitted.unwrap().task.id
    }

    pub(crate) fn id(&self, node: &Orchestrator) -> NodeId {
        node.node().id
    }

    /// A node without a store that learns of no change from now on.
    pub(crate) fn stale(&self) -> Orchestrator {
        let edge = [NodeRole::Edge].into_iter().collect();
        without_store(&self.net, "stale", edge, self.owners.as_of_now())
    }
}

pub(crate) fn fresh() -> NodeId {
    NodeId::from_uuid(Dice::system().uuid_v7(Clock::system().now()))
}

pub(crate) fn without_store(net: &Net, name: &str, roles: Roles, owners: Owners) -> Orchestrator {
    let (me, clock) = (fresh(), Clock::system());
    let outpost = Outpost {
        node: name.to_owned(),
        tree: Tree::new(name.to_owned(), clock.clone()),
        clock,
    };
    let cluster = Cluster {
        peers: net.port(name, me, roles),
        placement: Arc::new(View { me, owners }),
    };
    Orchestrator::remote(outpost, cluster)
}
