//! What an actor has to do with others that are neither its supervisor nor its children, and what its
//! task may still use up.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// What an actor has to do with another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActorLink {
    /// What the other is to this one.
    pub relation: Relation,
    /// Where the other stands.
    pub path: String,
    /// The node that it runs on, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// As which step of a task, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Which attempt of that step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// What another actor is to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The task that this one is a part of.
    PartOf,
    /// An open task that is a part of this one.
    Part,
    /// An attempt that runs for it.
    Attempt,
    /// A question to another agent that waits for its answer.
    Asks,
    /// The attempt, or the question, as part of which this one was asked.
    AskedBy,
    /// The task that it works for.
    WorksFor,
    /// What runs an agent's attempts, on the node that hosts it.
    Proxy,
    /// The agent whose attempts it runs.
    Agent,
}

impl Relation {
    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PartOf => "part_of",
            Self::Part => "part",
            Self::Attempt => "attempt",
            Self::Asks => "asks",
            Self::AskedBy => "asked_by",
            Self::WorksFor => "works_for",
            Self::Proxy => "proxy",
            Self::Agent => "agent",
        }
    }
}

/// What is left of a task's limits, as far as it has any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetLeft {
    /// Attempts that may still be started, of `budget.max_attempts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How long it may still take, of `budget.wall_time`; while it is paused, that does not get less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_time: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_prints_as_it_is_written() {
        use Relation::{Agent, AskedBy, Asks, Attempt, Part, PartOf, Proxy, WorksFor};
        for relation in [PartOf, Part, Attempt, Asks, AskedBy, WorksFor, Proxy, Agent] {
            let written = serde_json::to_value(relation).unwrap();
            assert_eq!(written, relation.as_str());
        }
    }
}
