//! What can be read of agents.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use protocol::{
    access::{Caller, Role},
    agent::{AgentStatus, Health},
    api::{AgentQuery, AgentStats, AgentView, Consistency, EventView, HealthReport, Page},
    entity::EntityId,
    id::{AgentId, NodeId},
};
use runtime::{projection::Projection, redact::redact_within};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Answer, Effect, LONGEST_PAGE, Orchestrator, PAGE, Place, UseCase, at_least, unanswered,
    unreachable, views,
};
use crate::{
    Rejection,
    agent::{actor::Message, stats::Totals, view::AgentTotalsView},
    orchestrator::Owner,
    registry::{Agent, view},
};

/// How long a check may take before its own limit ends it.
const CHECK: Duration = Duration::from_secs(15);

/// The agents that one node owns; `total` is always known.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListAgents {
    pub(in super::super) node: NodeId,
    pub(in super::super) query: AgentQuery,
}

impl UseCase for ListAgents {
    type Answer = Page<AgentView>;
    const NAME: &'static str = "agent.list";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<AgentView>> {
        let query = &self.query;
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE) as usize;
        let parked = at.parked_agents(caller).await?;
        let tenant = at.own()?.services.registry.tenant(&caller.tenant);
        let in_service = tenant.agents.values().filter(|agent| {
            at.owns(agent) && !parked.contains_key(&agent.name) && matches(agent, query)
        });
        let mut matching: BTreeMap<&str, Listed<'_>> = in_service
            .map(|agent| (agent.name.as_str(), Listed::InService(agent)))
            .collect();
        let parked = parked.iter().filter(|(_, view)| lists(view, query));
        matching.extend(parked.map(|(name, view)| (name.as_str(), Listed::Parked(view))));
        let total = Some(matching.len() as u64);
        let after = query.cursor.as_deref().unwrap_or_default();
        let mut rest = matching.into_iter().filter(|(name, _)| *name > after);
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let next_cursor = rest
            .next()
            .and_then(|_| page.last())
            .map(|(name, _)| (*name).to_owned());
        let items = page.into_iter().map(|(_, listed)| match listed {
            Listed::InService(agent) => at.show_agent(agent),
            Listed::Parked(view) => view.clone(),
        });
        Ok(Page {
            items: items.map(|view| seen_by(caller, view)).collect(),
            total,
            next_cursor,
        })
    }
}

/// A line of a list of agents.
enum Listed<'a> {
    InService(&'a Agent),
    Parked(&'a AgentView),
}

/// How many agents one node owns, by status and by type.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CountAgents {
    pub(in super::super) node: NodeId,
}

/// What [`CountAgents`] found.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct AgentCounts {
    pub(in super::super) by_status: BTreeMap<String, u64>,
    pub(in super::super) by_type: BTreeMap<String, u64>,
}

impl UseCase for CountAgents {
    type Answer = AgentCounts;
    const NAME: &'static str = "agent.count";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<AgentCounts> {
        let tenant = at.own()?.services.registry.tenant(&caller.tenant);
        let mut counts = AgentCounts {
            by_status: BTreeMap::new(),
            by_type: BTreeMap::new(),
        };
        for agent in tenant.agents.values().filter(|agent| at.owns(agent)) {
            let facts = agent.facts();
            let status = facts.status().as_str().to_owned();
            let kind = facts.spec.agent_type.as_str().to_owned();
            *counts.by_status.entry(status).or_default() += 1;
            *counts.by_type.entry(kind).or_default() += 1;
        }
        Ok(counts)
    }
}

/// What attempts came to, over all agents of the tenant.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TotalAgents {
    #[serde(default)]
    pub(in super::super) consistency: Consistency,
}

