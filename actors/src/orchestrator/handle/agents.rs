//! Agents.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use protocol::{
    access::{Caller, Role},
    agent::{AgentSpec, AgentStatus, Health, StopMode},
    api::{
        AgentQuery, AgentStats, AgentUpdate, AgentView, EventView, FieldError, HealthReport, Page,
    },
    entity::EntityId,
    id::AgentId,
};
use runtime::{entity::Seed, projection::Projection};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{
    Answer, Orchestrator,
    feed::views,
    tasks::{at_least, unanswered, unreachable},
};
use crate::{
    Rejection,
    adapter::{Stage, for_agent, verify},
    agent::{
        actor::{Change, Message, name_taken},
        state,
        stats::Totals,
        view::AgentTotalsView,
    },
    registry::{Agent, view},
};

const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 200;
/// Names under which no agent could be asked for; `.` and `..` are taken out of paths on their way.
const RESERVED: [&str; 4] = ["stats", "register", ".", ".."];
/// Slots that one agent may have.
const MAX_SLOTS: u32 = 10_000;

impl Orchestrator {
    /// Registers an agent; `spec.verify` checks it first.
    ///
    /// # Errors
    ///
    /// `Invalid` names each wrong field, `Conflict` a name that is taken.
    pub async fn register_agent(&self, caller: &Caller, mut spec: AgentSpec) -> Answer<AgentView> {
        at_least(caller, Role::Operator)?;
        let services = &self.0.services;
        check(&spec, |spec| for_agent(spec, &services.doors).map(drop))?;
        // The store refuses a name twice as well; an actor of that name would take the place of the
        // first one in the tree before it is refused.
        if let Some(other) = services
            .registry
            .tenant(&caller.tenant)
            .agents
            .get(&spec.name)
        {
            return Err(name_taken(&spec.name, other.id.into()));
        }
        if std::mem::take(&mut spec.verify) {
            verify(&spec, &services.doors).await.map_err(unverified)?;
        }
        let id = AgentId::from_uuid(services.dice.uuid_v7(services.clock.now()));
        let seed = Seed {
            tenant: caller.tenant.as_str().into(),
            name: Some(spec.name.as_str().into()),
        };
        let (reply, registered) = oneshot::channel();
        let message = Message::Register {
            spec: Box::new(spec),
            user: caller.user.clone(),
            reply,
        };
        services
            .agents
            .create(id.into(), seed, message)
            .await
            .map_err(unreachable)?;
        registered.await.unwrap_or_else(|_| Err(unanswered()))?;
        let agent = services.registry.get(id).ok_or_else(unanswered)?;
        Ok(view::agent(&agent, &services.node))
    }

