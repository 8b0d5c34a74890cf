//! Connections, and how work on them outlives its callers, conflicts and lost connections.

use std::{pin::Pin, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::Instant;

use super::life::Life;
use crate::store::{Answer, Error, fault};

/// How often work is begun anew, at most.
const REPEATS: u32 = 5;

/// How long a caller waits for a connection, of which the server may give no more.
const QUEUEING: Duration = Duration::from_secs(3);

/// What a pool is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Everything but leases.
    Work,
    /// Leases: whatever keeps the other connections busy must not cost the lease.
    Leases,
    /// Lists, from a copy of the database: there is the database itself if it does not answer.
    Browsing,
}

impl Purpose {
    const fn connections(self) -> u32 {
        match self {
            Self::Work => 8,
            Self::Leases => 2,
            Self::Browsing => 4,
        }
    }

    /// How operators see its connections in `pg_stat_activity`.
    const fn name(self) -> &'static str {
        match self {
            Self::Work => "troupe",
            Self::Leases => "troupe-leases",
            Self::Browsing => "troupe-replica",
        }
    }

    /// How long connections are kept. A server that takes no more of them must not cost the lease:
    /// those are opened at once and never given up while they are sound.
    fn kept(self, options: PgPoolOptions) -> PgPoolOptions {
        match self {
            Self::Work | Self::Browsing => options,
            Self::Leases => options
                .min_connections(self.connections())
                .idle_timeout(None)
                .max_lifetime(None),
        }
    }

    /// How long a caller waits for the end of its work.
    ///
    /// The server's own limits come first. This is for a server that says nothing more, as one
    /// that is frozen.
    pub(super) const fn patience(self) -> Duration {
        match self {
            Self::Work => Duration::from_secs(8),
            Self::Leases => Duration::from_secs(3),
            Self::Browsing => Duration::from_secs(2),
        }
    }

    /// No statement, lock or forgotten transaction holds others up for long, whatever happens
    /// here: a frozen node must not make the others wait for a lease's length.
    const fn limits(self) -> &'static str {
        match self {
            Self::Work => {
                // Whoever finds a table locked, by an operator say, is told so before it waits for long;
                // between nodes no lock is held for a tenth of that.
                "SET statement_timeout = '5s'; SET lock_timeout = '1s';
                 SET idle_in_transaction_session_timeout = '5s'"
            }
            Self::Leases => {
                "SET statement_timeout = '2s'; SET lock_timeout = '2s';
                 SET idle_in_transaction_session_timeout = '1s'"
            }
            Self::Browsing => {
                "SET statement_timeout = '2s'; SET default_transaction_read_only = on"
            }
        }
    }
}

/// What work does with its connection.
pub(in crate::store) type Work<'c, T> =
    Pin<Box<dyn Future<Output = Result<T, Setback>> + Send + 'c>>;

/// Why work did not come to its end.
#[derive(Debug)]
pub(in crate::store) enum Setback {
    /// It met other work and nothing of it was kept: it can begin anew.
    Met(Error),
    /// The connection broke, and nobody knows whether it was committed.
    Cut(Error),
    /// Another try would end the same way.
    Final(Error),
}

impl Setback {
    fn into_error(self) -> Error {
        match self {
            Self::Met(error) | Self::Cut(error) | Self::Final(error) => error,
        }
    }
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<sqlx::Error> for Setback {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        let kind = match (code.as_deref(), &error) {
            // Serialisation failure, deadlock.
            (Some("40001" | "40P01"), _) => Self::Met,
            // The server ends the connection, or says that it is going down or coming up.
            (Some(code), _) if code.starts_with("57P") || code.starts_with("08") => Self::Cut,
            (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => Self::Cut,
            (Some(_) | None, _) => Self::Final,
        };
        kind(error.into())
    }
}

/// What happens to work whose connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Cut {
    /// It is told: only the caller knows how to find out whether it was committed.
    Tell,
    /// It is done again, because doing it twice is the same as once.
    Repeat,
}

/// A pool of connections.
#[derive(Debug, Clone)]
pub(in crate::store) struct Gateway {
    pool: PgPool,
    purpose: Purpose,
}

