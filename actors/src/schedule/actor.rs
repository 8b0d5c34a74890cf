//! Runs one [`Schedule`]: looks when something is due, records what becomes of it, has runs made.

use std::collections::HashSet;

use protocol::{
    api::ScheduleView,
    entity::EntityKind,
    id::{ScheduleId, TaskId},
    schedule::{Cause, Event, ScheduleSpec},
    task::Failure,
    time::Timestamp,
};
use ractor::ActorProcessingErr;
use runtime::{
    entity::{Context, Entity},
    journal,
    store::{Refusal, ReminderChange},
    supervision,
};
use serde_json::json;
use tokio::sync::oneshot;

use super::{Busy, Decision, Schedule, ScheduleStatus, Slots, checked};
use crate::{
    Rejection,
    firing::{self, Entry, Order},
    metrics,
    services::Services,
};

/// A schedule that only waits leaves memory when the wait is longer than this.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// The name of the reminder that brings it back.
const WAKE: &str = "fire";

/// The volatile part of an active schedule.
#[derive(Debug, Default)]
pub(crate) struct ScheduleEntity {
    /// Compiled from what is recorded.
    slots: Option<Slots>,
    /// Runs that are being made.
    making: HashSet<TaskId>,
    /// Whether it has taken a message: whoever brought it to life has one, and finds nobody if it leaves
    /// before.
    awake: bool,
    /// The moment for which a timer runs.
    timer: Option<Timestamp>,
    /// The moment for which a reminder is on disk, as far as this activation knows.
    reminder: Option<Timestamp>,
}

/// What clients may ask of a schedule.
#[derive(Debug)]
pub(crate) enum Command {
    /// The first of all.
    Create(Box<ScheduleSpec>),
    Change(Box<ScheduleSpec>),
    Pause {
        reason: String,
    },
    Resume,
    /// A run now.
    Fire,
    Delete,
}

/// Looks at a schedule and the position of its last event.
pub(crate) type Reader = Box<dyn FnOnce(&Schedule, u64) + Send>;

/// What lies in a schedule's mailbox.
pub(crate) enum Message {
    Command {
        user: String,
        command: Command,
        /// Answered once it is on disk; with the run that was asked for.
        reply: oneshot::Sender<Result<(ScheduleView, Option<TaskId>), Rejection>>,
    },
    Read(Reader),
    /// What came of making a run.
    Made {
        run: TaskId,
        made: Result<(), Rejection>,
    },
    /// A timer or reminder is due.
    Wake,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Command { command, .. } => match command {
                Command::Create(_) => "Create",
                Command::Change(_) => "Change",
                Command::Pause { .. } => "Pause",
                Command::Resume => "Resume",
                Command::Fire => "Fire",
                Command::Delete => "Delete",
            },
            Self::Read(_) => "Read",
            Self::Made { .. } => "Made",
            Self::Wake => "Wake",
        }
    }
}

type Cx = Context<ScheduleEntity>;

fn schedule_id(cx: &Cx) -> ScheduleId {
    ScheduleId::from_uuid(cx.id().key())
}

impl Entity for ScheduleEntity {
    type State = Schedule;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Schedule;
    const FOLDER: &'static str = "schedules";

    fn is_paused(schedule: &Schedule) -> bool {
        schedule.status() == ScheduleStatus::Paused
    }

    async fn recover(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
        // Whoever recorded that it fires may have gone down before the run was made.
        look(cx).await
    }

    async fn handle(cx: &mut Cx, message: Message) -> Result<(), ActorProcessingErr> {
        cx.volatile.awake = true;
        match message {
            Message::Read(read) => {
                read(&cx.state, cx.state.head());
                rest(cx);
                Ok(())
            }
            Message::Command {
                user,
                command,
                reply,
            } => self::command(cx, user, command, reply).await,
            Message::Made { run, made } => {
                cx.volatile.making.remove(&run);
                let event = made_event(cx, run, made);
                cx.state.stage(&event)?;
                look(cx).await
            }
            Message::Wake => {
                cx.volatile.timer = None;
                look(cx).await
            }
        }
    }
}

