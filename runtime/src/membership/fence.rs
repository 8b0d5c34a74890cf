//! Until when this node may act on its lease, by its own clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::Clock;

const FOR_EVER: u64 = u64::MAX;

/// Holds while the node may act. Cheap to clone. The clock counts while the machine sleeps.
#[derive(Debug, Clone)]
pub struct Fence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Option<Clock>,
    /// Microseconds of that clock.
    until: AtomicU64,
}

impl Fence {
    /// One that always holds: there is nobody to be fenced from.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(Inner {
            clock: None,
            until: AtomicU64::new(FOR_EVER),
        }))
    }

    /// One that holds from its first extension on.
    #[must_use]
    pub fn closed(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock: Some(clock),
            until: AtomicU64::new(0),
        }))
    }

    /// Whether the node may act now.
    #[must_use]
    pub fn holds(&self) -> bool {
        match &self.0.clock {
            None => true,
            Some(clock) => micros(clock.boot()) < self.0.until.load(Ordering::Acquire),
        }
    }

    /// How long the node may still act; `None` when for ever.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let clock = self.0.clock.as_ref()?;
        Some(self.until()?.saturating_sub(clock.boot()))
    }

    /// The moment of [`Clock::boot`] at which it ends unless it is extended; `None` when never.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        let until = self.0.until.load(Ordering::Acquire);
        self.0.clock.as_ref().map(|_| Duration::from_micros(until))
    }

    /// Lets it hold until a moment of [`Clock::boot`], unless it does so longer already.
    pub fn extend(&self, until: Duration) {
        self.0.until.fetch_max(micros(until), Ordering::AcqRel);
    }

    /// Lets it hold no more: the lease is known to be lost.
    pub fn lower(&self) {
        if self.0.clock.is_some() {
            self.0.until.store(0, Ordering::Release);
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(FOR_EVER - 1)
}
