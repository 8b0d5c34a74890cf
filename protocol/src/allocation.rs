//! Why a step went to an agent, or to none: the score card that is stored with each attempt.

use serde::{Deserialize, Serialize};

/// Weights of the four parts of a score; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// How well the agent fits what is asked.
    #[serde(rename = "match")]
    pub fit: f64,
    /// How free and healthy it is.
    pub availability: f64,
    /// How little it carries compared with its peers.
    pub balance: f64,
    /// Whether it served the same session last.
    pub affinity: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            fit: 0.4,
            availability: 0.3,
            balance: 0.2,
            affinity: 0.1,
        }
    }
}

/// The first filter that an agent did not pass, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// It belongs to another tenant.
    Permission,
    /// It is not the agent that the step names.
    NotNamed,
    /// It cannot do what the step asks.
    Capability,
    /// It lacks a tool, or the tool is not healthy.
    Tool,
    /// An operator stopped it.
    Stopped,
    /// An operator paused it.
    Paused,
    /// An operator holds it, or something that it needs.
    Held,
    /// No node hosts it, or the one that does has not said yet how busy it is.
    Unhosted,
    /// Its last health check failed or is too old.
    Unhealthy,
    /// Too many of its calls failed lately; it is left alone for a while.
    CircuitOpen,
    /// Its node is short of processor, memory or disk.
    Resources,
    /// All its slots are taken.
    Full,
}

impl Exclusion {
    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::NotNamed => "not_named",
            Self::Capability => "capability",
            Self::Tool => "tool",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Unhosted => "unhosted",
            Self::Unhealthy => "unhealthy",
            Self::CircuitOpen => "circuit_open",
            Self::Resources => "resources",
            Self::Full => "full",
        }
    }
}

/// One agent as the allocator saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    /// The agent's name.
    pub agent: String,
    /// Why it was out of the question; the scores are absent then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<Exclusion>,
    /// Its scores, each from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
}

/// The parts of a score, each from 0 to 1, and their weighted sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Scores {
    /// How well the agent fits.
    #[serde(rename = "match")]
    pub fit: f64,
    /// How free and healthy it is.
    pub availability: f64,
    /// How little it carries compared with its peers.
    pub balance: f64,
    /// Whether it served the same session last.
    pub affinity: f64,
    /// The weighted sum.
    pub total: f64,
}

/// How an allocation came about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScoreCard {
    /// The agent that was chosen, if any.
    pub chosen: Option<String>,
    /// The weights that were in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// The best candidates first, then the excluded ones, that which passed most filters first; at most 20.
    pub candidates: Vec<Candidate>,
    /// How many more were considered and are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it by reference"
)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
