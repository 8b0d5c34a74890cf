//! Who reads the past, and how much of it at a time.

use std::{sync::Arc, time::Duration};

use runtime::chronicle::{Bounds, Untold};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Answer, cases::TOLD_WITHIN};
use crate::Rejection;

/// How many may read at the same time on a node, and how long others wait for their turn.
const AT_ONCE: usize = 2;
const TURN: Duration = Duration::from_millis(500);

/// So much longer than their turn nobody reads: whoever asked is still there.
const WITHIN: Duration = TOLD_WITHIN.saturating_sub(TURN);

/// Bytes that one request may read, and that are read beside something else.
const BYTES: u64 = 64 << 20;
const BESIDE: u64 = 8 << 20;

/// The turns of those who read the past.
#[derive(Debug, Clone)]
pub(super) struct Readings(Arc<Semaphore>);

/// One who reads it now.
#[derive(Debug)]
pub(super) struct Reading {
    /// As far as it may go.
    pub(super) bounds: Bounds,
    _turn: OwnedSemaphorePermit,
}

impl Default for Readings {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Readings {
    /// Waits for a turn.
    pub(super) async fn begin(&self) -> Answer<Reading> {
        let turn = timeout(TURN, self.0.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Rejection::Overloaded {
                message: "others are reading the past on this node".to_owned(),
                retry_after: Duration::from_secs(1),
            });
        };
        Ok(Reading {
            bounds: Bounds::new(BYTES, WITHIN),
            _turn: turn,
        })
    }

    /// For what does without the past when others are reading it.
    pub(super) fn begin_at_once(&self) -> Option<Reading> {
        let turn = self.0.clone().try_acquire_owned().ok()?;
        Some(Reading {
            bounds: Bounds::new(BESIDE, WITHIN),
            _turn: turn,
        })
    }
}

/// What a caller hears who asked for a moment, in this field, that cannot be told of.
pub(super) fn untold(why: Untold, field: &str) -> Rejection {
    match why {
        Untold::Store(error) => error.into(),
        Untold::Forgotten { .. } => Rejection::field(field, why.to_string()),
        Untold::TooMuch => Rejection::field(
            field,
            format!("{why}; name a `node`, a `path` or a shorter time"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_read_at_a_time_and_others_are_told_to_come_again() {
        let readings = Readings::default();
        let first = readings.begin().await.unwrap();
        let _second = readings.begin().await.unwrap();
        let refused = readings.begin().await.unwrap_err();
        assert_eq!(refused.code(), "overloaded");
        assert!(readings.begin_at_once().is_none());
        drop(first);
        assert!(readings.begin().await.is_ok());
    }

    #[test]
    fn a_moment_that_is_not_kept_is_the_fault_of_its_field() {
        let why = untold(Untold::Forgotten { from: None }, "at");
        assert_eq!(why.to_string(), "at: nothing of the past is kept yet");
        let why = untold(Untold::TooMuch, "from");
        assert!(matches!(why, Rejection::Invalid { .. }), "{why:?}");
    }
}
