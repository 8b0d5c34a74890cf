//! The store of a cluster: one PostgreSQL database that every control node reaches.
//!
//! - `gateway`: connections, and how work on them survives what happens around it.
//! - `append`, `streams`, `members`, `admissions`, `tables`: the traits.
//! - `migrate`: which schema the database has, and how it gets the newest; `life`: which life of
//!   the database this is.

mod admissions;
mod append;
mod gateway;
mod life;
mod members;
mod migrate;
mod streams;
mod tables;

use std::str::FromStr;

use sqlx::{PgConnection, PgPool, postgres::PgConnectOptions};

use self::gateway::{Cut, Gateway, Purpose, Setback};
use super::Error;

/// Everything the nodes of a cluster keep, in one PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    work: Gateway,
    leases: Gateway,
}

impl Postgres {
    /// Connects to the database at `url` and brings its schema up to date.
    ///
    /// Fails with [`Error::Unusable`] when a newer build wrote it, or when the server is set to
    /// lose what it acknowledged.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| Error::Unusable(format!("its address is wrong: {error}")))?;
        Self::connect(options.application_name("troupe")).await
    }

    async fn connect(options: PgConnectOptions) -> Result<Self, Error> {
        let store = Self {
            work: Gateway::connect(options.clone(), Purpose::Work),
            leases: Gateway::connect(options, Purpose::Leases),
        };
        store
            .work
            .transact(Cut::Repeat, |connection| {
                Box::pin(async move {
                    refuse_forgetful(connection).await?;
                    lock(connection).await?;
                    migrate::up(connection).await?;
                    life::notice(connection).await
                })
            })
            .await?;
        Ok(store)
    }

    fn reading(&self) -> Result<&PgPool, Error> {
        self.work.reading()
    }
}

/// Lets one transaction at a time append to the journal, until it ends.
async fn lock(connection: &mut PgConnection) -> Result<(), Setback> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 0))")
        .execute(connection)
        .await?;
    Ok(())
}

async fn refuse_forgetful(connection: &mut PgConnection) -> Result<(), Setback> {
    let (fsync, pages, commit): (String, String, String) = sqlx::query_as(
        "SELECT current_setting('fsync'), current_setting('full_page_writes'),
             current_setting('synchronous_commit')",
    )
    .fetch_one(connection)
    .await?;
    if fsync == "on" && pages == "on" && commit != "off" {
        return Ok(());
    }
    Err(Setback::Final(Error::Unusable(format!(
        "the server has fsync = {fsync}, full_page_writes = {pages} and synchronous_commit = \
         {commit}, so it may lose what it acknowledged; set all three to on"
    ))))
}

#[cfg(test)]
mod tests;
