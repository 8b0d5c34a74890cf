//! Facts of members, their leases and their shards.

use std::time::Duration;

use protocol::{
    epoch::Epoch,
    id::NodeId,
    member::{Member, MemberState, Roles},
    shard::Shard,
};
use uuid::Uuid;

use super::at;
use crate::store::{EntryRefusal, Error, Founding, JoinToken, MemberRow, Renewal, Shared, Survey};

/// Never over while a test runs.
pub(super) const LONG: Duration = Duration::from_hours(1);

/// Over before a test has waited long.
pub(super) const SHORT: Duration = Duration::from_millis(60);

pub(super) const SHARDS: u16 = 16;

pub(super) fn node(number: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number))
}

fn member(number: u128, name: &str) -> Member {
    Member {
        node: node(number),
        name: name.into(),
        roles: Roles::all(),
        mesh: Some("10.0.0.7:7654".into()),
        edge: None,
        region: "eu-west".into(),
        version: "0.1.0".into(),
        protocol: 1,
        started_at: at(5),
        admin: None,
    }
}

fn founding(cluster: u128, shards: u16) -> Founding {
    Founding {
        cluster: Uuid::from_u128(cluster),
        shards,
    }
}

/// Shards as they were taken under an epoch.
pub(super) fn under(epoch: Epoch, numbers: std::ops::Range<u16>) -> Vec<(Shard, Epoch)> {
    numbers.map(|number| (Shard(number), epoch)).collect()
}

pub(super) fn shards(numbers: std::ops::Range<u16>) -> Vec<Shard> {
    numbers.map(Shard).collect()
}

/// Founds the cluster and lets `count` members with names of their own enter.
pub(super) async fn peopled(store: &Shared, count: u128, ttl: Duration) -> Result<(), Error> {
    store.found(founding(1, SHARDS)).await?;
    for number in 1..=count {
        enter(store, number, ttl).await?;
    }
    Ok(())
}

async fn enter(store: &Shared, number: u128, ttl: Duration) -> Result<(), Error> {
    let member = member(number, &format!("n{number}"));
    assert_eq!(store.enter(&member, ttl, None).await?, Ok(()));
    Ok(())
}

