//! Facts of read models, snapshots and the store as a whole.

use protocol::record::ChainHash;

use super::{all, append, task};
use crate::store::{Error, Shared, Snapshot};

fn row(key: &str, body: &str) -> (String, String) {
    (key.into(), body.into())
}

pub async fn a_fold_writes_rows_and_cursor(store: Shared) -> Result<(), Error> {
    assert_eq!(store.cursor("tools").await?, 0);
    assert_eq!(store.rows("tools").await?, []);
    store
        .fold("tools", &[row("b", "1"), row("a", "2")], 7)
        .await?;
    store.fold("other", &[row("a", "3")], 9).await?;
    store
        .fold("tools", &[row("b", "3"), row("c", "5"), row("b", "4")], 8)
        .await?;
    store.fold("tools", &[], 12).await?;
    let expected = [row("a", "2"), row("b", "4"), row("c", "5")];
    assert_eq!(store.rows("tools").await?, expected);
    assert_eq!(store.row("tools", "b").await?, Some("4".into()));
    assert_eq!(store.row("tools", "z").await?, None);
    assert_eq!(store.cursor("tools").await?, 12);
    assert_eq!(store.cursor("other").await?, 9);
    Ok(())
}

pub async fn a_cleared_view_starts_again(store: Shared) -> Result<(), Error> {
    for view in ["tools", "other"] {
        store.fold(view, &[row("a", "1")], 7).await?;
    }
    store.clear("tools").await?;
    assert_eq!(store.rows("tools").await?, []);
    assert_eq!(store.cursor("tools").await?, 0);
    assert_eq!(store.rows("other").await?, [row("a", "1")]);
    Ok(())
}

pub async fn the_newest_snapshot_is_kept(store: Shared) -> Result<(), Error> {
    let snapshot = |seq, data: &str| Snapshot {
        stream: task(1),
        seq,
        hash: ChainHash([seq as u8; 32]),
        version: 3,
        data: data.into(),
    };
    assert_eq!(store.snapshot(task(1)).await?, None);
    for (seq, data) in [(4, "four"), (9, "nine"), (6, "late"), (9, "nine again")] {
        store.save(&snapshot(seq, data)).await?;
    }
    let kept = store.snapshot(task(1)).await?;
    assert_eq!(kept, Some(snapshot(9, "nine again")));
    assert_eq!(store.snapshot(task(2)).await?, None);
    Ok(())
}

pub async fn a_closed_store_fails(store: Shared) -> Result<(), Error> {
    all(&store, &[append(task(1), 1)]).await?;
    store.close().await?;
    for outcome in [
        store.append(&[append(task(1), 2)]).await.map(drop),
        store.read(task(1), 0, 9).await.map(drop),
        store.probe().await,
    ] {
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    store.close().await
}

pub async fn a_store_answers_a_probe(store: Shared) -> Result<(), Error> {
    assert!(["memory", "sqlite", "postgres"].contains(&store.engine()));
    store.probe().await?;
    store.probe().await
}
