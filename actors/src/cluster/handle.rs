//! [`Part`]: a node's part in a cluster, and what follows from it for this crate.

use std::{fmt, sync::Arc, time::Duration};

use protocol::{
    entity::{EntityId, EntityKind},
    id::NodeId,
    member::{MemberState, NodeRole, Roles},
    time::Timestamp,
};
use runtime::{
    cluster::{Mesh, identity::Fingerprint},
    membership::{self, Membership, Registrar, Roster},
    placement::Holdings,
    store,
    supervision::ChildSpec,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Cluster, Lease, Owner, Site, Standing, Surroundings};
use crate::orchestrator::{self, Placement};

/// Draws after which a node that owns something gives up finding an id of its own.
const DRAWS: u32 = 100_000;

/// How long the store may take to tell who is there.
const LOOK: Duration = Duration::from_secs(1);

/// What a process put together before its orchestrator or worker starts.
#[derive(Debug)]
pub struct Part {
    /// The cluster as this node knows it.
    pub membership: Membership,
    /// Where membership is written down.
    pub registrar: Arc<dyn Registrar>,
    /// What this node owns.
    pub holdings: Holdings,
    /// The other nodes.
    pub mesh: Mesh,
    /// What else runs under `/system`: the network.
    pub children: Vec<ChildSpec>,
    /// What it takes to let others in, on a node that can.
    pub admission: Option<Gatekeeper>,
}

/// What tokens of a cluster say, and where nodes join with them.
#[derive(Debug, Clone)]
pub struct Gatekeeper {
    /// Whose certificates count.
    pub authority: Fingerprint,
    /// Where this node's mesh is, as `HOST:PORT`.
    pub mesh: String,
    /// Roles that others can have beside this node, at most.
    pub roles: Roles,
}

/// The members of a cluster, and how what an operator says of them is written down.
#[derive(Debug, Clone)]
pub(crate) struct Roll {
    pub(crate) membership: Membership,
    pub(crate) registrar: Arc<dyn Registrar>,
    pub(crate) mesh: Mesh,
    pub(crate) admission: Option<Gatekeeper>,
}

impl Roll {
    /// The cluster as the store tells it now; as this node heard last while the store does not answer.
    pub(crate) async fn look(&self) -> Arc<Roster> {
        match tokio::time::timeout(LOOK, self.registrar.survey()).await {
            Ok(Ok(survey)) => Arc::new(Roster::new(survey)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "members are told from memory");
                self.membership.roster()
            }
            Err(_) => self.membership.roster(),
        }
    }

    /// Says where a member stands, and lets everybody look.
    pub(crate) async fn set(&self, node: NodeId, state: MemberState) -> Result<(), store::Error> {
        self.registrar.set_state(node, state).await?;
        self.membership.hurry();
        membership::announce(&self.mesh);
        Ok(())
    }
}

impl Part {
    /// The child that keeps the node a member.
    #[must_use]
    pub fn keeper(&self) -> ChildSpec {
        membership::membership(self.membership.clone(), self.registrar.clone())
    }

    /// This node among the others, for what runs on it. Needs a runtime.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings {
        let me = self.membership.me();
        let known = self.known();
        Surroundings {
            me: Site {
                node: me.node,
                name: me.name.as_str().into(),
                region: me.region.as_str().into(),
                roles: me.roles.clone(),
                standing: Standing::Up,
            },
            cluster: Arc::new(known),
            net: Arc::new(self.mesh.clone()),
            lease: lease(&self.membership),
            fence: self.membership.fence().clone(),
        }
    }

    pub(crate) fn roll(&self) -> Roll {
        Roll {
            membership: self.membership.clone(),
            registrar: self.registrar.clone(),
            mesh: self.mesh.clone(),
            admission: self.admission.clone(),
        }
    }

    /// The same, for use cases that are passed on.
    #[must_use]
    pub fn cluster(&self) -> orchestrator::Cluster {
        orchestrator::Cluster {
            peers: Arc::new(self.mesh.clone()),
            placement: Arc::new(self.known()),
        }
    }

    fn known(&self) -> Known {
        Known {
            membership: self.membership.clone(),
            holdings: self.holdings.clone(),
            mesh: self.mesh.clone(),
            changes: changes(&self.membership),
        }
    }
}

/// Whether this node may act, as it changes.
fn lease(membership: &Membership) -> watch::Receiver<Lease> {
    let mut standing = membership.watch_standing();
    let now = |standing: &membership::Standing| match standing {
        membership::Standing::Member => Lease::Held,
        membership::Standing::Fenced | membership::Standing::Ended(_) => Lease::Lost,
    };
    let (said, lease) = watch::channel(now(&standing.borrow_and_update()));
    tokio::spawn(async move {
        while standing.changed().await.is_ok() {
            let lease = now(&standing.borrow_and_update());
            if said.send(lease).is_err() {
                return;
            }
        }
    });
    lease
}