    /// A page of agents by name. `total` is always known.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role viewer.
    pub async fn agents(&self, caller: &Caller, query: &AgentQuery) -> Answer<Page<AgentView>> {
        let tenant = self.0.services.registry.tenant(&caller.tenant);
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE) as usize;
        let matching: Vec<&Arc<Agent>> = tenant
            .agents
            .values()
            .filter(|agent| matches(agent, query))
            .collect();
        let after = query.cursor.as_deref().unwrap_or_default();
        let mut rest = matching.iter().filter(|agent| agent.name.as_str() > after);
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let next_cursor = rest
            .next()
            .and_then(|_| page.last())
            .map(|agent| agent.name.clone());
        Ok(Page {
            items: page
                .iter()
                .map(|agent| view::agent(agent, &self.0.services.node))
                .collect(),
            total: Some(matching.len() as u64),
            next_cursor,
        })
    }

    /// One agent, by id or name, as all the methods below take it.
    ///
    /// # Errors
    ///
    /// `NotFound` also when it belongs to another tenant.
    pub async fn agent(&self, caller: &Caller, agent: &str) -> Answer<AgentView> {
        Ok(view::agent(
            &*self.find(caller, agent)?,
            &self.0.services.node,
        ))
    }

    /// Changes an agent; steps that run keep the old configuration.
    ///
    /// # Errors
    ///
    /// `Invalid` names each wrong field.
    pub async fn update_agent(
        &self,
        caller: &Caller,
        agent: &str,
        update: AgentUpdate,
    ) -> Answer<AgentView> {
        let found = self.find(caller, agent)?;
        let spec = state::updated(&found.facts().spec, update.clone());
        check(&spec, |spec| {
            for_agent(spec, &self.0.services.doors).map(drop)
        })?;
        self.change(caller, &found, Change::Update(Box::new(update)))
            .await?;
        self.agent(caller, agent).await
    }

    /// Its configuration.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn agent_config(&self, caller: &Caller, agent: &str) -> Answer<Map<String, Value>> {
        Ok(self.find(caller, agent)?.facts().spec.config.clone())
    }

    /// Removes it; its queued steps go elsewhere, its history stays.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn delete_agent(&self, caller: &Caller, agent: &str) -> Answer<()> {
        let found = self.find(caller, agent)?;
        self.change(caller, &found, Change::Delete).await.map(drop)
    }

    /// Starts it; answers whether it was not started before.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn start_agent(&self, caller: &Caller, agent: &str) -> Answer<(AgentView, bool)> {
        let found = self.find(caller, agent)?;
        let changed = self.change(caller, &found, Change::Start).await?;
        Ok((view::agent(&found, &self.0.services.node), changed))
    }

    /// Stops it.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn stop_agent(
        &self,
        caller: &Caller,
        agent: &str,
        mode: StopMode,
    ) -> Answer<AgentView> {
        self.changed(caller, agent, Change::Stop(mode)).await
    }

    /// Lets it take nothing new; what runs goes on.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn pause_agent(&self, caller: &Caller, agent: &str) -> Answer<AgentView> {
        self.changed(caller, agent, Change::Pause).await
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn resume_agent(&self, caller: &Caller, agent: &str) -> Answer<AgentView> {
        self.changed(caller, agent, Change::Resume).await
    }

    /// Checks its health now.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn check_agent(&self, caller: &Caller, agent: &str) -> Answer<HealthReport> {
        at_least(caller, Role::Operator)?;
        let found = self.find(caller, agent)?;
        let report = self
            .0
            .services
            .agents
            .ask(found.id.into(), |reply| Message::Check {
                reply: Some(reply),
            })
            .await
            .map_err(unreachable)?;
        report.ok_or_else(unanswered)
    }

    /// Totals over all agents of the tenant.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn agent_stats(&self, caller: &Caller) -> Answer<AgentStats> {
        let tenant = self.0.services.registry.tenant(&caller.tenant);
        let mut stats = AgentStats::default();
        for agent in tenant.agents.values() {
            let facts = agent.facts();
            stats.total += 1;
            *stats
                .by_status
                .entry(facts.status().as_str().to_owned())
                .or_default() += 1;
            *stats
                .by_type
                .entry(facts.spec.agent_type.as_str().to_owned())
                .or_default() += 1;
        }
        let rows = self.0.journal.store().rows(AgentTotalsView::VIEW).await?;
        let mut all = Totals::default();
        let mut agents = BTreeMap::new();
        for (key, body) in rows {
            let (Some(name), Ok(totals)) = (
                AgentTotalsView::agent(&caller.tenant, &key),
                serde_json::from_str::<Totals>(&body),
            ) else {
                continue;
            };
            all.merge(&totals);
            agents.insert(name.to_owned(), totals.view());
        }
        let total = all.view();
        stats.succeeded = total.succeeded;
        stats.failed = total.failed;
        stats.lost = total.lost;
        stats.duration = total.duration;
        stats.agents = agents;
        Ok(stats)
    }

    /// The agent's events after position `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent); the history of a removed agent is found by its id.
    pub async fn agent_events(
        &self,
        caller: &Caller,
        agent: &str,
        after: u64,
        limit: u32,
    ) -> Answer<Vec<EventView>> {
        let stream: EntityId = match self.find(caller, agent) {
            Ok(found) => found.id.into(),
            Err(rejection) => self.removed(caller, agent).await?.ok_or(rejection)?,
        };
        let records = self
            .0
            .journal
            .store()
            .read(stream, after, limit.min(1000))
            .await?;
        let mut events = Vec::new();
        for record in &records {
            events.extend(views(record)?.into_iter().filter(|event| event.seq > after));
        }
        events.truncate(limit as usize);
        Ok(events)
    }

    async fn removed(&self, caller: &Caller, agent: &str) -> Answer<Option<EntityId>> {
        let Ok(id) = agent.parse::<AgentId>() else {
            return Ok(None);
        };
        let row = self.0.journal.store().stream(id.into()).await?;
        Ok(row
            .filter(|row| row.tenant == caller.tenant)
            .map(|row| row.stream))
    }

    fn find(&self, caller: &Caller, agent: &str) -> Answer<Arc<Agent>> {
        let tenant = self.0.services.registry.tenant(&caller.tenant);
        let shown: String = agent.chars().take(80).collect();
        tenant
            .agent(agent)
            .cloned()
            .ok_or_else(|| Rejection::not_found(format!("agent {shown}")))
    }

    async fn changed(&self, caller: &Caller, agent: &str, change: Change) -> Answer<AgentView> {
        let found = self.find(caller, agent)?;
        self.change(caller, &found, change).await?;
        Ok(view::agent(&found, &self.0.services.node))
    }

    async fn change(&self, caller: &Caller, agent: &Agent, change: Change) -> Answer<bool> {
        at_least(caller, Role::Operator)?;
        let (user, change) = (caller.user.clone(), Box::new(change));
        let answer = self
            .0
            .services
            .agents
            .ask(agent.id.into(), |reply| Message::Change {
                user,
                change,
                reply,
            })
            .await
            .map_err(unreachable)?;
        answer.unwrap_or_else(|| Err(unanswered()))
    }
}

