//! What is moved: tables by name, and [`Port`], by which both engines read and write them.

use std::fmt::Write;

use sqlx::AssertSqlSafe;

use crate::store::{
    Answer, Error, Members, Postgres, Sqlite,
    postgres::{Cut, Setback},
    rows::Cells,
};

/// Which store this is: a number drawn when the database was made.
pub(super) const STORE: &str = "store";

/// The [`STORE`] whose copy this is.
pub(super) const COPY_OF: &str = "copy_of";

/// 1 while a copy is made.
pub(in crate::store) const MOVING: &str = "moving";

/// 1 once another store took the place of this one.
pub(in crate::store) const RETIRED: &str = "retired";

/// A table that is moved as it is; the columns that order its rows stand first.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) name: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// How many of the columns order the rows.
    pub(super) key: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Number,
    Text,
    Bytes,
    Flag,
}
use Kind::{Bytes, Flag, Number, Text};

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Flag(bool),
}

/// The journal only grows, so a copy of it can be gone on with.
pub(super) static JOURNAL: Table = Table {
    name: "event",
    key: 1,
    columns: &[
        ("position", Number),
        ("stream", Bytes),
        ("seq", Number),
        ("count", Number),
        ("epoch", Number),
        ("owner", Bytes),
        ("cmd_id", Bytes),
        ("tenant", Text),
        ("actor", Text),
        ("at", Number),
        ("version", Number),
        ("data", Text),
        ("hash", Bytes),
    ],
};

/// What changes, and so is copied anew each time.
pub(super) static TABLES: &[Table] = &[
    Table {
        name: "stream",
        key: 1,
        columns: &[
            ("stream", Bytes),
            ("kind", Number),
            ("slot", Number),
            ("tenant", Text),
            ("head", Number),
            ("epoch", Number),
            ("owner", Bytes),
            ("created_at", Number),
            ("updated_at", Number),
            ("status", Text),
            ("open", Flag),
            ("hidden", Flag),
            ("user_id", Text),
            ("name", Text),
            ("parent", Bytes),
            ("parked", Text),
            ("body", Text),
            ("workflow", Bytes),
            ("waits", Flag),
        ],
    },
    Table {
        name: "idem",
        key: 2,
        columns: &[
            ("tenant", Text),
            ("key", Text),
            ("body_hash", Bytes),
            ("stream", Bytes),
            ("at", Number),
        ],
    },
    Table {
        name: "reminder",
        key: 2,
        columns: &[
            ("stream", Bytes),
            ("name", Text),
            ("slot", Number),
            ("due", Number),
        ],
    },
    Table {
        name: "outbox",
        key: 1,
        columns: &[
            ("id", Bytes),
            ("stream", Bytes),
            ("kind", Text),
            ("payload", Text),
            ("due", Number),
            ("tries", Number),
        ],
    },
    Table {
        name: "snapshot",
        key: 1,
        columns: &[
            ("stream", Bytes),
            ("seq", Number),
            ("hash", Bytes),
            ("version", Number),
            ("data", Text),
        ],
    },
    Table {
        name: "view_row",
        key: 2,
        columns: &[("view", Text), ("key", Text), ("body", Text)],
    },
    Table {
        name: "view_cursor",
        key: 1,
        columns: &[("view", Text), ("position", Number)],
    },
    Table {
        name: "cluster",
        key: 1,
        columns: &[("one", Number), ("cluster", Bytes), ("shards", Number)],
    },
    Table {
        name: "token",
        key: 1,
        columns: &[
            ("id", Bytes),
            ("hash", Bytes),
            ("roles", Text),
            ("made_by", Text),
            ("made_at", Number),
            ("expires_at", Number),
            ("used_at", Number),
            ("used_by", Bytes),
            ("revoked", Flag),
        ],
    },
    Table {
        name: "identity",
        key: 1,
        columns: &[
            ("id", Bytes),
            ("name", Text),
            ("roles", Text),
            ("admitted_at", Number),
            ("revoked", Flag),
        ],
    },
];

impl Table {
    fn names(&self, count: usize) -> String {
        let names: Vec<_> = self.columns[..count]
            .iter()
            .map(|(name, _)| *name)
            .collect();
        names.join(", ")
    }

