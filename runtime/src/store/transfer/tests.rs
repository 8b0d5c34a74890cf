//! Stores that hold something of everything, moved there and back.

use protocol::{epoch::Epoch, id::NodeId, time::Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    store::{
        Append, Delivery, Idempotency, ReminderChange, Scope, Shared, Snapshot,
        conformance::{agent, all, append, named, task},
        open, open_to_serve,
    },
    testkit::postgres::PrivatePostgres,
};

const FAR: Timestamp = Timestamp::from_micros(1 << 60);

fn sqlite(folder: &TempDir, name: &str) -> Address {
    Address::Sqlite(folder.path().join(name))
}

fn postgres() -> Address {
    PrivatePostgres::shared().schema().unwrap().parse().unwrap()
}

fn silent(_: &'static str, _: u64) {}

/// Something of everything, more than one batch of records.
async fn fill(store: &Shared) {
    store
        .begin(NodeId::from_uuid(Uuid::from_u128(1)), "one")
        .await
        .unwrap();
    let batch: Vec<_> = (0..700)
        .map(|number| Append {
            idempotency: Some(Idempotency {
                key: format!("key {number}"),
                body_hash: append(task(1), 1).record.hash,
            }),
            reminders: vec![ReminderChange::Set {
                name: "wake".into(),
                due: Timestamp::from_micros(5),
            }],
            ..append(task(number), 1)
        })
        .collect();
    all(store, &batch).await.unwrap();
    let mut delivering = append(task(7), 2);
    delivering.outbox.push(Delivery {
        id: Uuid::from_u128(4),
        stream: task(7),
        kind: "webhook".into(),
        payload: "{}".into(),
        due: Timestamp::from_micros(9),
        tries: 2,
    });
    all(store, &[named(agent(1), "bob"), delivering])
        .await
        .unwrap();
    store.park(task(3), Some("it failed")).await.unwrap();
    let rows = [("a".to_owned(), "{\"n\":1}".to_owned())];
    store.fold("sums", &rows, 600).await.unwrap();
    store
        .save(&Snapshot {
            stream: task(7),
            seq: 2,
            hash: append(task(1), 1).record.hash,
            version: 3,
            data: "[1]".into(),
        })
        .await
        .unwrap();
}

/// All that two stores must agree in.
async fn assert_alike(one: &Shared, other: &Shared) {
    let journal = one.journal(0, 10_000).await.unwrap();
    assert_eq!(journal, other.journal(0, 10_000).await.unwrap());
    for stream in [task(3), task(7), agent(1)] {
        let row = one.stream(stream).await.unwrap();
        assert!(row.is_some());
        assert_eq!(row, other.stream(stream).await.unwrap());
    }
    assert_eq!(
        one.made_by("default", "key 9").await.unwrap(),
        other.made_by("default", "key 9").await.unwrap()
    );
    assert_eq!(
        one.due(&Scope::All, FAR, 10_000).await.unwrap(),
        other.due(&Scope::All, FAR, 10_000).await.unwrap()
    );
    assert_eq!(
        one.snapshot(task(7)).await.unwrap(),
        other.snapshot(task(7)).await.unwrap()
    );
    assert_eq!(
        one.rows("sums").await.unwrap(),
        other.rows("sums").await.unwrap()
    );
    assert_eq!(
        one.cursor("sums").await.unwrap(),
        other.cursor("sums").await.unwrap()
    );
    let mut counts = (one.census().await.unwrap(), other.census().await.unwrap());
    (counts.0.bytes, counts.1.bytes) = (0, 0);
    assert_eq!(counts.0, counts.1);
}

#[tokio::test]
async fn a_store_moves_to_the_other_engine_and_back() {
    let folder = TempDir::new().unwrap();
    let (first, second, third) = (sqlite(&folder, "a.db"), postgres(), sqlite(&folder, "b.db"));
    let store = open(&first).await.unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    for (source, target) in [(&first, &second), (&second, &third)] {
        let moved = transfer(source, target, silent).await.unwrap();
        assert_eq!(moved.found, 0);
        assert_eq!(moved.rows[0], ("event", 702));
        let (source, target) = (open(source).await.unwrap(), open(target).await.unwrap());
        assert_alike(&source, &target).await;
        let due = target.claim_due(FAR, FAR, 9).await.unwrap();
        assert_eq!(due.len(), 1);
        source.close().await.unwrap();
        target.close().await.unwrap();
    }
    // The copy goes on where the source stopped: after its records, above its epochs.
    let (source, target) = (open(&first).await.unwrap(), open(&second).await.unwrap());
    let node = NodeId::from_uuid(Uuid::from_u128(2));
    let epoch = target.begin(node, "two").await.unwrap();
    assert!(epoch > Epoch::new(1, 1));
    all(&target, &[append(task(8), 2)]).await.unwrap();
    assert_eq!(target.journal(0, 10_000).await.unwrap().len(), 703);
    source.close().await.unwrap();
    target.close().await.unwrap();
    let again = transfer(&first, &second, silent).await;
    assert!(
        matches!(again, Err(TransferError::Occupied(_))),
        "{again:?}"
    );
}

#[tokio::test]
async fn an_interrupted_move_cannot_be_opened_and_is_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let (source, target) = (sqlite(&folder, "a.db"), postgres());
    let store = open(&source).await.unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let cut = tokio::spawn({
        let (source, target) = (source.clone(), target.clone());
        async move {
            let dies = |table, rows| assert!(table != "event" || rows != 500, "on purpose");
            transfer(&source, &target, dies).await
        }
    });
    assert!(cut.await.is_err());
    let half = open(&target).await.map(drop);
    assert!(matches!(half, Err(Error::Unusable(_))), "{half:?}");
    let moved = transfer(&source, &target, silent).await.unwrap();
    assert_eq!(moved.found, 500);
    // Once more is no harm, and brings what changed meanwhile.
    let store = open(&source).await.unwrap();
    all(&store, &[append(task(9), 2)]).await.unwrap();
    store.park(task(3), None).await.unwrap();
    store.close().await.unwrap();
    let moved = transfer(&source, &target, silent).await.unwrap();
    assert_eq!(moved.found, 702);
    let (source, target) = (open(&source).await.unwrap(), open(&target).await.unwrap());
    assert_alike(&source, &target).await;
}

