//! Starting and stopping every part, in order.

mod children;

use std::{sync::Arc, time::Duration};

use protocol::{access::DEFAULT_TENANT, entity::EntityKind, id::NodeId, member::NodeRole};
use runtime::{
    clock::{Clock, Dice},
    entity::Host,
    journal::Journal,
    placement::{Arrival, Holdings},
    store::{self, Writer},
    supervision::{Spec, Supervisor, Tree},
};

use self::children::children;
use super::{
    Cluster, Inner, Member, Orchestrator, Outpost, Own, Setup, events::Nodes, past::Readings,
    tree::Followed, turns::Turns,
};
use crate::{
    adapter::{self, Doors},
    allocator::{self, Allocator},
    ask::{self, Asks, Callers},
    cluster::{Part, Roll, Surroundings},
    history,
    hold::{self, Holds},
    host::{self, Hosts, Worker},
    orchestrator::admission::Admission,
    question::{self, Questions},
    registry::{Directory, Registry},
    services::{Parts, Services},
    task, trigger,
    workflow::library::Library,
};

/// Where a node stands when it starts.
struct Footing {
    around: Surroundings,
    holdings: Holdings,
    cluster: Option<Cluster>,
    part: Option<Part>,
    clock: Clock,
}

/// How long attempts that are stopped may take to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(3);

