//! What an agent's events say.

use protocol::{
    agent::{AgentSpec, AgentStatus, EVENT_VERSION, Event, Health, Mode},
    record::Summary,
    time::Timestamp,
};
use runtime::journal::EventSourced;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// An agent as its events say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// As registered and updated; absent only before the first event.
    pub spec: Option<Box<AgentSpec>>,
    /// What operators asked of it.
    pub mode: Mode,
    /// What the last health check found that differed from the one before.
    pub health: Option<Health>,
    /// That, in words.
    pub detail: String,
    /// Whether it was removed.
    pub deleted: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Who registered it.
    pub user: String,
}

impl AgentRecord {
    /// As discovery sees it.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        status(self.mode, self.health)
    }
}

/// What operators asked comes before what checks found.
#[must_use]
pub fn status(mode: Mode, health: Option<Health>) -> AgentStatus {
    match (mode, health) {
        (Mode::Stopped, _) => AgentStatus::Inactive,
        (Mode::Paused, _) => AgentStatus::Paused,
        (Mode::Started, Some(Health::Unhealthy)) => AgentStatus::Error,
        (Mode::Started, Some(Health::Healthy) | None) => AgentStatus::Active,
    }
}

/// Merges a change of configuration into a registration; what is absent stays.
#[must_use]
pub fn updated(spec: &AgentSpec, update: protocol::api::AgentUpdate) -> AgentSpec {
    let mut spec = spec.clone();
    let keep = |new: Option<Map<String, Value>>, old: &mut Map<String, Value>| {
        if let Some(new) = new {
            *old = new;
        }
    };
    keep(update.config, &mut spec.config);
    keep(update.metadata, &mut spec.metadata);
    spec.description = update.description.unwrap_or(spec.description);
    spec.endpoint = update.endpoint.or(spec.endpoint);
    spec.capabilities = update.capabilities.unwrap_or(spec.capabilities);
    spec.max_tasks = update.max_tasks.unwrap_or(spec.max_tasks);
    spec.resources = update.resources.unwrap_or(spec.resources);
    spec.placement = update.placement.unwrap_or(spec.placement);
    spec
}

impl EventSourced for AgentRecord {
    type Event = Event;
    const EVENT_VERSION: u16 = EVENT_VERSION;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, at: Timestamp) {
        self.updated_at = at;
        match event {
            Event::Registered { spec, user } => {
                self.spec = Some(spec.clone());
                self.user.clone_from(user);
                self.created_at = at;
            }
            Event::Updated { spec } => self.spec = Some(spec.clone()),
            Event::ModeSet { mode, .. } => self.mode = *mode,
            Event::HealthChanged { health, detail } => {
                self.health = Some(*health);
                self.detail.clone_from(detail);
            }
            Event::Deleted { .. } => self.deleted = true,
        }
    }

    fn summary(&self) -> Summary {
        let name = self.spec.as_ref().map(|spec| spec.name.clone());
        let mut body = serde_json::to_value(&self.spec).unwrap_or_default();
        if let Value::Object(body) = &mut body {
            body.insert("status".to_owned(), json!(self.status().as_str()));
            body.insert("created_at".to_owned(), json!(self.created_at));
            body.insert("updated_at".to_owned(), json!(self.updated_at));
        }
        Summary {
            status: self.status().as_str().to_owned(),
            // An agent's proxy runs until it is removed, so it is activated at every start.
            open: !self.deleted,
            hidden: self.deleted,
            user: self.user.clone(),
            name,
            body: body.to_string(),
            ..Summary::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_wish_outranks_what_checks_found() {
        let unhealthy = Some(Health::Unhealthy);
        assert_eq!(status(Mode::Stopped, unhealthy), AgentStatus::Inactive);
        assert_eq!(status(Mode::Paused, unhealthy), AgentStatus::Paused);
        assert_eq!(status(Mode::Started, unhealthy), AgentStatus::Error);
        assert_eq!(status(Mode::Started, None), AgentStatus::Active);
    }
}
