//! A copy of the database that follows it: lists that may be a little behind are read there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{PgPool, postgres::PgConnectOptions};

use super::{
    Postgres,
    gateway::{Gateway, Purpose},
    life::Life,
};
use crate::store::Error;

/// For how long the copy is left alone after it did not answer.
const REST: Duration = Duration::from_secs(5);

/// A streaming standby, and whether it answers.
#[derive(Debug)]
pub(super) struct Replica {
    gateway: Gateway,
    began: Instant,
    /// Milliseconds after that: not asked before.
    rests_until: AtomicU64,
    resting: AtomicBool,
}

impl Replica {
    /// Connects when it is first asked: a copy that is down must not keep a node from starting.
    #[expect(
        clippy::disallowed_methods,
        reason = "a rest is counted from here, whatever the wall clock does"
    )]
    pub(super) fn connect(options: &PgConnectOptions) -> Self {
        // A standby begins no life of its own.
        let life = Arc::new(Life::default());
        Self {
            gateway: Gateway::connect(options.clone(), Purpose::Browsing, life),
            began: Instant::now(),
            rests_until: AtomicU64::new(0),
            resting: AtomicBool::new(false),
        }
    }

    pub(super) async fn close(&self) {
        self.gateway.close().await;
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_fit(&self) -> bool {
        self.elapsed() >= self.rests_until.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        if self.resting.swap(false, Ordering::Relaxed) {
            tracing::info!("the read replica answers again");
        }
    }

    fn failed(&self, error: &Error) {
        let rest = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        self.rests_until
            .store(self.elapsed().saturating_add(rest), Ordering::Relaxed);
        if !self.resting.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the read replica does not answer; lists are read from the primary");
        }
    }
}

impl Postgres {
    /// Reads what may be a little behind: from the copy, and from the database itself while that does
    /// not answer.
    pub(super) async fn browse<T, F>(&self, read: impl Fn(PgPool) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if let Some(replica) = self.replica.as_ref().filter(|replica| replica.is_fit()) {
            let limit = Purpose::Browsing.patience();
            let asked = match replica.gateway.reading() {
                Ok(pool) => tokio::time::timeout(limit, read(pool.clone())).await,
                Err(closed) => return Err(closed),
            };
            match asked {
                Ok(Ok(answer)) => {
                    replica.answered();
                    return Ok(answer);
                }
                Ok(Err(error)) => replica.failed(&error),
                Err(_) => replica.failed(&Error::Unavailable("no answer in time".into())),
            }
        }
        read(self.reading()?.clone()).await
    }
}
