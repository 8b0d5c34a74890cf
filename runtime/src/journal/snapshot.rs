//! When a snapshot is worth its cost.

/// Events after which the next commit is followed by a snapshot.
pub const EVERY: u64 = 256;

/// Whether a stream at `head` whose last snapshot is at `last` should get another.
#[must_use]
pub const fn is_due(head: u64, last: u64) -> bool {
    head.saturating_sub(last) >= EVERY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_after_enough_events_since_the_last() {
        assert!(!is_due(EVERY - 1, 0));
        assert!(is_due(EVERY, 0));
        assert!(!is_due(EVERY + 5, EVERY));
    }
}
