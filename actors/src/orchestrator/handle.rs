//! [`Orchestrator`]: one method a use case.

use std::{pin::Pin, time::Duration};

use futures_util::Stream;
use protocol::{
    access::Caller,
    agent::{AgentSpec, StopMode},
    api::{
        AgentQuery, AgentStats, AgentUpdate, AgentView, AllocationView, Assignment, AttemptView,
        Check, EventView, HealthReport, NodeView, Page, ResultView, StoreView, TaskPatch,
        TaskQuery, TaskSummary, TaskTree, TaskView, TreeQuery, TreeView, WhyView,
    },
    id::TaskId,
    task::TaskSpec,
};
use serde_json::{Map, Value};

use crate::Rejection;

/// Events of one entity, in order, without gaps, until it can have no more.
pub type EventFeed = Pin<Box<dyn Stream<Item = Result<EventView, Rejection>> + Send>>;

/// What became of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The task.
    pub task: TaskView,
    /// Whether this call made it; false when the idempotency key was used before.
    pub fresh: bool,
}

/// What a node hands to its orchestrator.
#[derive(Debug)]
pub struct Setup {
    /// This crate's sections of the configuration.
    pub config: crate::Config,
    /// The node's name, the same after a restart.
    pub node: String,
    /// Where everything is kept.
    pub store: runtime::store::Shared,
    /// Where artifacts and private working directories lie.
    pub data_dir: std::path::PathBuf,
    /// Agents written in Rust, by the name under which `native` agents refer to them.
    pub natives: std::collections::HashMap<String, std::sync::Arc<dyn crate::adapter::Adapter>>,
}

/// The one way in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orchestrator {}

type Result_<T> = Result<T, Rejection>;

