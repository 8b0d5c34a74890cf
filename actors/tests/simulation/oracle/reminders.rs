//! P10: reminders are never early, and never forgotten before they came.

use protocol::{entity::EntityId, time::Timestamp};

use super::Oracle;
use crate::{node::WALL_ERROR, store::START};

impl Oracle {
    pub(crate) fn reminded(
        &mut self,
        stream: EntityId,
        name: &str,
        due: Timestamp,
        wall: Timestamp,
        now: u64,
    ) {
        let true_now = START + i64::try_from(now + WALL_ERROR).unwrap();
        let early = due > wall || due.as_micros() > true_now;
        self.hold(!early, || {
            format!("P10: {name} of {stream} came before {due}")
        });
        if let Some((set, times)) = self.reminders.get_mut(&(stream, name.to_owned()))
            && *set == due
        {
            *times += 1;
        }
    }

    /// A reminder leaves the store.
    pub(crate) fn forgotten(&mut self, stream: EntityId, name: &str, due: Timestamp) {
        let kept = self.reminders.get(&(stream, name.to_owned()));
        let told = kept.is_none_or(|(set, times)| *set != due || *times > 0);
        self.hold(told, || {
            format!("P10: {name} of {stream}, due {due}, was forgotten before it came")
        });
    }
}
