//! The journal and the index of streams.

use std::ops::Bound;

use protocol::{
    entity::{EntityId, EntityKind},
    record::{ChainHash, Record, Summary},
};

use super::{Memory, State};
use crate::store::{
    Answer, Append, Appended, End, Error, EventLog, Refusal, ReminderChange, Scope, StreamQuery,
    StreamRow, Streams, key, of_command,
};

impl EventLog for Memory {
    fn append<'a>(&'a self, batch: &'a [Append]) -> Answer<'a, Vec<Result<Appended, Refusal>>> {
        self.with(|state| batch.iter().map(|append| state.append(append)).collect())
    }

    fn read(&self, stream: EntityId, after: u64, limit: u32) -> Answer<'_, Vec<Record>> {
        self.with(|state| {
            let records = state.of(stream);
            let later = records.filter(|record| record.head() > after);
            later.take(limit as usize).cloned().collect()
        })
    }

    fn journal(&self, after: i64, limit: u32) -> Answer<'_, Vec<(i64, Record)>> {
        self.with(|state| {
            let places = (1..).zip(&state.records);
            let later = places.filter(|(place, _)| *place > after);
            let page = later.take(limit as usize);
            page.map(|(place, record)| (place, record.clone()))
                .collect()
        })
    }

    fn end(&self) -> Answer<'_, End> {
        self.with(|state| {
            let last = i64::try_from(state.records.len()).unwrap_or(i64::MAX);
            End { whole: last, last }
        })
    }
}

impl State {
    fn of(&self, stream: EntityId) -> impl Iterator<Item = &Record> {
        let indexes = self.by_stream.get(&stream).into_iter().flatten();
        indexes.map(|index| &self.records[*index])
    }

    fn append(&mut self, append: &Append) -> Result<Appended, Refusal> {
        let record = &append.record;
        if !self.fits(record) {
            let records: Vec<_> = self.of(record.stream).cloned().collect();
            return match of_command(&records, record.cmd_id) {
                Some(_) => Ok(Appended::Before),
                None => Err(self.fenced(record.stream)),
            };
        }
        if let Some(key) = &append.idempotency {
            let name = (record.tenant.clone(), key.key.clone());
            if let Some((body_hash, stream)) = self.idempotency.get(&name) {
                return Err(Refusal::Repeated {
                    stream: *stream,
                    same_body: *body_hash == key.body_hash,
                });
            }
        }
        if let Some(stream) = self.name_taken(record, &append.summary) {
            return Err(Refusal::NameTaken { stream });
        }
        self.commit(append);
        Ok(Appended::Now)
    }

    fn fits(&self, record: &Record) -> bool {
        match self.streams.get(&record.stream) {
            Some(row) => row.head + 1 == record.seq && row.epoch <= record.epoch,
            None => record.seq == 1 && self.may_claim(record.stream, record.epoch, record.owner),
        }
    }

    fn fenced(&self, stream: EntityId) -> Refusal {
        let row = self.streams.get(&stream);
        Refusal::Fenced {
            stream,
            head: row.map_or(0, |row| row.head),
            epoch: row.map_or_else(Default::default, |row| row.epoch),
        }
    }

    fn name_taken(&self, record: &Record, summary: &Summary) -> Option<EntityId> {
        let name = summary.name.as_ref().filter(|_| !summary.hidden)?;
        let tenant = self.streams.get(&record.stream);
        let tenant = tenant.map_or(&record.tenant, |row| &row.tenant);
        let (least, greatest) = key::bounds(record.stream.kind());
        let mut others = self.streams.range(least..=greatest);
        let taken = others.find(|(stream, row)| {
            **stream != record.stream
                && row.tenant == *tenant
                && !row.summary.hidden
                && row.summary.name.as_ref() == Some(name)
        });
        taken.map(|(stream, _)| *stream)
    }

