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
    /// How often it began to hold.
    laps: AtomicU64,
}

impl Fence {
    /// One that always holds: there is nobody to be fenced from.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(Inner {
            clock: None,
            until: AtomicU64::new(FOR_EVER),
            laps: AtomicU64::new(0),
        }))
    }

    /// One that holds from its first extension on.
    #[must_use]
    pub fn closed(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock: Some(clock),
            until: AtomicU64::new(0),
            laps: AtomicU64::new(0),
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

    /// How often it has begun to hold. When that differs from what it was, it did not hold in between,
    /// and others may have acted as if the node were dead.
    #[must_use]
    pub fn laps(&self) -> u64 {
        self.0.laps.load(Ordering::SeqCst)
    }

    /// Lets it hold until a moment of [`Clock::boot`], unless it does so longer already.
    pub fn extend(&self, until: Duration) {
        // First, so that nobody sees it hold and not that it did not.
        if self.0.clock.is_some() && !self.holds() {
            self.0.laps.fetch_add(1, Ordering::SeqCst);
        }
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

#[cfg(test)]
mod tests {
    use protocol::time::Timestamp;

    use super::*;
    use crate::clock::TestClock;

    #[test]
    fn a_fence_that_did_not_hold_for_a_moment_counts_it() {
        let hands = TestClock::at(Timestamp::default());
        let fence = Fence::closed(hands.clock());
        let until = |seconds| hands.clock().boot() + Duration::from_secs(seconds);
        fence.extend(until(5));
        let laps = fence.laps();
        fence.extend(until(9));
        assert_eq!(fence.laps(), laps, "it held all the time");
        hands.advance(Duration::from_secs(9));
        assert!(!fence.holds());
        fence.extend(until(5));
        assert_eq!(fence.laps(), laps + 1);
        fence.lower();
        fence.extend(until(5));
        assert_eq!(fence.laps(), laps + 2);
    }
}
