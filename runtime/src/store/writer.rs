//! Group commit: gathers the appends of many callers and commits them in one transaction.
//!
//! One task takes whatever waits, and while it commits, the next batch gathers. It runs to the end
//! of what it took even when every caller has gone.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use protocol::entity::EntityId;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Append, Appended, Error, EventLog, Refusal, Shared};
use crate::metrics;

/// Appends that may wait; callers beyond it are held back.
const WAITING: usize = 1024;

/// Appends that one transaction takes at most.
const BATCH: usize = 256;

/// Why an append was not made, or is not known to have been.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It changed nothing and never will.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may have been committed: ask again with the same `cmd_id`.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Hands appends to the task that commits them. The task ends when all handles are gone and
/// everything handed over is committed.
#[derive(Debug, Clone)]
pub struct Writer {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Append(Box<Waiting>),
    Flush(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Waiting {
    append: Append,
    since: Instant,
    reply: oneshot::Sender<Result<Appended, AppendError>>,
}

impl Writer {
    /// Starts the task on the current runtime.
    #[must_use]
    pub fn start(store: Shared) -> Self {
        Self::over(store)
    }

    /// Starts the task over anything that keeps events.
    fn over<L: EventLog + ?Sized + 'static>(store: Arc<L>) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        let task = Task {
            store,
            requests: waiting,
            held: VecDeque::new(),
            flushes: Vec::new(),
        };
        tokio::spawn(task.run());
        Self { requests }
    }

    /// Commits one append together with others that wait; answers when it is durable.
    ///
    /// A caller that stops waiting does not undo it.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (reply, verdict) = oneshot::channel();
        let waiting = Box::new(Waiting {
            append,
            since: Instant::now(),
            reply,
        });
        let sent = self.requests.send(Request::Append(waiting)).await;
        sent.map_err(|_| gone())?;
        verdict.await.map_err(|_| gone())?
    }

    /// Waits until all that was handed over before is committed.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.requests.send(Request::Flush(done)).await.is_ok() {
            // A task that has ended holds nothing back.
            let _ = wait.await;
        }
    }
}

fn gone() -> Error {
    Error::Unavailable("its writer has ended".into())
}

struct Task<L: ?Sized> {
    store: Arc<L>,
    requests: mpsc::Receiver<Request>,
    /// Taken from the channel, but a batch already had an append to the same stream.
    held: VecDeque<Box<Waiting>>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl<L: EventLog + ?Sized> Task<L> {
    async fn run(mut self) {
        loop {
            if self.held.is_empty() {
                for flush in self.flushes.drain(..) {
                    // Whoever asked may have gone.
                    let _ = flush.send(());
                }
                match self.requests.recv().await {
                    Some(request) => self.take(request),
                    None => return,
                }
            }
            let batch = self.gather();
            if !batch.is_empty() {
                self.commit(batch).await;
            }
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Append(waiting) => self.held.push_back(waiting),
            Request::Flush(done) => self.flushes.push(done),
        }
    }

    /// Takes what waits, each stream once; what is left keeps its order.
    fn gather(&mut self) -> Vec<Waiting> {
        while self.held.len() < WAITING
            && self.flushes.is_empty()
            && let Ok(request) = self.requests.try_recv()
        {
            self.take(request);
        }
        let mut streams: HashSet<EntityId> = HashSet::new();
        let mut batch = Vec::new();
        for waiting in std::mem::take(&mut self.held) {
            if batch.len() < BATCH && streams.insert(waiting.append.record.stream) {
                batch.push(*waiting);
            } else {
                self.held.push_back(waiting);
            }
        }
        batch
    }

    async fn commit(&self, batch: Vec<Waiting>) {
        ::metrics::histogram!(metrics::APPEND_BATCH).record(batch.len() as f64);
        let (appends, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.append, (waiting.since, waiting.reply)))
            .unzip();
        let verdicts = match self.store.append(&appends).await {
            Ok(verdicts) => verdicts
                .into_iter()
                .map(|verdict| verdict.map_err(AppendError::from))
                .collect(),
            Err(error) => self.one_by_one(&appends, error).await,
        };
        let seconds = ::metrics::histogram!(metrics::APPEND_SECONDS);
        for ((since, reply), verdict) in callers.into_iter().zip(verdicts) {
            seconds.record(since.elapsed());
            count(&verdict);
            // A caller that gave up needs no answer.
            let _ = reply.send(verdict);
        }
    }

    /// Finds the append that the tables contradict, so that its neighbours are not hurt by it.
    ///
    /// Any other failure would only repeat.
    async fn one_by_one(
        &self,
        appends: &[Append],
        error: Error,
    ) -> Vec<Result<Appended, AppendError>> {
        let contradicted = matches!(error, Error::Corrupt(_)) && appends.len() > 1;
        let mut verdicts = Vec::with_capacity(appends.len());
        for append in appends {
            verdicts.push(if contradicted {
                match self.store.append(std::slice::from_ref(append)).await {
                    Ok(mut verdict) => match verdict.pop() {
                        Some(verdict) => verdict.map_err(AppendError::from),
                        None => Err(AppendError::Store(again(&error))),
                    },
                    Err(alone) => Err(AppendError::Store(alone)),
                }
            } else {
                Err(AppendError::Store(again(&error)))
            });
        }
        verdicts
    }
}

/// The same failure for another caller.
fn again(error: &Error) -> Error {
    match error {
        Error::Full => Error::Full,
        Error::Unavailable(reason) => Error::Unavailable(reason.clone()),
        Error::Busy(reason) => Error::Busy(reason.clone()),
        Error::Corrupt(reason) => Error::Corrupt(reason.clone()),
        Error::Unusable(reason) => Error::Unusable(reason.clone()),
    }
}

fn count(verdict: &Result<Appended, AppendError>) {
    let reason = match verdict {
        Ok(Appended::Now | Appended::Before) => {
            return ::metrics::counter!(metrics::APPENDS).increment(1);
        }
        Err(AppendError::Store(_)) => {
            return ::metrics::counter!(metrics::FAILURES).increment(1);
        }
        Err(AppendError::Refused(Refusal::Fenced { .. })) => "fenced",
        Err(AppendError::Refused(Refusal::Repeated { .. })) => "repeated",
        Err(AppendError::Refused(Refusal::NameTaken { .. })) => "name_taken",
    };
    ::metrics::counter!(metrics::REFUSALS, "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests;
