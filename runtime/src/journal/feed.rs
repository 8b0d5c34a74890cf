//! Committed records for whoever watches, as they are committed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dashmap::DashMap;
use protocol::{entity::EntityId, record::Record};
use tokio::sync::broadcast;

/// Records that a watcher may be behind before it has to read the store again.
const BACKLOG: usize = 256;

/// Tells watchers of one node what its entities committed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    watched: Arc<DashMap<EntityId, broadcast::Sender<Arc<Record>>>>,
    committed: Arc<AtomicU64>,
}

/// What happened to one stream from the moment the watch began. Ends watching when dropped.
#[derive(Debug)]
pub struct Watch {
    stream: EntityId,
    feed: Feed,
    /// `Lagged` means: read the store from the last position seen.
    pub records: broadcast::Receiver<Arc<Record>>,
}

impl Feed {
    /// Watches a stream from now on.
    #[must_use]
    pub fn watch(&self, stream: EntityId) -> Watch {
        let records = self
            .watched
            .entry(stream)
            .or_insert_with(|| broadcast::channel(BACKLOG).0)
            .subscribe();
        Watch {
            stream,
            feed: self.clone(),
            records,
        }
    }

    /// How many appends this node has committed since it started.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    pub(super) fn publish(&self, record: &Record) {
        self.committed.fetch_add(1, Ordering::Relaxed);
        if let Some(watchers) = self.watched.get(&record.stream) {
            // Nobody listening any more is no failure.
            let _ = watchers.send(Arc::new(record.clone()));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.feed
            .watched
            .remove_if(&self.stream, |_, watchers| watchers.receiver_count() <= 1);
    }
}
