//! Facts of members, their leases and their shards.

use std::{collections::HashSet, time::Duration};

use protocol::{
    epoch::Epoch,
    id::NodeId,
    member::{Member, MemberState, Roles},
    shard::Shard,
};
use uuid::Uuid;

use super::{all, append, at, keyed, task};
use crate::store::{
    Appended, EntryRefusal, Error, Founding, JoinToken, MemberRow, Refusal, Renewal, Scope, Shared,
    Survey,
};

/// Never over while a test runs.
const LONG: Duration = Duration::from_hours(1);

/// Over before a test has waited long.
const SHORT: Duration = Duration::from_millis(60);

const SHARDS: u16 = 16;

fn node(number: u128) -> NodeId {
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
fn under(epoch: Epoch, numbers: std::ops::Range<u16>) -> Vec<(Shard, Epoch)> {
    numbers.map(|number| (Shard(number), epoch)).collect()
}

fn shards(numbers: std::ops::Range<u16>) -> Vec<Shard> {
    numbers.map(Shard).collect()
}

/// Founds the cluster and lets `count` members with names of their own enter.
async fn peopled(store: &Shared, count: u128, ttl: Duration) -> Result<(), Error> {
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

async fn renew(store: &Shared, numbers: &[u128]) -> Result<Vec<NodeId>, Error> {
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

fn owned(survey: &Survey, number: u128) -> Vec<u16> {
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
        let expected = EntryRefusal::NameHeld {
            name: "n".into(),
            by: node(1),
        };
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

pub async fn free_shards_are_taken_under_one_new_epoch(store: Shared) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    let Some((first, taken)) = store.take(node(1), &shards(0..6)).await? else {
        panic!("all were free");
    };
    assert_eq!(taken, shards(0..6));
    let Some((second, taken)) = store.take(node(2), &shards(3..9)).await? else {
        panic!("some were free");
    };
    assert_eq!(taken, shards(6..9));
    assert!(second > first);
    assert_eq!(store.take(node(2), &shards(0..9)).await?, None);
    assert_eq!(store.take(node(2), &shards(90..99)).await?, None);
    let survey = store.survey().await?;
    assert_eq!(owned(&survey, 1), [0, 1, 2, 3, 4, 5]);
    assert_eq!(owned(&survey, 2), [6, 7, 8]);
    assert_eq!(survey.shards[0].epoch, first);
    assert_eq!(survey.shards[8].epoch, second);
    assert_eq!(survey.shards[9].epoch, Epoch::default());
    Ok(())
}

pub async fn of_racing_takers_each_shard_has_one(store: Shared) -> Result<(), Error> {
    peopled(&store, 12, LONG).await?;
    let takers: Vec<_> = (1..=12)
        .map(|number| {
            let store = store.clone();
            // Each begins elsewhere, so that they meet in the middle.
            let wanted: Vec<_> = (0..8)
                .map(|step| Shard(((number * 3 + step) % u128::from(SHARDS)) as u16))
                .collect();
            tokio::spawn(async move { store.take(node(number), &wanted).await })
        })
        .collect();
    let (mut taken, mut epochs) = (Vec::new(), HashSet::new());
    for taker in takers {
        let outcome = taker
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        if let Some((epoch, mut shards)) = outcome? {
            assert!(epochs.insert(epoch), "{epoch} was given twice");
            taken.append(&mut shards);
        }
    }
    taken.sort_unstable();
    assert_eq!(taken, shards(0..SHARDS), "each once");
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

pub async fn shards_that_were_given_back_are_free(store: Shared) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    let first = store.take(node(1), &shards(0..4)).await?;
    let epoch = first.as_ref().map(|(epoch, _)| *epoch).unwrap_or_default();
    store.give_back(node(1), &under(epoch, 0..2)).await?;
    store.give_back(node(2), &under(epoch, 2..4)).await?;
    let survey = store.survey().await?;
    assert_eq!(owned(&survey, 1), [2, 3]);
    assert_eq!(
        Some(survey.shards[0].epoch),
        first.map(|(epoch, _)| epoch),
        "who had it last is known"
    );
    let taken = store.take(node(2), &shards(0..4)).await?;
    assert_eq!(taken.map(|(_, shards)| shards), Some(shards(0..2)));
    // Giving is no loss.
    assert_eq!(renew(&store, &[1]).await?, [node(1)]);
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

pub async fn what_was_taken_again_is_not_given_back_by_a_late_word(
    store: Shared,
) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    let Some((early, _)) = store.take(node(1), &shards(0..2)).await? else {
        panic!("they were free");
    };
    store.give_back(node(1), &under(early, 0..2)).await?;
    assert!(store.take(node(1), &shards(0..2)).await?.is_some());
    store.give_back(node(1), &under(early, 0..2)).await?;
    assert_eq!(owned(&store.survey().await?, 1), [0, 1]);
    Ok(())
}

pub async fn epochs_grow_over_starts_and_takings(store: Shared) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    let mut last = store.begin(node(7), "tool").await?;
    for round in 0..4 {
        let taken = store.take(node(1 + round % 2), &shards(0..4)).await?;
        let Some((taken, _)) = taken else {
            panic!("they were given back");
        };
        assert!(taken > last);
        last = store.begin(node(7), "tool").await?;
        assert!(last > taken);
        let back = under(taken, 0..4);
        store.give_back(node(1 + round % 2), &back).await?;
    }
    Ok(())
}

pub async fn a_claim_needs_the_shard_that_was_taken(store: Shared) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    all(&store, &[append(task(3), 1), append(task(5), 1)]).await?;
    let both = [task(3), task(5)];
    let Some((epoch, _)) = store.take(node(1), &shards(3..4)).await? else {
        panic!("it was free");
    };
    assert_eq!(store.claim(&both, epoch, node(1)).await?.len(), 2);
    // Neither a later epoch nor the right one in other hands.
    let later = store.begin(node(9), "tool").await?;
    assert_eq!(store.claim(&both, later, node(9)).await?, [task(5)]);
    assert_eq!(store.claim(&both[..1], epoch, node(2)).await?, []);
    assert_eq!(store.claim(&both[..1], epoch, node(1)).await?, [task(3)]);
    store.give_back(node(1), &under(epoch, 3..4)).await?;
    assert_eq!(store.claim(&both[..1], epoch, node(1)).await?, []);
    let Some((second, _)) = store.take(node(2), &shards(3..4)).await? else {
        panic!("it was given back");
    };
    assert_eq!(store.claim(&both[..1], epoch, node(1)).await?, []);
    assert_eq!(store.claim(&both[..1], second, node(2)).await?, [task(3)]);
    // What nobody owns any more, whoever began later may claim.
    store.give_back(node(2), &under(second, 3..4)).await?;
    let later = store.begin(node(9), "tool").await?;
    assert_eq!(store.claim(&both[..1], later, node(9)).await?, [task(3)]);
    Ok(())
}

pub async fn a_stream_is_made_by_the_owner_of_its_shard(store: Shared) -> Result<(), Error> {
    peopled(&store, 2, LONG).await?;
    let make = async |number: u128, owner: u128, epoch: Epoch| {
        let mut append = keyed(task(number), &format!("key-{number}"));
        (append.record.owner, append.record.epoch) = (node(owner), epoch);
        let mut verdicts = store.append(&[append]).await?;
        Ok::<_, Error>(verdicts.remove(0))
    };
    let Some((epoch, _)) = store.take(node(1), &shards(3..4)).await? else {
        panic!("it was free");
    };
    assert_eq!(make(3, 1, epoch).await?, Ok(Appended::Now));
    store.give_back(node(1), &under(epoch, 3..4)).await?;
    let other = 3 + u128::from(SHARDS);
    let late = make(other, 1, epoch).await?;
    assert!(matches!(late, Err(Refusal::Fenced { .. })), "{late:?}");
    let Some((second, _)) = store.take(node(2), &shards(3..4)).await? else {
        panic!("it was given back");
    };
    for under in [epoch, second] {
        let late = make(other, 1, under).await?;
        assert!(matches!(late, Err(Refusal::Fenced { .. })), "{late:?}");
    }
    // What was refused left no key behind, and what was made is known when it is sent again.
    assert_eq!(make(other, 2, second).await?, Ok(Appended::Now));
    assert_eq!(make(3, 1, epoch).await?, Ok(Appended::Before));
    Ok(())
}

pub async fn open_streams_and_reminders_are_found_by_shard(store: Shared) -> Result<(), Error> {
    let batch: Vec<_> = (0..40)
        .map(|number| {
            let mut append = append(task(number), 1);
            append.reminders.push(crate::store::ReminderChange::Set {
                name: "wake".into(),
                due: at(100 - number as i64),
            });
            append
        })
        .collect();
    all(&store, &batch).await?;
    let of = |shards: &[u16]| Scope::Shards {
        count: 10,
        shards: shards.iter().copied().map(Shard).collect(),
    };
    let kind = task(0).kind();
    let open = |scope: Scope, after, limit| {
        let store = store.clone();
        async move { store.open(kind, &scope, after, limit).await }
    };
    let expected = [3, 7, 13, 17, 23, 27, 33, 37].map(task);
    assert_eq!(open(of(&[3, 7]), None, 99).await?, expected);
    assert_eq!(open(of(&[3, 7]), Some(task(13)), 2).await?, expected[3..5]);
    assert_eq!(open(of(&[]), None, 99).await?, []);
    assert_eq!(open(Scope::All, None, 99).await?.len(), 40);
    let due = store.due(&of(&[3, 7]), at(75), 99).await?;
    let due: Vec<_> = due.into_iter().map(|(stream, _, _)| stream).collect();
    assert_eq!(due, [task(37), task(33), task(27)]);
    assert_eq!(store.next_due(&of(&[2])).await?, Some(at(68)));
    assert_eq!(store.next_due(&of(&[])).await?, None);
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