/// Counts each new roster.
fn changes(membership: &Membership) -> watch::Receiver<u64> {
    let mut rosters = membership.watch();
    let (said, changes) = watch::channel(0);
    tokio::spawn(async move {
        let mut before: Option<Arc<Roster>> = None;
        while rosters.changed().await.is_ok() {
            let roster = rosters.borrow_and_update().clone();
            if before.as_ref().is_some_and(|before| same(before, &roster)) {
                continue;
            }
            before = Some(roster);
            said.send_modify(|count| *count += 1);
            if said.is_closed() {
                return;
            }
        }
    });
    changes
}

/// Whether two rosters answer everything alike.
fn same(one: &Roster, other: &Roster) -> bool {
    let members = |roster: &Roster| -> Vec<(NodeId, MemberState, bool)> {
        let rows = roster.members().iter();
        rows.map(|row| (row.member.node, row.state, row.lives()))
            .collect()
    };
    one.shards() == other.shards() && members(one) == members(other)
}

/// What membership and holdings say.
#[derive(Clone)]
struct Known {
    membership: Membership,
    holdings: Holdings,
    mesh: Mesh,
    changes: watch::Receiver<u64>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.membership, f)
    }
}

impl Known {
    fn owner_of(&self, entity: EntityId) -> Owner {
        if self.holdings.activates(entity).is_some() {
            return Owner::Here;
        }
        let roster = self.membership.roster();
        match roster.owner(entity) {
            Some((node, _)) if node != self.membership.node() && roster.lives(node) => {
                Owner::There(node)
            }
            Some(_) | None => Owner::Nobody,
        }
    }

    /// This one first if it is one, then those that can be reached, then the others.
    fn live_controls(&self) -> Vec<NodeId> {
        let (roster, me) = (self.membership.roster(), self.membership.node());
        let reached: Vec<NodeId> = self.mesh.peers().iter().map(|peer| peer.node).collect();
        let mut controls: Vec<NodeId> = roster
            .with_role(NodeRole::Control)
            .map(|row| row.member.node)
            .collect();
        if controls.is_empty() {
            // Before the first roster: whoever is linked.
            let peers = self.mesh.peers().into_iter();
            controls = peers
                .filter(|peer| peer.roles.has(NodeRole::Control))
                .map(|peer| peer.node)
                .collect();
        }
        controls.sort_by_key(|node| (*node != me, !reached.contains(node), *node));
        controls
    }
}

impl Cluster for Known {
    fn owner(&self, entity: EntityId) -> Owner {
        self.owner_of(entity)
    }

    fn controls(&self) -> Vec<NodeId> {
        self.live_controls()
    }

    fn sites(&self) -> Vec<Site> {
        let roster = self.membership.roster();
        roster
            .with_role(NodeRole::Worker)
            .filter_map(|row| {
                let standing = match row.state {
                    MemberState::Up => Standing::Up,
                    MemberState::Draining => Standing::Draining,
                    MemberState::Left | MemberState::Removed => return None,
                };
                Some(Site {
                    node: row.member.node,
                    name: row.member.name.as_str().into(),
                    region: row.member.region.as_str().into(),
                    roles: row.member.roles.clone(),
                    standing,
                })
            })
            .collect()
    }

    fn gone(&self, node: NodeId) -> bool {
        if node == self.membership.node() {
            return false;
        }
        let roster = self.membership.roster();
        match roster.member(node) {
            Some(row) => !row.lives(),
            // Forgotten long ago, unless it started after the picture was made.
            None => {
                let patience = self.membership.timing().ttl * 2;
                !roster.members().is_empty() && started(node).plus(patience) < roster.survey().at
            }
        }
    }

    fn parted(&self, node: NodeId) -> Option<Duration> {
        let linked = self.mesh.peers().iter().any(|peer| peer.node == node);
        if linked {
            return None;
        }
        self.mesh.silent(node)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

/// When a process started, by the UUIDv7 that names it.
fn started(node: NodeId) -> Timestamp {
    let (seconds, nanos) = node
        .uuid()
        .get_timestamp()
        .map_or((0, 0), |time| time.to_unix());
    Timestamp::default().plus(Duration::new(seconds, nanos))
}

impl Placement for Known {
    fn owner(&self, id: EntityId) -> Owner {
        self.owner_of(id)
    }

    fn controls(&self) -> Vec<NodeId> {
        self.live_controls()
    }

    fn lives(&self, name: &str) -> bool {
        let roster = self.membership.roster();
        let mut members = roster.members().iter();
        members.any(|row| row.member.name == name && row.lives())
    }

    fn own_id(&self, fresh: &mut dyn FnMut() -> Uuid) -> Option<Uuid> {
        if self.holdings.held().is_empty() {
            return None;
        }
        (0..DRAWS).map(|_| fresh()).find(|key| {
            let entity = EntityId::new(EntityKind::Task, *key);
            self.holdings.activates(entity).is_some()
        })
    }
}
