//! Members as operators see them, and which of them may be drained or removed.

use std::{collections::BTreeMap, time::Duration};

use protocol::{
    api::{MemberStatus, MemberView},
    id::NodeId,
    member::{MemberState, NodeRole, Vitals},
};
use runtime::{
    cluster::{PeerState, PeerView},
    membership::Roster,
    store::MemberRow,
};

use crate::Rejection;

/// Renewals that a member may miss before it is suspect.
const MISSED: u32 = 2;

/// How long a member that just started, or a node that looks at it, may take to open its links.
const OPENING: Duration = Duration::from_secs(5);

/// The newest start of each node, by name: earlier ones say nothing any more.
pub(super) fn latest(roster: &Roster) -> BTreeMap<&str, &MemberRow> {
    let rows = roster.members().iter();
    // The oldest start comes first, so the newest stays.
    rows.map(|row| (row.member.name.as_str(), row)).collect()
}

/// SHA-256, in hex, of the administrators' tokens that count in the whole cluster: those of the newest
/// start of each node that finds out who its users are, and that nobody removed. A node's token counts
/// for a day after the node was heard of last.
pub(super) fn admins(roster: &Roster) -> impl Iterator<Item = &str> {
    let rows = latest(roster).into_values();
    rows.filter(|row| {
        let roles = &row.member.roles;
        row.state != MemberState::Removed
            && (roles.has(NodeRole::Control) || roles.has(NodeRole::Edge))
    })
    .filter_map(|row| row.member.admin.as_deref())
}

/// The newest start of one node.
pub(super) fn named<'a>(roster: &'a Roster, name: &str) -> Result<&'a MemberRow, Rejection> {
    let row = latest(roster).get(name).copied();
    row.ok_or_else(|| no_node(name))
}

pub(super) fn no_node(name: &str) -> Rejection {
    let shown: String = name.chars().take(80).collect();
    Rejection::not_found(format!("node {shown}"))
}

/// How a member stands, seen from a node that has `link` to it.
fn status(row: &MemberRow, clockwork: Clockwork, link: Sight<'_>) -> MemberStatus {
    match row.state {
        MemberState::Left => MemberStatus::Left,
        MemberState::Removed => MemberStatus::Removed,
        MemberState::Up | MemberState::Draining if !row.lives() => MemberStatus::Dead,
        MemberState::Draining => MemberStatus::Draining,
        MemberState::Up => {
            let late = row.lease_left + clockwork.renew * MISSED < clockwork.ttl;
            if late || link.is_suspect() {
                MemberStatus::Suspect
            } else {
                MemberStatus::Up
            }
        }
    }
}

/// What a node that looks at a member sees of it by itself.
#[derive(Debug, Clone, Copy)]
enum Sight<'a> {
    /// It is the node that looks.
    Itself,
    /// Over its link.
    Linked(&'a PeerView),
    /// One of the two started a moment ago: the link may be about to open.
    Opening,
    /// There is no link to it. A killed process closes its own, and nobody answers the next dial.
    Missing,
}

impl Sight<'_> {
    fn is_suspect(self) -> bool {
        match self {
            Self::Linked(link) => link.state == PeerState::Suspect,
            Self::Itself | Self::Opening => false,
            Self::Missing => true,
        }
    }
}

/// The node that looks at the others: a control node, so it keeps a link to each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watcher<'a> {
    pub(super) node: NodeId,
    pub(super) links: &'a [PeerView],
}

impl<'a> Watcher<'a> {
    fn link(self, node: NodeId) -> Option<&'a PeerView> {
        self.links.iter().find(|link| link.peer.node == node)
    }

    fn sees(self, row: &MemberRow, roster: &Roster) -> Sight<'a> {
        let node = row.member.node;
        if node == self.node {
            return Sight::Itself;
        }
        if let Some(link) = self.link(node) {
            return Sight::Linked(link);
        }
        let now = roster.survey().at;
        let mine = roster.member(self.node).map(|row| row.member.started_at);
        let started = mine.map_or(now, |mine| mine.max(row.member.started_at));
        if now.since(started) < OPENING {
            Sight::Opening
        } else {
            Sight::Missing
        }
    }
}

/// The clockwork that tells a member that is late from one that is well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clockwork {
    pub(super) renew: Duration,
    pub(super) ttl: Duration,
}

