//! Facts of shards, who owns them and what that allows.

use std::collections::HashSet;

use protocol::{epoch::Epoch, shard::Shard};

use super::{
    all, append, at, keyed,
    members::{LONG, SHARDS, node, owned, peopled, renew, shards, under},
    task,
};
use crate::store::{Appended, Error, Refusal, Scope, Shared};

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