#[tokio::test]
async fn a_store_that_holds_something_else_is_not_touched() {
    let folder = TempDir::new().unwrap();
    let (source, other) = (sqlite(&folder, "a.db"), sqlite(&folder, "b.db"));
    for address in [&source, &other] {
        let store = open(address).await.unwrap();
        fill(&store).await;
        store.close().await.unwrap();
    }
    let refused = transfer(&source, &other, silent).await;
    assert!(
        matches!(refused, Err(TransferError::Occupied(_))),
        "{refused:?}"
    );
    let refused = transfer(&source, &source, silent).await;
    assert!(matches!(refused, Err(TransferError::Same)), "{refused:?}");
}

#[tokio::test]
async fn a_target_in_a_folder_that_is_not_there_is_told_apart() {
    let folder = TempDir::new().unwrap();
    let (source, target) = (sqlite(&folder, "a.db"), sqlite(&folder, "no/such/b.db"));
    open(&source).await.unwrap().close().await.unwrap();
    for refused in [
        transfer(&source, &target, silent).await.map(drop),
        copy_ahead(&source, &target, silent).await.map(drop),
    ] {
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("there is no folder") && text.contains("no/such"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_store_whose_place_another_took_is_not_served_until_it_is_reopened() {
    let folder = TempDir::new().unwrap();
    for address in [sqlite(&folder, "a.db"), postgres()] {
        let serves = async || {
            let store = open_to_serve(&address, None).await?;
            store.close().await
        };
        serves().await.unwrap();
        retire(&address).await.unwrap();
        let refused = serves().await;
        assert!(matches!(refused, Err(Error::Unusable(_))), "{refused:?}");
        open(&address).await.unwrap().close().await.unwrap();
        let again = transfer(&address, &sqlite(&folder, "other.db"), silent).await;
        assert!(matches!(again, Err(TransferError::Retired(_))), "{again:?}");
        reopen(&address).await.unwrap();
        serves().await.unwrap();
    }
}

#[tokio::test]
async fn a_store_in_use_by_a_cluster_is_not_moved() {
    let folder = TempDir::new().unwrap();
    let (source, target) = (postgres(), sqlite(&folder, "a.db"));
    let store = open(&source).await.unwrap();
    let member = protocol::member::Member {
        node: NodeId::from_uuid(Uuid::from_u128(1)),
        name: "alpha".into(),
        roles: protocol::member::Roles::all(),
        mesh: None,
        edge: None,
        region: String::new(),
        version: String::new(),
        protocol: 1,
        started_at: Timestamp::default(),
        admin: None,
    };
    let hour = std::time::Duration::from_hours(1);
    store.enter(&member, hour, None).await.unwrap().unwrap();
    let refused = transfer(&source, &target, silent).await;
    let text = refused.map(drop).unwrap_err().to_string();
    // Killed or not: somebody who waits for the end of its lease is told when that is.
    let told = "is in use by alpha, whose lease runs for 3";
    assert!(text.contains(told) && text.ends_with(" s yet"), "{text}");
}