impl Orchestrator {
    /// Starts every subsystem in order, then activates streams with unfinished work.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start(setup: Setup) -> Result<Self, runtime::store::Error> {
        let _ = setup;
        Ok(Self {})
    }
    /// Takes no new work, lets running attempts end for `grace` at most, stops everything.
    pub async fn stop(&self, grace: Duration) {
        let _ = grace;
    }

    /// Makes a task durable and answers it. With `wait`, answers when it is settled or the time is up.
    /// `key` is the client's idempotency key and the SHA-256 of the body that came with it.
    pub async fn submit(
        &self,
        caller: &Caller,
        spec: TaskSpec,
        key: Option<(String, [u8; 32])>,
        wait: Option<Duration>,
    ) -> Result_<Submission> {
        let _ = (caller, spec, key, wait);
        unbuilt()
    }
    /// The task as it is now.
    pub async fn task(&self, caller: &Caller, id: TaskId) -> Result_<TaskView> {
        let _ = (caller, id);
        unbuilt()
    }
    /// The task when it is settled, or as it is when the time is up.
    pub async fn await_task(
        &self,
        caller: &Caller,
        id: TaskId,
        wait: Duration,
    ) -> Result_<TaskView> {
        let _ = (caller, id, wait);
        unbuilt()
    }
    /// A page of tasks, the newest first.
    pub async fn tasks(&self, caller: &Caller, query: &TaskQuery) -> Result_<Page<TaskSummary>> {
        let _ = (caller, query);
        unbuilt()
    }
    /// Changes description, priority or metadata while the task is not settled.
    pub async fn amend_task(
        &self,
        caller: &Caller,
        id: TaskId,
        patch: TaskPatch,
    ) -> Result_<TaskView> {
        let _ = (caller, id, patch);
        unbuilt()
    }
    /// Stops a task and its parts; answers when nothing of it runs any more.
    pub async fn cancel_task(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
    ) -> Result_<TaskView> {
        let _ = (caller, id, reason);
        unbuilt()
    }
    /// Removes a settled task from sight; with `cancel`, stops it first.
    pub async fn delete_task(&self, caller: &Caller, id: TaskId, cancel: bool) -> Result_<()> {
        let _ = (caller, id, cancel);
        unbuilt()
    }
    /// Binds a task's unsettled steps to one agent.
    pub async fn assign_task(
        &self,
        caller: &Caller,
        id: TaskId,
        to: Assignment,
    ) -> Result_<TaskView> {
        let _ = (caller, id, to);
        unbuilt()
    }
    /// What a settled task gave, with provenance; a conflict while it is not settled.
    pub async fn task_result(&self, caller: &Caller, id: TaskId) -> Result_<ResultView> {
        let _ = (caller, id);
        unbuilt()
    }
    /// The score card of each attempt.
    pub async fn allocation(&self, caller: &Caller, id: TaskId) -> Result_<Vec<AllocationView>> {
        let _ = (caller, id);
        unbuilt()
    }
    /// Every attempt of every step.
    pub async fn attempts(&self, caller: &Caller, id: TaskId) -> Result_<Vec<AttemptView>> {
        let _ = (caller, id);
        unbuilt()
    }
    /// What each unsettled step waits for.
    pub async fn why(&self, caller: &Caller, id: TaskId) -> Result_<WhyView> {
        let _ = (caller, id);
        unbuilt()
    }
    /// A task and its parts.
    pub async fn task_tree(&self, caller: &Caller, id: TaskId) -> Result_<TaskTree> {
        let _ = (caller, id);
        unbuilt()
    }
    /// Writes a snapshot of the task now.
    pub async fn checkpoint_task(&self, caller: &Caller, id: TaskId) -> Result_<TaskView> {
        let _ = (caller, id);
        unbuilt()
    }
    /// The task's events after position `after`, then each as it happens, until it is settled.
    pub async fn task_events(&self, caller: &Caller, id: TaskId, after: u64) -> Result_<EventFeed> {
        let _ = (caller, id, after);
        unbuilt()
    }

    /// Registers an agent; `spec.verify` checks it first.
    pub async fn register_agent(&self, caller: &Caller, spec: AgentSpec) -> Result_<AgentView> {
        let _ = (caller, spec);
        unbuilt()
    }
    /// A page of agents by name. `total` is always known.
    pub async fn agents(&self, caller: &Caller, query: &AgentQuery) -> Result_<Page<AgentView>> {
        let _ = (caller, query);
        unbuilt()
    }
    /// One agent, by id or name, as all the methods below take it.
    pub async fn agent(&self, caller: &Caller, agent: &str) -> Result_<AgentView> {
        let _ = (caller, agent);
        unbuilt()
    }
    /// Changes an agent; steps that run keep the old configuration.
    pub async fn update_agent(
        &self,
        caller: &Caller,
        agent: &str,
        update: AgentUpdate,
    ) -> Result_<AgentView> {
        let _ = (caller, agent, update);
        unbuilt()
    }
    /// Its configuration.
    pub async fn agent_config(&self, caller: &Caller, agent: &str) -> Result_<Map<String, Value>> {
        let _ = (caller, agent);
        unbuilt()
    }
    /// Removes it; its queued steps go elsewhere, its history stays.
    pub async fn delete_agent(&self, caller: &Caller, agent: &str) -> Result_<()> {
        let _ = (caller, agent);
        unbuilt()
    }
    /// Starts it; answers whether it was not started before.
    pub async fn start_agent(&self, caller: &Caller, agent: &str) -> Result_<(AgentView, bool)> {
        let _ = (caller, agent);
        unbuilt()
    }
    /// Stops it.
    pub async fn stop_agent(
        &self,
        caller: &Caller,
        agent: &str,
        mode: StopMode,
    ) -> Result_<AgentView> {
        let _ = (caller, agent, mode);
        unbuilt()
    }
    /// Lets it take nothing new.
    pub async fn pause_agent(&self, caller: &Caller, agent: &str) -> Result_<AgentView> {
        let _ = (caller, agent);
        unbuilt()
    }
    /// Lets it go on.
    pub async fn resume_agent(&self, caller: &Caller, agent: &str) -> Result_<AgentView> {
        let _ = (caller, agent);
        unbuilt()
    }
    /// Checks its health now.
    pub async fn check_agent(&self, caller: &Caller, agent: &str) -> Result_<HealthReport> {
        let _ = (caller, agent);
        unbuilt()
    }
    /// Totals over all agents.
    pub async fn agent_stats(&self, caller: &Caller) -> Result_<AgentStats> {
        let _ = caller;
        unbuilt()
    }
    /// The agent's events after position `after`, at most `limit`.
    pub async fn agent_events(
        &self,
        caller: &Caller,
        agent: &str,
        after: u64,
        limit: u32,
    ) -> Result_<Vec<EventView>> {
        let _ = (caller, agent, after, limit);
        unbuilt()
    }

    /// The supervision tree of this node.
    pub async fn tree(&self, caller: &Caller, query: &TreeQuery) -> Result_<TreeView> {
        let _ = (caller, query);
        unbuilt()
    }
    /// Whether each subsystem works.
    pub async fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
    /// This node.
    pub async fn node(&self) -> NodeView {
        todo!()
    }
    /// The store.
    pub async fn store(&self, caller: &Caller) -> Result_<StoreView> {
        let _ = caller;
        unbuilt()
    }
}

fn unbuilt<T>() -> Result_<T> {
    Err(Rejection::Unavailable {
        message: "not built yet".to_owned(),
        retry_after: Duration::from_secs(1),
    })
}
