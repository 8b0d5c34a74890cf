//! How a machine becomes a node: what it asks with its token, and what it is given.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    id::NodeId,
    member::Roles,
    time::{Span, Timestamp},
};

/// What a machine with a token asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The token's secret, in hex digits.
    pub secret: String,
    /// Its certificate request in PEM; the key never leaves the machine.
    pub csr: String,
    /// What it wants to be called.
    pub name: String,
    /// What it wants to do.
    pub roles: Roles,
    /// Version of the protocol between nodes that it speaks.
    pub protocol: u16,
    /// Its wall clock.
    pub now: Timestamp,
    /// Version of its program.
    pub version: String,
    /// Where it stands; empty when nobody said.
    #[serde(default)]
    pub region: String,
    /// How many shards its configuration says that there are, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u16>,
    /// How long its configuration lets leases run; absent from programs that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Span>,
}

/// A node that a new one may dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// This start of its process.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Where it listens for other nodes, as `host:port`.
    pub address: String,
}

/// What makes a machine a node of the cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinGrant {
    /// Its certificate, in PEM.
    pub certificate: String,
    /// The cluster's own certificate, in PEM.
    pub authority: String,
    /// Which cluster.
    pub cluster: Uuid,
    /// How many shards it has.
    pub shards: u16,
    /// Whom to dial.
    pub peers: Vec<Seat>,
    /// Where the store is; only for nodes that own entities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The key that issues certificates, in PEM; only for nodes that own entities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_key: Option<String>,
}

/// What is answered to a [`JoinRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinAnswer {
    /// It is a node now.
    Granted(Box<JoinGrant>),
    /// It is not, and why.
    Refused(JoinRefusal),
}

/// Why a machine does not become a node, in lines that name cause and remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum JoinRefusal {
    /// Nobody made this token, or it was revoked.
    #[error(
        "the cluster does not know this token; make one with `troupe token create` and use it whole"
    )]
    UnknownToken,
    /// An operator took it back.
    #[error("the token was revoked; make another with `troupe token create`")]
    RevokedToken,
    /// A token works once.
    #[error("the token was used before; make another with `troupe token create`")]
    UsedToken,
    /// A token works for a while.
    #[error("the token has expired; make another with `troupe token create`")]
    ExpiredToken,
    /// The token is not for these roles.
    #[error("the token is not for the roles `{asked}`; make one that allows them")]
    Role {
        /// What was asked.
        asked: Roles,
    },
    /// Another node has the name.
    #[error(
        "there is a node `{name}` already; choose another name, or remove it with `troupe node remove {name}`"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Certificates cannot carry the name.
    #[error("`{name}` cannot be a node's name; use up to 63 of a-z, A-Z, 0-9, `-`, `_` and `.`")]
    BadName {
        /// The name.
        name: String,
    },
    /// The clocks disagree.
    #[error(
        "this machine's clock is {seconds} s off the cluster's, and 30 s are allowed; set both by NTP"
    )]
    Clock {
        /// By how much.
        seconds: u64,
    },
    /// The programs are too far apart.
    #[error(
        "this program speaks version {own} of the protocol between nodes and the cluster {cluster}; install a release within one version"
    )]
    Protocol {
        /// What the machine speaks.
        own: u16,
        /// What the cluster speaks.
        cluster: u16,
    },
    /// They count different shards.
    #[error(
        "this node's configuration says `cluster.shards = {own}`, and the cluster was founded with {cluster}, which cannot change; say {cluster}, or nothing"
    )]
    Shards {
        /// What the machine was told.
        own: u16,
        /// What the cluster has.
        cluster: u16,
    },
    /// They count leases differently.
    #[error(
        "this node's configuration says `cluster.lease = \"{own}\"`, and leases of the cluster run for {cluster}; set `cluster.lease = \"{cluster}\"`"
    )]
    Lease {
        /// What the machine was told.
        own: Span,
        /// What the cluster was told.
        cluster: Span,
    },
    /// The certificate request is not one, or not signed by its own key.
    #[error("the certificate request cannot be used: {reason}")]
    BadRequest {
        /// Why.
        reason: String,
    },
    /// Too many failures from one address.
    #[error("too many failed attempts from this address; wait a minute")]
    TooMany,
    /// The node that was asked cannot grant at the moment, or not at all.
    #[error("{reason}")]
    Unable {
        /// Why, and what to do.
        reason: String,
    },
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for JoinGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinGrant")
            .field("cluster", &self.cluster)
            .field("shards", &self.shards)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_in_logs() {
        let request = JoinRequest {
            secret: "hush".to_owned(),
            csr: String::new(),
            name: "w1".to_owned(),
            roles: Roles::all(),
            protocol: 1,
            now: Timestamp::default(),
            version: String::new(),
            region: String::new(),
            shards: None,
            lease: None,
        };
        let grant = JoinGrant {
            certificate: String::new(),
            authority: String::new(),
            cluster: Uuid::nil(),
            shards: 256,
            peers: Vec::new(),
            store: Some("postgres://u:hush@h/d".to_owned()),
            authority_key: Some("hush".to_owned()),
        };
        let shown = format!("{request:?} {:?}", JoinAnswer::Granted(Box::new(grant)));
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_refusal_is_read_as_it_was_released() {
        let released = r#"{"refused":{"protocol":{"own":1,"cluster":3}}}"#;
        let read: JoinAnswer = serde_json::from_str(released).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), released);
    }
}
