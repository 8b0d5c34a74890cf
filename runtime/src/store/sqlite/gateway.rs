//! The one connection that writes, and how it stays usable whatever happens to its callers.

use std::{path::PathBuf, pin::Pin, sync::Arc};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::Mutex;

use crate::store::{Error, fault};

/// Below this a disk counts as full: SQLite then reports "disk I/O error" as well as "full".
const SPARE_BYTES: u64 = 1 << 20;

/// What a transaction does with the connection.
pub(in crate::store) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// Runs one transaction at a time, each to its end even when its caller is gone.
#[derive(Debug)]
pub(in crate::store) struct Gateway {
    options: SqliteConnectOptions,
    folder: PathBuf,
    slot: Arc<Mutex<Slot>>,
}

#[derive(Debug)]
enum Slot {
    Idle(SqliteConnection),
    /// A transaction failed or panicked; the next one connects afresh.
    Empty,
    Closed,
}

impl Gateway {
    pub(super) fn new(
        options: SqliteConnectOptions,
        folder: PathBuf,
        connection: SqliteConnection,
    ) -> Self {
        Self {
            options,
            folder,
            slot: Arc::new(Mutex::new(Slot::Idle(connection))),
        }
    }

    /// One that never writes: another process does.
    pub(super) fn closed(options: SqliteConnectOptions, folder: PathBuf) -> Self {
        Self {
            options,
            folder,
            slot: Arc::new(Mutex::new(Slot::Closed)),
        }
    }

    /// Does `work` in a transaction: committed when it answers, undone when it fails.
    pub(in crate::store) async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        let slot = Arc::clone(&self.slot);
        let options = self.options.clone();
        let transaction = tokio::spawn(async move {
            let mut slot = slot.lock().await;
            let mut connection = match std::mem::replace(&mut *slot, Slot::Empty) {
                Slot::Idle(connection) => connection,
                Slot::Empty => options.connect().await?,
                Slot::Closed => {
                    *slot = Slot::Closed;
                    return Err(fault::closed());
                }
            };
            let outcome = transact(&mut connection, work).await;
            match outcome {
                Ok(answer) => {
                    *slot = Slot::Idle(connection);
                    Ok(answer)
                }
                Err(error) => {
                    // Whether it is still in a transaction is in doubt, so it goes.
                    let _ = connection.close().await;
                    Err(error)
                }
            }
        });
        let outcome = match transaction.await {
            Ok(outcome) => outcome,
            Err(panicked) => Err(Error::Unavailable(panicked.to_string())),
        };
        outcome.map_err(|error| self.explain(error))
    }

    /// Ends all writing; `last` sees the connection on its way out.
    pub(super) async fn close<W>(&self, last: W) -> Result<(), Error>
    where
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, ()> + Send + 'static,
    {
        let slot = Arc::clone(&self.slot);
        let options = self.options.clone();
        let closing = tokio::spawn(async move {
            let mut slot = slot.lock().await;
            let mut connection = match std::mem::replace(&mut *slot, Slot::Closed) {
                Slot::Idle(connection) => connection,
                Slot::Empty => options.connect().await?,
                Slot::Closed => return Ok(()),
            };
            let outcome = last(&mut connection).await;
            connection.close().await?;
            outcome
        });
        match closing.await {
            Ok(outcome) => outcome.map_err(|error| self.explain(error)),
            Err(panicked) => Err(Error::Unavailable(panicked.to_string())),
        }
    }

    /// A full disk shows in several of SQLite's errors.
    pub(super) fn explain(&self, error: Error) -> Error {
        match error {
            Error::Unavailable(reason) => match rustix::fs::statvfs(&self.folder) {
                Ok(disk) if disk.f_bavail * disk.f_frsize < SPARE_BYTES => Error::Full,
                Ok(_) | Err(_) => Error::Unavailable(reason),
            },
            Error::Full | Error::Busy(_) | Error::Corrupt(_) | Error::Unusable(_) => error,
        }
    }
}

async fn transact<T, W>(connection: &mut SqliteConnection, work: W) -> Result<T, Error>
where
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T>,
{
    // A deferred transaction that reads first fails as soon as another connection has written.
    run(connection, "BEGIN IMMEDIATE").await?;
    let answer = work(connection).await?;
    run(connection, "COMMIT").await?;
    Ok(answer)
}

/// Runs a statement without values that stays prepared.
async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Error> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}