async fn command(
    cx: &mut Cx,
    user: String,
    command: Command,
    reply: oneshot::Sender<Result<(ScheduleView, Option<TaskId>), Rejection>>,
) -> Result<(), ActorProcessingErr> {
    let (id, now) = (schedule_id(cx), cx.services.clock.now());
    let is_new = cx.state.head() == 0;
    let decided = decide(cx, &user, command, now);
    let (event, run) = match decided {
        Ok(decided) => decided,
        Err(rejection) => {
            // Whoever asked may be gone.
            let _ = reply.send(Err(rejection));
            rest(cx);
            return Ok(());
        }
    };
    // Of one that is deleted, the last that was there is shown.
    let last = cx.state.view(id, cx.state.head());
    if let Some(event) = event {
        if matches!(event, Event::Created { .. } | Event::Changed { .. }) {
            cx.volatile.slots = None;
        }
        cx.state.stage(&event)?;
        let name = cx.state.spec.name.clone();
        match commit(cx, user).await {
            Ok(()) => {}
            Err(journal::Error::Refused(Refusal::NameTaken { stream })) => {
                let _ = reply.send(Err(Rejection::name_taken(&name, stream, "change that one")));
                return match is_new {
                    true => {
                        cx.passivate();
                        Ok(())
                    }
                    // Only the stream knows what is true now.
                    false => Err(journal::Error::Refused(Refusal::NameTaken { stream }).into()),
                };
            }
            Err(error) => return Err(error.into()),
        }
    }
    let view = cx.state.view(id, cx.state.head()).or(last);
    let view = view.ok_or_else(|| not_found(id));
    let _ = reply.send(view.map(|view| (view, run)));
    look(cx).await
}

fn decide(
    cx: &Cx,
    user: &str,
    command: Command,
    now: Timestamp,
) -> Result<(Option<Event>, Option<TaskId>), Rejection> {
    let (id, status) = (schedule_id(cx), cx.state.status());
    let user = user.to_owned();
    let exists = cx.state.head() > 0 && status != ScheduleStatus::Deleted;
    if !exists && !matches!(command, Command::Create(_)) {
        return Err(not_found(id));
    }
    let event = match command {
        Command::Create(spec) => (!exists).then_some(Event::Created { spec, user }),
        Command::Change(spec) => {
            let wrong = checked(id, &spec, now);
            if !wrong.is_empty() {
                return Err(invalid(wrong));
            }
            (*spec != cx.state.spec).then_some(Event::Changed { spec, user })
        }
        Command::Pause { reason } => match status {
            ScheduleStatus::Active => Some(Event::Paused { user, reason }),
            ScheduleStatus::Paused | ScheduleStatus::Deleted => None,
            ScheduleStatus::Finished => return Err(finished(id)),
        },
        Command::Resume => match status {
            ScheduleStatus::Paused => Some(Event::Resumed { user }),
            ScheduleStatus::Active | ScheduleStatus::Deleted => None,
            ScheduleStatus::Finished => return Err(finished(id)),
        },
        Command::Fire => {
            let (run, fired) = cx.state.fire_now(id, now);
            return Ok((Some(fired), Some(run)));
        }
        Command::Delete => Some(Event::Deleted { user }),
    };
    Ok((event, None))
}

pub(crate) fn invalid(errors: Vec<protocol::api::FieldError>) -> Rejection {
    let told = errors.first();
    let message = told.map_or_else(String::new, |error| {
        format!("{}: {}", error.field, error.message)
    });
    Rejection::Invalid {
        code: "invalid",
        message,
        errors,
    }
}

fn not_found(id: ScheduleId) -> Rejection {
    Rejection::not_found(format!("schedule {id}"))
}

fn finished(id: ScheduleId) -> Rejection {
    Rejection::Conflict {
        code: "finished",
        message: format!(
            "schedule {id} has no slot any more; change it so that it has, or make another"
        ),
    }
}

/// What came of making a run, as it is recorded.
fn made_event(cx: &Cx, run: TaskId, made: Result<(), Rejection>) -> Event {
    let Err(rejection) = made else {
        metrics::fired("schedule", "started");
        return Event::Started { run };
    };
    let now = cx.services.clock.now();
    let retry = cx.state.spec.retry.as_ref();
    let ledger = &cx.state.ledger;
    let retry_at = ledger.next_try(run, retry, now, cx.services.dice.unit());
    tracing::warn!(schedule = %cx.id(), %run, %rejection, again = ?retry_at, "a run was not started");
    if retry_at.is_none() {
        metrics::fired("schedule", "failed");
    }
    Event::NotStarted {
        run,
        error: Failure::new(rejection.code(), rejection.to_string()),
        retry_at,
    }
}

/// Decides what is due, writes that, has runs made that are to be, and waits for the next moment.
async fn look(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
    let (id, now) = (schedule_id(cx), cx.services.clock.now());
    let slots = slots(cx)?;
    let busy = busy(cx).await?;
    let Decision { events, more } = cx.state.decide(id, &slots, now, busy);
    for event in &events {
        measure(&slots, event, now);
        cx.state.stage(event)?;
    }
    if cx.state.is_over(&slots) {
        cx.state.stage(&Event::Finished)?;
    }
    commit(cx, "clock".to_owned()).await?;
    make(cx, now);
    if more {
        cx.tell_self(Message::Wake);
    } else {
        rest(cx);
    }
    Ok(())
}