impl Orchestrator {
    /// Starts every part in order, then activates streams with unfinished work.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start(setup: Setup) -> Result<Self, store::Error> {
        let id = NodeId::from_uuid(Dice::system().uuid_v7(Clock::system().now()));
        let around = Surroundings::alone(id, &setup.node);
        Self::start_among(setup, around).await
    }

    /// The same, in a cluster: activates what this node owns now, and the rest as it takes it.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start_as(setup: Setup, part: Part) -> Result<Self, store::Error> {
        let footing = Footing {
            around: part.surroundings(),
            holdings: part.holdings.clone(),
            cluster: Some(part.cluster()),
            part: Some(part),
            clock: Clock::system(),
        };
        Self::begin(setup, footing).await
    }

    /// Among nodes of which `around` tells, all of it owned by this one as far as the store goes.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start_among(setup: Setup, around: Surroundings) -> Result<Self, store::Error> {
        Self::start_by(setup, around, Clock::system()).await
    }

    /// The same by another clock, such as one that follows a test's time.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start_by(
        setup: Setup,
        around: Surroundings,
        clock: Clock,
    ) -> Result<Self, store::Error> {
        let epoch = setup.store.begin(around.me.node, &setup.node).await?;
        let footing = Footing {
            around,
            holdings: Holdings::everything(epoch),
            cluster: None,
            part: None,
            clock,
        };
        Self::begin(setup, footing).await
    }

    /// The same, with use cases that belong to others passed on.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start_routed(
        setup: Setup,
        around: Surroundings,
        cluster: Cluster,
    ) -> Result<Self, store::Error> {
        let epoch = setup.store.begin(around.me.node, &setup.node).await?;
        let footing = Footing {
            around,
            holdings: Holdings::everything(epoch),
            cluster: Some(cluster),
            part: None,
            clock: Clock::system(),
        };
        Self::begin(setup, footing).await
    }

    /// The same without others that host agents.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start_in(setup: Setup, cluster: Cluster) -> Result<Self, store::Error> {
        let around = Surroundings::alone(cluster.peers.me(), &setup.node);
        Self::start_routed(setup, around, cluster).await
    }

    async fn begin(setup: Setup, footing: Footing) -> Result<Self, store::Error> {
        let dice = Dice::system();
        let Footing {
            around,
            holdings,
            cluster,
            part,
            clock,
        } = footing;
        let (id, name) = (around.me.node, around.me.name.clone());
        let writer = Writer::start(setup.store.clone());
        let journal = Journal::new(
            setup.store.clone(),
            writer.clone(),
            clock.clone(),
            id,
            holdings,
        );
        let tree = Tree::new(&*name, clock.clone());
        setup.config.supervision.apply(&tree);
        let open = open_tasks(&setup.store).await?;
        adapter::command::sweep(&setup.data_dir);
        let data_dir = setup.data_dir.clone();
        let callers = Callers::new(&around);
        let setup = Setup {
            natives: callers.among(setup.natives),
            ..setup
        };
        let services = services(setup, &journal, &tree, dice, around, open);
        // Before the first task goes on.
        services.holds.look().await?;
        // Heard from the first moment on; nobody asks before the network is there.
        serve(&services);
        history::serve(&*services.hosts.around.net, journal.store().clone());
        ask::serve(&services, &callers);
        let roll = part.as_ref().map(Part::roll);
        let children = children(&services, &journal, &tree, part);
        let root = Supervisor::start(&tree, "/", Spec::root(), children, None)
            .await
            .map_err(|error| {
                store::Error::Unusable(format!("the supervision tree did not start: {error}"))
            })?;
        let own = Own {
            services,
            journal,
            writer,
            root,
            data_dir,
        };
        own.recover().await?;
        let orchestrator = Self(Arc::new(Inner {
            id,
            name,
            started_at: clock.now(),
            tree,
            own: Some(own),
            member: cluster.map(Member::new),
            roll,
            worker: None,
            log: std::sync::OnceLock::new(),
            tickets: std::sync::OnceLock::new(),
            followed: Followed::default(),
            readings: Readings::default(),
            turns: Turns::default(),
            nodes: Nodes::default(),
        }));
        orchestrator.serve();
        orchestrator.begin_runs();
        Ok(orchestrator)
    }

    /// Starts on a node without a store, which passes everything on.
    #[must_use]
    pub fn remote(outpost: Outpost, cluster: Cluster) -> Self {
        Self::outpost(outpost, cluster, None, None)
    }

    /// The same, in a cluster whose members it can tell of, beside what hosts agents there.
    #[must_use]
    pub fn remote_as(outpost: Outpost, part: &Part, worker: Worker) -> Self {
        Self::outpost(outpost, part.cluster(), Some(part.roll()), Some(worker))
    }

    fn outpost(
        outpost: Outpost,
        cluster: Cluster,
        roll: Option<Roll>,
        worker: Option<Worker>,
    ) -> Self {
        let orchestrator = Self(Arc::new(Inner {
            id: cluster.peers.me(),
            name: outpost.node.into(),
            started_at: outpost.clock.now(),
            tree: outpost.tree,
            own: None,
            member: Some(Member::new(cluster)),
            roll,
            worker,
            log: std::sync::OnceLock::new(),
            tickets: std::sync::OnceLock::new(),
            followed: Followed::default(),
            readings: Readings::default(),
            turns: Turns::default(),
            nodes: Nodes::default(),
        }));
        orchestrator.serve();
        orchestrator
    }

    /// Takes no new work and lets running attempts end for `grace` at most.
    pub async fn end(&self, grace: Duration) {
        if let Some(own) = &self.0.own {
            own.end(grace).await;
        }
    }

    /// Kills every actor at once, as the end of the process would.
    pub fn kill(&self) {
        if let Some(own) = &self.0.own {
            own.root.kill();
        }
    }

    /// Takes no new work, lets running attempts end for `grace` at most, stops everything.
    pub async fn stop(&self, grace: Duration) {
        if let Some(own) = &self.0.own {
            own.stop(grace).await;
        }
    }

    /// Resolves when supervision has given up: the process should end and be started anew.
    pub async fn escalated(&self) -> String {
        match &self.0.own {
            Some(own) => own.root.escalated().await,
            // Nothing is supervised here that could give up.
            None => std::future::pending().await,
        }
    }
}

/// Answers other nodes about what is hosted and owned here.
fn serve(services: &Services) {
    services.hosts.follow_lease();
    if services.hosts.around.me.roles.has(NodeRole::Worker) {
        services.hosts.serve();
    }
    services.directory.serve();
    task::serve(services);
    hold::serve(services);
    question::serve(services);
}

impl Own {
    /// Agents first: what tasks were running on them is looked up there.
    async fn recover(&self) -> Result<(), store::Error> {
        let scope = self.journal.holdings().scope();
        let agents = self.services.agents.recover(&scope, Arrival::Own).await?;
        let tasks = self.services.tasks.recover(&scope, Arrival::Own).await?;
        self.services.held.show_parked(&scope, Arrival::Own).await?;
        let workflows = &self.services.workflows;
        workflows.show_parked(&scope, Arrival::Own).await?;
        let templates = &self.services.templates;
        templates.show_parked(&scope, Arrival::Own).await?;
        // Last: those that were answered tell their tasks.
        let questions = self.services.questions.host();
        questions.recover(&scope, Arrival::Own).await?;
        self.services
            .schedules
            .recover(&scope, Arrival::Own)
            .await?;
        self.services.triggers.recover(&scope, Arrival::Own).await?;
        if agents + tasks > 0 {
            tracing::info!(agents, tasks, "recovered");
        }
        Ok(())
    }

