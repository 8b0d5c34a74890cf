//! Writes what was decided, and settles answers that were lost.

use std::{rc::Rc, time::Duration};

use protocol::{
    entity::EntityId,
    id::CommandId,
    record::{ChainHash, Record},
    time::Timestamp,
};
use runtime::{
    journal::EventSourced as _,
    store::{Append, Appended, Idempotency, Refusal, ReminderChange},
};

use super::{Effect, Phase, REPEATS, WAKE};
use crate::{
    bug::Bug,
    faults::Fault,
    link::Message,
    node::Notice,
    store::{Answer, Ask, Told},
    world::World,
};

impl World {
    /// Writes what is staged, or goes on at once when nothing is.
    pub(crate) fn commit(&mut self, n: usize, stream: EntityId, idle: Option<Timestamp>) {
        let appends = self.nodes[n].holdings.appends(stream);
        let fenced = self.bug != Some(Bug::NoFence);
        let command = CommandId::from_uuid(self.chance.uuid());
        let owner = self.nodes[n].id();
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        if entity.staged.is_empty() {
            self.carry_out(n, stream);
            return;
        }
        if fenced && appends != Some(entity.epoch) {
            self.met(Fault::SelfFenced);
            self.failed(n, stream);
            return;
        }
        let order = entity.command.clone().filter(|_| entity.head == 0);
        let data = serde_json::to_string(&entity.staged).unwrap();
        let mut record = Record {
            stream,
            seq: entity.head + 1,
            count: u32::try_from(entity.staged.len()).unwrap(),
            epoch: entity.epoch,
            owner,
            cmd_id: order.as_ref().map_or(command, |(command, _)| *command),
            tenant: "default".to_owned(),
            actor: "sim".to_owned(),
            at: entity.at,
            version: 1,
            data,
            hash: ChainHash::default(),
        };
        record.hash = record.chain(entity.hash);
        let set = idle.map(|due| ReminderChange::Set {
            name: WAKE.to_owned(),
            due,
        });
        let append = Append {
            record,
            summary: entity.task.summary(),
            idempotency: order.map(|(_, order)| Idempotency {
                key: order.key.clone(),
                body_hash: ChainHash::default(),
            }),
            reminders: set.into_iter().collect(),
            outbox: Vec::new(),
        };
        entity.phase = Phase::Writing;
        entity.idle = idle.is_some();
        let life = entity.life;
        let ask = Ask::Append {
            life,
            append: Box::new(append),
            repeats: 0,
        };
        self.ask(n, ask);
        match self.bug {
            Some(Bug::EarlyAck) => {
                self.carry_out_some(n, stream, |effect| matches!(effect, Effect::Accept(_)));
            }
            Some(Bug::DispatchBeforeCommit) => {
                self.carry_out_some(n, stream, |effect| matches!(effect, Effect::Dispatch(_)));
            }
            Some(_) | None => {}
        }
    }

    pub(crate) fn appended(&mut self, n: usize, ask: &Rc<Ask>, answer: &Told) {
        let Ask::Append {
            life,
            append,
            repeats,
        } = &**ask
        else {
            return;
        };
        let stream = append.record.stream;
        let Some(entity) = self.entity(n, stream, *life) else {
            return;
        };
        let order = entity.command.clone().map(|(_, order)| order);
        match answer.as_deref() {
            // Somebody else made it with the same command: what is staged here never was.
            Ok(Answer::Appended(Ok(Appended::Before))) if *repeats == 0 => self.failed(n, stream),
            Ok(Answer::Appended(Ok(_))) => self.believe(n, stream, &append.record),
            Ok(Answer::Appended(Err(Refusal::Repeated { stream: made, .. }))) => {
                if *made == stream {
                    self.believe(n, stream, &append.record);
                } else {
                    let made = *made;
                    self.gone(n, stream);
                    if let Some(order) = order {
                        self.send_to_owner(n, made, Message::Confirm(made, order));
                    }
                }
            }
            Err(_) if *repeats < REPEATS => {
                let wait = Duration::from_millis(20 << (repeats + 1));
                self.after(n, wait, Notice::Repeat(ask.clone()));
            }
            Ok(_) | Err(_) => self.failed(n, stream),
        }
    }

    pub(crate) fn repeat(&mut self, n: usize, ask: &Ask) {
        let Ask::Append {
            life,
            append,
            repeats,
        } = ask
        else {
            return;
        };
        if self.entity(n, append.record.stream, *life).is_some() {
            let (life, append, repeats) = (*life, append.clone(), repeats + 1);
            self.ask(
                n,
                Ask::Append {
                    life,
                    append,
                    repeats,
                },
            );
        }
    }

    pub(crate) fn believe(&mut self, n: usize, stream: EntityId, record: &Record) {
        if let Some(entity) = self.nodes[n].entities.get_mut(&stream) {
            (entity.head, entity.hash) = (record.head(), record.hash);
            entity.staged.clear();
            entity.phase = Phase::Resting;
            self.carry_out(n, stream);
        }
    }

    /// Under the planted bug, the store takes any epoch.
    pub(crate) fn with_fence_off(&self, ask: &Rc<Ask>) -> Option<Rc<Ask>> {
        if self.bug != Some(Bug::NoFence) {
            return None;
        }
        let Ask::Append {
            life,
            append,
            repeats,
        } = &**ask
        else {
            return None;
        };
        let epoch = self.store.epoch_of(append.record.stream)?;
        if epoch <= append.record.epoch {
            return None;
        }
        let mut append = append.clone();
        append.record.epoch = epoch;
        let records = self.store.records(append.record.stream);
        let last = records.last().map_or_else(ChainHash::default, |r| r.hash);
        append.record.hash = append.record.chain(last);
        Some(Rc::new(Ask::Append {
            life: *life,
            append,
            repeats: *repeats,
        }))
    }
}
