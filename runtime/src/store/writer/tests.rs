//! What callers of the writer are promised.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::store::{
    Answer, End, EventLog, Memory,
    conformance::{append, task},
};

fn start() -> (Shared, Writer) {
    let store: Shared = Arc::new(Memory::new());
    (Arc::clone(&store), Writer::start(store))
}

/// Polls each in turn; tokio's budget would start over in the middle.
async fn at_once<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    tokio::task::unconstrained(futures_util::future::join_all(futures)).await
}

#[tokio::test]
async fn each_caller_gets_its_own_verdict() {
    let (store, writer) = start();
    let fitting = writer.append(append(task(1), 1));
    let wrong = writer.append(append(task(2), 5));
    let (fitting, wrong) = tokio::join!(fitting, wrong);
    assert!(matches!(fitting, Ok(Appended::Now)));
    assert!(matches!(
        wrong,
        Err(AppendError::Refused(Refusal::Fenced { head: 0, .. }))
    ));
    assert_eq!(store.journal(0, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn appends_to_one_stream_keep_their_order() {
    let (store, writer) = start();
    let mut appending = Vec::new();
    for seq in 1..=300 {
        for number in 1..=3 {
            let writer = writer.clone();
            // Polled in turn by the join below, so they are handed over in order.
            appending.push(async move { writer.append(append(task(number), seq)).await });
        }
    }
    for verdict in at_once(appending).await {
        assert!(matches!(verdict, Ok(Appended::Now)), "{verdict:?}");
    }
    for number in 1..=3 {
        let records = store.read(task(number), 0, 999).await.unwrap();
        assert!(records.iter().map(|record| record.seq).eq(1..=300));
    }
}

#[tokio::test]
async fn a_caller_that_stops_waiting_does_not_undo_its_append() {
    let (store, writer) = start();
    {
        let appending = writer.append(append(task(1), 1));
        tokio::pin!(appending);
        assert!(futures_util::poll!(&mut appending).is_pending());
    }
    writer.flush().await;
    assert!(store.stream(task(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_handed_over_is_committed_after_the_last_handle_is_gone() {
    let (store, writer) = start();
    let appending: Vec<_> = (1..=50)
        .map(|number| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.append(append(task(number), 1)).await })
        })
        .collect();
    drop(writer);
    for verdict in appending {
        assert!(matches!(verdict.await.unwrap(), Ok(Appended::Now)));
    }
    assert_eq!(store.journal(0, 99).await.unwrap().len(), 50);
}

/// Which batches fail, and how.
type Script = fn(&[Append]) -> Option<Error>;

/// Counts batches, and fails as told.
#[derive(Debug)]
struct Scripted {
    memory: Memory,
    batches: AtomicUsize,
    largest: AtomicUsize,
    failing: Mutex<Option<Script>>,
}

impl Scripted {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(),
            batches: AtomicUsize::new(0),
            largest: AtomicUsize::new(0),
            failing: Mutex::new(None),
        })
    }
}

impl EventLog for Scripted {
    fn append<'a>(&'a self, batch: &'a [Append]) -> Answer<'a, Vec<Result<Appended, Refusal>>> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.largest.fetch_max(batch.len(), Ordering::Relaxed);
        let fails = self.failing.lock().unwrap().and_then(|fails| fails(batch));
        match fails {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => self.memory.append(batch),
        }
    }

    fn read(
        &self,
        stream: EntityId,
        after: u64,
        limit: u32,
    ) -> Answer<'_, Vec<protocol::record::Record>> {
        self.memory.read(stream, after, limit)
    }

    fn journal(&self, after: i64, limit: u32) -> Answer<'_, Vec<(i64, protocol::record::Record)>> {
        self.memory.journal(after, limit)
    }
    fn end(&self) -> Answer<'_, End> {
        self.memory.end()
    }
}

async fn together(
    writer: &Writer,
    numbers: std::ops::RangeInclusive<u128>,
) -> Vec<Result<Appended, AppendError>> {
    let appends = numbers.map(|number| writer.append(append(task(number), 1)));
    at_once(appends).await
}

#[tokio::test]
async fn what_waits_is_committed_together_and_up_to_a_limit() {
    let log = Scripted::new();
    let writer = Writer::over(Arc::clone(&log));
    for verdict in together(&writer, 1..=1000).await {
        assert!(matches!(verdict, Ok(Appended::Now)), "{verdict:?}");
    }
    assert_eq!(log.largest.load(Ordering::Relaxed), BATCH);
    assert_eq!(log.batches.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_failure_of_the_store_reaches_everyone_in_the_batch_and_passes() {
    let log = Scripted::new();
    let writer = Writer::over(Arc::clone(&log));
    *log.failing.lock().unwrap() = Some(|_| Some(Error::Full));
    for verdict in together(&writer, 1..=3).await {
        assert!(matches!(verdict, Err(AppendError::Store(Error::Full))));
    }
    assert_eq!(log.batches.load(Ordering::Relaxed), 1);
    *log.failing.lock().unwrap() = None;
    for verdict in together(&writer, 1..=3).await {
        assert!(matches!(verdict, Ok(Appended::Now)));
    }
}

#[tokio::test]
async fn an_append_that_the_tables_contradict_does_not_hurt_its_neighbours() {
    let log = Scripted::new();
    let writer = Writer::over(Arc::clone(&log));
    *log.failing.lock().unwrap() = Some(|batch| {
        let bad = batch.iter().any(|append| append.record.stream == task(2));
        bad.then(|| Error::Corrupt("UNIQUE constraint failed".into()))
    });
    let verdicts = together(&writer, 1..=3).await;
    assert!(matches!(verdicts[0], Ok(Appended::Now)));
    assert!(matches!(
        verdicts[1],
        Err(AppendError::Store(Error::Corrupt(_)))
    ));
    assert!(matches!(verdicts[2], Ok(Appended::Now)));
}
