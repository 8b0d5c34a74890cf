//! The node itself: health, store, and the supervision tree.

use serde::{Deserialize, Serialize};

use crate::{id::NodeId, time::Timestamp};

/// One thing that must work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// In words.
    pub detail: String,
}

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthView {
    /// `ok`, `degraded`, or `draining`.
    pub status: String,
    /// Of the program.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// What was looked at; absent for callers without a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// The node that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeView {
    /// This start of the process.
    pub id: NodeId,
    /// Its name, the same after a restart.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Entities in memory.
    pub active_entities: u64,
}

/// What `troupe db status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoreView {
    /// `sqlite`, `postgres` or `memory`.
    pub engine: String,
    /// Version of the schema.
    pub schema: u64,
    /// Streams.
    pub streams: u64,
    /// Streams with unfinished work.
    pub open: u64,
    /// Records in the journal.
    pub records: u64,
    /// Bytes on disk, where the engine knows.
    pub bytes: u64,
}

/// Which part of the tree is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TreeQuery {
    /// The path to start at; `/` when absent.
    pub path: Option<String>,
    /// How many levels below it; all when absent.
    pub depth: Option<u32>,
    /// Only actors of this node.
    pub node: Option<String>,
}

/// The supervision tree from `path` down, parents before children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TreeView {
    /// Where it starts.
    pub path: String,
    /// Actors below `path`, itself included.
    pub total: u64,
    /// The actors, sorted by path.
    pub nodes: Vec<TreeNode>,
}

/// One actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TreeNode {
    /// Where it stands, such as `/agents/reviewer`.
    pub path: String,
    /// What it is, such as `supervisor`, `agent`, `task`, `tool`.
    pub kind: String,
    /// `starting`, `running`, `backing_off`, `stopping`, `stopped` or `parked`.
    pub state: String,
    /// The node that it runs on.
    pub node: String,
    /// Messages waiting.
    pub mailbox: u64,
    /// Messages handled.
    pub handled: u64,
    /// How often it was restarted.
    pub restarts: u32,
    /// Why it was restarted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When this incarnation started.
    pub started_at: Timestamp,
    /// The message being handled, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// How long that has taken, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_ms: Option<u64>,
    /// How many direct children it has.
    pub children: u32,
}
