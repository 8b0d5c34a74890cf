//! Frames of event streams.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{MemberStatus, MemberView};
use crate::{entity::EntityId, time::Timestamp};

/// One event of one entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventView {
    /// Whose event it is.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub entity: EntityId,
    /// Its position in the entity's stream, without gaps; the cursor to resume after it.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who asked for it.
    pub actor: String,
    /// What happened; `type` names it.
    pub event: Value,
}

/// Which events of the whole cluster are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct EventsQuery {
    /// Names with commas between them, such as `task.*,worker.status`; all when absent.
    pub types: Option<String>,
    /// What is recorded after this position, the `id` of an event; from now on when absent.
    pub since: Option<String>,
}

/// How a node of the cluster is, under the name `worker.status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkerStatus {
    /// When it was seen.
    pub at: Timestamp,
    /// What is new.
    pub change: WorkerChange,
    /// Where the node stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<MemberStatus>,
    /// The node as it is.
    pub node: MemberView,
}

/// What is new of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WorkerChange {
    /// Nothing: each stream begins with how all nodes are.
    Known,
    /// It started.
    Joined,
    /// It stands elsewhere: it is suspect, drains, left, is dead, or is up again.
    Status,
    /// It has more to do or less, or can take more or less.
    Load,
}

/// The data of one event of `GET /api/v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Happening {
    /// Something was recorded of a task, a run or an agent.
    Recorded(EventView),
    /// A node changed.
    Worker(Box<WorkerStatus>),
}

/// What a client may say over its WebSocket: which of its events it still wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SocketFilter {
    /// Names as in the query; what the query left out stays out.
    pub types: Option<String>,
    /// Only events of this task or agent.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub entity: Option<EntityId>,
}

/// One text message of a WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SocketFrame {
    /// Where to go on after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is called; absent when it moves the position alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What a server-sent event of the name has as its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// What a web page opens a WebSocket with, once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SocketTicket {
    /// The `ticket` of the WebSocket's query; it counts once, at any edge.
    pub ticket: String,
    /// Until when.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for SocketTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketTicket")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
