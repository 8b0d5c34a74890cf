//! Wakes entities when their reminders are due.

use protocol::{entity::EntityId, time::Timestamp};

use super::{Notice, REMIND};
use crate::{
    bug::Bug,
    store::{Answer, Ask, Told},
    world::World,
};

impl World {
    pub(crate) fn remind(&mut self, n: usize) {
        let node = &self.nodes[n];
        let ask = Ask::Due(node.holdings.scope(), node.wall());
        self.ask(n, ask);
    }

    pub(crate) fn due(&mut self, n: usize, answer: &Told) {
        if let Ok(Answer::Due(due)) = answer.as_deref() {
            for (stream, name, due) in due {
                if self.bug == Some(Bug::ReminderForgottenFirst) {
                    let (stream, name, due) = (*stream, name.clone(), *due);
                    self.ask(n, Ask::Delivered { stream, name, due });
                } else {
                    self.wake(n, *stream, name, *due);
                }
            }
        }
        self.after(n, REMIND, Notice::Remind);
    }

    pub(crate) fn forgotten(&mut self, n: usize, stream: EntityId, name: &str, due: Timestamp) {
        if self.bug == Some(Bug::ReminderForgottenFirst) {
            self.wake(n, stream, name, due);
        }
    }
}
