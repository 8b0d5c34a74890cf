//! Members of a cluster: what a node says of itself when it joins.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{id::NodeId, time::Timestamp};

/// What a node does in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Owns entities; has the store.
    Control,
    /// Hosts agents and their tools; needs no store.
    Worker,
    /// Answers HTTP.
    Edge,
}

impl NodeRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Control, Self::Worker, Self::Edge];

    /// As configuration and lists write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Worker => "worker",
            Self::Edge => "edge",
        }
    }
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The roles of one node, sorted, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "Vec<NodeRole>", into = "Vec<NodeRole>")]
pub struct Roles(Vec<NodeRole>);

impl Roles {
    /// All of them, as a node has when nothing else is said.
    #[must_use]
    pub fn all() -> Self {
        NodeRole::ALL.into_iter().collect()
    }

    /// Whether `role` is among them.
    #[must_use]
    pub fn has(&self, role: NodeRole) -> bool {
        self.0.contains(&role)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = NodeRole> {
        self.0.iter().copied()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<NodeRole> for Roles {
    fn from_iter<I: IntoIterator<Item = NodeRole>>(roles: I) -> Self {
        let mut roles: Vec<_> = roles.into_iter().collect();
        roles.sort_unstable();
        roles.dedup();
        Self(roles)
    }
}

impl From<Vec<NodeRole>> for Roles {
    fn from(roles: Vec<NodeRole>) -> Self {
        roles.into_iter().collect()
    }
}

impl From<Roles> for Vec<NodeRole> {
    fn from(roles: Roles) -> Self {
        roles.0
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(NodeRole::as_str).collect();
        f.write_str(&words.join(","))
    }
}

/// Where a member stands, by its own word or an operator's. Whether it lives, its lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Takes part.
    Up,
    /// Hands over what it has and takes nothing new.
    Draining,
    /// Left in order, or was replaced by a later start of the same node.
    Left,
    /// Was removed by an operator; its certificate counts no more.
    Removed,
}

impl MemberState {
    /// As lists write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Left => "left",
            Self::Removed => "removed",
        }
    }
}

/// One start of a node, as it announced itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// This start of the process; never used again.
    pub node: NodeId,
    /// The node's name, the same after a restart.
    pub name: String,
    /// What it does.
    pub roles: Roles,
    /// Where it listens for other nodes, as `host:port`; absent when it only dials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
    /// Where it serves HTTP, as a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,
    /// Where it stands, such as `eu-west`; empty when nobody said.
    #[serde(default)]
    pub region: String,
    /// Version of the program.
    pub version: String,
    /// Version of the protocol between nodes that it speaks.
    pub protocol: u16,
    /// When it started.
    pub started_at: Timestamp,
    /// SHA-256 of its administrator's token, in hex: every node of the cluster takes that token. Of
    /// nodes that serve no users it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
}

/// What a node says of itself with each renewal of its lease; whatever is absent it did not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vitals {
    /// Where it serves HTTP, as a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,
    /// Actors that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actors: Option<u64>,
    /// Tasks that it has in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// Agents that it hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents: Option<u64>,
    /// Attempts that run on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Share of its processors in use, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Share of its memory in use, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vitals_of_an_earlier_and_of_a_later_release_are_read() {
        let nothing: Vitals = serde_json::from_str("{}").unwrap();
        assert_eq!(nothing, Vitals::default());
        let more: Vitals = serde_json::from_str(r#"{"actors":7,"mood":"good"}"#).unwrap();
        assert_eq!(more.actors, Some(7));
    }

    #[test]
    fn roles_are_a_sorted_set_however_they_were_written() {
        let roles: Roles = serde_json::from_str(r#"["edge","control","edge"]"#).unwrap();
        assert_eq!(roles.to_string(), "control,edge");
        assert!(roles.has(NodeRole::Edge) && !roles.has(NodeRole::Worker));
        assert!(serde_json::from_str::<Roles>(r#"["king"]"#).is_err());
    }
}
