//! Moves a whole store from one database to another, whatever engine each is.
//!
//! - `tables`: what is moved, and how both engines read and write it.
//!
//! Records keep their positions, so what was folded up to one stays so. Members and the shards
//! they own are not moved: nobody is in a cluster whose store was just made.

mod tables;

use std::path::PathBuf;

use self::tables::{COPY_OF, Cell, JOURNAL, Port, STORE, TABLES, Table};
pub(super) use self::tables::{MOVING, RETIRED};
use super::{Address, Error, Living, Postgres, Sqlite};

/// Rows moved in one transaction.
const BATCH: u32 = 500;

/// Numbers of which the target must have the greater one.
const COUNTERS: [&str; 2] = ["db_incarnation", "epoch"];

/// Why a store was not moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A database failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// A database cannot be opened; nothing was done.
    #[error(transparent)]
    Unopened(Error),
    /// Source and target are one database.
    #[error("source and target are the same store")]
    Same,
    /// The file of the target cannot be made.
    #[error("there is no folder {} to hold the target", .0.display())]
    NoFolder(PathBuf),
    /// Nodes are in the cluster of that store.
    #[error("{store} is in use by {nodes}")]
    InUse {
        /// The store.
        store: Address,
        /// Who, and how long yet.
        nodes: Living,
    },
    /// Several nodes may write there while it is copied.
    #[error("{0} can be copied only while no node runs")]
    Shared(Address),
    /// There is something in the target that is no earlier copy of the source.
    #[error("{0} holds another store, or was used since it was copied")]
    Occupied(Address),
    /// Another store took the place of the source.
    #[error("{0} was moved already, and nodes may have gone on with what it was moved to")]
    Retired(Address),
    /// What arrived is not what was sent.
    #[error("{table} has {found} rows in the target and {expected} in the source")]
    Incomplete {
        /// Which table.
        table: &'static str,
        /// Rows in the target.
        found: u64,
        /// Rows in the source.
        expected: u64,
    },
    /// The index and the journal of the target disagree.
    #[error("{0} streams end elsewhere in the target's index than in its journal")]
    Crooked(u64),
}

/// What was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows now in the target, by table.
    pub rows: Vec<(&'static str, u64)>,
    /// Records that an earlier, interrupted move had brought over.
    pub found: u64,
}

