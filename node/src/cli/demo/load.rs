//! The work of a demonstration: agents whose every effect is a line in a ledger, and tasks for them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::{
    agent::AgentSpec,
    api::{AgentQuery, MemberStatus, TaskView},
    task::TaskSpec,
    time::Timestamp,
};
use runtime::clock::Clock;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::exit::{Exit, Failure},
    verdict::Line,
};
use crate::client::{Client, Error};

/// How many agents share the work.
pub(super) const AGENTS: usize = 6;

/// Steps of each task, one after the other.
pub(super) const STEPS: usize = 3;

/// Writes down who it is, then takes its time, so that a kill falls between effect and receipt.
const SCRIPT: &str = r#"line="$TROUPE_TASK_ID $TROUPE_STEP $TROUPE_ATTEMPT $TROUPE_IDEMPOTENCY_KEY"
printf '%s\n' "$line" >>"$1" || exit 1
sleep "$2"
printf '%s' "$line""#;

/// Between two tries of a request.
const AGAIN: Duration = Duration::from_millis(200);

/// Between two looks at whether a node is missed.
const GLANCE: Duration = Duration::from_millis(10);

/// The file that every effect is written to.
#[derive(Debug, Clone)]
pub(super) struct Ledger(PathBuf);

impl Ledger {
    pub(super) fn new(folder: &Path) -> std::io::Result<Self> {
        let file = folder.join("ledger");
        std::fs::write(&file, "")?;
        Ok(Self(file))
    }

    /// Every effect so far, the first one first; a line that is not whole is none.
    pub(super) fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn agent(&self, number: usize) -> Value {
        let pause = ["0.2", "0.3", "0.4"][number % 3];
        json!({
            "name": format!("clerk-{number}"), "agent_type": "command", "capabilities": ["write"],
            "max_tasks": 4,
            "config": {
                "argv": ["/bin/sh", "-c", SCRIPT, "clerk", self.0, pause],
                "stdin": "none", "timeout": "30s",
            },
        })
    }

    /// Registers the agents.
    pub(super) async fn register(&self, client: &Client) -> Result<(), Failure> {
        for number in 1..=AGENTS {
            let agent: AgentSpec = read(self.agent(number))?;
            client.register_agent(&agent).await?;
        }
        Ok(())
    }
}

/// The task of this number: three steps, of which the second is of each class in turn.
pub(super) fn task(number: usize) -> Result<TaskSpec, Failure> {
    let effect = ["idempotent", "irreversible", "guarded"][number % 3];
    read(json!({
        "description": format!("demonstration {number}"),
        "steps": [
            {"id": "read", "capability": "write", "effect": "pure"},
            {"id": "act", "capability": "write", "effect": effect, "needs": ["read"]},
            {"id": "tell", "capability": "write", "effect": "idempotent", "needs": ["act"]},
        ],
    }))
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|error| Failure::new(Exit::Failed, "the demonstration is wrong").because(error))
}

/// A task that was acknowledged, and which node owned it first where that is known.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    pub(super) task: TaskView,
    pub(super) owner: Option<String>,
}

/// Submits a task under a key of its own, again and anywhere until it is acknowledged.
pub(super) async fn submit(
    clients: impl Fn() -> Vec<(String, Client)>,
    number: usize,
    until: Instant,
) -> Result<Acknowledged, Failure> {
    let (spec, key) = (task(number)?, format!("demonstration-{number}"));
    let mut tries = 0;
    loop {
        let clients = clients();
        let error = match clients.get((number + tries) % clients.len().max(1)) {
            None => None,
            Some((name, client)) => match client.submit(&spec, Some(&key), None).await {
                Ok(task) => {
                    // What was sent twice may have been taken in by the first.
                    let owner = (tries == 0).then(|| name.clone());
                    return Ok(Acknowledged { task, owner });
                }
                Err(error) if passes(&error) => Some(error),
                Err(error) => return Err(error.into()),
            },
        };
        tries += 1;
        if Instant::now() > until {
            return Err(late(error));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until a task is settled; answers how it is when the time is up.
pub(super) async fn settled(
    clients: &[(String, Client)],
    asked: &Acknowledged,
    until: Instant,
) -> Option<TaskView> {
    let mut seen = None;
    for (_, client) in clients.iter().cycle() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match client.await_task(asked.task.id, left).await {
            Ok(task) if task.status.is_terminal() => return Some(task),
            Ok(task) => seen = Some(task),
            Err(_) => tokio::time::sleep(AGAIN.min(left)).await,
        }
    }
    seen
}

/// How many steps each node runs now, by agents that it hosts.
pub(super) async fn running(client: &Client) -> Vec<(String, u32)> {
    let query = AgentQuery {
        limit: Some(200),
        ..AgentQuery::default()
    };
    let Ok(page) = client.agents(&query).await else {
        return Vec::new();
    };
    let mut nodes: Vec<(String, u32)> = Vec::new();
    for agent in page.items {
        match nodes.iter_mut().find(|(node, _)| *node == agent.node) {
            Some((_, running)) => *running += agent.running_tasks,
            None => nodes.push((agent.node, agent.running_tasks)),
        }
    }
    nodes
}

/// When another node shows that this one is not to be reached.
pub(super) async fn noticed(
    clients: &[(String, Client)],
    lost: &str,
    until: Instant,
) -> Option<Timestamp> {
    let (_, client) = clients.iter().find(|(name, _)| name != lost)?;
    while Instant::now() < until {
        let member = client.member(lost).await;
        if member.is_ok_and(|member| member.state != MemberStatus::Up) {
            return Some(Clock::system().now());
        }
        tokio::time::sleep(GLANCE).await;
    }
    None
}

/// Whether another try, or another node, can help.
fn passes(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused(problem) => matches!(problem.status, 429 | 500..=599),
        Error::NoNode { .. }
        | Error::Certificate { .. }
        | Error::Read { .. }
        | Error::NoToken { .. }
        | Error::Unknown { .. } => false,
    }
}

fn late(error: Option<Error>) -> Failure {
    let failure = Failure::new(Exit::Failed, "a task was not acknowledged in time");
    match error {
        Some(error) => failure.because(error),
        None => failure,
    }
}
