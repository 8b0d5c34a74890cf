//! What runs on a node: with a store everything, without one the agents that it hosts.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actors::{
    Orchestrator,
    adapter::Adapter,
    cluster::Part,
    host::{Worker, WorkerSetup},
    orchestrator::{Outpost, Setup},
};
use runtime::clock::Clock;

use super::{DataDir, StartError};
use crate::{Config, mesh::Enrolled};

/// The parts that do the work.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) orchestrator: Orchestrator,
    worker: Option<Worker>,
}

impl Engine {
    pub(super) async fn start(
        config: &Config,
        enrolled: &Enrolled,
        dir: &DataDir,
        natives: HashMap<String, Arc<dyn Adapter>>,
        mut part: Part,
    ) -> Result<Self, StartError> {
        let node = enrolled.name.clone();
        let data_dir = dir.path().to_owned();
        if let Some(store) = enrolled.store.clone() {
            let setup = Setup {
                config: config.actors(),
                node,
                store,
                data_dir,
                natives,
            };
            let orchestrator = Orchestrator::start_as(setup, part).await?;
            return Ok(Self {
                orchestrator,
                worker: None,
            });
        }
        let around = part.surroundings();
        let mut children = vec![part.keeper()];
        children.append(&mut part.children);
        let setup = WorkerSetup {
            config: config.actors(),
            data_dir,
            natives: actors::ask::among(natives, &around),
            capacity: actors::allocator::machine(),
            children,
        };
        let worker = Worker::start(setup, around).await?;
        let outpost = Outpost {
            node,
            tree: worker.actors().clone(),
            clock: Clock::system(),
        };
        Ok(Self {
            orchestrator: Orchestrator::remote_as(outpost, &part, worker.clone()),
            worker: Some(worker),
        })
    }

    /// Takes nothing new and lets what runs end for `grace` at most; membership goes on.
    pub(super) async fn end(&self, grace: Duration) {
        match &self.worker {
            Some(worker) => worker.end(grace).await,
            None => self.orchestrator.end(grace).await,
        }
    }

    /// Stops everything.
    pub(super) async fn stop(&self) {
        match &self.worker {
            Some(worker) => worker.stop(Duration::ZERO).await,
            None => self.orchestrator.stop(Duration::ZERO).await,
        }
    }

    /// Kills everything.
    pub(super) fn kill(&self) {
        match &self.worker {
            Some(worker) => worker.kill(),
            None => self.orchestrator.kill(),
        }
    }

    pub(super) async fn escalated(&self) -> String {
        match &self.worker {
            Some(worker) => worker.escalated().await,
            None => self.orchestrator.escalated().await,
        }
    }
}