/// Copies the store at `source` into the empty database at `target`, or goes on with a copy that was
/// interrupted; tells `progress` how many rows of a table are there.
///
/// The caller sees to it that no process outside of a cluster uses either. Until it is done, the
/// target cannot be opened as a store.
pub async fn transfer(
    source: &Address,
    target: &Address,
    mut progress: impl FnMut(&'static str, u64) + Send,
) -> Result<Moved, TransferError> {
    let from = port(source).await.map_err(TransferError::Unopened)?;
    let to = made(target).await?;
    let outcome = copy((source, &*from), (target, &*to), &mut progress).await;
    let closed = (from.close().await, to.close().await);
    let moved = outcome?;
    closed.0?;
    closed.1?;
    Ok(moved)
}

/// Copies the journal of the SQLite store at `source` into the empty database at `target` while a node
/// goes on writing it, until little is left; answers how many records are there. [`transfer`] brings
/// the rest once the node was stopped; until then the target cannot be opened as a store.
pub async fn copy_ahead(
    source: &Address,
    target: &Address,
    mut progress: impl FnMut(&'static str, u64) + Send,
) -> Result<u64, TransferError> {
    let Address::Sqlite(file) = source else {
        // Records of several writers do not become visible in the order of their positions.
        return Err(TransferError::Shared(source.clone()));
    };
    let from = Sqlite::look(file).await.map_err(TransferError::Unopened)?;
    let to = made(target).await?;
    let outcome = ahead(&from, (target, &*to), &mut progress).await;
    let closed = (Port::close(&from).await, to.close().await);
    let records = outcome?;
    // Nothing was to be written out by one that only looked.
    let _ = closed.0;
    closed.1?;
    Ok(records)
}

async fn ahead(
    from: &dyn Port,
    (target, to): (&Address, &dyn Port),
    progress: &mut (impl FnMut(&'static str, u64) + Send),
) -> Result<u64, TransferError> {
    receive((target, to), from).await?;
    loop {
        let before = to.count(&JOURNAL).await?;
        let records = copy_rows(from, to, &JOURNAL, last_position(to).await?, progress).await?;
        if records - before < u64::from(BATCH) {
            return Ok(records);
        }
    }
}

/// Makes sure that the target holds nothing else than an earlier copy, and says that it is being made
/// into one.
async fn receive(
    (target, to): (&Address, &dyn Port),
    from: &dyn Port,
) -> Result<(), TransferError> {
    let store = from.known(STORE).await?.unwrap_or_default();
    if to.known(STORE).await? == Some(store) {
        return Err(TransferError::Same);
    }
    refuse_in_use(target, to).await?;
    refuse_marked(from, &[MOVING]).await?;
    if !is_copy(from, to, store).await? && !is_empty(to).await? {
        return Err(TransferError::Occupied(target.clone()));
    }
    to.know(COPY_OF, store).await?;
    to.know(MOVING, 1).await?;
    for table in TABLES {
        to.clear(table).await?;
    }
    Ok(())
}

/// Refuses a store that bears one of these marks: a move into it has not ended, or one from it has.
pub(super) async fn refuse_marked(port: &dyn Port, marks: &[&'static str]) -> Result<(), Error> {
    for mark in marks {
        if port.known(mark).await? == Some(1) {
            let why = match *mark {
                MOVING => {
                    "moving another store into it was interrupted; run `troupe db move` again"
                }
                _ => {
                    "another store took its place with `troupe db move`: set `store.url` to that one, or \
                     run `troupe db reopen` to serve this one again"
                }
            };
            return Err(Error::Unusable(why.to_owned()));
        }
    }
    Ok(())
}

/// Says of a store that another took its place: no node serves it any more.
pub async fn retire(address: &Address) -> Result<(), Error> {
    mark_retired(address, 1).await
}

/// Takes back what [`retire`] said.
pub async fn reopen(address: &Address) -> Result<(), Error> {
    mark_retired(address, 0).await
}

async fn mark_retired(address: &Address, mark: i64) -> Result<(), Error> {
    let port = port(address).await?;
    let marked = port.know(RETIRED, mark).await;
    let closed = port.close().await;
    marked.and(closed)
}

async fn port(address: &Address) -> Result<Box<dyn Port>, Error> {
    Ok(match address {
        Address::Sqlite(file) => Box::new(Sqlite::open(file).await?),
        Address::Postgres(options) => Box::new(Postgres::connect(options).await?),
    })
}

/// The target, which is made when it is not there.
async fn made(target: &Address) -> Result<Box<dyn Port>, TransferError> {
    if let Address::Sqlite(file) = target
        && let Some(folder) = file.parent()
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(TransferError::NoFolder(folder.to_owned()));
    }
    port(target).await.map_err(TransferError::Unopened)
}

async fn copy(
    (source, from): (&Address, &dyn Port),
    (target, to): (&Address, &dyn Port),
    progress: &mut (impl FnMut(&'static str, u64) + Send),
) -> Result<Moved, TransferError> {
    refuse_in_use(source, from).await?;
    refuse_retired((source, from), to).await?;
    receive((target, to), from).await?;
    let mut moved = Moved {
        found: to.count(&JOURNAL).await?,
        rows: Vec::new(),
    };
    let last = last_position(to).await?;
    for (table, after) in [(&JOURNAL, last)]
        .into_iter()
        .chain(TABLES.iter().map(|table| (table, None)))
    {
        let count = copy_table(from, to, table, after, progress).await?;
        moved.rows.push((table.name, count));
    }
    for counter in COUNTERS {
        let known = (from.known(counter).await?, to.known(counter).await?);
        let greater = known.0.max(known.1).unwrap_or_default();
        to.know(counter, greater).await?;
    }
    to.go_on_from_last_position().await?;
    let crooked = to.crooked_streams().await?;
    if crooked > 0 {
        return Err(TransferError::Crooked(crooked));
    }
    to.know(RETIRED, 0).await?;
    to.know(MOVING, 0).await?;
    Ok(moved)
}

/// Refuses a source whose place another store took, unless that is the target: to move it there once
/// more is no harm.
async fn refuse_retired(
    (source, from): (&Address, &dyn Port),
    to: &dyn Port,
) -> Result<(), TransferError> {
    let copied_there = to.known(COPY_OF).await? == from.known(STORE).await?;
    if from.known(RETIRED).await? == Some(1) && !copied_there {
        return Err(TransferError::Retired(source.clone()));
    }
    Ok(())
}

async fn refuse_in_use(address: &Address, port: &dyn Port) -> Result<(), TransferError> {
    match Living::of(&port.survey().await?) {
        None => Ok(()),
        Some(nodes) => Err(TransferError::InUse {
            store: address.clone(),
            nodes,
        }),
    }
}

/// Whether the target is what a move from this source left, and nobody used it since.
async fn is_copy(from: &dyn Port, to: &dyn Port, store: i64) -> Result<bool, Error> {
    if to.known(COPY_OF).await? != Some(store)
        || to.known("epoch").await? > from.known("epoch").await?
    {
        return Ok(false);
    }
    let Some(last) = last_position(to).await? else {
        return Ok(true);
    };
    let before = vec![Cell::Number(Some(last - 1))];
    let sent = from.rows(&JOURNAL, before.clone(), 1).await?;
    Ok(sent == to.rows(&JOURNAL, before, 1).await?)
}

async fn is_empty(port: &dyn Port) -> Result<bool, Error> {
    for table in [&JOURNAL].into_iter().chain(TABLES) {
        if port.count(table).await? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn last_position(port: &dyn Port) -> Result<Option<i64>, Error> {
    port.last_position().await
}

async fn copy_table(
    from: &dyn Port,
    to: &dyn Port,
    table: &'static Table,
    after: Option<i64>,
    progress: &mut (impl FnMut(&'static str, u64) + Send),
) -> Result<u64, TransferError> {
    copy_rows(from, to, table, after, progress).await?;
    let (found, expected) = (to.count(table).await?, from.count(table).await?);
    if found != expected {
        return Err(TransferError::Incomplete {
            table: table.name,
            found,
            expected,
        });
    }
    Ok(found)
}

/// Copies the rows after one; answers how many are there then.
async fn copy_rows(
    from: &dyn Port,
    to: &dyn Port,
    table: &'static Table,
    after: Option<i64>,
    progress: &mut (impl FnMut(&'static str, u64) + Send),
) -> Result<u64, TransferError> {
    let mut after: Vec<_> = after
        .map(|last| Cell::Number(Some(last)))
        .into_iter()
        .collect();
    let mut there = to.count(table).await?;
    loop {
        let rows = from.rows(table, after, BATCH).await?;
        let Some(last) = rows.last() else {
            return Ok(there);
        };
        after = last[..table.key].to_vec();
        there += rows.len() as u64;
        to.put(table, rows).await?;
        progress(table.name, there);
    }
}

#[cfg(test)]
mod tests;
