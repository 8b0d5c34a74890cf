//! How many submissions may be on their way at once, and how many tasks open.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use crate::Rejection;

/// Counts open tasks, so that admission need not ask the store.
#[derive(Debug)]
pub struct Admission {
    open: AtomicU64,
    limit: u64,
    closed: AtomicBool,
}

impl Admission {
    /// Starts from what the store has.
    #[must_use]
    pub const fn new(open: u64, limit: u64) -> Self {
        Self {
            open: AtomicU64::new(open),
            limit,
            closed: AtomicBool::new(false),
        }
    }

    /// Lets a task in, or says when to come back.
    ///
    /// # Errors
    ///
    /// `Overloaded` at the limit, `Unavailable` while the node stops.
    pub fn enter(&self) -> Result<(), Rejection> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Rejection::Unavailable {
                message: "the node is stopping and takes no new tasks".to_owned(),
                retry_after: Duration::from_secs(5),
            });
        }
        let open = self.open.fetch_add(1, Ordering::AcqRel);
        if open < self.limit {
            return Ok(());
        }
        self.leave();
        Err(Rejection::Overloaded {
            message: format!(
                "{open} tasks are open, as many as this node takes; wait for some to settle, or raise tasks.max_open"
            ),
            retry_after: Duration::from_secs(2),
        })
    }

    /// A task was settled, or not made after all.
    pub fn leave(&self) {
        // Never below zero, also when a settled task is counted twice after a crash.
        let _ = self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |open| {
                open.checked_sub(1)
            });
    }

    /// Lets nobody in any more: the node is about to stop.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Open tasks.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_a_settled_task_makes_room() {
        let admission = Admission::new(1, 2);
        assert!(admission.enter().is_ok());
        let rejection = admission.enter().unwrap_err();
        assert_eq!(rejection.code(), "overloaded");
        assert_eq!(admission.open(), 2);
        admission.leave();
        assert!(admission.enter().is_ok());
    }
}
