//! Whether two nodes may talk, by what each says of itself and what its certificate says.

use std::time::Duration;

use protocol::{
    time::Timestamp,
    wire::hello::{Hello, common},
};

use super::identity::Subject;

/// How far apart the clocks of two nodes may be.
pub const MAX_SKEW: Duration = Duration::from_secs(30);

/// From here on a difference is worth a warning.
pub const NOTABLE_SKEW: Duration = Duration::from_secs(2);

/// What two nodes found out about each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accord {
    /// The version of the protocol that they speak.
    pub protocol: u16,
    /// How far their clocks are apart.
    pub skew: Duration,
}

/// Why two nodes may not talk: one line that reads the same at either end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Discord {
    /// They belong to different clusters.
    #[error(
        "`{one}` and `{other}` belong to different clusters; join the stray one again with a token of the right cluster"
    )]
    Cluster {
        /// Who says this.
        one: String,
        /// To whom.
        other: String,
    },
    /// Their versions are not neighbours.
    #[error(
        "`{one}` speaks version {spoken} of the protocol between nodes and `{other}` version {theirs}; upgrade one release at a time"
    )]
    Protocol {
        /// Who says this.
        one: String,
        /// What it speaks.
        spoken: u16,
        /// To whom.
        other: String,
        /// What that one speaks.
        theirs: u16,
    },
    /// A node says that it is another than its certificate says.
    #[error(
        "a node says that it is `{claimed}` and its certificate that it is `{certified}`; set its name back, or let it join again with a new token"
    )]
    Name {
        /// What it says.
        claimed: String,
        /// What the certificate says.
        certified: String,
    },
    /// A node claims roles that its certificate does not grant.
    #[error(
        "`{name}` says that it has the roles {claimed} and its certificate that it has {certified}; set its roles back, or let it join again with a token for them"
    )]
    Roles {
        /// Who.
        name: String,
        /// What it says.
        claimed: String,
        /// What the certificate says.
        certified: String,
    },
    /// They count different shards.
    #[error(
        "`{one}` counts {own} shards and `{other}` {theirs}; the number is fixed when a cluster is founded, so set it back where it was changed"
    )]
    Shards {
        /// Who says this.
        one: String,
        /// What it counts.
        own: u16,
        /// To whom.
        other: String,
        /// What that one counts.
        theirs: u16,
    },
    /// Their clocks disagree.
    #[error(
        "the clocks of `{one}` and `{other}` are {seconds} s apart, and 30 s are allowed; set both by NTP"
    )]
    Clock {
        /// Who says this.
        one: String,
        /// To whom.
        other: String,
        /// By how much.
        seconds: u64,
    },
    /// They are one and the same.
    #[error("`{0}` dialled itself; take its own address out of its peers")]
    Self_(String),
}

/// Judges what the other end said; `read_at` is when its hello had been read.
///
/// # Errors
///
/// The first thing that keeps the two apart.
pub fn agree(
    own: &Hello,
    other: &Hello,
    certified: &Subject,
    read_at: Timestamp,
) -> Result<Accord, Discord> {
    let (one, theirs) = (own.name.clone(), other.name.clone());
    if other.cluster != own.cluster || certified.cluster != own.cluster {
        return Err(Discord::Cluster { one, other: theirs });
    }
    let Some(protocol) = common(own.protocol, other.protocol) else {
        return Err(Discord::Protocol {
            one,
            spoken: own.protocol,
            other: theirs,
            theirs: other.protocol,
        });
    };
    if other.name != certified.name {
        return Err(Discord::Name {
            claimed: theirs,
            certified: certified.name.clone(),
        });
    }
    if other.roles != certified.roles {
        return Err(Discord::Roles {
            name: theirs,
            claimed: other.roles.to_string(),
            certified: certified.roles.to_string(),
        });
    }
    if other.node == own.node {
        return Err(Discord::Self_(one));
    }
    if other.shards != own.shards {
        return Err(Discord::Shards {
            one,
            own: own.shards,
            other: theirs,
            theirs: other.shards,
        });
    }
    let skew = skew(own.now, read_at, other.now);
    if skew > MAX_SKEW {
        return Err(Discord::Clock {
            one,
            other: theirs,
            seconds: skew.as_secs(),
        });
    }
    Ok(Accord { protocol, skew })
}

