//! The first words on a link: who is there, and whether the two may talk.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{id::NodeId, member::Roles, time::Timestamp};

/// Version of the protocol between nodes that this build speaks.
pub const PROTOCOL: u16 = 1;

/// What a node says of itself; each end sends one before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the protocol that it speaks; its neighbours are understood.
    pub protocol: u16,
    /// Which cluster it belongs to.
    pub cluster: Uuid,
    /// This start of its process.
    pub node: NodeId,
    /// Its name, as in its certificate.
    pub name: String,
    /// What it does, as in its certificate.
    pub roles: Roles,
    /// How many shards its cluster has.
    pub shards: u16,
    /// Its wall clock.
    pub now: Timestamp,
    /// Version of its program.
    pub version: String,
    /// Where it stands; empty when nobody said.
    #[serde(default)]
    pub region: String,
    /// Where it listens for other nodes, as `host:port`; absent when it only dials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
    /// What frames to it carry on this link, so that it knows from whom they are.
    pub token: Uuid,
    /// Its gateway, the only actor that others reach.
    pub gateway: u64,
}

/// A message before the link is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Greeting {
    /// Who is there.
    Hello(Box<Hello>),
    /// The other's hello was accepted.
    Welcome,
    /// It was not, and why, in one line that names cause and remedy.
    Refused(String),
}

/// The version that two nodes speak with each other: the older one, if they are neighbours.
#[must_use]
pub const fn common(own: u16, other: u16) -> Option<u16> {
    match own.abs_diff(other) {
        0 => Some(own),
        1 if own < other => Some(own),
        1 => Some(other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASED: &str = r#"{"hello":{"protocol":1,"cluster":"00000000-0000-0000-0000-000000000007","node":"node_01980000000070008000000000000001","name":"c1","roles":["control","edge"],"shards":256,"now":"2026-11-21T06:00:00.000000Z","version":"0.1.0","region":"eu","mesh":"10.0.0.1:7600","token":"00000000-0000-0000-0000-000000000009","gateway":12}}"#;

    #[test]
    fn a_hello_is_read_as_it_was_released() {
        let read: Greeting = serde_json::from_str(RELEASED).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), RELEASED);
    }

    #[test]
    fn neighbouring_versions_speak_the_older_one() {
        for (own, other, spoken) in [
            (3, 3, Some(3)),
            (3, 4, Some(3)),
            (4, 3, Some(3)),
            (3, 5, None),
            (0, u16::MAX, None),
        ] {
            assert_eq!(common(own, other), spoken, "{own} {other}");
        }
    }
}
