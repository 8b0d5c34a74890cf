//! `[cluster]`: how this node takes part.

use std::{net::SocketAddr, time::Duration};

use protocol::{member::Roles, shard::DEFAULT_SHARDS, time::Span};
use runtime::placement::Timing;
use serde::{Deserialize, Serialize};

/// `[cluster]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSection {
    /// What this node does: `control` owns entities and has the store, `worker` hosts agents and their
    /// tools, `edge` answers HTTP.
    pub roles: Roles,
    /// Where other nodes reach this one; port 0 picks one.
    pub listen: SocketAddr,
    /// `HOST:PORT` under which they do, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// Where this node stands, such as `eu-west`.
    pub region: String,
    /// Into how many parts ownership is divided; fixed when the cluster is founded.
    pub shards: u16,
    /// How long a node that falls silent keeps what it owns; the same on every node.
    pub lease: Span,
    /// How long a certificate counts; it is renewed at two thirds of that.
    pub certificate_life: Span,
    /// How long nodes that are gone and join tokens that let nobody in any more stay in the store; a day
    /// at least.
    pub retention: Span,
}

impl Default for ClusterSection {
    fn default() -> Self {
        Self {
            roles: Roles::all(),
            listen: SocketAddr::from(([127, 0, 0, 1], 4697)),
            advertise: None,
            region: String::new(),
            shards: DEFAULT_SHARDS,
            lease: Span(Timing::default().ttl),
            certificate_life: Span(Duration::from_secs(24 * 60 * 60)),
            retention: Span(Timing::default().keep),
        }
    }
}

impl ClusterSection {
    /// The clockwork of leases: four renewals in the time of one, and a quarter of it in reserve.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let ttl = self.lease.0;
        Timing {
            ttl,
            renew: ttl / 4,
            margin: ttl / 4,
            look: Timing::default().look.min(ttl / 8),
            keep: self.retention.0,
        }
    }
}