impl Gateway {
    pub(super) fn connect(options: PgConnectOptions, purpose: Purpose, life: Arc<Life>) -> Self {
        let options = options.application_name(purpose.name());
        let pool = purpose
            .kept(PgPoolOptions::new())
            .max_connections(purpose.connections())
            .acquire_timeout(QUEUEING)
            // A server that restarted leaves dead connections; without a sign of life, each of them
            // would cost a caller an error.
            .test_before_acquire(true)
            .after_connect(move |connection, _| {
                let life = life.clone();
                Box::pin(async move {
                    connection.execute(purpose.limits()).await?;
                    let watched = life.watch(connection).await;
                    watched
                        .map_err(|setback| sqlx::Error::Protocol(setback.into_error().to_string()))
                })
            })
            // A connection that was returned in a transaction would hide all that follows in it.
            .after_release(|connection, _| {
                Box::pin(async move { Ok(!connection.is_in_transaction()) })
            })
            .connect_lazy_with(options.disable_statement_logging());
        Self { pool, purpose }
    }

    /// For statements that only read.
    pub(super) fn reading(&self) -> Result<&PgPool, Error> {
        if self.pool.is_closed() {
            return Err(fault::closed());
        }
        Ok(&self.pool)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Does `work` in a transaction: committed when it answers, undone when it fails.
    pub(super) async fn transact<T, W>(&self, cut: Cut, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        self.write(cut, move |connection| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let mut transaction = connection.begin().await?;
                let answer = work(&mut transaction).await?;
                transaction.commit().await?;
                Ok(answer)
            })
        })
        .await
    }

    /// Does `work`, which is one statement and so commits or not by itself.
    ///
    /// It runs to its end in a task of its own: a caller that goes away in the middle would leave a
    /// connection in doubt.
    pub(in crate::store) async fn write<T, W>(&self, cut: Cut, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.write_by(None, cut, work).await
    }

    /// As [`Self::write`], and gives up at `end`: the caller would sooner try again.
    pub(super) async fn write_by<T, W>(
        &self,
        end: Option<Instant>,
        cut: Cut,
        work: W,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T> + Send + Sync + 'static,
    {
        let pool = self.reading()?.clone();
        let patience = self.purpose.patience();
        let writing = tokio::spawn(async move {
            let mut repeats = 0;
            loop {
                let left = |most: Duration| {
                    end.map_or(most, |end| {
                        most.min(end.saturating_duration_since(Instant::now()))
                    })
                };
                let setback = match once(&pool, left, patience, &work).await {
                    Ok(answer) => return Ok(answer),
                    Err(setback) => setback,
                };
                let again = match setback {
                    Setback::Met(_) => true,
                    Setback::Cut(_) => cut == Cut::Repeat,
                    Setback::Final(_) => false,
                };
                if !again || repeats == REPEATS || left(patience).is_zero() {
                    return Err(setback.into_error());
                }
                repeats += 1;
                tokio::time::sleep(pause(repeats, fastrand::f64())).await;
            }
        });
        match writing.await {
            Ok(outcome) => outcome,
            Err(panicked) => Err(Error::Unavailable(panicked.to_string())),
        }
    }
}

/// `left` says what is left of a span before the end of all.
async fn once<T, W>(
    pool: &PgPool,
    left: impl Fn(Duration) -> Duration,
    patience: Duration,
    work: &W,
) -> Result<T, Setback>
where
    W: for<'c> Fn(&'c mut PgConnection) -> Work<'c, T>,
{
    let acquired = tokio::time::timeout(left(QUEUEING), pool.acquire()).await;
    let mut connection = acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    let patience = left(patience);
    let outcome = tokio::time::timeout(patience, work(&mut connection)).await;
    if let Err(_) | Ok(Err(Setback::Cut(_))) = outcome {
        // What it would still say is not waited for.
        drop(connection.detach());
    }
    outcome.unwrap_or_else(|_| Err(Setback::Final(silent(patience))))
}

/// Waits for something that only reads as long as for anything else.
pub(super) fn asked<'a, T: Send + 'a>(
    question: impl Future<Output = Result<T, Error>> + Send + 'a,
) -> Answer<'a, T> {
    let patience = Purpose::Work.patience();
    Box::pin(async move {
        let answer = tokio::time::timeout(patience, question).await;
        answer.unwrap_or_else(|_| Err(silent(patience)))
    })
}

fn silent(patience: Duration) -> Error {
    Error::Unavailable(format!("no answer within {:.1} s", patience.as_secs_f64()))
}

/// Longer with each repeat, and not the same for all that met.
fn pause(repeat: u32, chance: f64) -> Duration {
    Duration::from_millis(10 << repeat).mul_f64(0.5 + chance)
}
