//! Starting and stopping every part, in order.

use std::{collections::HashMap, sync::Arc, time::Duration};

use protocol::{
    access::DEFAULT_TENANT, agent::Resources, entity::EntityKind, id::NodeId, member::NodeRole,
};
use runtime::{
    clock::{Clock, Dice},
    entity::Host,
    journal::Journal,
    outbox::{Carrier, couriers},
    projection::projector,
    reminder::{Wake, reminders},
    store::{self, Writer},
    supervision::{ChildSpec, Spec, Strategy, Supervisor, Tree, branch},
};

use super::{Inner, Orchestrator, Setup};
use crate::{
    adapter::{self, Doors},
    agent::{actor::ALERT, view::AgentTotalsView},
    allocator::{self, Allocator},
    cluster::Surroundings,
    host::{self, Hosts},
    orchestrator::{admission::Admission, tracker::task_tracker},
    registry::{self, Directory, Registry},
    services::{Parts, Services},
    task::{self, actor::Message},
};

/// How long attempts that are stopped may take to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(3);

impl Orchestrator {
    /// Starts every part in order, then activates streams with unfinished work.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start(setup: Setup) -> Result<Self, store::Error> {
        let (clock, dice) = (Clock::system(), Dice::system());
        let id = NodeId::from_uuid(dice.uuid_v7(clock.now()));
        let around = Surroundings::alone(id, &setup.node);
        Self::start_among(setup, around).await
    }

    /// The same, among other nodes: `around` says which start of which node this is.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start_among(setup: Setup, around: Surroundings) -> Result<Self, store::Error> {
        let (clock, dice) = (Clock::system(), Dice::system());
        let id = around.me.node;
        let epoch = setup.store.begin(id, &setup.node).await?;
        let writer = Writer::start(setup.store.clone());
        let journal = Journal::new(
            setup.store.clone(),
            writer.clone(),
            clock.clone(),
            id,
            epoch,
        );
        let tree = Tree::new(setup.node.clone(), clock.clone());
        let open = open_tasks(&setup.store).await?;
        adapter::command::sweep(&setup.data_dir);
        let data_dir = setup.data_dir.clone();
        let services = services(setup, &journal, &tree, dice, around, open);
        let root = Supervisor::start(
            &tree,
            "/",
            Spec::root(),
            children(&services, &journal),
            None,
        )
        .await
        .map_err(|error| {
            store::Error::Unusable(format!("the supervision tree did not start: {error}"))
        })?;
        let orchestrator = Self(Arc::new(Inner {
            data_dir,
            started_at: clock.now(),
            services,
            journal,
            writer,
            root,
            tree,
            id,
        }));
        orchestrator.serve();
        orchestrator.recover().await?;
        Ok(orchestrator)
    }

    /// Answers other nodes, about what is known already, from here on.
    fn serve(&self) {
        let services = &self.0.services;
        services.hosts.follow_lease();
        if services.hosts.around.me.roles.has(NodeRole::Worker) {
            services.hosts.serve();
        }
        services.directory.serve();
        task::serve(services);
    }

    /// Agents first: what tasks were running on them is looked up there.
    async fn recover(&self) -> Result<(), store::Error> {
        let agents = self.0.services.agents.recover().await?;
        let tasks = self.0.services.tasks.recover().await?;
        if agents + tasks > 0 {
            tracing::info!(agents, tasks, "recovered");
        }
        Ok(())
    }

    /// Takes no new work, lets running attempts end for `grace` at most, stops everything.
    pub async fn stop(&self, grace: Duration) {
        self.0.services.admission.close();
        self.0.services.allocator.close();
        self.0.services.hosts.close();
        self.attempts_end(grace).await;
        self.0.services.hosts.stop_all();
        // What was stopped is gone, and its end on disk, before this process is.
        self.attempts_end(STOPPED_WITHIN).await;
        if self.0.root.shutdown(Duration::from_secs(10)).await.is_err() {
            tracing::warn!("some actors did not stop in time");
        }
        self.0.writer.flush().await;
        if let Err(error) = self.0.journal.store().close().await {
            tracing::warn!(%error, "the store did not close cleanly");
        }
    }

    /// Waits until no attempt runs, for this long at most.
    async fn attempts_end(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        while self.0.services.hosts.running() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resolves when supervision has given up: the process should end and be started anew.
    pub async fn escalated(&self) -> String {
        self.0.root.escalated().await
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
    let capacity = machine();
    let allocator = Allocator::new(
        registry.clone(),
        setup.config.clone(),
        clock.clone(),
        around.me.node,
        capacity,
    );
    let tasks = Host::new(tree.clone(), journal.clone());
    let agents = Host::new(tree.clone(), journal.clone());
    let doors = Doors::new(&setup.config, &setup.data_dir, setup.natives);
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
    });
    tasks.provide(services.clone());
    agents.provide(services.clone());
    allocator.provide(tasks.clone(), hosts.clone());
    hosts.provide(host::Local {
        registry,
        allocator,
        tasks,
        agents,
    });
    services
}

/// What the machine offers to work that declares what it takes.
fn machine() -> Resources {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    Resources {
        cpu: f64::from(u32::try_from(cores).unwrap_or(u32::MAX)),
        // Unknown elsewhere than on Linux: then memory is no filter.
        memory: memory.map_or(u64::MAX, |kib| kib * 1024),
    }
}

async fn open_tasks(store: &store::Shared) -> Result<u64, store::Error> {
    let counts = store.count(DEFAULT_TENANT, EntityKind::Task).await?;
    let open = counts
        .iter()
        .filter(|(status, _)| !matches!(status.as_str(), "completed" | "failed" | "cancelled"));
    Ok(open.map(|(_, count)| count).sum())
}

/// The tree below the root: who serves comes before who is served.
fn children(services: &Services, journal: &Journal) -> Vec<ChildSpec> {
    let store = journal.store().clone();
    let clock = services.clock.clone();
    let system = vec![
        reminders(store.clone(), clock.clone(), wake(services)),
        couriers(store, clock, carriers()),
        projector(AgentTotalsView, journal.clone()),
        allocator::actor::allocator(&services.allocator),
        registry::actor::agent_manager(services.clone()),
        task_tracker(services.clone(), journal.clone()),
    ];
    let (system, _) = branch("system", Spec::infrastructure(Strategy::OneForOne), system);
    vec![
        system,
        host::actor::hosts(&services.hosts, "hosts"),
        services.agents.supervisor(),
        services.tasks.supervisor(),
    ]
}

fn wake(services: &Services) -> Wake {
    let tasks = services.tasks.clone();
    Arc::new(move |stream, _| {
        let tasks = tasks.clone();
        Box::pin(async move {
            match stream.kind() {
                EntityKind::Task => match tasks.tell(stream, Message::Wake).await {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::warn!(%stream, %error, "a reminder could not be delivered yet");
                        false
                    }
                },
                // Agents set no reminders: drop it rather than repeat it for ever.
                EntityKind::Agent => true,
            }
        })
    })
}

/// How alerts reach people: the log, and a metric that alert rules watch.
fn carriers() -> HashMap<&'static str, Carrier> {
    let alert: Carrier = Arc::new(|delivery| {
        Box::pin(async move {
            metrics::counter!(crate::metrics::ALERTS).increment(1);
            tracing::error!(entity = %delivery.stream, alert = delivery.payload, "alert");
            Ok(())
        })
    });
    HashMap::from([(ALERT, alert)])
}