/// How far a clock that showed `theirs` some time between `sent` and `read` is off.
#[must_use]
pub fn skew(sent: Timestamp, read: Timestamp, theirs: Timestamp) -> Duration {
    sent.since(theirs).max(theirs.since(read))
}

#[cfg(test)]
mod tests {
    use protocol::{
        id::NodeId,
        member::{NodeRole, Roles},
    };
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn hello(name: &str, node: u128) -> Hello {
        Hello {
            protocol: 3,
            cluster: Uuid::from_u128(7),
            node: NodeId::from_uuid(Uuid::from_u128(node)),
            name: name.to_owned(),
            roles: Roles::from_iter([NodeRole::Worker]),
            shards: 256,
            now: NOW,
            version: "0.1.0".to_owned(),
            region: String::new(),
            mesh: None,
            token: Uuid::from_u128(node),
            gateway: 1,
        }
    }

    fn subject(hello: &Hello) -> Subject {
        Subject {
            cluster: hello.cluster,
            identity: Uuid::from_u128(9),
            name: hello.name.clone(),
            roles: hello.roles.clone(),
        }
    }

    fn judged(change: impl FnOnce(&mut Hello)) -> Result<Accord, Discord> {
        let mut other = hello("w1", 2);
        let certified = subject(&other);
        change(&mut other);
        agree(&hello("c1", 1), &other, &certified, NOW)
    }

    #[test]
    fn neighbours_in_version_and_time_talk() {
        let accord = judged(|other| {
            other.protocol = 4;
            other.now = NOW.plus(Duration::from_secs(29));
        });
        let (protocol, skew) = (3, Duration::from_secs(29));
        assert_eq!(accord, Ok(Accord { protocol, skew }));
    }

    #[test]
    fn whatever_keeps_two_nodes_apart_is_named() {
        type Change = fn(&mut Hello);
        let cases: [(Change, &str); 8] = [
            (|o| o.cluster = Uuid::from_u128(8), "different clusters"),
            (|o| o.protocol = 5, "version 3"),
            (|o| o.name = "c2".to_owned(), "says that it is `c2`"),
            (
                |o| o.roles = Roles::from_iter([NodeRole::Control]),
                "roles control",
            ),
            (|o| o.shards = 32, "256 shards"),
            (
                |o| o.now = NOW.plus(Duration::from_secs(47)),
                "are 47 s apart",
            ),
            (
                |o| o.now = Timestamp::from_micros(NOW.as_micros() - 31_000_000),
                "are 31 s apart",
            ),
            (
                |o| o.node = NodeId::from_uuid(Uuid::from_u128(1)),
                "dialled itself",
            ),
        ];
        for (change, words) in cases {
            let line = judged(change).unwrap_err().to_string();
            assert!(line.contains(words) && line.contains("; "), "{line}");
        }
    }

    #[test]
    fn a_certificate_of_another_cluster_does_not_count_whatever_is_said() {
        let other = hello("w1", 2);
        let foreign = Subject {
            cluster: Uuid::from_u128(8),
            ..subject(&other)
        };
        let judged = agree(&hello("c1", 1), &other, &foreign, NOW);
        assert!(matches!(judged, Err(Discord::Cluster { .. })));
    }

    #[test]
    fn time_on_the_way_does_not_count_as_a_difference() {
        let late = NOW.plus(Duration::from_secs(4));
        assert_eq!(
            skew(NOW, late, NOW.plus(Duration::from_secs(1))),
            Duration::ZERO
        );
    }
}
