//! [`Worker`]: starts and stops the hosting part of a node alone.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use protocol::{
    agent::Resources,
    api::{TreeQuery, TreeView},
    id::NodeId,
    member::NodeRole,
};
use runtime::{
    clock::Clock,
    supervision::{ChildSpec, Spec, Strategy, Supervisor, SupervisorRef, Tree, branch},
};

use crate::{
    Config,
    adapter::{self, Adapter, Doors},
    allocator::{NodeLoad, disk_used},
    cluster::Surroundings,
    history::{self, Afar},
    host::{Hosts, Ledger, Parts, actor},
};

/// How long attempts that are stopped may take to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(3);

/// What a node hands to its worker.
#[derive(Debug)]
pub struct Setup {
    /// This crate's sections of the configuration.
    pub config: Config,
    /// Where working directories and the journal of attempts lie.
    pub data_dir: PathBuf,
    /// Agents written in Rust, by the name under which `native` agents refer to them.
    pub natives: HashMap<String, Arc<dyn Adapter>>,
    /// What the machine offers to work that declares what it takes.
    pub capacity: Resources,
    /// What else runs under `/system`: membership and the network.
    pub children: Vec<ChildSpec>,
}

/// Hosts agents for control nodes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Worker {
    hosts: Hosts,
    root: SupervisorRef,
    capacity: Resources,
    data_dir: Arc<Path>,
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it has to remember cannot be read or written.
    #[error("the journal of attempts cannot be used")]
    Journal(#[from] io::Error),
    /// Its first actors failed.
    #[error("the supervision tree did not start: {0}")]
    Tree(String),
}

impl Worker {
    /// Ends what an earlier run left behind, hands back what that had not, and takes orders.
    ///
    /// # Errors
    ///
    /// When the data directory cannot be used.
    pub async fn start(setup: Setup, around: Surroundings) -> Result<Self, Error> {
        let clock = Clock::system();
        adapter::command::sweep(&setup.data_dir);
        let (ledger, unsent) = Ledger::open(&setup.data_dir)?;
        let tree = Tree::new(&*around.me.name, clock.clone());
        setup.config.supervision.apply(&tree);
        let history = setup.config.history.clone();
        let hosts = Hosts::new(Parts {
            doors: Doors::fenced(
                &setup.config,
                &setup.data_dir,
                setup.natives,
                around.fence.clone(),
            ),
            config: setup.config,
            clock,
            tree: tree.clone(),
            around,
            ledger: Some(ledger),
        });
        let spec = Spec::infrastructure(Strategy::OneForOne);
        let around = &hosts.around;
        let archive = Afar::new(around.cluster.clone(), around.net.clone());
        let me = (around.me.node, &*around.me.name);
        let mut system = setup.children;
        system.extend(history::children(&tree, me, &history, Arc::new(archive)));
        let (system, _) = branch("system", spec, system);
        let children = vec![system, actor::hosts(&hosts, "agents")];
        let root = Supervisor::start(&tree, "/", Spec::root(), children, None)
            .await
            .map_err(|error| Error::Tree(error.to_string()))?;
        for ended in unsent {
            let hosts = hosts.clone();
            // Its token still proves it; whether it comes too late, the task's owner decides.
            tokio::spawn(async move { hosts.deliver(ended).await });
        }
        hosts.follow_lease();
        if hosts.around.me.roles.has(NodeRole::Worker) {
            hosts.serve();
        }
        Ok(Self {
            hosts,
            root,
            capacity: setup.capacity,
            data_dir: setup.data_dir.into(),
        })
    }

    /// Which start of the node this is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.hosts.me()
    }

    /// Attempts that run, or whose results are not recorded yet.
    #[must_use]
    pub fn running(&self) -> usize {
        self.hosts.running()
    }

    pub(crate) const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// How many slots of its agents are taken, and how many there are.
    pub(crate) fn slots(&self) -> (u32, u32) {
        self.hosts.slots()
    }

    /// Agents that it hosts.
    #[must_use]
    pub fn agents(&self) -> usize {
        self.hosts.hosting()
    }

    /// What runs on this node.
    #[must_use]
    pub fn actors(&self) -> &Tree {
        &self.hosts.tree
    }

    /// The supervision tree of this node.
    #[must_use]
    pub fn tree(&self, query: &TreeQuery) -> TreeView {
        self.hosts.tree.view(query)
    }

    /// How this machine stands, as measured: shares in use from 0 to 1.
    pub fn observe(&self, cpu_used: f64, memory_used: f64) {
        self.hosts.observe(NodeLoad {
            node: self.hosts.me(),
            cpu_used,
            memory_used,
            disk_used: disk_used(&self.data_dir).unwrap_or(0.0),
            capacity: self.capacity,
            taken: Resources::default(),
        });
    }

    /// Takes nothing new, lets running attempts end for `grace` at most, then stops them.
    pub async fn end(&self, grace: Duration) {
        self.hosts.close();
        self.attempts_end(grace).await;
        self.hosts.stop_all();
        self.attempts_end(STOPPED_WITHIN).await;
    }

    /// Lets running attempts end for `grace` at most, then stops them and everything else. The node
    /// is to be draining before, so that nothing new comes.
    pub async fn stop(&self, grace: Duration) {
        self.end(grace).await;
        if self.root.shutdown(Duration::from_secs(10)).await.is_err() {
            tracing::warn!("some actors did not stop in time");
        }
    }

    /// Kills every actor at once, as the end of the process would.
    pub fn kill(&self) {
        self.root.kill();
    }

    async fn attempts_end(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        while self.hosts.running() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resolves when supervision has given up: the process should end and be started anew.
    pub async fn escalated(&self) -> String {
        self.root.escalated().await
    }
}