pub(super) async fn renew(store: &Shared, numbers: &[u128]) -> Result<Vec<NodeId>, Error> {
    let renewals: Vec<_> = numbers
        .iter()
        .map(|number| Renewal {
            node: node(*number),
            health: format!(r#"{{"load":{number}}}"#),
        })
        .collect();
    let mut renewed = store.renew(&renewals, LONG).await?;
    renewed.sort_unstable();
    Ok(renewed)
}

/// Lets a lease end soon, however long what its holder did before has taken.
async fn shorten(store: &Shared, number: u128) -> Result<(), Error> {
    let short = Renewal {
        node: node(number),
        health: String::new(),
    };
    store.renew(&[short], SHORT).await?;
    Ok(())
}

fn row(survey: &Survey, number: u128) -> MemberRow {
    let mut rows = survey.members.iter();
    let row = rows.find(|row| row.member.node == node(number));
    row.cloned()
        .unwrap_or_else(|| panic!("{number} is not among the members"))
}

/// Waits until a member's lease is over by the store's clock.
async fn lapsed(store: &Shared, number: u128) -> Result<Survey, Error> {
    let lapse = async {
        loop {
            let survey = store.survey().await?;
            if !row(&survey, number).lives() {
                return Ok(survey);
            }
            tokio::task::yield_now().await;
        }
    };
    let patience = tokio::time::timeout(Duration::from_secs(20), lapse).await;
    patience.map_err(|_| Error::Unavailable("the lease never ended".into()))?
}

pub(super) fn owned(survey: &Survey, number: u128) -> Vec<u16> {
    let rows = (0..).zip(&survey.shards);
    rows.filter(|(_, row)| row.owner == Some(node(number)))
        .map(|(shard, _)| shard)
        .collect()
}

pub async fn a_cluster_is_founded_once(store: Shared) -> Result<(), Error> {
    let first = founding(1, SHARDS);
    assert_eq!(store.found(first).await?, first);
    assert_eq!(store.found(founding(2, SHARDS)).await?, first);
    let other = store.found(founding(1, 8)).await;
    assert!(matches!(other, Err(Error::Unusable(_))), "{other:?}");
    let none = store.found(founding(1, 0)).await;
    assert!(matches!(none, Err(Error::Unusable(_))), "{none:?}");
    let survey = store.survey().await?;
    assert_eq!(survey.shards.len(), usize::from(SHARDS));
    assert!(survey.shards.iter().all(|row| row.owner.is_none()));
    assert!(survey.incarnation > 0);
    Ok(())
}

pub async fn a_member_is_seen_as_it_announced_itself(store: Shared) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    assert_eq!(renew(&store, &[1, 7]).await?, [node(1)]);
    let survey = store.survey().await?;
    let one = row(&survey, 1);
    assert_eq!(one.member, member(1, "n1"));
    assert_eq!(one.state, MemberState::Up);
    assert_eq!(one.health, r#"{"load":1}"#);
    assert!(one.lives() && one.lease_left <= LONG);
    assert_eq!(one.lease_until.since(survey.at), one.lease_left);
    assert_eq!(row(&survey, 2).health, "{}");
    assert_eq!(survey.members.len(), 2);
    Ok(())
}

pub async fn a_name_is_one_members_while_its_lease_runs(store: Shared) -> Result<(), Error> {
    peopled(&store, 0, LONG).await?;
    let entered = store.enter(&member(1, "n"), SHORT, None).await?;
    assert_eq!(entered, Ok(()));
    store.take(node(1), &shards(0..4)).await?;
    let second = store.enter(&member(2, "n"), LONG, None).await?;
    if let Err(refusal) = second {
        let held = row(&store.survey().await?, 1);
        let expected = EntryRefusal::name_held(held.member, held.lease_until);
        assert_eq!(refusal, expected);
        lapsed(&store, 1).await?;
        let again = store.enter(&member(2, "n"), LONG, None).await?;
        assert_eq!(again, Ok(()));
    }
    let survey = store.survey().await?;
    assert_eq!(row(&survey, 1).state, MemberState::Left);
    assert!(owned(&survey, 1).is_empty());
    let third = store.enter(&member(3, "n"), LONG, None).await?;
    assert!(third.is_err(), "its lease is long");
    // Whoever asks again because the answer was lost is let in.
    assert_eq!(store.enter(&member(2, "n"), LONG, None).await?, Ok(()));
    Ok(())
}

/// Whoever is refused the name sees by the lease whether its holder lives.
pub async fn who_is_refused_a_name_sees_its_holder_renew(store: Shared) -> Result<(), Error> {
    peopled(&store, 1, LONG / 2).await?;
    let later = member(2, "n1");
    let until = |entered: Result<(), EntryRefusal>| match entered {
        Err(EntryRefusal::NameHeld { lease_until, .. }) => lease_until,
        other => panic!("the name is held: {other:?}"),
    };
    let first = until(store.enter(&later, LONG, None).await?);
    assert_eq!(until(store.enter(&later, LONG, None).await?), first);
    renew(&store, &[1]).await?;
    assert!(until(store.enter(&later, LONG, None).await?) > first);
    Ok(())
}

pub async fn a_former_start_that_is_proved_dead_leaves(store: Shared) -> Result<(), Error> {
    peopled(&store, 1, LONG).await?;
    store.take(node(1), &shards(0..4)).await?;
    let later = member(2, "n1");
    assert!(store.enter(&later, LONG, None).await?.is_err());
    assert_eq!(store.enter(&later, LONG, Some(node(1))).await?, Ok(()));
    let survey = store.survey().await?;
    assert_eq!(row(&survey, 1).state, MemberState::Left);
    assert!(!row(&survey, 1).lives());
    assert_eq!(renew(&store, &[1]).await?, []);
    let taken = store.take(node(2), &shards(0..4)).await?;
    assert_eq!(taken.map(|(_, shards)| shards), Some(shards(0..4)));
    Ok(())
}

pub async fn a_lapsed_owner_loses_its_shards_and_never_renews(store: Shared) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    let former = store.take(node(1), &shards(0..4)).await?;
    shorten(&store, 1).await?;
    lapsed(&store, 1).await?;
    let Some((epoch, taken)) = store.take(node(2), &shards(2..6)).await? else {
        panic!("its lease is over");
    };
    assert_eq!(taken, shards(2..6));
    assert!(former.is_some_and(|(former, _)| epoch > former));
    assert_eq!(renew(&store, &[1, 2]).await?, [node(2)]);
    Ok(())
}

