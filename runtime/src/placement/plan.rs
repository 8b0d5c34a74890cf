//! Which shards to take and which to give back, as one node sees the cluster.

use std::collections::BTreeMap;

use protocol::{epoch::Epoch, id::NodeId, member::MemberState, shard::Shard};

use super::rendezvous;
use crate::membership::Roster;

/// Shards given back at once while others join: a move is small, and the next follows soon.
pub const STEP: usize = 16;

/// What a node does now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Owned here by the store's word, but not under the epoch that this node holds: gone at once.
    pub lost: Vec<Shard>,
    /// Free, or its owner's lease is over, and this node is to have them.
    pub take: Vec<Shard>,
    /// Held here, and another is to have them.
    pub give_back: Vec<(Shard, Epoch)>,
    /// Owned here by the store's word, and not held: the answer to a taking was lost. They go back,
    /// so that whoever is to have them can take them, unless that taking is still under way.
    pub stray: Vec<(Shard, Epoch)>,
}

/// Whether shards of owners whose lease is over may be taken. After the store was away, and at the
/// start, their owners get the time of one lease to renew it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// Yes.
    Allowed,
    /// Only what nobody owns.
    FreeOnly,
}

/// What `me`, holding `held`, does about the cluster as `roster` shows it.
#[must_use]
pub fn plan(
    roster: &Roster,
    me: NodeId,
    held: &BTreeMap<Shard, Epoch>,
    takeover: Takeover,
) -> Plan {
    let mut plan = Plan::default();
    // Before the first picture there is nothing to go by.
    let Some(own) = roster.member(me) else {
        return plan;
    };
    let leaving = own.state != MemberState::Up;
    // Who asks has a lease. A picture from before its renewal has no place for it, so by that one it
    // would give away what it is to keep.
    let outdated = !leaving && !own.lives();
    let candidates = roster.owners_to_be();
    for (number, row) in (0..).zip(roster.shards()) {
        let shard = Shard(number);
        let mine = row.owner == Some(me);
        match held.get(&shard) {
            Some(epoch) if !mine || row.epoch != *epoch => {
                // A survey from before the taking shows an earlier epoch, and nothing is lost.
                if row.epoch > *epoch || (row.epoch == *epoch && !mine) {
                    plan.lost.push(shard);
                }
                continue;
            }
            Some(_) | None => {}
        }
        if outdated {
            continue;
        }
        if mine && !held.contains_key(&shard) {
            plan.stray.push((shard, row.epoch));
            continue;
        }
        let wanted = rendezvous::owner(shard, &candidates);
        if let Some(epoch) = held.get(&shard) {
            // Where nobody else is to have it, what ends here still finds its owner. It is free once this
            // node has left.
            if wanted.is_some_and(|wanted| wanted != me) && plan.give_back.len() < STEP {
                plan.give_back.push((shard, *epoch));
            }
        } else if wanted == Some(me) {
            let free = match row.owner {
                None => true,
                Some(owner) => takeover == Takeover::Allowed && !roster.lives(owner),
            };
            if free {
                plan.take.push(shard);
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::{
        member::{Member, Roles},
        time::Timestamp,
    };
    use uuid::Uuid;

    use super::*;
    use crate::store::{MemberRow, ShardRow, Survey};

    fn node(number: u128) -> NodeId {
        NodeId::from_uuid(Uuid::from_u128(number))
    }

    fn member(number: u128, state: MemberState, left: Duration) -> MemberRow {
        MemberRow {
            member: Member {
                node: node(number),
                name: format!("n{number}"),
                roles: Roles::all(),
                mesh: None,
                edge: None,
                region: String::new(),
                version: "1".to_owned(),
                protocol: 1,
                started_at: Timestamp::default(),
                admin: None,
            },
            state,
            lease_left: left,
            lease_until: Timestamp::default(),
            health: String::new(),
        }
    }

    const ALIVE: Duration = Duration::from_secs(5);

    /// A cluster of 64 shards, all owned by `owner` under epoch 1.
    fn roster(members: Vec<MemberRow>, owner: Option<u128>) -> Roster {
        let epoch = Epoch::new(1, u64::from(owner.is_some()));
        let row = ShardRow {
            owner: owner.map(node),
            epoch,
        };
        Roster::new(Survey {
            at: Timestamp::default(),
            incarnation: 1,
            members,
            shards: vec![row; 64],
        })
    }

    fn all(epoch: u64) -> BTreeMap<Shard, Epoch> {
        (0..64).map(|n| (Shard(n), Epoch::new(1, epoch))).collect()
    }

    #[test]
    fn free_shards_are_shared_out_without_overlap_or_rest() {
        let up = |n| member(n, MemberState::Up, ALIVE);
        let roster = roster(vec![up(1), up(2), up(3)], None);
        let mut taken: Vec<Shard> = (1..=3)
            .flat_map(|n| plan(&roster, node(n), &BTreeMap::new(), Takeover::FreeOnly).take)
            .collect();
        taken.sort_unstable();
        assert_eq!(taken, (0..64).map(Shard).collect::<Vec<_>>());
    }

    #[test]
    fn shards_of_a_living_owner_are_left_alone_and_those_of_a_dead_one_taken_when_time_has_passed()
    {
        let up = |n, left| member(n, MemberState::Up, left);
        let none = BTreeMap::new();
        let living = roster(vec![up(1, ALIVE), up(2, ALIVE)], Some(1));
        assert_eq!(
            plan(&living, node(2), &none, Takeover::Allowed),
            Plan::default()
        );
        let dead = roster(vec![up(1, Duration::ZERO), up(2, ALIVE)], Some(1));
        assert_eq!(
            plan(&dead, node(2), &none, Takeover::FreeOnly),
            Plan::default()
        );
        assert_eq!(
            plan(&dead, node(2), &none, Takeover::Allowed).take.len(),
            64
        );
    }

    #[test]
    fn a_newcomer_gets_its_share_in_small_moves() {
        let up = |n| member(n, MemberState::Up, ALIVE);
        let roster = roster(vec![up(1), up(2)], Some(1));
        let moves = plan(&roster, node(1), &all(1), Takeover::Allowed);
        assert_eq!(moves.give_back.len(), STEP);
        assert_eq!((moves.take.len(), moves.lost.len()), (0, 0));
    }

    #[test]
    fn a_draining_node_gives_all_back_that_others_are_to_have_and_takes_nothing() {
        let draining = member(1, MemberState::Draining, ALIVE);
        let others = roster(
            vec![draining.clone(), member(2, MemberState::Up, ALIVE)],
            Some(1),
        );
        let moves = plan(&others, node(1), &all(1), Takeover::Allowed);
        assert_eq!(moves.give_back.len(), STEP);
        let alone = roster(vec![draining], Some(1));
        assert_eq!(
            plan(&alone, node(1), &all(1), Takeover::Allowed),
            Plan::default()
        );
        let free = plan(&alone, node(1), &BTreeMap::new(), Takeover::Allowed);
        assert_eq!(free.take, []);
    }

    #[test]
    fn what_the_store_says_is_ours_and_is_not_held_goes_back_whoever_is_to_have_it() {
        let up = |n| member(n, MemberState::Up, ALIVE);
        let ours = roster(vec![up(1), up(2)], Some(1));
        let moves = plan(&ours, node(1), &BTreeMap::new(), Takeover::Allowed);
        assert_eq!(moves.stray.len(), 64);
        assert_eq!((moves.take.len(), moves.give_back.len()), (0, 0));
        let others = plan(&ours, node(2), &BTreeMap::new(), Takeover::Allowed);
        assert_eq!(others, Plan::default());
    }

    #[test]
    fn a_picture_from_before_the_own_renewal_moves_nothing() {
        let up = |n, left| member(n, MemberState::Up, left);
        let lapsed = roster(vec![up(1, Duration::ZERO), up(2, ALIVE)], Some(1));
        assert_eq!(
            plan(&lapsed, node(1), &all(1), Takeover::Allowed),
            Plan::default()
        );
    }

    #[test]
    fn what_another_took_is_lost_and_an_old_picture_takes_nothing_away() {
        let up = |n| member(n, MemberState::Up, ALIVE);
        let theirs = roster(vec![up(1), up(2)], Some(2));
        let lost = plan(&theirs, node(1), &all(1), Takeover::Allowed);
        assert_eq!(lost.lost.len(), 64);
        // Taken under epoch 2 after the picture was made.
        let newer = plan(&theirs, node(1), &all(2), Takeover::Allowed);
        assert_eq!(newer.lost.len(), 0);
    }
}
