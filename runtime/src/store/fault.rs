//! What a database's errors mean to a store.

use sqlx::{postgres::PgDatabaseError, sqlite::SqliteError};

use super::Error;

/// SQLSTATE of a statement that waited for a lock for as long as it may.
const LOCKED: &str = "55P03";

const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_NOTADB: i32 = 26;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        match &error {
            sqlx::Error::Database(database) => {
                if let Some(sqlite) = database.try_downcast_ref::<SqliteError>() {
                    of_sqlite(sqlite, text)
                } else if let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() {
                    // Without the line of the server's own source.
                    of_postgres(postgres.code(), postgres.message().to_owned())
                } else {
                    Self::Unavailable(text)
                }
            }
            sqlx::Error::PoolClosed => closed(),
            sqlx::Error::PoolTimedOut => Self::Busy(text),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(text),
            // The rest is foreign and grows: all of it says that the database was not reached.
            _ => Self::Unavailable(text),
        }
    }
}

pub(super) fn closed() -> Error {
    Error::Unavailable("it was closed".into())
}

fn of_sqlite(error: &SqliteError, text: String) -> Error {
    let extended = sqlx::error::DatabaseError::code(error);
    let code = extended.and_then(|code| code.parse::<i32>().ok());
    // A violated constraint means that the tables contradict what the append was checked against.
    match code.map(|extended| extended & 0xff) {
        Some(SQLITE_FULL) => Error::Full,
        Some(SQLITE_CORRUPT | SQLITE_NOTADB | SQLITE_CONSTRAINT) => Error::Corrupt(text),
        Some(_) | None => Error::Unavailable(text),
    }
}

fn of_postgres(code: &str, text: String) -> Error {
    match code {
        "53100" => Error::Full,
        LOCKED => Error::Busy(text),
        code if code.starts_with("23") || code.starts_with("XX00") => Error::Corrupt(text),
        _ => Error::Unavailable(text),
    }
}