impl UseCase for TotalAgents {
    type Answer = AgentStats;
    const NAME: &'static str = "agent.totals";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<AgentStats> {
        let store = at.own()?.journal.store();
        let rows = match self.consistency {
            Consistency::Eventual => store.rows(AgentTotalsView::VIEW).await?,
            Consistency::Strong => store.rows_now(AgentTotalsView::VIEW).await?,
        };
        let mut all = Totals::default();
        let mut stats = AgentStats::default();
        for (key, body) in rows {
            let (Some(name), Ok(totals)) = (
                AgentTotalsView::agent(&caller.tenant, &key),
                serde_json::from_str::<Totals>(&body),
            ) else {
                continue;
            };
            all.merge(&totals);
            stats.agents.insert(name.to_owned(), totals.view());
        }
        let total = all.view();
        stats.succeeded = total.succeeded;
        stats.failed = total.failed;
        stats.lost = total.lost;
        stats.duration = total.duration;
        stats.tokens = total.tokens;
        stats.cost_micros = total.cost_micros;
        Ok(stats)
    }
}

/// One agent, as its owner sees it.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowAgent {
    pub(in super::super) agent: String,
}

impl UseCase for ShowAgent {
    type Answer = AgentView;
    const NAME: &'static str = "agent.show";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Agent(&self.agent)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<AgentView> {
        if let Some(id) = at.agent_id(caller, &self.agent).await?
            && at.own()?.services.agents.is_parked(id.into())
        {
            let mut parked = at.parked_agents(caller).await?.into_values();
            if let Some(view) = parked.find(|view| view.id == id) {
                return Ok(seen_by(caller, view));
            }
        }
        let found = at.find_agent(caller, &self.agent).await?;
        Ok(seen_by(caller, at.show_agent(&found)))
    }
}

/// An agent's configuration.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct AgentConfig {
    pub(in super::super) agent: String,
}

impl UseCase for AgentConfig {
    type Answer = Map<String, Value>;
    const NAME: &'static str = "agent.config";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Agent(&self.agent)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Map<String, Value>> {
        let found = at.find_agent(caller, &self.agent).await?;
        Ok(without_secrets(caller, found.facts().spec.config.clone()))
    }
}

/// A health check, now.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CheckAgent {
    pub(in super::super) agent: String,
}

impl UseCase for CheckAgent {
    type Answer = HealthReport;
    const NAME: &'static str = "agent.check";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Agent(&self.agent)
    }

    fn wait(&self) -> Duration {
        CHECK
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<HealthReport> {
        at_least(caller, Role::Operator)?;
        let found = at.find_agent(caller, &self.agent).await?;
        let check = |reply| Message::Check { reply: Some(reply) };
        let agents = &at.own()?.services.agents;
        let report = agents.ask(found.id.into(), check).await;
        report.map_err(unreachable)?.ok_or_else(unanswered)
    }
}

/// An agent's events, also after it was removed.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct AgentEvents {
    pub(in super::super) agent: String,
    pub(in super::super) after: u64,
    pub(in super::super) limit: u32,
}

impl UseCase for AgentEvents {
    type Answer = Vec<EventView>;
    const NAME: &'static str = "agent.events";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<EventView>> {
        let Self {
            agent,
            after,
            limit,
        } = self;
        let stream = at.agent_stream(caller, &agent).await?;
        let store = at.own()?.journal.store();
        let records = store.read(stream, after, limit.min(1000)).await?;
        let mut events = Vec::new();
        for record in &records {
            events.extend(views(record)?.into_iter().filter(|event| event.seq > after));
        }
        events.truncate(limit as usize);
        for event in &mut events {
            event.event = hidden_from(caller, event.event.take());
        }
        Ok(events)
    }
}

fn seen_by(caller: &Caller, view: AgentView) -> AgentView {
    AgentView {
        config: without_secrets(caller, view.config),
        ..view
    }
}

fn without_secrets(caller: &Caller, config: Map<String, Value>) -> Map<String, Value> {
    match hidden_from(caller, Value::Object(config)) {
        Value::Object(config) => config,
        _ => Map::new(),
    }
}

/// What agents are configured with may hold secrets, which are for those alone who may change them.
fn hidden_from(caller: &Caller, value: Value) -> Value {
    if caller.role >= Role::Developer {
        value
    } else {
        redact_within(value)
    }
}

