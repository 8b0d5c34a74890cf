//! The tree of all actors of a cluster: as it is, as it was, and what changed.
//!
//! A row is known by its node and its path together: `/system/store` stands on every control node.
//! Lists are sorted by the names of nodes, then by paths.

use serde::{Deserialize, Serialize};

use super::{ActorLink, BudgetLeft, EventView};
use crate::{entity::EntityId, epoch::Epoch, time::Timestamp};

/// Which part of the tree is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TreeQuery {
    /// The path to start at; `/` when absent.
    pub path: Option<String>,
    /// How many levels below it; all when absent.
    pub depth: Option<u32>,
    /// Only actors of this node, by its name; of all nodes when absent.
    pub node: Option<String>,
    /// As it was then; as it is when absent.
    pub at: Option<Timestamp>,
    /// The `next` of the page before.
    pub after: Option<String>,
    /// Rows of a page, at most 10,000; 1,000 when absent.
    pub limit: Option<u32>,
}

/// The supervision tree from `path` down on each node, parents before children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TreeView {
    /// Where it starts.
    pub path: String,
    /// When it was so.
    pub at: Timestamp,
    /// Actors below `path`, itself included, on all pages.
    pub total: u64,
    /// The actors of this page.
    pub nodes: Vec<TreeNode>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Nodes of the cluster whose actors are missing here, because they did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
    /// Nodes that told nothing of themselves for a while before this moment: their actors stand here as
    /// they were when they did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<Stale>,
}

/// A node of whose past an end is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stale {
    /// The node.
    pub node: String,
    /// Up to when it is known.
    pub until: Timestamp,
}

/// One actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TreeNode {
    /// Where it stands, such as `/agents/reviewer`.
    pub path: String,
    /// What it is, such as `supervisor`, `agent`, `task`, `tool`.
    pub kind: String,
    /// `starting`, `running`, `stuck`, `backing_off`, `crash_loop`, `paused`, `stopping`, `stopped` or
    /// `parked`.
    pub state: String,
    /// The node that it runs on.
    pub node: String,
    /// Messages waiting.
    pub mailbox: u64,
    /// Messages handled.
    pub handled: u64,
    /// Messages handled in a second, over the last ten.
    #[serde(default)]
    pub rate: f64,
    /// How often it was restarted.
    pub restarts: u32,
    /// Why it was restarted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The node on which it was before it began here, if it was on another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
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
    /// What it has to do with others: in the tree at most five that it shows of itself, of one actor all
    /// that can be found, at most 100 of each relation. Of the past none is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<ActorLink>,
    /// How many links there are, where not all are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links_total: Option<u32>,
}

/// One actor in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActorView {
    /// Its row.
    #[serde(flatten)]
    pub row: TreeNode,
    /// Its supervisor's path; absent for a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Its children's paths, at most 100.
    pub child_paths: Vec<String>,
    /// Its last failures, the newest last.
    pub failures: Vec<FailureView>,
    /// What became of it, the newest last, at most 20.
    pub life: Vec<LifeEvent>,
    /// What it is a durable entity of, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<EntityPart>,
    /// Of a task with limits: what is left of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetLeft>,
}

/// How and when an actor failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailureView {
    /// When its supervisor heard of it.
    pub at: Timestamp,
    /// The error and what caused it, or the text of the panic.
    pub error: String,
}

/// The durable side of an actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EntityPart {
    /// Which entity.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: EntityId,
    /// Under which its node may append.
    #[cfg_attr(feature = "schema", schemars(with = "u64"))]
    pub epoch: Epoch,
    /// The position of its last event.
    pub position: u64,
    /// Its last events, the newest last, at most 10; without what is secret.
    pub events: Vec<EventView>,
}

/// What can become of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It began where none stood.
    Started,
    /// It ended and was not to be restarted.
    Stopped,
    /// It failed.
    Failed,
    /// It began again after an end.
    Restarted,
    /// It failed too often; a person can release it.
    Parked,
    /// It began here after it had been on another node, which `restored_from` names.
    Moved,
    /// A handler ran for longer than it may.
    Stuck,
    /// The node was gone, and all that ran on it.
    NodeLost,
}

