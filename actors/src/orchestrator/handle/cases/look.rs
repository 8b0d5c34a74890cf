//! A closer look at one actor: the messages that it handled, and what its events made of it.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{ActorMessages, EntityState},
    entity::{EntityId, EntityKind, Sight},
    id::NodeId,
};
use runtime::{
    journal::{EventSourced, replay_until},
    redact::redact_within,
    store,
    supervision::Deaf,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::{Answer, Effect, Orchestrator, Place, READ, TOLD_WITHIN, UseCase, at_least};
use crate::{
    Rejection, agent::AgentRecord, hold::Hold, question::Question, schedule::Schedule, task::Task,
    template::Template, trigger::Trigger, workflow::state::Workflow,
};

/// The messages of an actor of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowMessages {
    pub(in super::super) node: NodeId,
    pub(in super::super) path: String,
}

impl UseCase for ShowMessages {
    type Answer = ActorMessages;
    const NAME: &'static str = "node.messages";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Node(self.node)
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ActorMessages> {
        at_least(caller, Role::Viewer)?;
        let told = at.0.tree.messages(&self.path, Sight::of(&caller.tenant));
        match told {
            Ok(told) => told.ok_or_else(|| Rejection::not_found(self.path)),
            Err(full @ Deaf) => Err(Rejection::Overloaded {
                message: full.to_string(),
                retry_after: Duration::from_secs(10),
            }),
        }
    }
}

/// The messages of an actor, wherever it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct FindMessages {
    pub(in super::super) path: String,
    pub(in super::super) node: Option<String>,
}

impl UseCase for FindMessages {
    type Answer = ActorMessages;
    const NAME: &'static str = "tree.messages";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Cluster
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ActorMessages> {
        at_least(caller, Role::Viewer)?;
        let Self { path, node } = self;
        let found = at.find_actor(caller, &path, node.as_deref()).await?;
        let node = at.company().get(&found.row.node).copied();
        let node = node.ok_or_else(|| Rejection::not_found(&*path))?;
        let until = Instant::now() + TOLD_WITHIN;
        let case = ShowMessages { node, path };
        at.ask_once(caller, node, case, until).await
    }
}

/// What an entity's events made of it, up to one of them or to the last.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowState {
    pub(in super::super) path: String,
    pub(in super::super) at: Option<u64>,
}

impl UseCase for ShowState {
    type Answer = EntityState;
    const NAME: &'static str = "entity.state";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn read_within(&self) -> Duration {
        2 * READ
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<EntityState> {
        at_least(caller, Role::Viewer)?;
        let Self { path, at: position } = self;
        let row = at.stream_at(caller, &path).await?;
        let row =
            row.ok_or_else(|| Rejection::not_found(format!("an entity of yours at {path}")))?;
        let until = position.unwrap_or(u64::MAX);
        if let Some(position) = position
            && !(1..=row.head).contains(&position)
        {
            let range = format!(
                "{position} is not between 1 and {}, its last event",
                row.head
            );
            return Err(Rejection::field("at", range));
        }
        let (store, id) = (at.own()?.journal.store(), row.stream);
        let told = match id.kind() {
            EntityKind::Task => told::<Task>(store, id, until).await,
            EntityKind::Agent => told::<AgentRecord>(store, id, until).await,
            EntityKind::Hold => told::<Hold>(store, id, until).await,
            EntityKind::Workflow => told::<Workflow>(store, id, until).await,
            EntityKind::Question => told::<Question>(store, id, until).await,
            EntityKind::Schedule => told::<Schedule>(store, id, until).await,
            EntityKind::Trigger => told::<Trigger>(store, id, until).await,
            EntityKind::Template => told::<Template>(store, id, until).await,
        };
        let told = told?.ok_or_else(|| Rejection::not_found(&*path))?;
        Ok(EntityState {
            path,
            head: row.head.max(told.position),
            ..told
        })
    }
}

async fn told<S: EventSourced>(
    store: &store::Shared,
    id: EntityId,
    until: u64,
) -> Result<Option<EntityState>, store::Error> {
    let Some(then) = replay_until::<S>(store, id, until).await? else {
        return Ok(None);
    };
    let state = serde_json::to_value(&then.state)
        .map_err(|error| store::Error::Corrupt(format!("{id} cannot be told: {error}")))?;
    Ok(Some(EntityState {
        path: String::new(),
        entity: id,
        position: then.position,
        at: then.at,
        head: then.position,
        state: redact_within(without_tokens(state)),
    }))
}

/// What an attempt proves itself by is nobody's business, not even its hash.
fn without_tokens(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(name, _)| name != "token");
            let fields = fields.map(|(name, value)| (name, without_tokens(value)));
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.into_iter().map(without_tokens).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_is_told_without_what_proves_attempts_and_without_secrets() {
        let state = json!({
            "steps": [{ "running": { "token": "a1b2", "number": 1 } }],
            "spec": { "config": { "api_key": "hunter2", "url": "http://x" } },
        });
        let told = redact_within(without_tokens(state));
        let expected = json!({
            "steps": [{ "running": { "number": 1 } }],
            "spec": { "config": { "api_key": "[redacted]", "url": "http://x" } },
        });
        assert_eq!(told, expected);
    }
}