    /// Rows after a key, which is empty before the first.
    fn select(&self, after: usize) -> String {
        let (name, columns) = (self.name, self.names(self.columns.len()));
        let key = self.names(self.key);
        let mut sql = format!("SELECT {columns} FROM {name}");
        if after > 0 {
            let values = placeholders(1, after);
            // Writing to a string cannot fail.
            let _ = write!(sql, " WHERE ({key}) > ({values})");
        }
        let _ = write!(sql, " ORDER BY {key} LIMIT ${}", after + 1);
        sql
    }

    fn insert(&self, rows: usize, overriding: &str) -> String {
        let width = self.columns.len();
        let values: Vec<_> = (0..rows)
            .map(|row| format!("({})", placeholders(1 + row * width, width)))
            .collect();
        format!(
            "INSERT INTO {} ({}) {overriding} VALUES {}",
            self.name,
            self.names(width),
            values.join(", ")
        )
    }

    fn read(&self, row: &impl Cells) -> Result<Vec<Cell>, Error> {
        let cells = self.columns.iter().map(|(name, kind)| {
            Ok(match kind {
                Number => Cell::Number(row.maybe_number(name)?),
                Text => Cell::Text(row.maybe_text(name)?),
                Bytes => Cell::Bytes(row.maybe_bytes(name)?.map(<[u8]>::to_vec)),
                Flag => Cell::Flag(row.flag(name)?),
            })
        });
        cells.collect()
    }
}

fn placeholders(first: usize, count: usize) -> String {
    let each: Vec<_> = (first..first + count)
        .map(|number| format!("${number}"))
        .collect();
    each.join(", ")
}

/// How a database's tables are read and written whole.
pub(crate) trait Port: Members {
    /// At most `limit` rows after a key, in its order; all from the first when the key is empty.
    fn rows(
        &self,
        table: &'static Table,
        after: Vec<Cell>,
        limit: u32,
    ) -> Answer<'_, Vec<Vec<Cell>>>;

