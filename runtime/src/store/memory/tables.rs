//! Everything beside the journal: snapshots, owners, reminders, outbox, views.

use std::future;

use protocol::{entity::EntityId, epoch::Epoch, id::NodeId, time::Timestamp};
use uuid::Uuid;

use super::Memory;
use crate::store::{
    Admin, Answer, Census, Delivery, Outbox, Ownership, Reminders, Scope, Snapshot, Snapshots,
    Views,
};

impl Snapshots for Memory {
    fn snapshot(&self, stream: EntityId) -> Answer<'_, Option<Snapshot>> {
        self.with(|state| state.snapshots.get(&stream).cloned())
    }

    fn save<'a>(&'a self, snapshot: &'a Snapshot) -> Answer<'a, ()> {
        self.with(|state| {
            let kept = state.snapshots.get(&snapshot.stream);
            if kept.is_none_or(|kept| kept.seq <= snapshot.seq) {
                state.snapshots.insert(snapshot.stream, snapshot.clone());
            }
        })
    }
}

impl Ownership for Memory {
    fn begin<'a>(&'a self, node: NodeId, name: &'a str) -> Answer<'a, Epoch> {
        self.with(|state| {
            state.nodes.insert(node, name.into());
            state.next_epoch()
        })
    }

    fn claim<'a>(
        &'a self,
        streams: &'a [EntityId],
        epoch: Epoch,
        owner: NodeId,
    ) -> Answer<'a, Vec<EntityId>> {
        self.with(|state| {
            let mut claimed = streams.to_vec();
            claimed.retain(|stream| state.may_claim(*stream, epoch, owner));
            claimed.retain(|stream| match state.streams.get_mut(stream) {
                Some(row) if row.epoch <= epoch => {
                    row.epoch = epoch;
                    true
                }
                Some(_) | None => false,
            });
            claimed
        })
    }
}

impl Reminders for Memory {
    fn due<'a>(
        &'a self,
        scope: &'a Scope,
        now: Timestamp,
        limit: u32,
    ) -> Answer<'a, Vec<(EntityId, String, Timestamp)>> {
        self.with(|state| {
            let all = state.reminders.iter();
            let mut due: Vec<_> = all
                .filter(|((stream, _), due)| **due <= now && scope.holds(*stream))
                .map(|((stream, name), due)| (*stream, name.clone(), *due))
                .collect();
            due.sort_by_key(|(_, _, due)| *due);
            due.truncate(limit as usize);
            due
        })
    }

    fn next_due<'a>(&'a self, scope: &'a Scope) -> Answer<'a, Option<Timestamp>> {
        self.with(|state| {
            let all = state.reminders.iter();
            let meant = all.filter(|((stream, _), _)| scope.holds(*stream));
            meant.map(|(_, due)| *due).min()
        })
    }

    fn delivered<'a>(&'a self, stream: EntityId, name: &'a str, due: Timestamp) -> Answer<'a, ()> {
        self.with(|state| {
            let name = (stream, name.to_owned());
            if state.reminders.get(&name) == Some(&due) {
                state.reminders.remove(&name);
            }
        })
    }
}

impl Outbox for Memory {
    fn claim_due(&self, now: Timestamp, until: Timestamp, limit: u32) -> Answer<'_, Vec<Delivery>> {
        self.with(|state| {
            let all = state.outbox.values_mut();
            let mut due: Vec<_> = all.filter(|delivery| delivery.due <= now).collect();
            due.sort_by_key(|delivery| (delivery.due, delivery.id));
            due.truncate(limit as usize);
            let claimed = due.into_iter().map(|delivery| {
                let as_it_was = delivery.clone();
                delivery.due = until;
                as_it_was
            });
            claimed.collect()
        })
    }

    fn settle(&self, id: Uuid) -> Answer<'_, ()> {
        self.with(|state| {
            state.outbox.remove(&id);
        })
    }

    fn postpone(&self, id: Uuid, due: Timestamp) -> Answer<'_, ()> {
        self.with(|state| {
            if let Some(delivery) = state.outbox.get_mut(&id) {
                delivery.due = due;
                delivery.tries += 1;
            }
        })
    }
}

impl Views for Memory {
    fn row<'a>(&'a self, view: &'a str, key: &'a str) -> Answer<'a, Option<String>> {
        self.with(|state| state.rows.get(&(view.into(), key.into())).cloned())
    }

    fn rows<'a>(&'a self, view: &'a str) -> Answer<'a, Vec<(String, String)>> {
        self.with(|state| {
            let from = (view.to_owned(), String::new());
            let rows = state.rows.range(from..);
            rows.take_while(|((of, _), _)| of == view)
                .map(|((_, key), body)| (key.clone(), body.clone()))
                .collect()
        })
    }

    fn cursor<'a>(&'a self, view: &'a str) -> Answer<'a, i64> {
        self.with(|state| state.cursors.get(view).copied().unwrap_or(0))
    }

    fn fold<'a>(
        &'a self,
        view: &'a str,
        rows: &'a [(String, String)],
        cursor: i64,
    ) -> Answer<'a, ()> {
        self.with(|state| {
            for (key, body) in rows {
                state.rows.insert((view.into(), key.clone()), body.clone());
            }
            state.cursors.insert(view.into(), cursor);
        })
    }

    fn clear<'a>(&'a self, view: &'a str) -> Answer<'a, ()> {
        self.with(|state| {
            state.rows.retain(|(of, _), _| of != view);
            state.cursors.remove(view);
        })
    }
}

impl Admin for Memory {
    fn engine(&self) -> &'static str {
        "memory"
    }

    fn census(&self) -> Answer<'_, Census> {
        self.with(|state| Census {
            schema: 3,
            streams: state.streams.len() as u64,
            open: state
                .streams
                .values()
                .filter(|row| row.summary.open)
                .count() as u64,
            records: state.records.len() as u64,
            bytes: 0,
        })
    }

    fn probe(&self) -> Answer<'_, ()> {
        self.with(|_| ())
    }

    fn close(&self) -> Answer<'_, ()> {
        self.lock().closed = true;
        Box::pin(future::ready(Ok(())))
    }
}
