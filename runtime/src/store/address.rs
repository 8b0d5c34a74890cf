//! Where a store is, and which engine that means.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use sqlx::postgres::PgConnectOptions;

use super::{
    Error, Postgres, Shared, Sqlite,
    transfer::{MOVING, RETIRED, refuse_marked},
};

/// What a store's URL says: `sqlite:FILE`, or `postgres://USER:PASSWORD@HOST/DATABASE`.
///
/// Prints without the password.
#[derive(Clone)]
pub enum Address {
    /// A file that one process has to itself.
    Sqlite(PathBuf),
    /// A database that several nodes may share.
    Postgres(Box<PgConnectOptions>),
}

/// A text is not the URL of a store. It is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must have the form `sqlite:FILE` or `postgres://USER@HOST/DATABASE`{0}")]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(url: &str) -> Result<Self, InvalidAddress> {
        let invalid = |because: &str| InvalidAddress(because.to_owned());
        if let Some(file) = url.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            return match file {
                "" => Err(invalid("")),
                file => Ok(Self::Sqlite(PathBuf::from(file))),
            };
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return match PgConnectOptions::from_str(url) {
                Ok(options) => Ok(Self::Postgres(Box::new(options))),
                Err(error) => Err(invalid(&format!(", and this one is not: {error}"))),
            };
        }
        Err(invalid(""))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "sqlite:{}", file.display()),
            Self::Postgres(options) => {
                let (user, host) = (options.get_username(), options.get_host());
                write!(f, "postgres://{user}@{host}:{}", options.get_port())?;
                match options.get_database() {
                    Some(database) => write!(f, "/{database}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Opens the store at `address`, makes it if there is none, and brings its schema up to date.
///
/// Fails with [`Error::Unusable`] when a newer build wrote it, and as the engine says.
pub async fn open(address: &Address) -> Result<Shared, Error> {
    opened(address, None, &[MOVING]).await
}

/// The same for a node that is to serve it: refuses one whose place another took. Reads lists that may
/// be a little behind from `replica`, a streaming standby.
pub async fn open_to_serve(address: &Address, replica: Option<&Address>) -> Result<Shared, Error> {
    opened(address, replica, &[MOVING, RETIRED]).await
}

async fn opened(
    address: &Address,
    replica: Option<&Address>,
    marks: &[&'static str],
) -> Result<Shared, Error> {
    Ok(match address {
        Address::Sqlite(file) => {
            let store = Sqlite::open(file).await?;
            refuse_marked(&store, marks).await?;
            Arc::new(store)
        }
        Address::Postgres(options) => {
            let store = Postgres::connect(options).await?;
            refuse_marked(&store, marks).await?;
            match replica {
                Some(Address::Postgres(replica)) => Arc::new(store.with_replica(replica)),
                Some(Address::Sqlite(_)) | None => Arc::new(store),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_which_engine_and_where() {
        for (url, expected) in [
            ("sqlite:troupe.db", "sqlite:troupe.db"),
            ("sqlite:///var/lib/t.db", "sqlite:/var/lib/t.db"),
            (
                "postgres://ann:secret@db.example:6543/troupe?sslmode=verify-full",
                "postgres://ann@db.example:6543/troupe",
            ),
            (
                "postgresql://ann@db/troupe",
                "postgres://ann@db:5432/troupe",
            ),
        ] {
            let address: Address = url.parse().unwrap();
            assert_eq!(address.to_string(), expected);
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for url in [
            "",
            "sqlite:",
            "mysql://ann:secret@db/x",
            "postgres://ann:secret@db:port/x",
        ] {
            let error = url.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("sqlite:FILE"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
