//! What becomes of slots: which fire, which wait, which pass.

use std::time::Duration;

use protocol::{
    id::{ScheduleId, TaskId},
    schedule::{Cause, Event, Missed, Overlap, Passing},
    time::Timestamp,
};

use super::{Due, Schedule, ScheduleStatus, Slots};
use crate::firing::run_id;

/// A slot that is decided later than this after its time was missed.
const GRACE: Duration = Duration::from_secs(60);

/// Slots that are decided at once.
const SCANNED: usize = 10_000;

/// Slots that `missed: all` makes up for when nothing is said.
const MADE_UP: u32 = 100;

/// Slots that may wait for the run of an earlier one.
const QUEUED: usize = 100;

/// How long who waits for the end of a run waits between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Whether the run that fired last goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// It does, or it is not made yet.
    Yes,
    /// It is over, or there was none.
    No,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// To be recorded.
    pub events: Vec<Event>,
    /// Whether more is due that was not looked at.
    pub more: bool,
}

/// The slots of one decision, by what becomes of them.
struct Choice {
    passes: Vec<Timestamp>,
    fires: Vec<(Timestamp, Cause)>,
    more: bool,
}

impl Schedule {
    /// Decides over the slots that are due at `now`.
    #[must_use]
    pub fn decide(&self, id: ScheduleId, slots: &Slots, now: Timestamp, busy: Busy) -> Decision {
        let mut decision = Decision {
            events: Vec::new(),
            more: false,
        };
        if self.status() != ScheduleStatus::Active {
            return decision;
        }
        let mut fires = Fires {
            schedule: self,
            id,
            busy,
            queued: self.queue.len(),
            last_run: self.ledger.last_run,
            events: Vec::new(),
        };
        fires.release();
        let choice = self.choose(slots, now);
        if let Some(last) = choice.passes.last() {
            fires.events.push(Event::Passed {
                slot: *last,
                count: choice.passes.len() as u64,
                why: Passing::Missed,
            });
        }
        fires.all(choice.fires);
        decision.events = fires.events;
        decision.more = choice.more;
        decision
    }

    /// Which of the slots that are due fire, whatever still runs.
    fn choose(&self, slots: &Slots, now: Timestamp) -> Choice {
        let Due { slots: due, more } = slots.due(self.cursor, now, SCANNED);
        let made_up = match self.spec.missed {
            Missed::Skip => 0,
            Missed::Once => 1,
            Missed::All => self.spec.missed_limit.unwrap_or(MADE_UP) as usize,
        };
        if more {
            // The latest count, and they are not in sight yet.
            let passes = due[..due.len() - made_up.max(1).min(due.len())].to_vec();
            return Choice {
                passes,
                fires: Vec::new(),
                more,
            };
        }
        let mut missed = due;
        let on_time = missed.pop_if(|last| now.since(slots.fires_at(*last)) <= GRACE);
        let made_up = match (self.spec.missed, on_time) {
            // It stands in for them.
            (Missed::Once, Some(_)) => 0,
            (Missed::Skip | Missed::Once | Missed::All, _) => made_up,
        };
        let late = missed.split_off(missed.len() - made_up.min(missed.len()));
        let late = late.into_iter().map(|slot| (slot, Cause::Missed));
        Choice {
            passes: missed,
            fires: late
                .chain(on_time.map(|slot| (slot, Cause::Slot)))
                .collect(),
            more,
        }
    }

    /// A run because a person asks for one, whatever else runs.
    #[must_use]
    pub fn fire_now(&self, id: ScheduleId, now: Timestamp) -> (TaskId, Event) {
        let run = run_of(id, now, Cause::Request);
        let fired = Event::Fired {
            slot: now,
            run,
            cause: Cause::Request,
            cancels: None,
        };
        (run, fired)
    }

    /// When something is to be looked at again.
    #[must_use]
    pub fn wake_at(&self, slots: &Slots, now: Timestamp) -> Option<Timestamp> {
        let queue = (!self.queue.is_empty() && self.status() == ScheduleStatus::Active)
            .then(|| now.plus(LOOK));
        [self.next_at(slots), self.ledger.retry_at(), queue]
            .into_iter()
            .flatten()
            .min()
    }

    /// When the next slot fires.
    #[must_use]
    pub fn next_at(&self, slots: &Slots) -> Option<Timestamp> {
        if self.status() != ScheduleStatus::Active {
            return None;
        }
        slots.after(self.cursor).map(|slot| slots.fires_at(slot))
    }

    /// Whether nothing is left to do, for good.
    #[must_use]
    pub fn is_over(&self, slots: &Slots) -> bool {
        self.status() == ScheduleStatus::Active
            && self.queue.is_empty()
            && self.ledger.pending().next().is_none()
            && slots.after(self.cursor).is_none()
    }
}

fn run_of(id: ScheduleId, slot: Timestamp, cause: Cause) -> TaskId {
    let tag = match cause {
        Cause::Request => b'r',
        // One slot has one run, however late.
        Cause::Slot | Cause::Missed | Cause::Queued => b's',
    };
    let mut occasion = [tag; 9];
    occasion[1..].copy_from_slice(&slot.as_micros().to_be_bytes());
    run_id(id.uuid(), &occasion, slot)
}

/// Slots that are to fire, one after the other.
struct Fires<'a> {
    schedule: &'a Schedule,
    id: ScheduleId,
    busy: Busy,
    queued: usize,
    last_run: Option<TaskId>,
    events: Vec<Event>,
}

impl Fires<'_> {
    /// The first of those that wait, when nothing runs any more.
    fn release(&mut self) {
        if self.busy == Busy::No
            && let Some(slot) = self.schedule.queue.front()
        {
            self.queued -= 1;
            self.fire(*slot, Cause::Queued, None);
        }
    }

    fn all(&mut self, fires: Vec<(Timestamp, Cause)>) {
        let count = fires.len();
        for (index, (slot, cause)) in fires.into_iter().enumerate() {
            match self.schedule.spec.overlap {
                Overlap::Allow => self.fire(slot, cause, None),
                Overlap::Skip => match self.busy {
                    Busy::Yes => self.pass(slot),
                    Busy::No => self.fire(slot, cause, None),
                },
                Overlap::Queue => match self.busy {
                    Busy::No if self.queued == 0 => self.fire(slot, cause, None),
                    Busy::Yes | Busy::No if self.queued < QUEUED => {
                        self.queued += 1;
                        self.events.push(Event::Queued { slot });
                    }
                    Busy::Yes | Busy::No => self.pass(slot),
                },
                // The next one would cancel it at once.
                Overlap::CancelPrevious if index + 1 < count => self.pass(slot),
                Overlap::CancelPrevious => {
                    let cancels = self.last_run.filter(|_| self.busy == Busy::Yes);
                    self.fire(slot, cause, cancels);
                }
            }
        }
    }

    fn fire(&mut self, slot: Timestamp, cause: Cause, cancels: Option<TaskId>) {
        let run = run_of(self.id, slot, cause);
        self.busy = Busy::Yes;
        self.last_run = Some(run);
        self.events.push(Event::Fired {
            slot,
            run,
            cause,
            cancels,
        });
    }

    fn pass(&mut self, slot: Timestamp) {
        self.events.push(Event::Passed {
            slot,
            count: 1,
            why: Passing::Overlap,
        });
    }
}

#[cfg(test)]
mod tests;
