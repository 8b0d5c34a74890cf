//! How long a node may act on its lease without hearing from the store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The clockwork of leases. [`Timing::check`] says what must hold between its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// How long a lease runs from each renewal, by the store's clock.
    pub ttl: Duration,
    /// Time between two renewals.
    pub renew: Duration,
    /// How long before its lease is over, by its own clock, a node stops acting on it.
    pub margin: Duration,
    /// Time between two looks at who is there.
    pub look: Duration,
    /// How long members that are gone and tokens that let nobody in any more are remembered.
    pub keep: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Duration::from_millis(6_000),
            renew: Duration::from_millis(1_500),
            margin: Duration::from_millis(1_500),
            look: Duration::from_millis(500),
            keep: Duration::from_hours(30 * 24),
        }
    }
}

impl Timing {
    /// What does not hold, in words.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.renew.is_zero() || self.look.is_zero() {
            wrong.push("`renew` and `look` must be longer than nothing".to_owned());
        }
        if self.margin >= self.ttl {
            wrong.push("`margin` must be shorter than `ttl`".to_owned());
        } else if self.renew * 2 > self.ttl - self.margin {
            wrong.push(
                "`renew` must fit twice into `ttl` less `margin`, so that one renewal may fail"
                    .to_owned(),
            );
        }
        wrong
    }

    /// Until when a node may act on a lease whose renewal it sent at `sent`, by the same clock. The
    /// store began to count no earlier than that.
    #[must_use]
    pub fn acts_until(&self, sent: Duration) -> Duration {
        sent + (self.ttl - self.margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stops_acting_before_the_store_says_that_its_lease_is_over() {
        let timing = Timing::default();
        assert_eq!(timing.check(), Vec::<String>::new());
        let sent = Duration::from_secs(100);
        // The store counts from a moment after the request was sent.
        assert!(timing.acts_until(sent) < sent + timing.ttl);
    }

    #[test]
    fn timings_that_leave_no_second_chance_are_refused() {
        let mut timing = Timing {
            renew: Duration::from_secs(3),
            ..Timing::default()
        };
        assert_eq!(timing.check().len(), 1);
        timing.margin = timing.ttl;
        assert_eq!(timing.check().len(), 1);
    }
}
