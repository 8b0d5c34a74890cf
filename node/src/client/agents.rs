//! Agents: what they are told, and what they tell.

use protocol::{
    agent::{AgentSpec, AgentStatus, AgentType, StopMode},
    api::{
        AgentChange, AgentQuery, AgentStats, AgentUpdate, AgentView, EventView, HealthReport, Page,
        StopRequest,
    },
};
use reqwest::Method;

use super::{Answer, Client, Route};

impl Client {
    /// Registers an agent.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn register_agent(&self, spec: &AgentSpec) -> Answer<AgentView> {
        // `verify` is never stored, and so never written by the type itself.
        let mut body = serde_json::json!(spec);
        if spec.verify {
            body["verify"] = true.into();
        }
        let route = Route::to(["agents", "register"]);
        self.send(Method::POST, route, &body).await
    }

    /// A page of agents by name.
    pub async fn agents(&self, query: &AgentQuery) -> Answer<Page<AgentView>> {
        let mut route = Route::to(["agents"])
            .with("status", query.status.map(AgentStatus::as_str))
            .with("capability", query.capability.as_deref())
            .with("type", query.agent_type.map(AgentType::as_str))
            .with("limit", query.limit)
            .with("cursor", query.cursor.as_deref())
            .with("consistency", query.consistency.asked());
        for (key, value) in &query.meta {
            route = route.with(&format!("meta.{key}"), Some(value));
        }
        self.get(route).await
    }

    /// One agent, by id or name, as all the methods below take it.
    pub async fn agent(&self, name: &str) -> Answer<AgentView> {
        self.get(agent(name, [])).await
    }

    /// Changes an agent.
    pub async fn update_agent(&self, name: &str, update: &AgentUpdate) -> Answer<AgentView> {
        self.send(Method::PUT, agent(name, []), update).await
    }

    /// Removes an agent.
    pub async fn delete_agent(&self, name: &str) -> Answer<()> {
        self.delete(agent(name, [])).await
    }

    /// Starts an agent.
    pub async fn start_agent(&self, name: &str) -> Answer<AgentView> {
        self.post(agent(name, ["start"])).await
    }

    /// Stops an agent.
    pub async fn stop_agent(&self, name: &str, mode: StopMode) -> Answer<AgentChange> {
        let body = StopRequest { mode };
        self.send(Method::POST, agent(name, ["stop"]), &body).await
    }

    /// Lets an agent take nothing new.
    pub async fn pause_agent(&self, name: &str) -> Answer<AgentView> {
        self.post(agent(name, ["pause"])).await
    }

    /// Lets an agent go on.
    pub async fn resume_agent(&self, name: &str) -> Answer<AgentView> {
        self.post(agent(name, ["resume"])).await
    }

    /// Checks an agent's health now.
    pub async fn check_agent(&self, name: &str) -> Answer<HealthReport> {
        self.post(agent(name, ["health"])).await
    }

    /// Totals over all agents.
    pub async fn agent_stats(&self) -> Answer<AgentStats> {
        self.get(Route::to(["agents", "stats"])).await
    }

    /// The agent's events after position `after`.
    pub async fn agent_events(&self, name: &str, after: u64) -> Answer<Vec<EventView>> {
        let route = agent(name, ["events"]);
        self.get(route.with("since", Some(after)).with("limit", Some(200)))
            .await
    }
}

fn agent<const N: usize>(name: &str, rest: [&str; N]) -> Route {
    Route::to(["agents", name].into_iter().chain(rest))
}
