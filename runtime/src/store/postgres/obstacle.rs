//! What stands in the way of a connection, and what an operator can do about it.

use std::{io, time::Duration};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::store::Error;

/// SQLSTATE of a database that is not there.
const NO_DATABASE: &str = "3D000";

/// SQLSTATEs of users that are not let in.
const NO_ENTRY: [&str; 2] = ["28000", "28P01"];

/// What stands in the way of a connection, if anything does.
pub(super) async fn obstacle(options: &PgConnectOptions) -> Option<Error> {
    /// Longer than a server that is there and has connections to give takes.
    const TRIED_FOR: Duration = Duration::from_secs(3);
    match timeout(TRIED_FOR, PgConnection::connect_with(options)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(told(options, error)),
        Err(_) => Some(silent(options, "it takes too long")),
    }
}

fn told(options: &PgConnectOptions, error: sqlx::Error) -> Error {
    let user = options.get_username();
    match &error {
        sqlx::Error::Io(error) => silent(options, &plain(error)),
        sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
            Some(NO_DATABASE) => {
                let database = options.get_database().unwrap_or(user);
                Error::Unavailable(format!(
                    "there is no database `{database}` at {}; create it (`createdb {database}`), or name another",
                    server(options)
                ))
            }
            Some(code) if NO_ENTRY.contains(&code) => Error::Unavailable(format!(
                "{} does not let `{user}` in: {}; check user and password",
                server(options),
                refusal.message()
            )),
            Some(_) | None => error.into(),
        },
        _ => error.into(),
    }
}

fn silent(options: &PgConnectOptions, why: &str) -> Error {
    Error::Unavailable(format!(
        "{} does not answer: {why}; check that PostgreSQL runs there, and host and port",
        server(options)
    ))
}

fn server(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Without the number of the error.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
