//! The store of a single node: one SQLite file, one writer, a few readers.
//!
//! - `gateway`: the writing connection.
//! - `append`, `streams`, `members`, `admissions`, `chronicles`, `tables`: the traits.
//! - `migrate`: which schema the file has, and how it gets the newest.

mod admissions;
mod append;
mod chronicles;
mod gateway;
mod members;
mod migrate;
mod streams;
mod tables;
mod values;

use std::{path::Path, path::PathBuf, time::Duration};

use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::gateway::Gateway;
use super::Error;
use crate::clock::Clock;

/// Earlier ones may corrupt the file when a commit and a checkpoint meet (the WAL-reset bug).
const LEAST_VERSION: [u32; 3] = [3, 51, 3];

/// How long a statement waits for a lock, which only a foreign process can hold.
const BUSY: Duration = Duration::from_secs(5);

/// Files up to this size are checked page by page after a crash; that takes a fraction of a second.
const CHECKED_BYTES: u64 = 64 << 20;

/// Connections that read; each is a thread.
const READERS: u32 = 4;

/// Everything a node keeps, in one SQLite file. Only one process may have it open.
#[derive(Debug)]
pub struct Sqlite {
    writer: Gateway,
    readers: SqlitePool,
    file: PathBuf,
    /// Decides whose lease is over: the process is alone with the file.
    clock: Clock,
}

impl Sqlite {
    /// Opens the file at `path`, makes it if there is none, and brings its schema up to date.
    ///
    /// Fails with [`Error::Unusable`] when a newer build wrote it, with [`Error::Corrupt`] when it
    /// is damaged. The caller sees to it that no other process opens the same file.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let writing = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // A verdict a row of the largest batch fits, so the two threads need not take turns.
            .row_buffer_size(values::ROWS * 2)
            .statement_cache_capacity(256)
            .pragma("cache_size", "-4096")
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging();
        // The first connection alone turns the log on: that fails while another one writes.
        let mut connection = writing.connect().await.map_err(unusable(path))?;
        prepare(&mut connection, path).await?;

        let reading = writing
            .clone()
            .create_if_missing(false)
            .pragma("cache_size", "-1024")
            .pragma("query_only", "ON");
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .idle_timeout(Some(Duration::from_secs(60)))
            .acquire_timeout(BUSY)
            .connect_lazy_with(reading);
        Ok(Self {
            writer: Gateway::new(writing, folder(path), connection),
            readers,
            file: path.to_owned(),
            clock: Clock::system(),
        })
    }

    /// Reads the file at `path`, which another process has open and writes.
    pub(super) async fn look(path: &Path) -> Result<Self, Error> {
        let reading = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY)
            .disable_statement_logging();
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(reading.clone())
            .await
            .map_err(unusable(path))?;
        Ok(Self {
            writer: Gateway::closed(reading, folder(path)),
            readers,
            file: path.to_owned(),
            clock: Clock::system(),
        })
    }
}

fn folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new(".")).to_owned()
}

impl Sqlite {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the other engine's pool may be closed"
    )]
    pub(super) const fn reading(&self) -> Result<&SqlitePool, Error> {
        Ok(&self.readers)
    }

    pub(super) const fn writer(&self) -> &Gateway {
        &self.writer
    }
}

fn unusable(path: &Path) -> impl Fn(sqlx::Error) -> Error {
    move |error| match Error::from(error) {
        Error::Busy(reason) | Error::Unavailable(reason) => {
            Error::Unusable(format!("{}: {reason}", path.display()))
        }
        error @ (Error::Full | Error::Corrupt(_) | Error::Unusable(_)) => error,
    }
}

async fn prepare(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *connection)
        .await?;
    let parts: Vec<u32> = version.split('.').flat_map(str::parse).collect();
    if parts.as_slice() < LEAST_VERSION.as_slice() {
        return Err(Error::Unusable(format!(
            "SQLite {version} may corrupt it; build with SQLite 3.51.3 or later"
        )));
    }
    migrate::up(connection).await?;
    if !was_closed(connection).await? {
        check(connection, path).await?;
    }
    sqlx::query("UPDATE meta SET value = 0 WHERE key = 'clean'")
        .execute(connection)
        .await?;
    Ok(())
}

async fn was_closed(connection: &mut SqliteConnection) -> Result<bool, Error> {
    let clean: Option<i64> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'clean'")
        .fetch_optional(connection)
        .await?;
    Ok(clean == Some(1))
}

/// Looks for damage after a crash: in all of a small file, else in what was written last.
async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    if bytes <= CHECKED_BYTES {
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut *connection)
            .await?;
        return match found.as_str() {
            "ok" => Ok(()),
            found => Err(Error::Corrupt(found.to_owned())),
        };
    }
    let lost: Option<i64> = sqlx::query_scalar(
        "SELECT position FROM (SELECT * FROM event ORDER BY position DESC LIMIT 1000) AS last
         LEFT JOIN stream USING (stream) WHERE stream.head IS NULL OR head < seq + count - 1",
    )
    .fetch_optional(connection)
    .await?;
    match lost {
        None => Ok(()),
        Some(position) => Err(Error::Corrupt(format!(
            "the record at {position} is not in the index of streams"
        ))),
    }
}

/// Marks a file as closed in order and folds its log into it.
async fn finish(connection: &mut SqliteConnection) -> Result<(), Error> {
    sqlx::query("UPDATE meta SET value = 1 WHERE key = 'clean'")
        .execute(&mut *connection)
        .await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