pub async fn a_lapsed_lease_is_renewed_while_no_shard_was_taken(
    store: Shared,
) -> Result<(), Error> {
    peopled(&store, 1, LONG).await?;
    enter(&store, 2, LONG).await?;
    let taken = store.take(node(1), &shards(0..4)).await?;
    shorten(&store, 1).await?;
    lapsed(&store, 1).await?;
    // Others that are free are no loss of its.
    store.take(node(2), &shards(4..9)).await?;
    assert_eq!(renew(&store, &[1]).await?, [node(1)]);
    let survey = store.survey().await?;
    assert!(row(&survey, 1).lives());
    assert_eq!(owned(&survey, 1), [0, 1, 2, 3]);
    assert!(taken.is_some_and(|(epoch, _)| survey.shards[0].epoch == epoch));
    Ok(())
}

pub async fn only_who_is_up_and_has_a_lease_takes(store: Shared) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    enter(&store, 3, SHORT).await?;
    lapsed(&store, 3).await?;
    store.set_state(node(2), MemberState::Draining).await?;
    for number in [2, 3, 9] {
        assert_eq!(store.take(node(number), &shards(0..4)).await?, None);
    }
    assert!(store.take(node(1), &shards(0..4)).await?.is_some());
    Ok(())
}

pub async fn who_left_frees_its_shards_and_does_not_come_back(store: Shared) -> Result<(), Error> {
    peopled(&store, 3, LONG).await?;
    store.take(node(1), &shards(0..4)).await?;
    store.take(node(2), &shards(4..8)).await?;
    store.set_state(node(1), MemberState::Left).await?;
    store.set_state(node(2), MemberState::Removed).await?;
    store.set_state(node(3), MemberState::Draining).await?;
    store.set_state(node(9), MemberState::Left).await?;
    assert_eq!(renew(&store, &[1, 2, 3]).await?, [node(3)]);
    for number in [1, 2] {
        store.set_state(node(number), MemberState::Up).await?;
    }
    store.set_state(node(2), MemberState::Left).await?;
    let survey = store.survey().await?;
    let states = [1, 2, 3].map(|number| row(&survey, number).state);
    assert_eq!(
        states,
        [
            MemberState::Left,
            MemberState::Removed,
            MemberState::Draining
        ]
    );
    assert!(!row(&survey, 1).lives() && row(&survey, 3).lives());
    assert!(survey.shards.iter().all(|row| row.owner.is_none()));
    let again = store.enter(&member(2, "n2"), LONG, Some(node(2))).await?;
    assert_eq!(again, Err(EntryRefusal::Removed));
    store.set_state(node(3), MemberState::Up).await?;
    assert!(store.take(node(3), &shards(0..8)).await?.is_some());
    Ok(())
}

/// A node that was told to drain, and whose lease is taken anew, drains.
pub async fn who_drains_does_so_still_after_it_lost_its_lease(store: Shared) -> Result<(), Error> {
    peopled(&store, 1, SHORT).await?;
    store.take(node(1), &shards(0..4)).await?;
    store.set_state(node(1), MemberState::Draining).await?;
    lapsed(&store, 1).await?;
    let again = member(1, "n1");
    assert_eq!(store.enter(&again, LONG, Some(node(1))).await?, Ok(()));
    let survey = store.survey().await?;
    assert_eq!(row(&survey, 1).state, MemberState::Draining);
    assert!(row(&survey, 1).lives() && owned(&survey, 1).is_empty());
    // Only another start of it, or an operator, begins anew.
    store.set_state(node(1), MemberState::Up).await?;
    assert_eq!(row(&store.survey().await?, 1).state, MemberState::Up);
    Ok(())
}

/// Members and tokens that ended long ago go; what lives, owns or counts stays.
pub async fn what_ended_long_ago_is_forgotten(store: Shared) -> Result<(), Error> {
    peopled(&store, 4, LONG).await?;
    store.take(node(3), &shards(0..4)).await?;
    for number in 2..=4 {
        shorten(&store, number).await?;
    }
    store.set_state(node(4), MemberState::Removed).await?;
    for number in 2..=4 {
        lapsed(&store, number).await?;
    }
    let now = store.survey().await?.at;
    for (number, expires_at) in [(1, at(5)), (2, now.plus(LONG))] {
        let token = JoinToken {
            expires_at,
            ..super::admissions::token(number)
        };
        store.add_token(&token).await?;
    }
    assert_eq!(store.prune(LONG * 24 * 365 * 100).await?, 0);
    assert_eq!(store.prune(LONG).await?, 1);
    assert_eq!(store.tokens().await?.len(), 1);
    assert_eq!(store.survey().await?.members.len(), 4);
    assert_eq!(store.prune(Duration::ZERO).await?, 2);
    let left = store.survey().await?.members;
    let left: Vec<_> = left.iter().map(|row| row.member.node).collect();
    assert_eq!(left, [node(1), node(3)]);
    Ok(())
}