/// The stages of a registration with `verify`: nothing is stored unless all pass.
fn unverified((stage, cause): (Stage, String)) -> Rejection {
    let field = match stage {
        Stage::Endpoint => "endpoint",
        Stage::Connection | Stage::Response => "verify",
    };
    Rejection::Invalid {
        code: "verification_failed",
        message: format!("verification failed at stage `{stage}`: {cause}; nothing was stored"),
        errors: vec![FieldError::new(field, format!("{stage}: {cause}"))],
    }
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
        && query.meta.iter().all(|(key, value)| {
            let found = facts.spec.metadata.get(key);
            found.is_some_and(|found| shown(found) == *value)
        })
}

/// A value as a query writes it: text without its quotes.
fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

/// What any agent must look like, whatever stands behind it.
fn check(
    spec: &AgentSpec,
    config: impl Fn(&AgentSpec) -> Result<(), Vec<FieldError>>,
) -> Answer<()> {
    let mut errors = Vec::new();
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if spec.name.is_empty() || spec.name.len() > 64 || !spec.name.chars().all(named) {
        errors.push(FieldError::new(
            "name",
            "must have 1 to 64 letters, digits, `.`, `_` or `-`",
        ));
    }
    if spec.name.parse::<AgentId>().is_ok() {
        errors.push(FieldError::new("name", "must not look like an agent's id"));
    }
    if RESERVED.contains(&spec.name.as_str()) {
        errors.push(FieldError::new(
            "name",
            "is the address of something else below `/agents`",
        ));
    }
    if !(1..=MAX_SLOTS).contains(&spec.max_tasks) {
        errors.push(FieldError::new(
            "max_tasks",
            format!("must be between 1 and {MAX_SLOTS}"),
        ));
    }
    if !(spec.resources.cpu.is_finite() && spec.resources.cpu >= 0.0) {
        errors.push(FieldError::new(
            "resources.cpu",
            "must be a number of cores, 0 or more",
        ));
    }
    for (index, capability) in spec.capabilities.iter().enumerate() {
        if capability.is_empty()
            || capability.len() > 64
            || capability.chars().any(char::is_control)
        {
            errors.push(FieldError::new(
                format!("capabilities[{index}]"),
                "must have 1 to 64 characters",
            ));
        }
    }
    errors.extend(config(spec).err().into_iter().flatten());
    match errors.first() {
        None => Ok(()),
        Some(first) => Err(Rejection::Invalid {
            code: "invalid",
            message: format!("{}: {}", first.field, first.message),
            errors,
        }),
    }
}