fn measure(slots: &Slots, event: &Event, now: Timestamp) {
    match event {
        Event::Fired {
            slot,
            cause: Cause::Slot,
            ..
        } => metrics::late(now.since(slots.fires_at(*slot))),
        Event::Passed { count, why, .. } => metrics::passed(*why, *count),
        Event::Fired { .. }
        | Event::Queued { .. }
        | Event::Created { .. }
        | Event::Changed { .. }
        | Event::Started { .. }
        | Event::NotStarted { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Finished
        | Event::Deleted { .. } => {}
    }
}

fn slots(cx: &mut Cx) -> Result<Slots, ActorProcessingErr> {
    if let Some(slots) = &cx.volatile.slots {
        return Ok(slots.clone());
    }
    let compiled = Slots::of(schedule_id(cx), &cx.state.spec, cx.state.anchor);
    let slots = compiled.map_err(|errors| invalid(errors).to_string())?;
    cx.volatile.slots = Some(slots.clone());
    Ok(slots)
}

/// Whether the run that fired last goes on. It is in the same shard, so its row is never behind.
async fn busy(cx: &Cx) -> Result<Busy, journal::Error> {
    let heeds =
        cx.state.spec.overlap != protocol::schedule::Overlap::Allow || !cx.state.queue.is_empty();
    let Some(run) = cx.state.ledger.last_run.filter(|_| heeds) else {
        return Ok(Busy::No);
    };
    if cx
        .state
        .ledger
        .pending()
        .any(|entry| entry.run == Some(run))
    {
        return Ok(Busy::Yes);
    }
    let row = cx.journal().store().stream(run.into()).await?;
    Ok(match row {
        Some(row) if row.summary.open => Busy::Yes,
        Some(_) | None => Busy::No,
    })
}

async fn commit(cx: &mut Cx, actor: String) -> Result<(), journal::Error> {
    if !cx.state.is_staged() {
        return Ok(());
    }
    let now = cx.services.clock.now();
    let mut commit = cx.services.commit_by(&actor);
    let due = match slots(cx) {
        Ok(slots) => cx.state.wake_at(&slots, now),
        Err(_) => None,
    };
    commit.reminders.push(match due {
        Some(due) => ReminderChange::Set {
            name: WAKE.to_owned(),
            due,
        },
        None => ReminderChange::Clear {
            name: WAKE.to_owned(),
        },
    });
    cx.state.commit(commit).await?;
    cx.volatile.reminder = due;
    Ok(())
}

/// Has runs made whose time has come.
fn make(cx: &mut Cx, now: Timestamp) {
    let due: Vec<Entry> = cx.state.ledger.due(now).cloned().collect();
    for entry in due {
        let Some(run) = entry.run else {
            continue;
        };
        if !cx.volatile.making.insert(run) {
            continue;
        }
        let order = Order {
            run,
            tenant: cx.state.tenant().to_owned(),
            user: cx.state.user.clone(),
            target: cx.state.spec.target.clone(),
            about: ("schedule", json!({ "id": cx.id(), "slot": entry.slot })),
            cancels: entry.cancels,
            key: None,
        };
        let (host, id) = (cx.host().clone(), cx.id());
        let store = cx.journal().store().clone();
        firing::spawn(cx.services.clone(), store, order, move |run, made| {
            // Whoever comes after it makes the run again, and finds it.
            host.tell_active(id, Message::Made { run, made });
        });
    }
}

/// Waits for the next moment: in memory when it is near, on disk when it is not.
fn rest(cx: &mut Cx) {
    let now = cx.services.clock.now();
    let due = match slots(cx) {
        Ok(slots) => cx.state.wake_at(&slots, now),
        Err(_) => None,
    };
    let idle = cx.volatile.awake && cx.volatile.making.is_empty();
    match due {
        None if idle => cx.passivate(),
        None => {}
        Some(due) if idle && due > now.plus(PATIENCE) && cx.volatile.reminder == Some(due) => {
            cx.passivate();
        }
        Some(due)
            if cx
                .volatile
                .timer
                .is_none_or(|timer| due < timer || timer <= now) =>
        {
            cx.volatile.timer = Some(due);
            cx.tell_self_after(due.since(now), Message::Wake);
        }
        // One that is as good runs already.
        Some(_) => {}
    }
}
