//! When a delivery is tried again, and when it is given up.

use std::time::Duration;

use protocol::time::Timestamp;

/// Tries after which a delivery is given up: with the waits below, a little over a day.
pub const TRIES: u32 = 30;

/// The longest wait between two tries.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// What follows a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again at this moment.
    At(Timestamp),
    /// Leave it; it is reported and dropped.
    GiveUp,
}

/// What follows the failed try number `tries` (the first is 1).
#[must_use]
pub fn after_failure(tries: u32, now: Timestamp) -> Next {
    if tries >= TRIES {
        return Next::GiveUp;
    }
    let wait = Duration::from_secs(1)
        .saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1).min(20)))
        .min(LONGEST);
    Next::At(now.plus(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_end() {
        let now = Timestamp::default();
        assert_eq!(
            after_failure(1, now),
            Next::At(now.plus(Duration::from_secs(1)))
        );
        assert_eq!(
            after_failure(4, now),
            Next::At(now.plus(Duration::from_secs(8)))
        );
        assert_eq!(after_failure(29, now), Next::At(now.plus(LONGEST)));
        assert_eq!(after_failure(30, now), Next::GiveUp);
    }
}
