//! An agent's description, its states, and the events that its stream holds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::member::NodeRole;

/// Version of [`Event`] that this build writes.
pub const EVENT_VERSION: u16 = 1;

/// What kind of program stands behind an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentType {
    /// A program of the machine.
    Command,
    /// An HTTP service, called by a declared mapping.
    Http,
    /// A simple REST service with `POST /process`.
    Api,
    /// Any other HTTP service, called by a declared mapping.
    Custom,
    /// Answers its input.
    Echo,
    /// Answers after a while: input `{"for": "2s"}`.
    Sleep,
    /// Fails: input `{"times": 2}` fails the first two attempts only.
    Fail,
    /// Written in Rust and registered by the embedding program.
    Native,
}

impl AgentType {
    /// Every type that this build can call.
    pub const ALL: [Self; 8] = [
        Self::Command,
        Self::Http,
        Self::Api,
        Self::Custom,
        Self::Echo,
        Self::Sleep,
        Self::Fail,
        Self::Native,
    ];

    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Http => "http",
            Self::Api => "api",
            Self::Custom => "custom",
            Self::Echo => "echo",
            Self::Sleep => "sleep",
            Self::Fail => "fail",
            Self::Native => "native",
        }
    }
}

/// What is taken of, or offered by, a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Processor cores.
    pub cpu: f64,
    /// Bytes of memory.
    pub memory: u64,
}

impl Resources {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// On which nodes an agent may be hosted. What is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// Only on nodes of this region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Only on the node of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Only on nodes that have this role too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<NodeRole>,
}

impl Placement {
    /// Whether any node will do.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        *self == Self::default()
    }
}

/// Slots of an agent that names none.
pub const DEFAULT_MAX_TASKS: u32 = 5;

/// What a client registers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// Unique within the tenant: letters, digits, `.`, `_` and `-`, at most 64.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What stands behind it.
    pub agent_type: AgentType,
    /// Where it is reached, for HTTP types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What it can do; a step that names one of these may be given to it.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// How it is called; its form depends on `agent_type`.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Free JSON, returned unchanged; lists filter by `meta.KEY=VALUE`.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// How many steps it runs at once; 1 to 10,000.
    #[serde(default = "default_max_tasks")]
    pub max_tasks: u32,
    /// What each running step takes of its node.
    #[serde(default, skip_serializing_if = "Resources::is_none")]
    pub resources: Resources,
    /// On which nodes it may be hosted.
    #[serde(default, skip_serializing_if = "Placement::is_anywhere")]
    pub placement: Placement,
    /// At registration: check the endpoint, call it, and look at its answer before anything is
    /// stored. Never stored itself.
    #[serde(default, skip_serializing)]
    pub verify: bool,
}

const fn default_max_tasks() -> u32 {
    DEFAULT_MAX_TASKS
}

/// What operators asked of an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Takes steps.
    #[default]
    Started,
    /// Keeps what runs, takes nothing new, until resumed.
    Paused,
    /// Takes nothing.
    Stopped,
}

/// How an agent is to be stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// Running steps end first.
    #[default]
    Graceful,
    /// Running attempts are ended at once and tried elsewhere.
    Now,
}

/// What a health check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It answered as it should.
    Healthy,
    /// It did not.
    Unhealthy,
}

/// An agent as discovery sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Takes steps.
    Active,
    /// Keeps what runs, takes nothing new.
    Paused,
    /// Stopped by an operator.
    Inactive,
    /// Its health checks fail.
    Error,
}

impl AgentStatus {
    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Inactive => "inactive",
            Self::Error => "error",
        }
    }
}

/// A fact about an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was registered.
    Registered {
        /// As what.
        spec: Box<AgentSpec>,
        /// By whom.
        user: String,
    },
    /// Its description was replaced.
    Updated {
        /// The new one; the name stays.
        spec: Box<AgentSpec>,
    },
    /// An operator started, paused or stopped it.
    ModeSet {
        /// What was asked.
        mode: Mode,
        /// By whom.
        user: String,
    },
    /// A health check found something other than the one before.
    HealthChanged {
        /// What it found.
        health: Health,
        /// In words.
        detail: String,
    },
    /// It was removed; its history stays.
    Deleted {
        /// By whom.
        user: String,
    },
}
