//! Notices handlers that keep their thread: others' messages wait behind them.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;

use crate::clock::Clock;

/// Microseconds for which a handler may go on without giving way, to within the clock's few
/// milliseconds.
const LIMIT: u64 = 10_000;

const TAKEN: u64 = u64::MAX;

/// Who hears of a handler.
pub(super) trait Listener<T> {
    /// What the handler's outcome becomes.
    type Told;

    /// The clock to go by.
    fn clock(&self) -> &Clock;

    /// The handler kept its thread for so long.
    fn kept(&self, took: Duration);

    /// The handler is done.
    fn done(&self, outcome: T) -> Self::Told;
}

pin_project! {
    /// A handler that is timed from one await to the next, and told on when it took too long.
    ///
    /// Of what stands around a handler, each byte is moved several times with each message: this
    /// is why it borrows, and is one future rather than several in one another.
    pub(super) struct Watched<F, L> {
        #[pin]
        handler: F,
        listener: L,
        // When it began, in the clock's microseconds; [`TAKEN`] after the first look.
        began: u64,
    }
}

impl<F, L> Watched<F, L> {
    pub(super) const fn new(handler: F, listener: L, began: u64) -> Self {
        Self {
            handler,
            listener,
            began,
        }
    }
}

impl<F: Future, L: Listener<F::Output>> Future for Watched<F, L> {
    type Output = L::Told;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<L::Told> {
        let this = self.project();
        let clock = this.listener.clock();
        let before = match std::mem::replace(this.began, TAKEN) {
            TAKEN => clock.micros(),
            began => began,
        };
        let polled = this.handler.poll(context);
        let took = clock.micros().saturating_sub(before);
        if took > LIMIT {
            this.listener.kept(Duration::from_micros(took));
        }
        polled.map(|outcome| this.listener.done(outcome))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use protocol::time::Timestamp;

    use super::*;
    use crate::clock::TestClock;

    struct Ear {
        clock: Clock,
        told: Cell<Vec<Duration>>,
    }

    impl Listener<()> for &Ear {
        type Told = ();

        fn clock(&self) -> &Clock {
            &self.clock
        }

        fn kept(&self, took: Duration) {
            let mut all = self.told.take();
            all.push(took);
            self.told.set(all);
        }

        fn done(&self, (): ()) {}
    }

    #[tokio::test]
    async fn a_handler_that_keeps_its_thread_is_told_on_and_one_that_waits_is_not() {
        let hands = TestClock::at(Timestamp::default());
        let ear = Ear {
            clock: hands.clock(),
            told: Cell::default(),
        };
        let handler = async {
            hands.advance(Duration::from_millis(9));
            tokio::task::yield_now().await;
            hands.advance(Duration::from_millis(25));
            tokio::task::yield_now().await;
        };
        Watched::new(handler, &ear, 0).await;
        assert_eq!(ear.told.take(), [Duration::from_millis(25)]);
    }
}
