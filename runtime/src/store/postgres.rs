//! The store of a cluster: one PostgreSQL database that every control node reaches.
//!
//! - `gateway`: connections, and how work on them survives what happens around it.
//! - `append`, `streams`, `members`, `admissions`, `chronicles`, `tables`: the traits.
//! - `migrate`: which schema the database has, and how it gets the newest; `life`: which life of
//!   the database this is, looked at with each new connection.
//! - `obstacle`: why there is no connection, for whoever can do something about it.
//! - `replica`: a copy that lists are read from.

mod admissions;
mod append;
mod chronicles;
mod gateway;
mod life;
mod members;
mod migrate;
mod obstacle;
mod replica;
mod streams;
mod tables;

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, PgPool, postgres::PgConnectOptions};

pub(super) use self::gateway::{Cut, Setback};
use self::{
    gateway::{Gateway, Purpose},
    life::Life,
    obstacle::obstacle,
    replica::Replica,
};
use super::Error;

/// Everything the nodes of a cluster keep, in one PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    work: Gateway,
    leases: Gateway,
    replica: Option<Replica>,
    life: Arc<Life>,
}

impl Postgres {
    /// Connects to a database and brings its schema up to date.
    ///
    /// Fails with [`Error::Unusable`] when a newer build wrote it, or when the server is set to
    /// lose what it acknowledged.
    pub async fn connect(options: &PgConnectOptions) -> Result<Self, Error> {
        let life = Arc::new(Life::default());
        let store = Self {
            work: Gateway::connect(options.clone(), Purpose::Work, life.clone()),
            leases: Gateway::connect(options.clone(), Purpose::Leases, life.clone()),
            life: life.clone(),
            replica: None,
        };
        let ready = store
            .work
            .transact(Cut::Repeat, move |connection| {
                let life = life.clone();
                Box::pin(async move {
                    refuse_forgetful(connection).await?;
                    make_schema(connection).await?;
                    lock(connection).await?;
                    migrate::up(connection).await?;
                    life.notice(connection).await
                })
            })
            .await;
        match ready {
            Ok(()) => Ok(store),
            // The pool tells only that it had none to give, and nobody what can be done about it.
            Err(error @ (Error::Busy(_) | Error::Unavailable(_))) => {
                Err(obstacle(options).await.unwrap_or(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads lists that may be a little behind from a streaming copy of the database, as long as that
    /// answers. Everything else is read where it is written.
    #[must_use]
    pub fn with_replica(mut self, options: &PgConnectOptions) -> Self {
        self.replica = Some(Replica::connect(options));
        self
    }

    pub(super) fn reading(&self) -> Result<&PgPool, Error> {
        self.work.reading()
    }

    pub(super) const fn work(&self) -> &Gateway {
        &self.work
    }
}

/// Makes the schema that the address names (`options[search_path]=NAME`), if it is not there.
async fn make_schema(connection: &mut PgConnection) -> Result<(), Setback> {
    let missing: Option<String> = sqlx::query_scalar(
        "SELECT 'CREATE SCHEMA IF NOT EXISTS '
             || quote_ident(trim(split_part(current_setting('search_path'), ',', 1), ' \"'))
         WHERE current_schema() IS NULL",
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(create) = missing {
        sqlx::query(AssertSqlSafe(create))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Lets one transaction at a time change the schema, or give streams names.
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
