//! How often one address may fail.

use std::{collections::HashMap, net::IpAddr, time::Duration};

const FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Failures by address; `now` is time since any origin.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<IpAddr, Count>);

#[derive(Debug)]
struct Count {
    since: Duration,
    failures: u32,
}

impl Failures {
    /// Whether `from` may try.
    pub(super) fn allow(&mut self, from: IpAddr, now: Duration) -> bool {
        self.0
            .retain(|_, count| now.saturating_sub(count.since) < WINDOW);
        let count = self.0.get(&from);
        count.is_none_or(|count| count.failures < FAILURES)
    }

    /// Counts a failure of `from`.
    pub(super) fn fail(&mut self, from: IpAddr, now: Duration) {
        let count = self.0.entry(from).or_insert(Count {
            since: now,
            failures: 0,
        });
        count.failures = count.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_close_the_door_for_a_minute_to_one_address() {
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut failures = Failures::default();
        for second in 0..10 {
            let now = Duration::from_secs(second);
            assert!(failures.allow(one, now));
            failures.fail(one, now);
        }
        assert!(!failures.allow(one, Duration::from_secs(59)));
        assert!(failures.allow(other, Duration::from_secs(59)));
        assert!(failures.allow(one, Duration::from_secs(60)));
    }
}
