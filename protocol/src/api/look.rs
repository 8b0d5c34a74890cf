//! A closer look at one actor: the messages that it handled, and what its events made of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{entity::EntityId, time::Timestamp};

/// The messages that an actor handled lately. They are kept from the moment on when somebody asks for
/// them, and for a minute after that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActorMessages {
    /// Where it stands.
    pub path: String,
    /// What it is.
    pub kind: String,
    /// The node that it runs on.
    pub node: String,
    /// From when on they are kept.
    pub since: Timestamp,
    /// Until when they are kept, unless somebody asks again.
    pub until: Timestamp,
    /// Messages that wait in its mailbox.
    pub waiting: u64,
    /// Messages that it ever handled.
    pub handled: u64,
    /// The message being handled, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// How long that has taken, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_ms: Option<u64>,
    /// The last of them, the newest last, at most 100: by name alone, never what is in them.
    pub messages: Vec<HandledMessage>,
}

/// A message that an actor handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HandledMessage {
    /// Its name, such as `Settle`.
    pub message: String,
    /// When it was taken in hand.
    pub at: Timestamp,
    /// How long it was in hand, in microseconds, right to a few milliseconds.
    pub took_us: u64,
}

/// What an entity's events made of it, up to one of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EntityState {
    /// Where it stands.
    pub path: String,
    /// Which entity.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub entity: EntityId,
    /// The position of the last event that counts here.
    pub position: u64,
    /// When that one was recorded.
    pub at: Timestamp,
    /// The position of its last event of all.
    pub head: u64,
    /// Its state, as its node has it in memory; without what is secret.
    pub state: Value,
}
