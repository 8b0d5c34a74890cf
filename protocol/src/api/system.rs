//! The node itself: health, store, and the supervision tree.

use serde::{Deserialize, Serialize};

use crate::{
    id::NodeId,
    member::Roles,
    time::{Span, Timestamp},
};

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

/// How much a node says in its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogView {
    /// The node's name.
    pub node: String,
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`, or by part, as `info,actors=debug`.
    pub level: String,
}

/// How much a node is to say in its log, until it ends or is told otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogRequest {
    /// As in [`LogView`].
    pub level: String,
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

/// Where a member stands as others see it: what it says of itself, and whether its lease holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// Takes part.
    Up,
    /// Has not been heard of for a while; its lease still holds.
    Suspect,
    /// Hands over what it has and takes nothing new.
    Draining,
    /// Its lease is over.
    Dead,
    /// Left in order, or was replaced by a later start of the same node.
    Left,
    /// Was removed by an operator.
    Removed,
}

impl MemberStatus {
    /// As lists write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
            Self::Dead => "dead",
            Self::Left => "left",
            Self::Removed => "removed",
        }
    }
}

/// One line of `troupe nodes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemberView {
    /// This start of its process.
    pub id: NodeId,
    /// Its name, the same after a restart.
    pub name: String,
    /// Where it stands.
    pub state: MemberStatus,
    /// What it does.
    pub roles: Roles,
    /// Where it stands on the map, such as `eu-west`; empty when nobody said.
    pub region: String,
    /// Of its program.
    pub version: String,
    /// Where it listens for other nodes, as `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
    /// Where it serves HTTP, as a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// Actors that it runs; absent when it did not say, as everything below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actors: Option<u64>,
    /// Tasks that it has in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// Agents that it hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<u64>,
    /// Attempts that run on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Share of its processors in use, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Share of its memory in use, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// How long a message to it and back takes, in milliseconds, from the node that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// How long its lease still holds, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_left_ms: Option<u64>,
    /// Shards that it owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
}

/// One line of `troupe token list`: what lets a node join, never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenView {
    /// Names it; not secret.
    pub id: String,
    /// What a node that joins with it may do.
    pub roles: Roles,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// The name of the node that used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
    /// When it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
    /// Whether a node can still join with it.
    pub state: TokenState,
}

/// Whether a node can join with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// One can.
    Open,
    /// One did.
    Used,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl TokenState {
    /// As lists write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// What `troupe token create` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TokenRequest {
    /// What a node that joins with it may do; everything when absent.
    pub roles: Option<Roles>,
    /// How long it can be used, such as `1h`.
    pub ttl: Option<Span>,
}

/// The answer to [`TokenRequest`]: the only time that the secret is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewToken {
    /// As lists show it.
    #[serde(flatten)]
    pub view: TokenView,
    /// The secret, for `--token`.
    pub token: String,
    /// The command that joins with it.
    pub join: String,
}
