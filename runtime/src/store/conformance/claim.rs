//! Facts of who may append.

use protocol::{epoch::Epoch, id::NodeId};
use uuid::Uuid;

use super::{agent, all, alone, append, task};
use crate::store::{Append, Appended, Error, Refusal, Shared};

fn node(number: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number))
}

fn under(epoch: Epoch, number: u128, seq: u64) -> Append {
    let mut append = append(task(number), seq);
    append.record.epoch = epoch;
    append
}

pub async fn each_start_has_a_greater_epoch(store: Shared) -> Result<(), Error> {
    let mut last = Epoch::default();
    for number in 1..5 {
        let epoch = store.begin(node(number), "one").await?;
        assert!(epoch > last);
        last = epoch;
    }
    Ok(())
}

pub async fn a_claim_fences_earlier_owners(store: Shared) -> Result<(), Error> {
    let old = store.begin(node(1), "one").await?;
    all(&store, &[under(old, 1, 1), under(old, 2, 1)]).await?;
    let new = store.begin(node(2), "two").await?;
    let claimed = store.claim(&[task(1)], new, node(2)).await?;
    assert_eq!(claimed, [task(1)]);
    let verdicts = store.append(&[under(old, 1, 2), under(old, 2, 2)]).await?;
    let refusal = Refusal::Fenced {
        stream: task(1),
        head: 1,
        epoch: new,
    };
    assert_eq!(verdicts, vec![Err(refusal), Ok(Appended::Now)]);
    all(&store, &[under(new, 1, 2)]).await?;
    // A lost answer from before the takeover is still told.
    assert_eq!(alone(&store, under(old, 1, 1)).await?, Ok(Appended::Before));
    Ok(())
}

pub async fn a_later_epoch_keeps_its_streams(store: Shared) -> Result<(), Error> {
    let old = store.begin(node(1), "one").await?;
    let new = store.begin(node(2), "two").await?;
    all(&store, &[under(new, 1, 1), under(old, 2, 1)]).await?;
    let streams = [task(1), task(2), task(3)];
    assert_eq!(store.claim(&streams, old, node(1)).await?, [task(2)]);
    let row = store.stream(task(1)).await?;
    assert_eq!(row.map(|row| row.epoch), Some(new));
    assert_eq!(store.stream(task(3)).await?, None);
    // Whoever holds a stream may claim it again.
    assert_eq!(store.claim(&streams[..1], new, node(2)).await?, [task(1)]);
    Ok(())
}

pub async fn of_many_claims_each_is_answered(store: Shared) -> Result<(), Error> {
    let batch: Vec<_> = (1..=600).map(|number| append(task(number), 1)).collect();
    all(&store, &batch).await?;
    all(&store, &[append(agent(1), 1)]).await?;
    let mut streams: Vec<_> = (1..=600).rev().map(task).collect();
    streams.push(agent(1));
    let epoch = Epoch::new(1, 9);
    let mut claimed = store.claim(&streams, epoch, node(1)).await?;
    claimed.sort_unstable();
    streams.sort_unstable();
    assert_eq!(claimed, streams);
    assert_eq!(store.claim(&[], epoch, node(1)).await?, []);
    Ok(())
}

pub async fn of_racing_owners_one_appends(store: Shared) -> Result<(), Error> {
    all(&store, &[append(task(1), 1)]).await?;
    let racers = (1..=8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let epoch = store.begin(node(number), "racer").await?;
            store.claim(&[task(1)], epoch, node(number)).await?;
            let mut append = under(epoch, 1, 2);
            append.record.owner = node(number);
            append.record.cmd_id = protocol::id::CommandId::from_uuid(Uuid::from_u128(number));
            alone(&store, append).await
        })
    });
    let racers: Vec<_> = racers.collect();
    let mut winners = 0;
    for racer in racers {
        let verdict = racer
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))??;
        match verdict {
            Ok(appended) => {
                assert_eq!(appended, Appended::Now);
                winners += 1;
            }
            Err(refusal) => assert!(matches!(refusal, Refusal::Fenced { .. }), "{refusal}"),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(store.read(task(1), 0, 9).await?.len(), 2);
    Ok(())
}
