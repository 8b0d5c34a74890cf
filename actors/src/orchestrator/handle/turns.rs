//! Whose turn it is to act on an actor of this node: one after the other, in the order of coming.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Answer;
use crate::Rejection;

/// How long one waits for those before; with its own act, that is less than a caller waits.
const WITHIN: Duration = Duration::from_secs(5);

/// Those who act on something or wait for that, by what it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<DashMap<Arc<str>, Arc<Semaphore>>>);

/// It acts now, or waits; others come when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    on: Arc<str>,
    queue: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits until nobody else acts on it.
    pub(super) async fn take(&self, on: &str) -> Answer<Turn> {
        let queue = self.0.entry(Arc::from(on));
        let queue = queue.or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        // Made before it waits: one that gives up leaves nothing behind either.
        let mut turn = Turn {
            turns: self.clone(),
            on: on.into(),
            queue: Some(Arc::clone(&queue)),
            permit: None,
        };
        let Ok(Ok(permit)) = timeout(WITHIN, queue.acquire_owned()).await else {
            return Err(Rejection::Unavailable {
                message: format!("others are acting on {on}; nothing was changed, try again"),
                retry_after: Duration::from_secs(1),
            });
        };
        turn.permit = Some(permit);
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop((self.permit.take(), self.queue.take()));
        // Whoever waits holds the queue too.
        let is_over = |_: &Arc<str>, queue: &Arc<Semaphore>| Arc::strong_count(queue) == 1;
        self.turns.0.remove_if(&self.on, is_over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_acts_at_a_time_and_who_waits_too_long_is_told_to_come_again() {
        let turns = Turns::default();
        let first = turns.take("/a").await.unwrap();
        let _other = turns.take("/b").await.unwrap();
        let refused = turns.take("/a").await.unwrap_err();
        assert_eq!(refused.code(), "unavailable");
        drop(first);
        assert!(turns.take("/a").await.is_ok());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_what_nobody_acts_on() {
        let turns = Turns::default();
        let first = turns.take("/a").await.unwrap();
        let (second, ()) = tokio::join!(turns.take("/a"), async { drop(first) });
        assert_eq!(turns.0.len(), 1);
        drop(second);
        assert!(turns.0.is_empty());
    }
}
