//! Folding a stretch of the journal into rows.

use std::collections::{BTreeMap, btree_map::Entry};

use protocol::time::Timestamp;

use super::Projection;
use crate::store::{self, Error};

/// Records folded in one transaction.
const PAGE: u32 = 1000;

/// Folds what was appended since the view's cursor; answers how many records. Before each page, `behind`
/// hears when its first record was appended.
pub(super) async fn catch_up<P: Projection>(
    projection: &P,
    store: &store::Shared,
    behind: impl Fn(Timestamp) + Send,
) -> Result<u64, Error> {
    let mut cursor = store.cursor(P::VIEW).await?;
    let mut folded = 0;
    loop {
        let page = store.journal(cursor, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(folded);
        };
        let next = *last;
        if let Some((_, first)) = page.first() {
            behind(first.at);
        }
        let mut rows: BTreeMap<String, P::Row> = BTreeMap::new();
        for (_, record) in &page {
            for (key, change) in projection.changes(record) {
                let row = match rows.entry(key) {
                    Entry::Occupied(row) => row.into_mut(),
                    Entry::Vacant(vacant) => {
                        let row = read_row::<P>(store, vacant.key()).await?;
                        vacant.insert(row)
                    }
                };
                P::fold(row, change);
            }
        }
        let rows = rows
            .into_iter()
            .map(|(key, row)| serde_json::to_string(&row).map(|row| (key, row)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                Error::Corrupt(format!("a row of {} cannot be written: {error}", P::VIEW))
            })?;
        store.fold(P::VIEW, &rows, next).await?;
        cursor = next;
        folded += page.len() as u64;
    }
}

async fn read_row<P: Projection>(store: &store::Shared, key: &str) -> Result<P::Row, Error> {
    match store.row(P::VIEW, key).await? {
        None => Ok(P::Row::default()),
        Some(text) => serde_json::from_str(&text).map_err(|error| {
            Error::Corrupt(format!("row {key} of {} cannot be read: {error}", P::VIEW))
        }),
    }
}

/// Drops a view and folds it again from the first record; answers how many there were.
///
/// # Errors
///
/// When the store fails.
pub async fn rebuild<P: Projection>(projection: &P, store: &store::Shared) -> Result<u64, Error> {
    store.clear(P::VIEW).await?;
    catch_up(projection, store, |_| {}).await
}