impl Orchestrator {
    /// Agents of the caller that this node owns and that are out of service, by name.
    async fn parked_agents(&self, caller: &Caller) -> Answer<BTreeMap<String, AgentView>> {
        let own = self.own()?;
        let mut parked = BTreeMap::new();
        for id in own.services.agents.parked() {
            let row = own.journal.store().stream(id).await?;
            let row = row.filter(|row| {
                row.tenant == caller.tenant && row.parked.is_some() && !row.summary.hidden
            });
            if let Some(view) = row.and_then(|row| view::parked(&row, &self.0.name)) {
                parked.insert(view.name.clone(), view);
            }
        }
        Ok(parked)
    }

    /// The stream of an agent, also after it was removed.
    pub(super) async fn agent_stream(&self, caller: &Caller, agent: &str) -> Answer<EntityId> {
        if let Some(found) = self.agent_id(caller, agent).await? {
            return Ok(found.into());
        }
        let removed = self.removed_agent(caller, agent).await?;
        removed.ok_or_else(|| no_agent(agent))
    }

    /// An agent that this node owns.
    pub(super) async fn find_agent(&self, caller: &Caller, agent: &str) -> Answer<Arc<Agent>> {
        let tenant = self.own()?.services.registry.tenant(&caller.tenant);
        if let Some(found) = tenant.agent(agent) {
            return Ok(found.clone());
        }
        if self.0.member.is_some() && self.agent_id(caller, agent).await?.is_some() {
            return Err(Rejection::Unavailable {
                message: format!(
                    "agent {agent} has just come to {} and is not ready yet",
                    self.0.name
                ),
                retry_after: Duration::from_secs(1),
            });
        }
        Err(no_agent(agent))
    }

    pub(super) fn show_agent(&self, agent: &Agent) -> AgentView {
        view::agent(agent, &self.0.name)
    }

    /// Whether lists of this node hold the agent.
    fn owns(&self, agent: &Agent) -> bool {
        let member = self.0.member.as_ref();
        member.is_none_or(|member| member.placement.owner(agent.id.into()) == Owner::Here)
    }

    async fn removed_agent(&self, caller: &Caller, agent: &str) -> Answer<Option<EntityId>> {
        let Ok(id) = agent.parse::<AgentId>() else {
            return Ok(None);
        };
        let row = self.own()?.journal.store().stream(id.into()).await?;
        Ok(row
            .filter(|row| row.tenant == caller.tenant)
            .map(|row| row.stream))
    }
}

pub(super) fn no_agent(agent: &str) -> Rejection {
    let shown: String = agent.chars().take(80).collect();
    Rejection::not_found(format!("agent {shown}"))
}

/// Whether a list holds an agent that is out of service: no step can be given to it.
fn lists(agent: &AgentView, query: &AgentQuery) -> bool {
    query.status.is_none_or(|status| agent.status == status)
        && query.agent_type.is_none_or(|kind| agent.agent_type == kind)
        && query.capability.is_none()
        && has_all(&agent.metadata, &query.meta)
}

/// Whether metadata has all these values.
fn has_all(metadata: &Map<String, Value>, wanted: &[(String, String)]) -> bool {
    wanted.iter().all(|(key, value)| {
        let found = metadata.get(key);
        found.is_some_and(|found| shown(found) == *value)
    })
}

fn matches(agent: &Agent, query: &AgentQuery) -> bool {
    let facts = agent.facts();
    let healthy = || {
        facts.status() == AgentStatus::Active
            && facts
                .health
                .as_ref()
                .is_none_or(|report| report.status == Health::Healthy)
    };
    query.status.is_none_or(|status| facts.status() == status)
        && query
            .agent_type
            .is_none_or(|kind| facts.spec.agent_type == kind)
        && query
            .capability
            .as_ref()
            .is_none_or(|capability| facts.spec.capabilities.contains(capability) && healthy())
        && has_all(&facts.spec.metadata, &query.meta)
}

/// A value as a query writes it: text without its quotes.
fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}
