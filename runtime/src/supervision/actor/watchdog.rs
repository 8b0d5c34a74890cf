//! Notices handlers that keep their thread: others' messages wait behind them.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;

use crate::clock::Clock;

/// How long a handler may go on without giving way, to within the clock's few milliseconds.
const LIMIT: Duration = Duration::from_millis(10);

pin_project! {
    /// A handler that is timed from one await to the next, and told on when it took too long.
    pub(super) struct Watched<F, T> {
        #[pin]
        handler: F,
        clock: Clock,
        tell: T,
    }
}

impl<F, T: FnMut(Duration)> Watched<F, T> {
    pub(super) const fn new(handler: F, clock: Clock, tell: T) -> Self {
        Self {
            handler,
            clock,
            tell,
        }
    }
}

impl<F: Future, T: FnMut(Duration)> Future for Watched<F, T> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let before = this.clock.coarse();
        let polled = this.handler.poll(context);
        let took = this.clock.coarse().saturating_sub(before);
        if took > LIMIT {
            (this.tell)(took);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use protocol::time::Timestamp;

    use super::*;
    use crate::clock::TestClock;

    #[tokio::test]
    async fn a_handler_that_keeps_its_thread_is_told_on_and_one_that_waits_is_not() {
        let hands = TestClock::at(Timestamp::default());
        let told = Cell::new(Vec::new());
        let tell = |took| {
            let mut all = told.take();
            all.push(took);
            told.set(all);
        };
        let handler = async {
            hands.advance(Duration::from_millis(9));
            tokio::task::yield_now().await;
            hands.advance(Duration::from_millis(25));
            tokio::task::yield_now().await;
        };
        Watched::new(handler, hands.clock(), tell).await;
        assert_eq!(told.take(), [Duration::from_millis(25)]);
    }
}
