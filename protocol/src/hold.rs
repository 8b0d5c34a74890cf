//! What operators keep from starting: everything in a scope, or just what needs a dependency.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::IntoDeserializer};

use crate::{access::DEFAULT_TENANT, agent::AgentType};

/// Version of [`Event`] that this build writes.
pub const EVENT_VERSION: u16 = 1;

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Everything.
    Cluster,
    /// Tasks of a conversation.
    Session(String),
    /// Tasks of a user.
    User(String),
    /// Agents that a node hosts, by the node's name.
    Node(String),
    /// An agent, by name.
    Agent(String),
    /// Agents of a type.
    AgentType(AgentType),
    /// A tool: agents that are this program, and tasks that require it.
    Tool(String),
    /// A service: agents whose endpoint is on this host.
    Provider(String),
}

impl Target {
    /// The word in front of its text form, and what stands behind it.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Cluster => ("cluster", ""),
            Self::Session(id) => ("session", id),
            Self::User(name) => ("user", name),
            Self::Node(name) => ("node", name),
            Self::Agent(name) => ("agent", name),
            Self::AgentType(kind) => ("agent_type", kind.as_str()),
            Self::Tool(name) => ("tool", name),
            Self::Provider(host) => ("provider", host),
        }
    }

    /// Whether it says of what kind it is and not which.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        *self != Self::Cluster && self.parts().1.is_empty()
    }

    /// Whether it is a part of the cluster, and not something that steps depend on.
    #[must_use]
    pub const fn is_scope(&self) -> bool {
        match self {
            Self::Cluster | Self::Session(_) | Self::User(_) | Self::Node(_) | Self::Agent(_) => {
                true
            }
            Self::AgentType(_) | Self::Tool(_) | Self::Provider(_) => false,
        }
    }

    /// Whether it is everybody's, whichever tenant they are of.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        match self {
            Self::Cluster | Self::Node(_) => true,
            Self::Session(_)
            | Self::User(_)
            | Self::Agent(_)
            | Self::AgentType(_)
            | Self::Tool(_)
            | Self::Provider(_) => false,
        }
    }

    /// Whether steps depend on it.
    #[must_use]
    pub const fn is_dependency(&self) -> bool {
        match self {
            Self::Agent(_) | Self::AgentType(_) | Self::Tool(_) | Self::Provider(_) => true,
            Self::Cluster | Self::Session(_) | Self::User(_) | Self::Node(_) => false,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (word, "") => f.write_str(word),
            (word, name) => write!(f, "{word}:{name}"),
        }
    }
}

/// Why a text names nothing that can be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither `cluster` nor one of `session:ID`, `user:NAME`, `node:NAME`, `agent:NAME`, \
     `agent_type:TYPE`, `tool:NAME`, `provider:HOST`"
)]
pub struct InvalidTarget(String);

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget(text.chars().take(80).collect());
        if text == "cluster" {
            return Ok(Self::Cluster);
        }
        let (word, name) = text.split_once(':').ok_or_else(invalid)?;
        if name.is_empty() {
            return Err(invalid());
        }
        let named = name.to_owned();
        Ok(match word {
            "session" => Self::Session(named),
            "user" => Self::User(named),
            "node" => Self::Node(named),
            "agent" => Self::Agent(named),
            "agent_type" | "type" => {
                let kind: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
                    name.into_deserializer();
                Self::AgentType(AgentType::deserialize(kind).map_err(|_| invalid())?)
            }
            "tool" => Self::Tool(named),
            "provider" => Self::Provider(named),
            _ => return Err(invalid()),
        })
    }
}

/// Whose hold it is whose event says nothing of that.
#[must_use]
pub fn default_tenant() -> String {
    DEFAULT_TENANT.to_owned()
}

fn is_default(tenant: &str) -> bool {
    tenant == DEFAULT_TENANT
}

/// A fact about a hold. New kinds may be added; a kind that was released never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An operator placed it.
    Placed {
        /// What is held.
        target: Target,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Who placed it.
        user: String,
        /// Whose tasks and agents it keeps.
        #[serde(default = "default_tenant", skip_serializing_if = "is_default")]
        tenant: String,
    },
    /// An operator lifted it.
    Lifted {
        /// Who.
        user: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_that_says_nothing_of_a_tenant_is_the_default_ones() {
        let placed = |tenant: &str| Event::Placed {
            target: Target::Cluster,
            reason: String::new(),
            user: "ops".to_owned(),
            tenant: tenant.to_owned(),
        };
        let old = r#"{"type":"placed","target":"cluster","user":"ops"}"#;
        assert_eq!(
            serde_json::from_str::<Event>(old).unwrap(),
            placed(DEFAULT_TENANT)
        );
        assert_eq!(serde_json::to_string(&placed(DEFAULT_TENANT)).unwrap(), old);
        let other = serde_json::to_string(&placed("acme")).unwrap();
        assert_eq!(
            serde_json::from_str::<Event>(&other).unwrap(),
            placed("acme")
        );
    }

    #[test]
    fn a_target_is_read_as_it_is_written() {
        for (text, json) in [
            ("cluster", r#""cluster""#),
            ("session:s:1", r#"{"session":"s:1"}"#),
            ("agent_type:http", r#"{"agent_type":"http"}"#),
            ("tool:git", r#"{"tool":"git"}"#),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
            assert_eq!(serde_json::to_string(&target).unwrap(), json);
        }
        for wrong in ["", "tool", "tool:", "agent_type:none", "world:1"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