/// Something that became of an actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LifeEvent {
    /// When.
    pub at: Timestamp,
    /// On which node.
    pub node: String,
    /// Where it stands.
    pub path: String,
    /// What it is.
    pub kind: String,
    /// What became of it.
    pub what: Life,
    /// Why, where there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The node on which it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
}

/// What became of a node's actors is not known for a while: it is too long ago for who comes back, or the
/// node began anew. What is kept of it can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LifeGap {
    /// The node.
    pub node: String,
}

/// Which two moments are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DiffQuery {
    /// The path to start at; `/` when absent.
    pub path: Option<String>,
    /// Only actors of this node; of all nodes when absent.
    pub node: Option<String>,
    /// The earlier moment.
    pub from: Option<Timestamp>,
    /// The later one; now when absent.
    pub to: Option<Timestamp>,
}

/// What died, moved or restarted between two moments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TreeDiff {
    /// The earlier moment.
    pub from: Timestamp,
    /// The later one.
    pub to: Timestamp,
    /// Each actor whose row differs, sorted by path.
    pub changes: Vec<TreeChange>,
    /// Nodes that are not known up to the later moment, or of which it is not known how they were at
    /// the earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<Stale>,
}

/// How one actor differs between two moments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TreeChange {
    /// Where it stands.
    pub path: String,
    /// What it is.
    pub kind: String,
    /// How.
    pub change: Change,
    /// Where it was, on which node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Its state after that, as in a row of the tree; absent when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When that happened.
    pub at: Timestamp,
    /// Why, where there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a row differs between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not there before.
    Began,
    /// It is not there any more.
    Ended,
    /// It is on another node.
    Moved,
    /// It is another incarnation of the same actor.
    Restarted,
    /// Its state differs, such as parked.
    State,
}

/// What changed in the tree of one node since it was told last; a frame of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TreeDelta {
    /// The node.
    pub node: String,
    /// Whether everything that was known of the node's actors before is void: `rows` are all there are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// Rows that are new or differ.
    pub rows: Vec<TreeNode>,
    /// Paths that are gone.
    pub gone: Vec<String>,
}

/// Which turns of actors' lives are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LifeQuery {
    /// A pattern of paths: `*` stands for any part of one name, `**` for any number of names.
    pub path: Option<String>,
    /// Words with commas between them: what became of an actor, or what it is.
    pub kind: Option<String>,
    /// Only of this node; of all nodes when absent.
    pub node: Option<String>,
    /// After this moment; an hour before the other one when absent.
    pub from: Option<Timestamp>,
    /// Not after this moment; now when absent.
    pub to: Option<Timestamp>,
    /// The last so many, at most 10,000; 1,000 when absent.
    pub limit: Option<u32>,
}

/// What an operator does to one actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ActorAction {
    /// It ends what it does and begins again.
    Restart,
    /// It ends for good.
    Stop,
    /// It ends at once, as in a crash, and begins again.
    Kill,
    /// It starts nothing until it is resumed.
    Pause,
    /// It goes on.
    Resume,
    /// It was parked and goes on.
    Release,
}

impl ActorAction {
    /// Every action.
    pub const ALL: [Self; 6] = [
        Self::Restart,
        Self::Stop,
        Self::Kill,
        Self::Pause,
        Self::Resume,
        Self::Release,
    ];

    /// As it stands in an address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Release => "release",
        }
    }
}

/// Why something is done to an actor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ActionRequest {
    /// For those who look later.
    pub reason: String,
}

/// What was done to an actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActionView {
    /// The actor after that; as it was last, and stopped, if it stands no more.
    #[serde(flatten)]
    pub actor: ActorView,
    /// What was done.
    pub action: ActorAction,
    /// What became of it, in a sentence.
    pub outcome: String,
}
