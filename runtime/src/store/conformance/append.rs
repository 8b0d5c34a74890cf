//! Facts of appends and of reading them back.

use std::slice;

use protocol::{epoch::Epoch, id::CommandId, record::ChainHash};
use uuid::Uuid;

use super::{agent, all, alone, append, keyed, task};
use crate::store::{Append, Appended, Error, Idempotency, Refusal, Shared};

fn fenced(number: u128, head: u64) -> Result<Appended, Refusal> {
    Err(Refusal::Fenced {
        stream: task(number),
        head,
        epoch: match head {
            0 => Epoch::default(),
            _ => Epoch::new(1, 1),
        },
    })
}

pub async fn an_append_makes_a_stream_and_the_next_extends_it(store: Shared) -> Result<(), Error> {
    let mut first = append(task(1), 1);
    first.record.count = 3;
    all(&store, &[first]).await?;
    all(&store, &[append(task(1), 4)]).await?;
    let row = store.stream(task(1)).await?;
    assert_eq!(row.map(|row| row.head), Some(4));
    assert_eq!(store.stream(task(2)).await?, None);
    Ok(())
}

pub async fn a_stream_grows_only_at_its_head(store: Shared) -> Result<(), Error> {
    assert_eq!(alone(&store, append(task(1), 2)).await?, fenced(1, 0));
    all(&store, &[append(task(1), 1), append(task(2), 1)]).await?;
    for seq in [1, 3] {
        let mut wrong = append(task(1), seq);
        wrong.record.cmd_id = CommandId::from_uuid(Uuid::from_u128(99));
        assert_eq!(alone(&store, wrong).await?, fenced(1, 1));
    }
    assert_eq!(store.read(task(1), 0, 10).await?.len(), 1);
    Ok(())
}

pub async fn a_refused_append_changes_nothing(store: Shared) -> Result<(), Error> {
    all(&store, &[append(task(1), 1)]).await?;
    let before = store.stream(task(1)).await?;
    let mut wrong = append(task(1), 5);
    wrong.summary.status = "completed".into();
    assert_eq!(alone(&store, wrong).await?, fenced(1, 1));
    assert_eq!(store.stream(task(1)).await?, before);
    assert_eq!(alone(&store, append(task(2), 2)).await?, fenced(2, 0));
    assert_eq!(store.stream(task(2)).await?, None);
    assert_eq!(store.journal(0, 10).await?.len(), 1);
    Ok(())
}

pub async fn a_refused_append_leaves_its_neighbours_alone(store: Shared) -> Result<(), Error> {
    let batch: Vec<_> = (1..=9).map(|number| append(task(number), 1)).collect();
    all(&store, &batch).await?;
    let mixed: Vec<_> = (1..=20)
        .map(|number| match number {
            2 | 9 => append(task(number), 7),
            1..=9 => append(task(number), 2),
            15 => append(task(number), 2),
            _ => append(task(number), 1),
        })
        .collect();
    let verdicts = store.append(&mixed).await?;
    for (number, verdict) in (1..).zip(verdicts) {
        let expected = match number {
            2 | 9 => fenced(number, 1),
            15 => fenced(number, 0),
            _ => Ok(Appended::Now),
        };
        assert_eq!(verdict, expected, "{number}");
    }
    assert_eq!(store.journal(0, 100).await?.len(), 26);
    Ok(())
}

pub async fn an_append_is_recognised_by_its_command(store: Shared) -> Result<(), Error> {
    let first = keyed(task(1), "key");
    let second = append(task(1), 2);
    all(&store, slice::from_ref(&first)).await?;
    all(&store, slice::from_ref(&second)).await?;
    all(&store, &[append(task(1), 3)]).await?;
    for again in [first, second] {
        assert_eq!(alone(&store, again).await?, Ok(Appended::Before));
    }
    assert_eq!(store.read(task(1), 0, 10).await?.len(), 3);
    let mut elsewhere = append(task(2), 3);
    elsewhere.record.cmd_id = append(task(1), 3).record.cmd_id;
    assert_eq!(alone(&store, elsewhere).await?, fenced(2, 0));
    Ok(())
}