    fn commit(&mut self, append: &Append) {
        let Append {
            record,
            summary,
            idempotency,
            reminders,
            outbox,
        } = append;
        let row = self
            .streams
            .entry(record.stream)
            .or_insert_with(|| StreamRow {
                stream: record.stream,
                tenant: record.tenant.clone(),
                head: 0,
                epoch: record.epoch,
                created_at: record.at,
                updated_at: record.at,
                summary: Summary::default(),
                parked: None,
            });
        row.head = record.head();
        row.epoch = record.epoch;
        row.updated_at = record.at;
        let workflow = match record.seq {
            1 => summary.workflow,
            _ => row.summary.workflow,
        };
        row.summary = Summary {
            workflow,
            ..summary.clone()
        };
        if let Some(key) = idempotency {
            let name = (record.tenant.clone(), key.key.clone());
            self.idempotency
                .insert(name, (key.body_hash, record.stream));
        }
        for change in reminders {
            match change {
                ReminderChange::Set { name, due } => {
                    self.reminders.insert((record.stream, name.clone()), *due);
                }
                ReminderChange::Clear { name } => {
                    self.reminders.remove(&(record.stream, name.clone()));
                }
            }
        }
        for delivery in outbox {
            self.outbox
                .entry(delivery.id)
                .or_insert_with(|| delivery.clone());
        }
        let indexes = self.by_stream.entry(record.stream).or_default();
        indexes.push(self.records.len());
        self.records.push(record.clone());
    }
}

impl Streams for Memory {
    fn stream(&self, stream: EntityId) -> Answer<'_, Option<StreamRow>> {
        self.with(|state| state.streams.get(&stream).cloned())
    }

    fn made_by<'a>(
        &'a self,
        tenant: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<(EntityId, ChainHash)>> {
        let name = (tenant.to_owned(), key.to_owned());
        self.with(|state| {
            let made = state.idempotency.get(&name);
            made.map(|(body_hash, stream)| (*stream, *body_hash))
        })
    }

    fn list<'a>(&'a self, query: &'a StreamQuery) -> Answer<'a, Vec<StreamRow>> {
        self.with(|state| {
            let (least, greatest) = key::bounds(query.kind);
            let end = match query.before {
                Some(before) if before <= least => return Vec::new(),
                Some(before) if before <= greatest => Bound::Excluded(before),
                Some(_) | None => Bound::Included(greatest),
            };
            let streams = state.streams.range((Bound::Included(least), end)).rev();
            let rows = streams.map(|(_, row)| row).filter(|row| query.holds(row));
            rows.take(query.limit as usize).cloned().collect()
        })
    }

    fn count<'a>(&'a self, tenant: &'a str, kind: EntityKind) -> Answer<'a, Vec<(String, u64)>> {
        self.with(|state| {
            let (least, greatest) = key::bounds(kind);
            let mut counts = std::collections::BTreeMap::new();
            for row in state.streams.range(least..=greatest).map(|(_, row)| row) {
                if row.tenant == tenant && !row.summary.hidden {
                    *counts.entry(row.summary.status.clone()).or_insert(0) += 1;
                }
            }
            counts.into_iter().collect()
        })
    }

    fn open<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<EntityId>> {
        self.with(|state| {
            let (least, greatest) = key::bounds(kind);
            let all = state.streams.range(least..=greatest);
            let open = all.filter(|(stream, row)| {
                row.summary.open
                    && row.parked.is_none()
                    && scope.holds(**stream)
                    && after.is_none_or(|at| **stream > at)
            });
            open.take(limit as usize)
                .map(|(stream, _)| *stream)
                .collect()
        })
    }

    fn parked<'a>(
        &'a self,
        kind: EntityKind,
        scope: &'a Scope,
        after: Option<EntityId>,
        limit: u32,
    ) -> Answer<'a, Vec<StreamRow>> {
        self.with(|state| {
            let (least, greatest) = key::bounds(kind);
            let all = state.streams.range(least..=greatest);
            let parked = all.filter(|(stream, row)| {
                row.parked.is_some()
                    && scope.holds(**stream)
                    && after.is_none_or(|at| **stream > at)
            });
            let rows = parked.map(|(_, row)| row.clone());
            rows.take(limit as usize).collect()
        })
    }

    fn park<'a>(&'a self, stream: EntityId, reason: Option<&'a str>) -> Answer<'a, ()> {
        self.with(|state| {
            if let Some(row) = state.streams.get_mut(&stream) {
                row.parked = reason.map(Into::into);
            }
        })
    }

    fn reindex<'a>(&'a self, stream: EntityId, summary: &'a Summary) -> Answer<'a, ()> {
        let replaced = self.with(|state| {
            let Some(record) = state.of(stream).next().cloned() else {
                return Ok(());
            };
            if let Some(other) = state.name_taken(&record, summary) {
                let name = summary.name.as_deref().unwrap_or_default();
                return Err(Error::Corrupt(format!(
                    "{stream} and {other} are both named `{name}`"
                )));
            }
            if let Some(row) = state.streams.get_mut(&stream) {
                row.summary = summary.clone();
            }
            Ok(())
        });
        Box::pin(async move { replaced.await? })
    }
}
