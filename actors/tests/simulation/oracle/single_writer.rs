//! P8: one writer a stream, and epochs that grow.

use protocol::{entity::EntityId, epoch::Epoch, id::NodeId, shard::Shard, task::Event};
use runtime::{
    journal::{EventSourced as _, decode},
    store::{Append, ReminderChange},
};

use super::Oracle;

impl Oracle {
    pub(crate) fn taken(&mut self, by: NodeId, epoch: Epoch, shards: &[Shard]) {
        let before = self.epochs.insert(epoch, by);
        self.hold(before.is_none(), || {
            format!("P8: {epoch} was handed out twice")
        });
        for shard in shards {
            let last = self.shards.insert(*shard, epoch);
            self.hold(last.is_none_or(|last| last < epoch), || {
                format!("P8: {shard} went from {last:?} to {epoch}")
            });
        }
    }

    /// A stream was read by its owner: no earlier one may append any more.
    pub(crate) fn loaded(&mut self, stream: EntityId, epoch: Epoch) {
        if let Some(shadow) = self.tasks.get_mut(&stream) {
            shadow.floor = shadow.floor.max(epoch);
        }
    }

    pub(crate) fn committed(&mut self, append: &Append, now: u64) {
        self.now = now;
        let record = &append.record;
        let stream = record.stream;
        let mut shadow = self.tasks.remove(&stream).unwrap_or_default();
        self.hold(record.seq == shadow.head + 1, || {
            format!("P8: {stream} goes from {} to {}", shadow.head, record.seq)
        });
        self.hold(record.chain(shadow.hash) == record.hash, || {
            format!("P8: the chain of {stream} breaks at {}", record.seq)
        });
        self.hold(record.epoch >= shadow.epoch, || {
            format!("P8: epochs of {stream} fall at {}", record.seq)
        });
        self.hold(record.epoch >= shadow.floor, || {
            format!(
                "P8: {stream} was loaded under {} and appended to under {}",
                shadow.floor, record.epoch
            )
        });
        let owner = self.epochs.get(&record.epoch).copied();
        self.hold(owner == Some(record.owner), || {
            format!("P8: {} appends under the epoch of {owner:?}", record.owner)
        });
        (shadow.head, shadow.hash, shadow.epoch) = (record.head(), record.hash, record.epoch);
        for event in decode::<Event>(record).unwrap() {
            self.follows(stream, &mut shadow, &event);
            shadow.task.apply(&event, record.at);
        }
        self.tasks.insert(stream, shadow);
        for change in &append.reminders {
            match change {
                ReminderChange::Set { name, due } => {
                    self.reminders.insert((stream, name.clone()), (*due, 0));
                }
                ReminderChange::Clear { name } => {
                    self.reminders.remove(&(stream, name.clone()));
                }
            }
        }
    }
}
