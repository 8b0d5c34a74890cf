//! Reading after all that the cluster had committed: what lists and totals are made of has caught up.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt, stream};
use protocol::{
    access::{Caller, Role},
    entity::{EntityId, EntityKind},
    id::{AgentId, NodeId},
};
use runtime::{projection::Projection, store::StreamQuery};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, agents::no_agent, at_least, streams_of,
    unanswered, unreachable,
};
use crate::{
    Rejection,
    agent::{actor::Message, view::AgentTotalsView},
};

/// How long a reader waits who wants all of it.
pub(in super::super) const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(3);

/// The pause before it is looked again.
pub(in super::super) const AGAIN: Duration = Duration::from_millis(50);

/// Agents that are asked at once on one node.
const AT_ONCE: usize = 64;

/// Agents that are listed at once.
const PAGE: u32 = 1_000;

/// What a reader is told who waited in vain.
pub(in super::super) fn behind(what: &str) -> Rejection {
    Rejection::Unavailable {
        message: format!("{what}; try again, or read without `consistency=strong`"),
        retry_after: Duration::from_secs(1),
    }
}

/// Waits until totals hold all that is committed now.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CatchUp;

impl UseCase for CatchUp {
    type Answer = ();
    const NAME: &'static str = "views.catch_up";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn wait(&self) -> Duration {
        CAUGHT_UP_WITHIN
    }

    fn read_within(&self) -> Duration {
        CAUGHT_UP_WITHIN + super::READ
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        at_least(caller, Role::Viewer)?;
        let store = at.own()?.journal.store();
        let last = store.end().await?.last;
        let until = Instant::now() + CAUGHT_UP_WITHIN;
        loop {
            let held = store.cursor(AgentTotalsView::VIEW).await?;
            if held >= last {
                return Ok(());
            }
            if Instant::now() >= until {
                let view = AgentTotalsView::VIEW;
                return Err(behind(&format!(
                    "the view `{view}` is behind: it holds the journal up to {held} of {last}"
                )));
            }
            sleep(AGAIN).await;
        }
    }
}

/// The caller's agents as far as they are committed now.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CommittedAgents;

impl UseCase for CommittedAgents {
    type Answer = HashSet<AgentId>;
    const NAME: &'static str = "agent.committed";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<HashSet<AgentId>> {
        at_least(caller, Role::Viewer)?;
        let store = at.own()?.journal.store();
        let mut agents = HashSet::new();
        let mut before = None;
        loop {
            let query = StreamQuery {
                before,
                limit: PAGE,
                ..streams_of(caller, EntityKind::Agent)
            };
            let rows = store.list(&query).await?;
            before = rows.last().map(|row| row.stream);
            agents.extend(rows.iter().map(|row| AgentId::from_uuid(row.stream.key())));
            if rows.len() < PAGE as usize {
                return Ok(agents);
            }
        }
    }
}

/// Which of these agents a node owns, and has in its lists as they are on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct SyncAgents {
    pub(in super::super) node: NodeId,
    pub(in super::super) agents: HashSet<AgentId>,
}

impl UseCase for SyncAgents {
    type Answer = HashSet<AgentId>;
    const NAME: &'static str = "agent.sync";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    fn wait(&self) -> Duration {
        CAUGHT_UP_WITHIN
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<HashSet<AgentId>> {
        at_least(caller, Role::Viewer)?;
        let until = Instant::now() + CAUGHT_UP_WITHIN;
        let services = &at.own()?.services;
        let own = self.agents.into_iter().filter(|agent| {
            let owner = at.owner(EntityId::from(*agent));
            owner == crate::orchestrator::Owner::Here
        });
        let asked = stream::iter(own).map(async |agent| {
            let id = EntityId::from(agent);
            // It is listed as what it is.
            if services.agents.is_parked(id) {
                return Some(agent);
            }
            let sync = services.agents.ask(id, Message::Sync);
            let answer = timeout_at(until, sync).await;
            matches!(answer, Ok(Ok(Some(())))).then_some(agent)
        });
        let synced = asked.buffer_unordered(AT_ONCE);
        Ok(synced.filter_map(async |agent| agent).collect().await)
    }
}

/// Waits until one agent has told its owner all that it recorded.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct SyncAgent {
    pub(in super::super) agent: String,
}

impl UseCase for SyncAgent {
    type Answer = ();
    const NAME: &'static str = "agent.sync_one";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Agent(&self.agent)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        at_least(caller, Role::Viewer)?;
        let Some(id) = at.agent_id(caller, &self.agent).await? else {
            return Err(no_agent(&self.agent));
        };
        let agents = &at.own()?.services.agents;
        if agents.is_parked(id.into()) {
            return Ok(());
        }
        let synced = agents.ask(id.into(), Message::Sync).await;
        synced.map_err(unreachable)?.ok_or_else(unanswered)
    }
}
