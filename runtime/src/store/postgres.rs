//! The store of a cluster: one PostgreSQL database that every control node reaches.
//!
//! - `append`, `streams`, `tables`: the traits.
//! - `migrate`: which schema the database has, and how it gets the newest.

mod append;
mod members;
mod migrate;
mod streams;
mod tables;

use std::{pin::Pin, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Error, fault};

/// Connections of this process.
const CONNECTIONS: u32 = 8;

/// How long a caller waits for one of them.
const WAIT: Duration = Duration::from_secs(5);

/// No statement, lock or forgotten transaction holds others up for long, whatever happens here.
const LIMITS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '5s'";

/// What a transaction does with its connection.
type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// Everything the nodes of a cluster keep, in one PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    /// Connects to the database at `url` and brings its schema up to date.
    ///
    /// Fails with [`Error::Unusable`] when a newer build wrote it, or when the server is set to
    /// lose what it acknowledged.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| Error::Unusable(format!("its address is wrong: {error}")))?;
        Self::connect(options).await
    }

    async fn connect(options: PgConnectOptions) -> Result<Self, Error> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(WAIT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(LIMITS).await?;
                    Ok(())
                })
            })
            // A connection that was returned in a transaction would hide all that follows in it.
            .after_release(|connection, _| {
                Box::pin(async move { Ok(!connection.is_in_transaction()) })
            })
            .connect_with(options.disable_statement_logging())
            .await?;
        let store = Self { pool };
        store
            .write(|connection| {
                Box::pin(async move {
                    refuse_forgetful(connection).await?;
                    lock(connection).await?;
                    migrate::up(connection).await
                })
            })
            .await?;
        Ok(store)
    }

    /// Does `work` in a transaction: committed when it answers, undone when it fails.
    ///
    /// It runs to its end in a task of its own: a caller that goes away while a transaction begins
    /// would return the connection to the pool with the transaction open.
    async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    {
        let pool = self.pool.clone();
        let transaction = tokio::spawn(async move {
            let mut transaction = pool.begin().await?;
            let answer = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(answer)
        });
        match transaction.await {
            Ok(outcome) => outcome,
            Err(panicked) => Err(Error::Unavailable(panicked.to_string())),
        }
    }

    fn opened(&self) -> Result<&PgPool, Error> {
        if self.pool.is_closed() {
            return Err(fault::closed());
        }
        Ok(&self.pool)
    }
}

/// Lets one transaction at a time change streams, until it ends.
///
/// Positions in the journal are handed out before the commit. Two at once could commit in the
/// other order, and a reader that had seen the later position would never see the earlier.
async fn lock(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 0))")
        .execute(connection)
        .await?;
    Ok(())
}

async fn refuse_forgetful(connection: &mut PgConnection) -> Result<(), Error> {
    let (fsync, commit): (String, String) =
        sqlx::query_as("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
            .fetch_one(connection)
            .await?;
    if fsync == "on" && commit != "off" {
        return Ok(());
    }
    Err(Error::Unusable(format!(
        "the server has fsync = {fsync} and synchronous_commit = {commit}, so it may lose what it \
         acknowledged; set both to on"
    )))
}

#[cfg(all(test, feature = "postgres-tests"))]
mod tests;
