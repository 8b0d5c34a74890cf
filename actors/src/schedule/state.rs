//! What a schedule's events say.

use std::{collections::VecDeque, time::Duration};

use protocol::{
    api::{FieldError, FiringState, FiringView, ScheduleView},
    id::ScheduleId,
    record::Summary,
    schedule::{Cause, EVENT_VERSION, Event, ScheduleSpec},
    time::{Span, Timestamp},
};
use runtime::journal::EventSourced;
use serde::{Deserialize, Serialize};

use super::Slots;
use crate::firing::{self, Entry, Ledger, State};

/// Where a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleStatus {
    /// Its slots fire.
    Active,
    /// They do not, until it is resumed.
    Paused,
    /// There are none any more.
    Finished,
    /// A client removed it.
    Deleted,
}

impl ScheduleStatus {
    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Deleted => "deleted",
        }
    }
}

/// A schedule as its events say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// What was asked for.
    pub spec: ScheduleSpec,
    /// Who made it.
    pub user: String,
    /// When it was made; never before the first event.
    pub created_at: Option<Timestamp>,
    /// From when on its spans are counted: when it was made, or changed last.
    pub anchor: Timestamp,
    /// All slots up to here are decided.
    pub cursor: Timestamp,
    /// Slots that wait for the run of an earlier one.
    pub queue: VecDeque<Timestamp>,
    /// What is to be started, and was.
    pub ledger: Ledger,
    /// Who paused it, and why.
    pub paused: Option<(String, String)>,
    /// Whether there is nothing left to fire.
    pub finished: bool,
    /// Whether a client removed it.
    pub deleted: bool,
}

impl Schedule {
    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> ScheduleStatus {
        match (self.deleted, self.finished, &self.paused) {
            (true, ..) => ScheduleStatus::Deleted,
            (false, true, _) => ScheduleStatus::Finished,
            (false, false, Some(_)) => ScheduleStatus::Paused,
            (false, false, None) => ScheduleStatus::Active,
        }
    }

    /// As clients see it.
    #[must_use]
    pub fn view(&self, id: ScheduleId, version: u64) -> Option<ScheduleView> {
        let created_at = self.created_at.filter(|_| !self.deleted)?;
        // What was accepted once compiles again.
        let slots = Slots::of(id, &self.spec, self.anchor).ok();
        Some(ScheduleView {
            id,
            name: self.spec.name.clone(),
            status: self.status().as_str().to_owned(),
            user_id: self.user.clone(),
            created_at,
            next_at: slots.and_then(|slots| self.next_at(&slots)),
            last_at: self.ledger.last_at,
            fired: self.ledger.fired,
            passed: self.ledger.passed,
            failed: self.ledger.failed,
            queued: u32::try_from(self.queue.len()).unwrap_or(u32::MAX),
            paused: self
                .paused
                .as_ref()
                .map(|(user, reason)| match reason.as_str() {
                    "" => format!("by {user}"),
                    reason => format!("by {user}: {reason}"),
                }),
            spec: self.spec.clone(),
            version,
        })
    }

    /// What became of its slots, the newest first.
    #[must_use]
    pub fn firings(&self) -> Vec<FiringView> {
        let queued = self.queue.iter().rev().map(|slot| FiringView {
            slot: Some(*slot),
            state: FiringState::Queued,
            ..Entry::new(*slot, State::Pending(None)).view()
        });
        queued
            .chain(self.ledger.entries().map(Entry::view))
            .collect()
    }
}

/// The longest time between two slots of `every`: nobody waits a hundred years for the next one.
const LONGEST: Span = Span(Duration::from_secs(36_500 * 24 * 60 * 60));

/// What is wrong with what a client asks for at `now`.
#[must_use]
pub fn checked(id: ScheduleId, spec: &ScheduleSpec, now: Timestamp) -> Vec<FieldError> {
    let mut wrong = firing::checked(&spec.name, spec.retry.as_ref(), &spec.target);
    if spec
        .missed_limit
        .is_some_and(|limit| !(1..=1000).contains(&limit))
    {
        wrong.push(FieldError::new("missed_limit", "must be from 1 to 1,000"));
    }
    if spec.every > Some(LONGEST) {
        let message = format!("is longer than {LONGEST}, a hundred years; choose less");
        wrong.push(FieldError::new("every", message));
    }
    match Slots::of(id, spec, now) {
        Err(errors) => wrong.extend(errors),
        Ok(slots) if slots.after(now).is_none() => {
            let field = if spec.at.is_some_and(|at| at <= now) {
                "at"
            } else {
                "ends"
            };
            wrong.push(FieldError::new(
                field,
                format!("leaves no slot after now, {now}; choose a later moment"),
            ));
        }
        Ok(_) => {}
    }
    wrong
}

impl EventSourced for Schedule {
    type Event = Event;
    const EVENT_VERSION: u16 = EVENT_VERSION;
    const STATE_VERSION: u16 = 1;

    fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Created { spec, user } => {
                self.spec = (**spec).clone();
                self.user.clone_from(user);
                (self.created_at, self.anchor, self.cursor) = (Some(at), at, at);
            }
            Event::Changed { spec, .. } => {
                self.spec = (**spec).clone();
                (self.anchor, self.cursor) = (at, self.cursor.max(at));
                self.finished = false;
            }
            Event::Fired {
                slot,
                run,
                cause,
                cancels,
            } => {
                match cause {
                    Cause::Slot | Cause::Missed => self.cursor = self.cursor.max(*slot),
                    Cause::Queued => self.queue.retain(|waiting| waiting != slot),
                    Cause::Request => {}
                }
                let mut entry = Entry::new(at, State::Pending(None));
                (entry.slot, entry.run) = (Some(*slot), Some(*run));
                (entry.cause, entry.cancels) = (Some(*cause), *cancels);
                self.ledger.add(entry);
            }
            Event::Started { run } => self.ledger.started(*run),
            Event::NotStarted {
                run,
                error,
                retry_at,
            } => self.ledger.not_started(*run, error, *retry_at),
            Event::Queued { slot } => {
                self.cursor = self.cursor.max(*slot);
                self.queue.push_back(*slot);
            }
            Event::Passed { slot, count, why } => {
                self.cursor = self.cursor.max(*slot);
                let mut entry = Entry::new(at, State::Passed(*count, *why));
                entry.slot = Some(*slot);
                self.ledger.add(entry);
            }
            Event::Paused { user, reason } => self.paused = Some((user.clone(), reason.clone())),
            Event::Resumed { .. } => {
                self.paused = None;
                self.cursor = self.cursor.max(at);
            }
            Event::Finished => self.finished = true,
            Event::Deleted { .. } => self.deleted = true,
        }
    }

    fn summary(&self) -> Summary {
        let id = ScheduleId::from_uuid(uuid::Uuid::nil());
        let mut view = self.view(id, 0);
        if let (Some(view), Ok(slots)) = (&mut view, Slots::of(id, &self.spec, self.anchor)) {
            // Its jitter follows from its id: lists put both in.
            view.next_at = view.next_at.and_then(|_| slots.after(self.cursor));
        }
        let status = self.status();
        Summary {
            status: status.as_str().to_owned(),
            // What is to be started is, also when it was paused since.
            open: status == ScheduleStatus::Active || self.ledger.pending().next().is_some(),
            hidden: self.deleted,
            user: self.user.clone(),
            name: (!self.deleted).then(|| self.spec.name.clone()),
            // Strings, numbers and times always can be written.
            body: view
                .and_then(|view| serde_json::to_string(&view).ok())
                .unwrap_or_default(),
            ..Summary::default()
        }
    }
}
