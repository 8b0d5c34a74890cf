//! One system, and short ways to ask it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actors::{Config, Orchestrator, Rejection, adapter::Adapter, orchestrator::Setup};
use protocol::{
    access::{Caller, DEFAULT_TENANT, Role},
    api::{AgentView, TaskView},
    id::TaskId,
    task::{TaskSpec, TaskStatus},
    time::Span,
};
use runtime::store::Memory;
use serde_json::{Value, json};

use crate::{life::Life, tool::Tool};

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits what must come soon.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// Asks again and again until the answer is there.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    within(async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

pub(crate) fn user(name: &str) -> Caller {
    Caller {
        tenant: DEFAULT_TENANT.to_owned(),
        user: name.to_owned(),
        role: Role::Developer,
    }
}

/// A system with the tools `one`, `two`, … as native agents' programs.
pub(crate) struct System {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) life: Arc<Life>,
    pub(crate) tools: HashMap<String, Arc<Tool>>,
    pub(crate) admin: Caller,
    memory: Arc<Memory>,
    config: Config,
}

impl std::ops::Deref for System {
    type Target = Orchestrator;

    fn deref(&self) -> &Orchestrator {
        &self.orchestrator
    }
}

/// Checks come often, waits are short.
pub(crate) fn quick() -> Config {
    let mut config = Config::default();
    config.health.interval = Span(Duration::from_millis(100));
    config
}

impl System {
    pub(crate) async fn start(tools: &[&str]) -> Self {
        Self::over(Arc::new(Memory::new()), tools, Config::default()).await
    }

    pub(crate) async fn start_with(tools: &[&str], config: Config) -> Self {
        Self::over(Arc::new(Memory::new()), tools, config).await
    }

    async fn over(memory: Arc<Memory>, names: &[&str], config: Config) -> Self {
        let tools = names.iter().map(|name| (*name).to_owned());
        let tools = tools
            .map(|name| (name, Arc::new(Tool::default())))
            .collect();
        Self::live(memory, tools, config, Vec::new()).await
    }

    /// The same beside native agents of other kinds.
    pub(crate) async fn start_beside<const N: usize>(
        names: &[&str],
        others: [(&'static str, Arc<dyn Adapter>); N],
    ) -> Self {
        let tools = names.iter().map(|name| (*name).to_owned());
        let tools = tools.map(|name| (name, Arc::new(Tool::default())));
        let memory = Arc::new(Memory::new());
        Self::live(memory, tools.collect(), Config::default(), others.into()).await
    }

    async fn live(
        memory: Arc<Memory>,
        tools: HashMap<String, Arc<Tool>>,
        config: Config,
        others: Vec<(&'static str, Arc<dyn Adapter>)>,
    ) -> Self {
        let life = Arc::new(Life::new(memory.clone()));
        let others = others.into_iter().map(|(name, it)| (name.to_owned(), it));
        let natives = tools
            .iter()
            .map(|(name, tool)| (name.clone(), tool.clone() as Arc<dyn Adapter>))
            .chain(others)
            .collect();
        let orchestrator = Orchestrator::start(Setup {
            config: config.clone(),
            node: "here".to_owned(),
            store: life.clone(),
            data_dir: std::env::temp_dir().join("troupe-scenarios-none"),
            natives,
        })
        .await
        .unwrap();
        Self {
            orchestrator,
            life,
            tools,
            admin: Caller::admin(),
            memory,
            config,
        }
    }

    /// The process dies where it stands; another one starts over what it left, with new tools.
    pub(crate) async fn crash(self, prepare: impl Fn(&Tool)) -> Self {
        self.life.end();
        let names = self.tools.keys().cloned();
        let tools: HashMap<_, _> = names
            .map(|name| (name, Arc::new(Tool::default())))
            .collect();
        tools.values().for_each(|tool| prepare(tool));
        Self::live(self.memory, tools, self.config, Vec::new()).await
    }

    /// The same, beside native agents of other kinds.
    pub(crate) async fn crash_beside<const N: usize>(
        self,
        others: [(&'static str, Arc<dyn Adapter>); N],
    ) -> Self {
        self.life.end();
        let names = self.tools.keys().cloned();
        let tools = names.map(|name| (name, Arc::new(Tool::default())));
        let tools = tools.collect();
        Self::live(self.memory, tools, self.config, others.into()).await
    }

    pub(crate) fn tool(&self, name: &str) -> &Tool {
        &self.tools[name]
    }

    /// Registers an agent; what is absent gets a default.
    pub(crate) async fn agent(&self, spec: Value) -> AgentView {
        let spec = serde_json::from_value(spec).unwrap();
        self.register_agent(&self.admin, spec).await.unwrap()
    }

    /// A native agent of this name, for the tool of this name.
    pub(crate) async fn native(&self, name: &str, max_tasks: u32) -> AgentView {
        self.agent(json!({
            "name": name, "agent_type": "native", "capabilities": ["work"], "max_tasks": max_tasks,
        }))
        .await
    }

    pub(crate) async fn agent_of(&self, name: &str) -> Result<AgentView, Rejection> {
        self.orchestrator.agent(&self.admin, name).await
    }

    pub(crate) async fn agent_view(&self, name: &str) -> AgentView {
        self.agent_of(name).await.unwrap()
    }

    pub(crate) async fn submit_task(&self, spec: Value) -> TaskId {
        let submitted = self.submit(&self.admin, task(spec), None, None).await;
        submitted.unwrap().task.id
    }

    /// One step for whoever can do `work`.
    pub(crate) async fn work(&self, description: &str) -> TaskId {
        self.submit_task(json!({
            "description": description, "steps": [{ "id": "a", "capability": "work" }],
        }))
        .await
    }

    /// The task when it is settled.
    pub(crate) async fn settled(&self, id: TaskId) -> TaskView {
        let task = within(self.await_task(&self.admin, id, PATIENCE))
            .await
            .unwrap();
        assert!(task.status.is_terminal(), "{task:?}");
        task
    }

    pub(crate) async fn completed(&self, id: TaskId) -> TaskView {
        let task = self.settled(id).await;
        assert_eq!(task.status, TaskStatus::Completed, "{:?}", task.error);
        task
    }

    pub(crate) async fn why_not(&self, id: TaskId) -> String {
        self.why(&self.admin, id).await.unwrap().summary
    }
}

pub(crate) fn task(spec: Value) -> TaskSpec {
    serde_json::from_value(spec).unwrap()
}
