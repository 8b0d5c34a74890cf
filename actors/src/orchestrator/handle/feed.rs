//! Events of one entity, as they happen.

use std::{collections::VecDeque, sync::Arc};

use futures_util::stream;
use protocol::{
    access::Caller, api::EventView, entity::EntityId, id::TaskId, record::Record, task::TaskStatus,
};
use runtime::{
    journal::{Journal, Watch, decode},
    store,
};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::{Answer, EventFeed, Orchestrator};
use crate::Rejection;

/// Records read at once.
const PAGE: u32 = 200;

impl Orchestrator {
    /// The task's events after position `after`, then each as it happens, until it is settled.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn task_events(&self, caller: &Caller, id: TaskId, after: u64) -> Answer<EventFeed> {
        // Watching before reading, so that nothing falls between the two.
        let watch = self.0.journal.feed().watch(id.into());
        let row = self.visible(caller, id).await?;
        let tail = Tail {
            watch,
            journal: self.0.journal.clone(),
            stream: id.into(),
            position: after,
            ready: VecDeque::new(),
            live: false,
            settled: !row.summary.open,
            over: false,
        };
        Ok(Box::pin(stream::unfold(tail, Tail::next)))
    }
}

/// One event at a time, from the store and then from the feed.
struct Tail {
    watch: Watch,
    journal: Journal,
    stream: EntityId,
    /// Of the last event that was given out.
    position: u64,
    ready: VecDeque<EventView>,
    /// Everything that the store had was given out.
    live: bool,
    /// The task was settled before: what the store has is all.
    settled: bool,
    over: bool,
}

impl Tail {
    async fn next(mut self) -> Option<(Result<EventView, Rejection>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.fill().await {
                self.over = true;
                return Some((Err(error.into()), self));
            }
        }
    }

    async fn fill(&mut self) -> Result<(), store::Error> {
        if !self.live {
            let records = self
                .journal
                .store()
                .read(self.stream, self.position, PAGE)
                .await?;
            self.live = records.len() < PAGE as usize;
            for record in &records {
                self.take(record)?;
            }
            self.over |= self.live && self.settled;
            return Ok(());
        }
        match self.watch.records.recv().await {
            Ok(record) => {
                let record: Arc<Record> = record;
                self.take(&record)
            }
            Err(RecvError::Lagged(_)) => {
                self.live = false;
                Ok(())
            }
            Err(RecvError::Closed) => {
                self.over = true;
                Ok(())
            }
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), store::Error> {
        for event in views(record)? {
            // Also when the position given lies beyond it.
            self.over |= settles(&event.event);
            if event.seq > self.position {
                self.position = event.seq;
                self.ready.push_back(event);
            }
        }
        Ok(())
    }
}

/// The events of a record, as clients see them: without what is secret or long-winded.
pub(super) fn views(record: &Record) -> Result<Vec<EventView>, store::Error> {
    let events = decode::<Value>(record)?;
    let numbered = events.into_iter().zip(record.seq..);
    Ok(numbered
        .map(|(mut event, seq)| {
            if let Value::Object(fields) = &mut event {
                fields.remove("token");
            }
            EventView {
                entity: record.stream,
                seq,
                at: record.at,
                actor: record.actor.clone(),
                event,
            }
        })
        .collect())
}

/// Whether nothing but late results and removal can follow.
fn settles(event: &Value) -> bool {
    let terminal = [
        TaskStatus::Completed,
        TaskStatus::Failed,
        TaskStatus::Cancelled,
    ];
    event["type"] == "settled"
        && terminal
            .iter()
            .any(|status| event["status"] == status.as_str())
}
