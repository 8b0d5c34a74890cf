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
use crate::{orchestrator::EventTypes, workflow::news::retold};

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
    /// What is told of events, with the record's place, their number in it, and how many it has.
    pub(in super::super) events: Vec<Recorded>,
    /// Up to there all was looked at.
    pub(in super::super) place: i64,
    /// There may be more.
    pub(in super::super) more: bool,
}

/// What is told of one event, and where that stands.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Recorded {
    pub(in super::super) place: i64,
    /// It is the so-manieth that is told of its record; the first is 1.
    pub(in super::super) number: u32,
    /// So many are told of the record.
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
            if !wants(&types, record.stream.kind()) {
                continue;
            }
            let told = match at.sight(caller, record, &mut seen).await? {
                Sight::None => continue,
                Sight::Entity => named(record)?,
                Sight::Run => of_run(named(record)?),
            };
            let of = u32::try_from(told.len()).unwrap_or(u32::MAX);
            let told = (1..).zip(told).map(|(number, (name, view))| Recorded {
                place: *place,
                number,
                of,
                name,
                view,
            });
            events.extend(told.filter(|event| types.admit(&event.name)));
        }
        Ok(JournalPage {
            events,
            place: records.last().map_or(after, |(place, _)| *place),
            more: records.len() >= PAGE as usize,
        })
    }
}

/// What the caller may read of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    None,
    /// Its events, as they were recorded.
    Entity,
    /// Those, and what they say of a run's nodes.
    Run,
}

impl Orchestrator {
    async fn sight(
        &self,
        caller: &Caller,
        record: &Record,
        seen: &mut HashMap<EntityId, Sight>,
    ) -> Answer<Sight> {
        if record.tenant != caller.tenant {
            return Ok(Sight::None);
        }
        match record.stream.kind() {
            EntityKind::Agent => return Ok(Sight::Entity),
            EntityKind::Hold
            | EntityKind::Workflow
            | EntityKind::Question
            | EntityKind::Schedule
            | EntityKind::Trigger
            | EntityKind::Template => return Ok(Sight::None),
            EntityKind::Task => {}
        }
        if let Some(seen) = seen.get(&record.stream) {
            return Ok(*seen);
        }
        let row = self.own()?.journal.store().stream(record.stream).await?;
        let summary = row.map(|row| row.summary).filter(|summary| {
            !summary.hidden && (caller.sees_all_users() || summary.user == caller.user)
        });
        let sight = match summary {
            None => Sight::None,
            Some(summary) if summary.workflow.is_some() => Sight::Run,
            Some(_) => Sight::Entity,
        };
        seen.insert(record.stream, sight);
        Ok(sight)
    }
}

/// Whether any event of such an entity can be wanted.
fn wants(types: &EventTypes, kind: EntityKind) -> bool {
    types.want(kind.as_str()) || (kind == EntityKind::Task && types.want("workflow"))
}

/// The events of a record under their names.
fn named(record: &Record) -> Answer<Vec<(String, EventView)>> {
    let kind = record.stream.kind().as_str();
    let views = views(record)?.into_iter();
    Ok(views
        .map(|view| {
            let what = view.event["type"].as_str().unwrap_or("event");
            (format!("{kind}.{what}"), view)
        })
        .collect())
}

/// A run is a task, so its events have the names of those, and beside them the names that tell of nodes;
/// what only its workflow's rules understand has these alone.
fn of_run(events: Vec<(String, EventView)>) -> Vec<(String, EventView)> {
    let mut told = Vec::new();
    for (name, view) in events {
        let retold = retold(&view);
        if view.event["type"] != "run" {
            told.push((name, view));
        }
        told.extend(retold.map(|view| {
            let name = view.event["type"].as_str().unwrap_or_default();
            (name.to_owned(), view)
        }));
    }
    told
}
