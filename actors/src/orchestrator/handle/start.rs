//! Starting and stopping every part, in order.

use std::{collections::HashMap, sync::Arc, time::Duration};

use protocol::{access::DEFAULT_TENANT, agent::Resources, entity::EntityKind, id::NodeId};
use runtime::{
    clock::{Clock, Dice},
    entity::Host,
    journal::Journal,
    outbox::{Carrier, couriers},
    placement::Holdings,
    projection::projector,
    reminder::{Wake, reminders},
    store::{self, Scope, Writer},
    supervision::{ChildSpec, Spec, Strategy, Supervisor, Tree, branch},
};

use super::{Cluster, Inner, Member, Orchestrator, Outpost, Own, Setup};
use crate::{
    adapter::{self, Doors},
    agent::{actor::ALERT, view::AgentTotalsView},
    allocator::{self, Allocator},
    orchestrator::{admission::Admission, tracker::task_tracker},
    registry::{self, Registry},
    services::{Parts, Services},
    task::actor::Message,
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
        Self::begin(setup, None).await
    }

    /// The same, on a node of a cluster: what belongs to other nodes is passed on to them.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start_in(setup: Setup, cluster: Cluster) -> Result<Self, store::Error> {
        Self::begin(setup, Some(cluster)).await
    }

    /// Starts on a node without a store, which passes everything on.
    #[must_use]
    pub fn remote(outpost: Outpost, cluster: Cluster) -> Self {
        let orchestrator = Self(Arc::new(Inner {
            id: cluster.peers.me(),
            name: outpost.node.into(),
            started_at: outpost.clock.now(),
            clock: outpost.clock,
            tree: outpost.tree,
            own: None,
            member: Some(Member::new(cluster)),
        }));
        orchestrator.serve();
        orchestrator
    }

    async fn begin(setup: Setup, cluster: Option<Cluster>) -> Result<Self, store::Error> {
        let (clock, dice) = (Clock::system(), Dice::system());
        let id = match &cluster {
            Some(cluster) => cluster.peers.me(),
            None => NodeId::from_uuid(dice.uuid_v7(clock.now())),
        };
        let name = Arc::from(setup.node.as_str());
        let epoch = setup.store.begin(id, &setup.node).await?;
        let writer = Writer::start(setup.store.clone());
        let journal = Journal::new(
            setup.store.clone(),
            writer.clone(),
            clock.clone(),
            id,
            Holdings::everything(epoch),
        );
        let tree = Tree::new(setup.node.clone(), clock.clone());
        let open = open_tasks(&setup.store).await?;
        adapter::command::sweep(&setup.data_dir);
        let data_dir = setup.data_dir.clone();
        let services = services(setup, &journal, &tree, dice, id, open);
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
            clock,
            tree,
            own: Some(own),
            member: cluster.map(Member::new),
        }));
        orchestrator.serve();
        Ok(orchestrator)
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

impl Own {
    /// Agents first: what tasks were running on them is looked up there.
    async fn recover(&self) -> Result<(), store::Error> {
        let agents = self.services.agents.recover(&Scope::All, None).await?;
        let tasks = self.services.tasks.recover(&Scope::All, None).await?;
        if agents + tasks > 0 {
            tracing::info!(agents, tasks, "recovered");
        }
        Ok(())
    }

    async fn stop(&self, grace: Duration) {
        self.services.admission.close();
        self.services.allocator.close();
        self.attempts_end(grace).await;
        for agent in self.services.registry.all() {
            for running in &agent.running {
                running.value().cancel();
            }
        }
        // What was stopped is gone, and its end on disk, before this process is.
        self.attempts_end(STOPPED_WITHIN).await;
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
        while self.services.registry.running() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn services(
    setup: Setup,
    journal: &Journal,
    tree: &Tree,
    dice: Dice,
    id: NodeId,
    open: u64,
) -> Services {
    let clock = journal.clock().clone();
    let registry = Registry::default();
    let capacity = machine();
    let allocator = Allocator::new(
        registry.clone(),
        setup.config.clone(),
        clock.clone(),
        id,
        capacity,
    );
    let tasks = Host::new(tree.clone(), journal.clone());
    let agents = Host::new(tree.clone(), journal.clone());
    let services = Services::new(Parts {
        doors: Doors::new(&setup.config, &setup.data_dir, setup.natives),
        admission: Admission::new(open, u64::from(setup.config.tasks.max_open)),
        config: setup.config,
        node: setup.node.into(),
        clock,
        dice,
        tree: tree.clone(),
        registry,
        allocator: allocator.clone(),
        tasks: tasks.clone(),
        agents: agents.clone(),
    });
    tasks.provide(services.clone());
    agents.provide(services.clone());
    allocator.provide(tasks);
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
        reminders(
            store.clone(),
            journal.holdings().clone(),
            clock.clone(),
            wake(services),
        ),
        couriers(store, clock, carriers()),
        projector(AgentTotalsView, journal.clone()),
        allocator::actor::allocator(&services.allocator),
        registry::actor::agent_manager(services.clone()),
        task_tracker(services.clone(), journal.clone()),
    ];
    let (system, _) = branch("system", Spec::infrastructure(Strategy::OneForOne), system);
    vec![
        system,
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