    /// Adds rows.
    fn put(&self, table: &'static Table, rows: Vec<Vec<Cell>>) -> Answer<'_, ()>;

    /// Drops all rows.
    fn clear(&self, table: &'static Table) -> Answer<'_, ()>;

    /// How many rows there are.
    fn count(&self, table: &'static Table) -> Answer<'_, u64>;

    /// The position of the last record.
    fn last_position(&self) -> Answer<'_, Option<i64>>;

    /// Lets the next record stand after the last.
    fn go_on_from_last_position(&self) -> Answer<'_, ()>;

    /// Streams whose head is not where their last record ends.
    fn crooked_streams(&self) -> Answer<'_, u64>;

    /// A number that the database knows of itself.
    fn known(&self, key: &'static str) -> Answer<'_, Option<i64>>;

    /// Changes or adds such a number.
    fn know(&self, key: &'static str, number: i64) -> Answer<'_, ()>;

    /// Writes everything out.
    fn close(&self) -> Answer<'_, ()>;
}

const LAST: &str = "SELECT max(position) FROM event";
const CROOKED: &str = "SELECT count(*) FROM stream WHERE head <> coalesce(
    (SELECT max(seq + count - 1) FROM event WHERE event.stream = stream.stream), 0)";
const KNOWN: &str = "SELECT value FROM meta WHERE key = $1";
const KNOW: &str = "INSERT INTO meta (key, value) VALUES ($1, $2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// Binds cells one after the other.
macro_rules! bound {
    ($query:expr, $cells:expr) => {{
        let mut query = $query;
        for cell in $cells {
            query = match cell {
                Cell::Number(number) => query.bind(number),
                Cell::Text(text) => query.bind(text),
                Cell::Bytes(bytes) => query.bind(bytes),
                Cell::Flag(flag) => query.bind(flag),
            };
        }
        query
    }};
}

/// The questions that both engines answer alike.
macro_rules! questions {
    ($pool:ident) => {
        fn rows(
            &self,
            table: &'static Table,
            after: Vec<Cell>,
            limit: u32,
        ) -> Answer<'_, Vec<Vec<Cell>>> {
            Box::pin(async move {
                let sql = AssertSqlSafe(table.select(after.len()));
                let query = bound!(sqlx::query(sql), after).bind(i64::from(limit));
                let rows = query.fetch_all(self.$pool()?).await?;
                rows.iter().map(|row| table.read(row)).collect()
            })
        }

        fn count(&self, table: &'static Table) -> Answer<'_, u64> {
            Box::pin(async move {
                let sql = AssertSqlSafe(format!("SELECT count(*) FROM {}", table.name));
                let count: i64 = sqlx::query_scalar(sql).fetch_one(self.$pool()?).await?;
                Ok(count.cast_unsigned())
            })
        }

        fn last_position(&self) -> Answer<'_, Option<i64>> {
            Box::pin(async move { Ok(sqlx::query_scalar(LAST).fetch_one(self.$pool()?).await?) })
        }

        fn crooked_streams(&self) -> Answer<'_, u64> {
            Box::pin(async move {
                let count: i64 = sqlx::query_scalar(CROOKED).fetch_one(self.$pool()?).await?;
                Ok(count.cast_unsigned())
            })
        }

        fn known(&self, key: &'static str) -> Answer<'_, Option<i64>> {
            Box::pin(async move {
                let known = sqlx::query_scalar(KNOWN).bind(key);
                Ok(known.fetch_optional(self.$pool()?).await?)
            })
        }

        fn close(&self) -> Answer<'_, ()> {
            crate::store::Admin::close(self)
        }
    };
}

impl Port for Sqlite {
    questions!(reading);

    fn put(&self, table: &'static Table, rows: Vec<Vec<Cell>>) -> Answer<'_, ()> {
        Box::pin(self.writer().write(move |connection| {
            Box::pin(async move {
                let sql = AssertSqlSafe(table.insert(rows.len(), ""));
                let query = bound!(sqlx::query(sql), rows.into_iter().flatten());
                query.execute(connection).await?;
                Ok(())
            })
        }))
    }

    fn clear(&self, table: &'static Table) -> Answer<'_, ()> {
        Box::pin(self.writer().write(move |connection| {
            Box::pin(async move {
                let sql = AssertSqlSafe(format!("DELETE FROM {}", table.name));
                sqlx::query(sql).execute(connection).await?;
                Ok(())
            })
        }))
    }

    fn go_on_from_last_position(&self) -> Answer<'_, ()> {
        // SQLite counts on from the greatest.
        Box::pin(std::future::ready(Ok(())))
    }

    fn know(&self, key: &'static str, number: i64) -> Answer<'_, ()> {
        Box::pin(self.writer().write(move |connection| {
            Box::pin(async move {
                let query = sqlx::query(KNOW).bind(key).bind(number);
                query.execute(connection).await?;
                Ok(())
            })
        }))
    }
}

impl Port for Postgres {
    questions!(reading);

    fn put(&self, table: &'static Table, rows: Vec<Vec<Cell>>) -> Answer<'_, ()> {
        Box::pin(self.work().write(Cut::Tell, move |connection| {
            let rows = rows.clone();
            Box::pin(async move {
                // Positions are the server's to give, but for those that were given elsewhere.
                let sql = AssertSqlSafe(table.insert(rows.len(), "OVERRIDING SYSTEM VALUE"));
                let query = bound!(sqlx::query(sql), rows.into_iter().flatten());
                query.execute(connection).await?;
                Ok(())
            })
        }))
    }

    fn clear(&self, table: &'static Table) -> Answer<'_, ()> {
        Box::pin(self.work().write(Cut::Repeat, move |connection| {
            Box::pin(async move {
                let sql = AssertSqlSafe(format!("TRUNCATE {}", table.name));
                sqlx::query(sql).execute(connection).await?;
                Ok::<_, Setback>(())
            })
        }))
    }

    fn go_on_from_last_position(&self) -> Answer<'_, ()> {
        Box::pin(self.work().write(Cut::Repeat, move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "SELECT setval(pg_get_serial_sequence('event', 'position'),
                         (SELECT max(position) FROM event))",
                )
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }

    fn know(&self, key: &'static str, number: i64) -> Answer<'_, ()> {
        Box::pin(self.work().write(Cut::Repeat, move |connection| {
            Box::pin(async move {
                let query = sqlx::query(KNOW).bind(key).bind(number);
                query.execute(connection).await?;
                Ok(())
            })
        }))
    }
}
