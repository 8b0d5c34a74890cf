//! The way back from an actor to who asked it.

use tokio::sync::oneshot;

/// Carries one answer; a caller whose reply is dropped unused learns so at once.
#[derive(Debug)]
pub struct Reply<R>(oneshot::Sender<R>);

/// Where the answer of a [`Reply`] arrives; an error when the reply was dropped.
pub type Answer<R> = oneshot::Receiver<R>;

impl<R> Reply<R> {
    /// A reply and the place where its answer arrives, for questions that are not an actor's call.
    #[must_use]
    pub fn channel() -> (Self, Answer<R>) {
        let (sender, answer) = oneshot::channel();
        (Self(sender), answer)
    }

    /// Answers; a caller that gave up needs no answer.
    pub fn send(self, answer: R) {
        let _ = self.0.send(answer);
    }

    /// Whether the caller gave up.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }

    /// Ends when the caller gives up, so that work for it can be dropped.
    pub async fn abandoned(&mut self) {
        self.0.closed().await;
    }
}
