//! Agents.

use std::time::Duration;

use futures_util::future;
use protocol::{
    access::Caller,
    agent::{AgentSpec, StopMode},
    api::{
        AgentChange, AgentQuery, AgentStats, AgentUpdate, AgentView, Consistency, EventView,
        HealthReport, Page,
    },
    id::NodeId,
};
use serde_json::{Map, Value};

use super::{
    Answer, Orchestrator,
    cases::{
        Action, AgentConfig, AgentEvents, ChangeAgent, CheckAgent, CountAgents, LONGEST_PAGE,
        ListAgents, PAGE, RegisterAgent, ShowAgent, StopAgent, TotalAgents, UpdateAgent, UseCase,
    },
};

impl Orchestrator {
    /// Hears of the agents that other nodes own, for a node that is about to take requests; what it
    /// has not heard within this time it hears later.
    pub async fn meet_agents(&self, within: Duration) {
        if let Some(own) = &self.0.own {
            own.services.directory.meet(within).await;
        }
    }

    /// Registers an agent; `spec.verify` checks it first.
    ///
    /// # Errors
    ///
    /// `Invalid` names each wrong field, `Conflict` a name that is taken.
    pub async fn register_agent(&self, caller: &Caller, mut spec: AgentSpec) -> Answer<AgentView> {
        let verify = std::mem::take(&mut spec.verify);
        self.carry_out(caller, RegisterAgent { spec, verify }).await
    }

    /// A page of agents by name. `total` is always known.
    ///
    /// # Errors
    ///
    /// `Unavailable` while one of the nodes that own agents cannot be asked, and when a list that is to be
    /// `Strong` cannot be had within three seconds.
    pub async fn agents(&self, caller: &Caller, query: &AgentQuery) -> Answer<Page<AgentView>> {
        match query.consistency {
            Consistency::Eventual => {}
            Consistency::Strong => self.agents_caught_up(caller).await?,
        }
        let list = |node| ListAgents {
            node,
            query: query.clone(),
        };
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE) as usize;
        let pages = self.everywhere(caller, list).await?;
        let more = pages.iter().any(|page| page.next_cursor.is_some());
        let total = pages.iter().filter_map(|page| page.total).sum();
        let mut items: Vec<_> = pages.into_iter().flat_map(|page| page.items).collect();
        items.sort_by(|a, b| a.name.cmp(&b.name));
        let more = more || items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more);
        let next_cursor = next_cursor.map(|agent| agent.name.clone());
        Ok(Page {
            items,
            total: Some(total),
            next_cursor,
        })
    }

    /// One agent, by id or name, as all the methods below take it.
    ///
    /// # Errors
    ///
    /// `NotFound` also when it belongs to another tenant.
    pub async fn agent(&self, caller: &Caller, agent: &str) -> Answer<AgentView> {
        let agent = agent.to_owned();
        self.carry_out(caller, ShowAgent { agent }).await
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
        let agent = agent.to_owned();
        self.carry_out(caller, UpdateAgent { agent, update }).await
    }

    /// Its configuration.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn agent_config(&self, caller: &Caller, agent: &str) -> Answer<Map<String, Value>> {
        let agent = agent.to_owned();
        self.carry_out(caller, AgentConfig { agent }).await
    }

    /// Removes it; its queued steps go elsewhere, its history stays.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn delete_agent(&self, caller: &Caller, agent: &str) -> Answer<()> {
        let deleted = self.changed(caller, agent, Action::Delete).await;
        deleted.map(drop)
    }

    /// Starts it; answers whether it was not started before.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn start_agent(&self, caller: &Caller, agent: &str) -> Answer<(AgentView, bool)> {
        self.changed(caller, agent, Action::Start).await
    }

    /// Stops it: what it runs goes on to its end, or is ended, and then this answers when it is gone.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn stop_agent(
        &self,
        caller: &Caller,
        agent: &str,
        mode: StopMode,
    ) -> Answer<AgentChange> {
        let agent = agent.to_owned();
        self.carry_out(caller, StopAgent { agent, mode }).await
    }

    /// Lets it take nothing new; what runs goes on.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn pause_agent(&self, caller: &Caller, agent: &str) -> Answer<AgentView> {
        let paused = self.changed(caller, agent, Action::Pause).await;
        paused.map(|(agent, _)| agent)
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn resume_agent(&self, caller: &Caller, agent: &str) -> Answer<AgentView> {
        let resumed = self.changed(caller, agent, Action::Resume).await;
        resumed.map(|(agent, _)| agent)
    }

    /// Checks its health now.
    ///
    /// # Errors
    ///
    /// As [`agent`](Self::agent).
    pub async fn check_agent(&self, caller: &Caller, agent: &str) -> Answer<HealthReport> {
        let agent = agent.to_owned();
        self.carry_out(caller, CheckAgent { agent }).await
    }

    /// Totals over all agents of the tenant.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or as [`agents`](Self::agents).
    pub async fn agent_stats(
        &self,
        caller: &Caller,
        consistency: Consistency,
    ) -> Answer<AgentStats> {
        match consistency {
            Consistency::Eventual => {}
            Consistency::Strong => {
                self.agents_caught_up(caller).await?;
                self.totals_caught_up(caller).await?;
            }
        }
        let mut stats = self.carry_out(caller, TotalAgents { consistency }).await?;
        for counts in self.everywhere(caller, |node| CountAgents { node }).await? {
            stats.total += counts.by_status.values().sum::<u64>();
            for (status, count) in counts.by_status {
                *stats.by_status.entry(status).or_default() += count;
            }
            for (kind, count) in counts.by_type {
                *stats.by_type.entry(kind).or_default() += count;
            }
        }
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
        let case = AgentEvents {
            agent: agent.to_owned(),
            after,
            limit,
        };
        self.carry_out(caller, case).await
    }

    async fn changed(
        &self,
        caller: &Caller,
        agent: &str,
        action: Action,
    ) -> Answer<(AgentView, bool)> {
        let agent = agent.to_owned();
        self.carry_out(caller, ChangeAgent { agent, action }).await
    }

    /// What each node that owns anything answers.
    pub(super) async fn everywhere<U: UseCase>(
        &self,
        caller: &Caller,
        case: impl Fn(NodeId) -> U,
    ) -> Answer<Vec<U::Answer>> {
        let Some(member) = &self.0.member else {
            return Ok(vec![case(self.0.id).perform(self, caller).await?]);
        };
        let controls = member.placement.controls();
        if controls.is_empty() {
            return Err(super::route::nobody("the store"));
        }
        let asked = controls.into_iter().map(case);
        future::try_join_all(asked.map(|case| self.carry_out(caller, case))).await
    }
}
