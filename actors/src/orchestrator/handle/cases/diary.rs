//! What an agent did lately: as it is recorded, and as the node that hosts it remembers.

use std::collections::BTreeSet;

use protocol::{
    access::{Caller, Role},
    api::{AgentLogLine, EventView},
    id::{AgentId, NodeId, TaskId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, at_least,
    events::{views, visible},
};

/// Events of an agent that are read at once.
const EVENTS: u32 = 200;

/// Lines from after a moment.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ReadDiary {
    pub(in super::super) node: NodeId,
    pub(in super::super) agent: AgentId,
    pub(in super::super) since: Timestamp,
}

impl UseCase for ReadDiary {
    type Answer = Vec<AgentLogLine>;
    const NAME: &'static str = "agent.diary";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<AgentLogLine>> {
        at_least(caller, Role::Viewer)?;
        let own = at.0.own.as_ref().map(|own| &own.services.hosts);
        let hosts = own.or_else(|| at.0.worker.as_ref().map(crate::host::Worker::hosts));
        let lines = hosts.and_then(|hosts| hosts.diary(self.agent, &caller.tenant, self.since));
        Ok(lines.unwrap_or_default())
    }
}

/// An agent's recorded events after a position, or the last of them.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ReadRecord {
    pub(in super::super) agent: String,
    pub(in super::super) after: Option<u64>,
}

impl UseCase for ReadRecord {
    type Answer = Vec<EventView>;
    const NAME: &'static str = "agent.record";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<EventView>> {
        at_least(caller, Role::Viewer)?;
        let stream = at.agent_stream(caller, &self.agent).await?;
        let store = at.own()?.journal.store();
        let after = match self.after {
            Some(after) => after,
            None => {
                let row = store.stream(stream).await?;
                row.map_or(0, |row| row.head.saturating_sub(u64::from(EVENTS)))
            }
        };
        let mut events = Vec::new();
        for record in &store.read(stream, after, EVENTS).await? {
            events.extend(views(record)?.into_iter().filter(|event| event.seq > after));
        }
        Ok(events)
    }
}

/// Which of these tasks are the caller's to see.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct SeenTasks {
    pub(in super::super) tasks: BTreeSet<TaskId>,
}

impl UseCase for SeenTasks {
    type Answer = BTreeSet<TaskId>;
    const NAME: &'static str = "task.seen";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<BTreeSet<TaskId>> {
        let mut seen = BTreeSet::new();
        for task in self.tasks {
            if visible(at, caller, task).await.is_ok() {
                seen.insert(task);
            }
        }
        Ok(seen)
    }
}
