//! Which starts of nodes are over without having said so.

use std::time::Duration;

use protocol::{member::MemberState, time::Timestamp};
use runtime::{
    membership::Roster,
    store::{Chapter, MemberRow},
};

/// One that leaves in order writes the end of its past itself, after it left.
const FAREWELL: Duration = Duration::from_secs(30);

/// When what `chapter` tells of ended, and why, if that is not written though its writer is gone.
/// `roster` is absent on a node without others.
#[must_use]
pub(super) fn lost(
    chapter: &Chapter,
    roster: Option<&Roster>,
    ttl: Duration,
) -> Option<(Timestamp, &'static str)> {
    if chapter.ended.is_some() {
        return None;
    }
    let Some(roster) = roster else {
        return Some((chapter.until, "the node was started anew"));
    };
    let Some(row) = roster.member(chapter.node) else {
        return Some((chapter.until, "the node is gone"));
    };
    match row.state {
        MemberState::Up | MemberState::Draining | MemberState::Removed => {
            let at = roster.last_sign(chapter.node, ttl);
            Some((at.unwrap_or(chapter.until), "the node was lost"))
        }
        // It could not even say that it stops.
        MemberState::Left if has_successor(row, roster) => {
            let at = roster.last_sign(chapter.node, ttl).unwrap_or(chapter.until);
            Some((
                at.max(chapter.until),
                "the node died, and was started again",
            ))
        }
        MemberState::Left => has_left(row, roster).then_some((row.lease_until, "the node left")),
    }
}

/// Whether another start of the same node has taken its place.
fn has_successor(row: &MemberRow, roster: &Roster) -> bool {
    let own = &row.member;
    roster.survey().members.iter().any(|other| {
        let other = &other.member;
        other.name == own.name && other.node != own.node && other.started_at >= own.started_at
    })
}

/// Whether the end of `chapter` is not true any more: a lease that was over for a moment lost the node
/// what it owned, and the node lives.
#[must_use]
pub(super) fn is_back(chapter: &Chapter, roster: Option<&Roster>) -> bool {
    let row = roster.and_then(|roster| roster.member(chapter.node));
    let is_member = |row: &MemberRow| match row.state {
        MemberState::Up | MemberState::Draining => row.lives(),
        MemberState::Left | MemberState::Removed => false,
    };
    chapter.ended.is_some() && row.is_some_and(is_member)
}

fn has_left(row: &MemberRow, roster: &Roster) -> bool {
    roster.survey().at.since(row.lease_until) > FAREWELL
}

#[cfg(test)]
mod tests {
    use protocol::{
        id::NodeId,
        member::{Member, Roles},
    };
    use runtime::store::{ShardRow, Survey};
    use uuid::Uuid;

    use super::*;

    const TTL: Duration = Duration::from_secs(6);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn chapter(ended: Option<Timestamp>) -> Chapter {
        Chapter {
            node: NodeId::from_uuid(Uuid::from_u128(1)),
            name: "one".to_owned(),
            chapter: 1,
            since: at(10),
            until: at(20),
            ended,
            bytes: 1,
        }
    }

    fn roster(node: u128, state: MemberState, left: Duration, now: i64) -> Roster {
        let member = Member {
            node: NodeId::from_uuid(Uuid::from_u128(node)),
            name: "one".to_owned(),
            roles: Roles::all(),
            mesh: None,
            edge: None,
            region: String::new(),
            version: "1".to_owned(),
            protocol: 1,
            started_at: Timestamp::default(),
            admin: None,
        };
        let row = MemberRow {
            member,
            state,
            lease_left: left,
            lease_until: at(100),
            health: String::new(),
        };
        Roster::new(Survey {
            at: at(now),
            incarnation: 1,
            members: vec![row],
            shards: vec![ShardRow::default(); 4],
        })
    }

    #[test]
    fn a_node_whose_lease_is_over_was_lost_at_its_last_sign_of_life() {
        let dead = roster(1, MemberState::Up, Duration::ZERO, 101);
        let found = lost(&chapter(None), Some(&dead), TTL);
        assert_eq!(found, Some((at(94), "the node was lost")));
        assert_eq!(lost(&chapter(Some(at(20))), Some(&dead), TTL), None);
    }

    #[test]
    fn one_that_lives_again_is_back_and_others_are_not() {
        let (ended, open) = (chapter(Some(at(20))), chapter(None));
        let up = roster(1, MemberState::Up, TTL, 30);
        let dead = roster(1, MemberState::Up, Duration::ZERO, 30);
        let left = roster(1, MemberState::Left, TTL, 30);
        let other = roster(2, MemberState::Up, TTL, 30);
        assert!(is_back(&ended, Some(&up)));
        assert!(!is_back(&open, Some(&up)));
        for roster in [&dead, &left, &other] {
            assert!(!is_back(&ended, Some(roster)));
        }
        assert!(!is_back(&ended, None));
    }

    #[test]
    fn one_that_left_has_time_to_write_its_end_itself() {
        let left = |now| roster(1, MemberState::Left, Duration::ZERO, now);
        assert_eq!(lost(&chapter(None), Some(&left(130)), TTL), None);
        let found = lost(&chapter(None), Some(&left(131)), TTL);
        assert_eq!(found, Some((at(100), "the node left")));
    }

    #[test]
    fn one_whose_next_start_has_taken_its_place_died() {
        let mut survey = roster(1, MemberState::Left, Duration::ZERO, 101)
            .survey()
            .clone();
        let mut next = survey.members[0].clone();
        next.member.node = NodeId::from_uuid(Uuid::from_u128(2));
        next.state = MemberState::Up;
        survey.members.push(next);
        let found = lost(&chapter(None), Some(&Roster::new(survey)), TTL);
        assert_eq!(
            found,
            Some((at(94), "the node died, and was started again"))
        );
    }

    #[test]
    fn one_that_nobody_remembers_was_over_with_its_last_words() {
        let other = roster(2, MemberState::Up, TTL, 500);
        let found = lost(&chapter(None), Some(&other), TTL);
        assert_eq!(found, Some((at(20), "the node is gone")));
    }

    #[test]
    fn without_others_whoever_wrote_before_is_over() {
        let found = lost(&chapter(None), None, TTL);
        assert_eq!(found, Some((at(20), "the node was started anew")));
    }
}