pub async fn a_deposed_owner_cannot_append(store: Shared) -> Result<(), Error> {
    let with = |seq, number| {
        let mut append = append(task(1), seq);
        append.record.epoch = Epoch::new(1, number);
        append
    };
    all(&store, &[with(1, 5)]).await?;
    let refusal = Refusal::Fenced {
        stream: task(1),
        head: 1,
        epoch: Epoch::new(1, 5),
    };
    assert_eq!(alone(&store, with(2, 4)).await?, Err(refusal));
    all(&store, &[with(2, 5)]).await?;
    all(&store, &[with(3, 6)]).await?;
    let row = store.stream(task(1)).await?;
    assert_eq!(row.map(|row| row.epoch), Some(Epoch::new(1, 6)));
    Ok(())
}

pub async fn a_large_batch_keeps_its_order(store: Shared) -> Result<(), Error> {
    let batch: Vec<_> = (1..=700).map(|number| append(task(number), 1)).collect();
    all(&store, &batch).await?;
    let next: Vec<_> = (1..=700).map(|number| append(task(number), 2)).collect();
    all(&store, &next).await?;
    let journal = store.journal(0, 10_000).await?;
    let written = batch.iter().chain(&next).map(|append| &append.record);
    assert!(journal.iter().map(|(_, record)| record).eq(written));
    Ok(())
}

pub async fn an_empty_batch_is_committed(store: Shared) -> Result<(), Error> {
    assert_eq!(store.append(&[]).await?, vec![]);
    Ok(())
}

pub async fn records_read_back_as_written(store: Shared) -> Result<(), Error> {
    let mut odd = append(agent(u128::MAX), 1);
    odd.record.tenant = "Ünïcode's \"tenant\"".into();
    odd.record.actor = String::new();
    odd.record.data = "[{\"text\":\"a\\u0000b – 字\"}]".into();
    odd.record.version = u16::MAX;
    odd.record.count = u32::MAX;
    odd.record.epoch = Epoch::new((1 << 23) - 1, (1 << 40) - 1);
    odd.record.at = super::at(-5);
    odd.record.hash = ChainHash(std::array::from_fn(|byte| byte as u8 ^ 0xa5));
    odd.summary.parent = Some(task(9));
    odd.summary.body = "{\"big\":\"".to_owned() + &"x".repeat(100_000) + "\"}";
    all(&store, slice::from_ref(&odd)).await?;
    assert_eq!(
        store.read(odd.record.stream, 0, 10).await?,
        vec![odd.record.clone()]
    );
    let row = store.stream(odd.record.stream).await?;
    assert_eq!(row.map(|row| row.summary), Some(odd.summary));
    Ok(())
}

pub async fn reading_starts_after_a_position(store: Shared) -> Result<(), Error> {
    let counts = [1, 3, 2];
    let mut seq = 1;
    for count in counts {
        let mut next = append(task(1), seq);
        next.record.count = count;
        all(&store, &[next, append(task(1000 + u128::from(seq)), 1)]).await?;
        seq += u64::from(count);
    }
    // The record that holds events 2 to 4 is needed by whoever has seen 3.
    for (after, limit, expected) in [
        (0, 10, vec![1, 2, 5]),
        (1, 10, vec![2, 5]),
        (3, 10, vec![2, 5]),
        (4, 10, vec![5]),
        (6, 10, vec![]),
        (0, 2, vec![1, 2]),
    ] {
        let records = store.read(task(1), after, limit).await?;
        let found: Vec<_> = records.iter().map(|record| record.seq).collect();
        assert_eq!(found, expected, "after {after}");
    }
    Ok(())
}

