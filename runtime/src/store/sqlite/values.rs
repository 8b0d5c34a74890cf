//! Statements over many rows at once, each kept prepared in a few sizes.

use std::{
    fmt::Write,
    sync::{Arc, OnceLock},
};

use sqlx::{
    Arguments, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type,
    error::BoxDynError,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::store::Error;

/// Rows that one statement takes at most; 16 columns of them stay below SQLite's 32,766 variables.
pub(super) const ROWS: usize = 256;

const SIZES: usize = ROWS.ilog2() as usize + 1;

/// SQL around `(VALUES …)`, whose columns it names `column1` and on.
///
/// The list has room for the next power of two; what is left over is NULL, and the SQL must pass
/// over rows whose first column is.
pub(super) struct Values {
    before: &'static str,
    columns: usize,
    after: &'static str,
    sized: [OnceLock<Arc<str>>; SIZES],
}

impl Values {
    pub(super) const fn new(before: &'static str, columns: usize, after: &'static str) -> Self {
        Self {
            before,
            columns,
            after,
            sized: [const { OnceLock::new() }; SIZES],
        }
    }

    /// Binds all rows, [`ROWS`] to a statement.
    pub(super) fn over<T>(
        &self,
        rows: impl IntoIterator<Item = T>,
        bind: impl Fn(&mut Row, T) -> Result<(), BoxDynError>,
    ) -> Result<Bound, Error> {
        let mut rows = rows.into_iter().peekable();
        let mut statements = Vec::new();
        while rows.peek().is_some() {
            let mut row = Row::default();
            let mut count = 0;
            for item in rows.by_ref().take(ROWS) {
                bind(&mut row, item).map_err(sqlx::Error::Encode)?;
                count += 1;
                debug_assert_eq!(row.0.len(), count * self.columns, "a value a column");
            }
            let size = count.next_power_of_two();
            let sql = self.sized[size.ilog2() as usize].get_or_init(|| self.sql(size));
            statements.push((Arc::clone(sql), row.0));
        }
        Ok(Bound(statements))
    }

    fn sql(&self, rows: usize) -> Arc<str> {
        let row = format!("({}?)", "?,".repeat(self.columns - 1));
        let mut sql = String::new();
        let rows = vec![row; rows].join(",");
        // Writing to a string cannot fail.
        let _ = write!(sql, "{} (VALUES {rows}) {}", self.before, self.after);
        sql.into()
    }
}

/// Statements with their values, ready to run.
///
/// They are bound before anything is awaited: a future that holds borrowed rows is not `Send`
/// enough for the compiler.
pub(super) struct Bound(Vec<(Arc<str>, SqliteArguments)>);

impl Bound {
    /// Runs them in order and answers the rows that they return.
    pub(super) async fn run(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<SqliteRow>, Error> {
        let mut returned = Vec::new();
        for (sql, values) in self.0 {
            let query = sqlx::query_with(AssertSqlSafe(sql), values);
            returned.append(&mut query.fetch_all(&mut *connection).await?);
        }
        Ok(returned)
    }
}

/// The values of the rows so far.
#[derive(Default)]
pub(super) struct Row(SqliteArguments);

impl Row {
    pub(super) fn add<'q, T>(&mut self, value: T) -> Result<&mut Self, BoxDynError>
    where
        T: Encode<'q, Sqlite> + Type<Sqlite>,
    {
        self.0.add(value)?;
        Ok(self)
    }
}
