//! The events of a task that the store has.

use protocol::{access::Caller, api::EventView, id::TaskId, record::Record, task::TaskStatus};
use runtime::{
    journal::decode,
    redact::redact_within,
    store::{self, StreamRow},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answer, Effect, Orchestrator, Place, UseCase};
use crate::Rejection;

/// Records read at once.
const PAGE: u32 = 200;

/// A task's events after a position, as many as are read at once.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct EventsAfter {
    pub(in super::super) id: TaskId,
    pub(in super::super) after: u64,
}

/// What [`EventsAfter`] found.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct EventsPage {
    pub(in super::super) events: Vec<EventView>,
    /// There may be more.
    pub(in super::super) more: bool,
    /// Nothing but late results and removal can follow: the task was settled before this was read.
    pub(in super::super) settled: bool,
}

impl UseCase for EventsAfter {
    type Answer = EventsPage;
    const NAME: &'static str = "task.events";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<EventsPage> {
        let row = visible(at, caller, self.id).await?;
        let settled = TaskStatus::ALL
            .iter()
            .any(|status| status.is_terminal() && row.summary.status == status.as_str());
        let store = at.own()?.journal.store();
        let records = store.read(self.id.into(), self.after, PAGE).await?;
        let mut events = Vec::new();
        for record in &records {
            let new = views(record)?.into_iter();
            events.extend(new.filter(|event| event.seq > self.after));
        }
        Ok(EventsPage {
            events,
            more: records.len() >= PAGE as usize,
            settled,
        })
    }
}

/// The task's row, if it is the caller's to see.
pub(in super::super) async fn visible(
    at: &Orchestrator,
    caller: &Caller,
    id: TaskId,
) -> Answer<StreamRow> {
    let row = at.own()?.journal.store().stream(id.into()).await?;
    row.filter(|row| {
        row.tenant == caller.tenant
            && !row.summary.hidden
            && (caller.sees_all_users() || row.summary.user == caller.user)
    })
    .ok_or_else(|| Rejection::not_found(format!("task {id}")))
}

/// The events of a record, as clients see them: without what is secret or long-winded.
pub(in super::super) fn views(record: &Record) -> Result<Vec<EventView>, store::Error> {
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
                event: redact_within(event),
            }
        })
        .collect())
}