/// One member, as `vitals` and the roster tell of it.
pub(super) fn view(
    row: &MemberRow,
    roster: &Roster,
    clockwork: Clockwork,
    watcher: Watcher<'_>,
    vitals: Vitals,
) -> MemberView {
    let member = &row.member;
    let owned = roster.shards().iter();
    let owned = owned.filter(|shard| shard.owner == Some(member.node));
    let lives = row.lives();
    MemberView {
        id: member.node,
        name: member.name.clone(),
        state: status(row, clockwork, watcher.sees(row, roster)),
        roles: member.roles.clone(),
        region: member.region.clone(),
        version: member.version.clone(),
        mesh: member.mesh.clone(),
        edge: vitals.edge.or_else(|| member.edge.clone()),
        started_at: member.started_at,
        actors: vitals.actors.filter(|_| lives),
        tasks: vitals.tasks.filter(|_| lives),
        agents: vitals.agents.filter(|_| lives),
        running: vitals.running.filter(|_| lives),
        cpu: vitals.cpu.filter(|_| lives),
        memory: vitals.memory.filter(|_| lives),
        rtt_ms: watcher
            .link(member.node)
            .and_then(|link| link.rtt)
            .map(|rtt| (rtt.as_secs_f64() * 1e6).round() / 1e3),
        lease_left_ms: lives.then(|| u64::try_from(row.lease_left.as_millis()).unwrap_or(u64::MAX)),
        shards: member
            .roles
            .has(NodeRole::Control)
            .then(|| u32::try_from(owned.count()).unwrap_or(u32::MAX)),
    }
}

/// What a member said of itself with its last renewal.
pub(super) fn vitals(row: &MemberRow) -> Vitals {
    // A later release may say what this one cannot read; the rest of the list is worth showing.
    serde_json::from_str(&row.health).unwrap_or_default()
}

/// Whether a member can hand over what it has.
pub(super) fn may_drain(roster: &Roster, row: &MemberRow) -> Result<(), Rejection> {
    let name = &row.member.name;
    if !takes_part(row) {
        return Err(Rejection::Conflict {
            code: "not_running",
            message: format!(
                "node {name} does not run ({}); nothing is left to be drained",
                words(row)
            ),
        });
    }
    let takers = roster.owners_to_be();
    let alone = row.member.roles.has(NodeRole::Control)
        && !takers.iter().any(|taker| taker.node != row.member.node);
    if alone {
        return Err(Rejection::Conflict {
            code: "last_control_node",
            message: format!(
                "node {name} is the only control node that is up, so nobody could take over what it owns; start another one, or stop this one"
            ),
        });
    }
    Ok(())
}

/// Whether a member can take part again after it was told to drain.
pub(super) fn may_resume(row: &MemberRow) -> Result<(), Rejection> {
    if takes_part(row) {
        return Ok(());
    }
    Err(Rejection::Conflict {
        code: "not_running",
        message: format!(
            "node {} does not run ({}); start it, and it takes part again",
            row.member.name,
            words(row)
        ),
    })
}

/// Whether a node can be removed: not the last one that has the store, while it lives.
pub(super) fn may_remove(roster: &Roster, row: &MemberRow) -> Result<(), Rejection> {
    let name = &row.member.name;
    let controls = row.member.roles.has(NodeRole::Control) && takes_part(row);
    let mut others = roster.with_role(NodeRole::Control);
    if controls && !others.any(|other| other.member.name != *name) {
        return Err(Rejection::Conflict {
            code: "last_control_node",
            message: format!(
                "node {name} is the last control node, and without one there is no cluster; let another one join first"
            ),
        });
    }
    Ok(())
}

pub(super) fn takes_part(row: &MemberRow) -> bool {
    row.lives() && matches!(row.state, MemberState::Up | MemberState::Draining)
}