    async fn end(&self, grace: Duration) {
        self.services.admission.close();
        self.services.allocator.close();
        self.services.hosts.close();
        self.attempts_end(grace).await;
        self.services.hosts.stop_all();
        // What was stopped is gone, and its end on disk, before this process is.
        self.attempts_end(STOPPED_WITHIN).await;
    }

    async fn stop(&self, grace: Duration) {
        self.end(grace).await;
        if self.root.shutdown(Duration::from_secs(10)).await.is_err() {
            tracing::warn!("some actors did not stop in time");
        }
        self.writer.flush().await;
        if let Err(error) = self.journal.store().close().await {
            tracing::warn!(%error, "the store did not close cleanly");
        }
    }

    /// Waits until no attempt runs, for this long at most.
    async fn attempts_end(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        while self.services.hosts.running() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn services(
    setup: Setup,
    journal: &Journal,
    tree: &Tree,
    dice: Dice,
    around: Surroundings,
    open: u64,
) -> Services {
    let clock = journal.clock().clone();
    let registry = Registry::default();
    let capacity = allocator::machine();
    let allocator = Allocator::new(
        registry.clone(),
        setup.config.clone(),
        clock.clone(),
        around.me.node,
        capacity,
    );
    let tasks = Host::new(tree.clone(), journal.clone());
    let agents = Host::new(tree.clone(), journal.clone());
    let held = Host::new(tree.clone(), journal.clone());
    let workflows = Host::new(tree.clone(), journal.clone());
    let schedules = Host::new(tree.clone(), journal.clone());
    let triggers = Host::new(tree.clone(), journal.clone());
    let templates = Host::new(tree.clone(), journal.clone());
    let holds = Holds::new(journal.store().clone());
    let doors = Doors::fenced(
        &setup.config,
        &setup.data_dir,
        setup.natives,
        around.fence.clone(),
    );
    let askers = Arc::new(question::Tasks::default());
    let questions = Questions::new(tree, journal, dice.clone(), &around, askers.clone());
    let hosts = Hosts::new(host::Parts {
        config: setup.config.clone(),
        clock: clock.clone(),
        tree: tree.clone(),
        doors: doors.clone(),
        around,
        ledger: None,
    });
    let directory = Directory::new(registry.clone(), allocator.clone(), hosts.clone());
    let services = Services::new(Parts {
        doors,
        admission: Admission::new(open, u64::from(setup.config.tasks.max_open)),
        asks: Asks::default(),
        config: setup.config,
        node: setup.node.into(),
        clock,
        dice,
        registry: registry.clone(),
        directory,
        allocator: allocator.clone(),
        hosts: hosts.clone(),
        tasks: tasks.clone(),
        agents: agents.clone(),
        holds: holds.clone(),
        held: held.clone(),
        library: Library::new(journal.clone()),
        workflows: workflows.clone(),
        questions,
        schedules: schedules.clone(),
        triggers: triggers.clone(),
        watching: trigger::Watching::default(),
        templates: templates.clone(),
    });
    askers.provide(&services);
    tasks.provide(services.clone());
    agents.provide(services.clone());
    held.provide(services.clone());
    workflows.provide(services.clone());
    schedules.provide(services.clone());
    triggers.provide(services.clone());
    templates.provide(services.clone());
    allocator.provide(tasks.clone(), hosts.clone(), holds);
    hosts.provide(host::Local {
        registry,
        allocator,
        tasks,
        agents,
    });
    services
}

async fn open_tasks(store: &store::Shared) -> Result<u64, store::Error> {
    let counts = store.count(DEFAULT_TENANT, EntityKind::Task).await?;
    let open = counts
        .iter()
        .filter(|(status, _)| !matches!(status.as_str(), "completed" | "failed" | "cancelled"));
    Ok(open.map(|(_, count)| count).sum())
}
