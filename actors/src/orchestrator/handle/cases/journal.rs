//! What all entities of the cluster recorded, after a place of the journal.

use std::{collections::HashMap, time::Duration};

use protocol::{
    access::{Caller, Role},
    api::EventView,
    entity::{EntityId, EntityKind},
    record::Record,
};
use serde::{Deserialize, Serialize};

use super::{Answer, Effect, Orchestrator, Place, READ, UseCase, at_least, views};
use crate::orchestrator::EventTypes;

/// Records read at once.
const PAGE: u32 = 200;

/// What was recorded after a place, as many records as are read at once.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ReadJournal {
    /// Nothing is read without: only where the journal ends.
    pub(in super::super) after: Option<i64>,
    /// Names of events, as clients write them.
    pub(in super::super) types: Option<String>,
}

/// What [`ReadJournal`] found.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct JournalPage {
    /// Events with the record's place, their number in it, and how many it has.
    pub(in super::super) events: Vec<Recorded>,
    /// Up to there all was looked at.
    pub(in super::super) place: i64,
    /// There may be more.
    pub(in super::super) more: bool,
}

/// One event, and where it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Recorded {
    pub(in super::super) place: i64,
    /// It is the so-manieth of its record; the first is 1.
    pub(in super::super) number: u32,
    /// So many has the record.
    pub(in super::super) of: u32,
    /// `task.submitted`, say.
    pub(in super::super) name: String,
    pub(in super::super) view: EventView,
}

impl UseCase for ReadJournal {
    type Answer = JournalPage;
    const NAME: &'static str = "journal.read";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn read_within(&self) -> Duration {
        2 * READ
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<JournalPage> {
        at_least(caller, Role::Viewer)?;
        let types = EventTypes::read(self.types.as_deref())?;
        let store = at.own()?.journal.store();
        let Some(after) = self.after else {
            return Ok(JournalPage {
                events: Vec::new(),
                place: store.end().await?.whole,
                more: false,
            });
        };
        let records = store.journal(after, PAGE).await?;
        let mut seen = HashMap::new();
        let mut events = Vec::new();
        for (place, record) in &records {
            let kind = record.stream.kind();
            if types.want(kind.as_str()) && at.may_see(caller, record, &mut seen).await? {
                let named = (1..).zip(views(record)?).map(|(number, view)| Recorded {
                    place: *place,
                    number,
                    of: record.count,
                    name: name(kind, &view),
                    view,
                });
                events.extend(named.filter(|event| types.admit(&event.name)));
            }
        }
        Ok(JournalPage {
            events,
            place: records.last().map_or(after, |(place, _)| *place),
            more: records.len() >= PAGE as usize,
        })
    }
}

impl Orchestrator {
    /// Whether a record is of something that the caller may read event by event.
    async fn may_see(
        &self,
        caller: &Caller,
        record: &Record,
        seen: &mut HashMap<EntityId, bool>,
    ) -> Answer<bool> {
        if record.tenant != caller.tenant {
            return Ok(false);
        }
        match record.stream.kind() {
            EntityKind::Agent => return Ok(true),
            EntityKind::Hold
            | EntityKind::Workflow
            | EntityKind::Question
            | EntityKind::Schedule
            | EntityKind::Trigger => return Ok(false),
            EntityKind::Task => {}
        }
        if let Some(seen) = seen.get(&record.stream) {
            return Ok(*seen);
        }
        let row = self.own()?.journal.store().stream(record.stream).await?;
        let visible = row.is_some_and(|row| {
            !row.summary.hidden && (caller.sees_all_users() || row.summary.user == caller.user)
        });
        seen.insert(record.stream, visible);
        Ok(visible)
    }
}

fn name(kind: EntityKind, view: &EventView) -> String {
    let what = view.event["type"].as_str().unwrap_or("event");
    format!("{}.{what}", kind.as_str())
}