fn words(row: &MemberRow) -> &'static str {
    match row.state {
        MemberState::Up | MemberState::Draining => "its lease is over",
        MemberState::Left => "it left in order",
        MemberState::Removed => "it was removed",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::{
        epoch::Epoch,
        id::NodeId,
        member::{Member, Roles},
        time::Timestamp,
    };
    use runtime::{
        cluster::Peer,
        store::{ShardRow, Survey},
    };
    use uuid::Uuid;

    use super::*;

    const CLOCKWORK: Clockwork = Clockwork {
        renew: Duration::from_millis(1500),
        ttl: Duration::from_secs(6),
    };

    fn node(number: u128) -> NodeId {
        NodeId::from_uuid(Uuid::from_u128(number))
    }

    fn row(
        number: u128,
        name: &str,
        roles: &[NodeRole],
        state: MemberState,
        left: u64,
    ) -> MemberRow {
        MemberRow {
            member: Member {
                node: node(number),
                name: name.to_owned(),
                roles: roles.iter().copied().collect::<Roles>(),
                mesh: None,
                edge: None,
                region: String::new(),
                version: "1".to_owned(),
                protocol: 1,
                started_at: Timestamp::default(),
                admin: None,
            },
            state,
            lease_left: Duration::from_millis(left),
            lease_until: Timestamp::default(),
            health: r#"{"agents":3}"#.to_owned(),
        }
    }

    fn roster(members: Vec<MemberRow>) -> Roster {
        let owned = ShardRow {
            owner: Some(node(1)),
            epoch: Epoch::new(1, 1),
        };
        Roster::new(Survey {
            at: Timestamp::default(),
            incarnation: 1,
            members,
            shards: vec![owned; 4],
        })
    }

    const CONTROL: &[NodeRole] = &[NodeRole::Control];
    const WORKER: &[NodeRole] = &[NodeRole::Worker];

    #[test]
    fn a_member_is_what_its_word_and_its_lease_say() {
        use MemberState::{Draining, Left, Removed, Up};
        for (state, left, expected) in [
            (Up, 5_000, MemberStatus::Up),
            (Up, 2_900, MemberStatus::Suspect),
            (Up, 0, MemberStatus::Dead),
            (Draining, 5_000, MemberStatus::Draining),
            (Draining, 0, MemberStatus::Dead),
            (Left, 0, MemberStatus::Left),
            (Removed, 0, MemberStatus::Removed),
        ] {
            let row = row(1, "a", CONTROL, state, left);
            let roster = roster(vec![row.clone()]);
            let itself = Watcher {
                node: node(1),
                links: &[],
            };
            let view = view(&row, &roster, CLOCKWORK, itself, vitals(&row));
            assert_eq!(view.state, expected, "{state:?} {left}");
            assert_eq!(view.shards, Some(4));
            assert_eq!(view.agents, (left > 0).then_some(3));
        }
    }

    #[test]
    fn a_member_whose_link_is_gone_is_suspect_at_once_unless_it_may_be_about_to_open() {
        let seen_after = |mine: i64, its: i64, link: Option<PeerState>| {
            let at = Timestamp::from_micros(60_000_000);
            let rows = [(1, "a", mine), (2, "b", its)].map(|(number, name, age)| {
                let mut row = row(number, name, CONTROL, MemberState::Up, 5_000);
                row.member.started_at = Timestamp::from_micros(at.as_micros() - age * 1_000_000);
                row
            });
            let other = rows[1].clone();
            let roster = Roster::new(Survey {
                at,
                incarnation: 1,
                members: rows.to_vec(),
                shards: Vec::new(),
            });
            let links = link.map(|state| PeerView {
                peer: Arc::new(Peer {
                    node: node(2),
                    name: "b".to_owned(),
                    roles: other.member.roles.clone(),
                }),
                state,
                rtt: None,
                queued: 0,
                queued_bytes: 0,
                flying_bytes: 0,
                silent: Duration::ZERO,
                up_for: Duration::ZERO,
            });
            let watcher = Watcher {
                node: node(1),
                links: links.as_slice(),
            };
            view(&other, &roster, CLOCKWORK, watcher, vitals(&other)).state
        };
        assert_eq!(seen_after(9, 9, Some(PeerState::Up)), MemberStatus::Up);
        assert_eq!(
            seen_after(9, 9, Some(PeerState::Suspect)),
            MemberStatus::Suspect
        );
        assert_eq!(seen_after(9, 9, None), MemberStatus::Suspect);
        assert_eq!(seen_after(9, 4, None), MemberStatus::Up);
        assert_eq!(seen_after(4, 9, None), MemberStatus::Up);
    }

    #[test]
    fn only_the_newest_start_of_a_node_is_shown() {
        let earlier = row(1, "a", WORKER, MemberState::Left, 0);
        let later = row(2, "a", WORKER, MemberState::Up, 5_000);
        let roster = roster(vec![later, earlier]);
        assert_eq!(latest(&roster).len(), 1);
        assert_eq!(named(&roster, "a").unwrap().member.node, node(2));
        assert_eq!(named(&roster, "b"), Err(no_node("b")));
    }

    #[test]
    fn the_last_control_node_stays_unless_it_is_dead() {
        let up = |number, name, roles| row(number, name, roles, MemberState::Up, 5_000);
        let alone = roster(vec![up(1, "c", CONTROL), up(2, "w", WORKER)]);
        let last = named(&alone, "c").unwrap();
        assert!(may_drain(&alone, last).is_err());
        assert!(may_remove(&alone, last).is_err());
        let worker = named(&alone, "w").unwrap();
        assert_eq!(may_drain(&alone, worker), Ok(()));
        assert_eq!(may_remove(&alone, worker), Ok(()));

        let two = roster(vec![up(1, "c", CONTROL), up(2, "d", CONTROL)]);
        assert_eq!(may_drain(&two, named(&two, "c").unwrap()), Ok(()));
        assert_eq!(may_remove(&two, named(&two, "c").unwrap()), Ok(()));

        let dead = row(1, "c", CONTROL, MemberState::Up, 0);
        let dead = roster(vec![dead, up(2, "w", WORKER)]);
        let gone = named(&dead, "c").unwrap();
        assert_eq!(may_remove(&dead, gone), Ok(()));
        assert!(may_drain(&dead, gone).is_err() && may_resume(gone).is_err());
    }

    #[test]
    fn a_node_is_not_drained_into_one_that_drains_too() {
        let two = roster(vec![
            row(1, "c", CONTROL, MemberState::Up, 5_000),
            row(2, "d", CONTROL, MemberState::Draining, 5_000),
        ]);
        assert!(may_drain(&two, named(&two, "c").unwrap()).is_err());
    }
}