pub async fn the_journal_holds_every_stream_in_order(store: Shared) -> Result<(), Error> {
    assert_eq!(store.journal(0, 10).await?, vec![]);
    for seq in 1..=5 {
        all(&store, &[append(task(1), seq), append(agent(2), seq)]).await?;
    }
    let mut after = 0;
    let mut heads = std::collections::HashMap::new();
    loop {
        let page = store.journal(after, 3).await?;
        for (place, record) in &page {
            assert!(*place > after);
            after = *place;
            let head = heads.entry(record.stream).or_insert(0);
            assert_eq!(record.seq, *head + 1);
            *head = record.head();
        }
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(heads.into_values().collect::<Vec<_>>(), [5, 5]);
    Ok(())
}

pub async fn the_end_of_the_journal_is_behind_all_that_was_appended(
    store: Shared,
) -> Result<(), Error> {
    let empty = store.end().await?;
    assert_eq!((empty.whole, empty.last), (0, 0));
    for seq in 1..=5 {
        all(&store, &[append(task(1), seq), append(agent(2), seq)]).await?;
        let end = store.end().await?;
        let journal = store.journal(0, 100).await?;
        assert_eq!(Some(end.last), journal.last().map(|(place, _)| *place));
        assert!(end.whole >= end.last, "nothing else is under way: {end:?}");
        assert_eq!(store.journal(end.whole, 100).await?, vec![]);
    }
    Ok(())
}

fn repeated(number: u128, same_body: bool) -> Result<Appended, Refusal> {
    Err(Refusal::Repeated {
        stream: task(number),
        same_body,
    })
}

pub async fn a_key_makes_one_stream(store: Shared) -> Result<(), Error> {
    assert_eq!(store.made_by("default", "key").await?, None);
    all(&store, &[keyed(task(1), "key")]).await?;
    let made = Some((task(1), ChainHash([1; 32])));
    assert_eq!(store.made_by("default", "key").await?, made);
    assert_eq!(store.made_by("default", "KEY").await?, None);
    assert_eq!(store.made_by("other", "key").await?, None);
    assert_eq!(
        alone(&store, keyed(task(2), "key")).await?,
        repeated(1, true)
    );
    let other_body = Append {
        idempotency: Some(Idempotency {
            key: "key".into(),
            body_hash: ChainHash([2; 32]),
        }),
        ..append(task(2), 1)
    };
    assert_eq!(alone(&store, other_body).await?, repeated(1, false));
    assert_eq!(store.stream(task(2)).await?, None);
    all(&store, &[keyed(task(2), "KEY")]).await?;
    Ok(())
}

pub async fn a_key_is_the_tenants_own(store: Shared) -> Result<(), Error> {
    let mut theirs = keyed(task(2), "key");
    theirs.record.tenant = "theirs".into();
    all(&store, &[keyed(task(1), "key"), theirs]).await
}

pub async fn of_two_with_one_key_the_first_wins(store: Shared) -> Result<(), Error> {
    let batch = [
        append(task(9), 1),
        keyed(task(2), "key"),
        keyed(task(1), "key"),
        keyed(task(3), "other"),
        keyed(task(4), "key"),
    ];
    let now = Ok(Appended::Now);
    let verdicts = store.append(&batch).await?;
    assert_eq!(
        verdicts,
        vec![
            now.clone(),
            now.clone(),
            repeated(2, true),
            now,
            repeated(2, true)
        ]
    );
    Ok(())
}

pub async fn a_key_of_a_refused_append_stays_free(store: Shared) -> Result<(), Error> {
    all(&store, &[append(task(1), 1)]).await?;
    let mut taken = keyed(task(1), "key");
    taken.record.cmd_id = CommandId::from_uuid(Uuid::from_u128(99));
    let batch = [taken, append(task(3), 1)];
    let verdicts = store.append(&batch).await?;
    assert_eq!(verdicts, vec![fenced(1, 1), Ok(Appended::Now)]);
    all(&store, &[keyed(task(2), "key")]).await
}
