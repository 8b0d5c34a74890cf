//! Runs one [`Trigger`]: is told what happened, records what it starts, has runs made.

mod follower;
mod hook;

use std::collections::HashSet;

use protocol::{
    api::TriggerView,
    entity::EntityKind,
    id::{TaskId, TriggerId},
    task::Failure,
    time::Timestamp,
    trigger::{Event, Occasion, TriggerSpec},
};
use ractor::ActorProcessingErr;
use runtime::{
    entity::{Context, Entity},
    journal,
    store::Refusal,
    supervision,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub(crate) use self::{
    follower::{Watching, end_of_journal, follower},
    hook::{Hooked, hook_secret},
};
use super::{Delivery, Plan, Trigger, checked};
use crate::{
    Rejection,
    firing::{self, Entry, Order},
    metrics,
    schedule::invalid,
    services::Services,
};

/// The volatile part of an active trigger.
#[derive(Debug, Default)]
pub(crate) struct TriggerEntity {
    /// Compiled from what is recorded.
    plan: Option<Plan>,
    /// Runs that are being made.
    making: HashSet<TaskId>,
    /// Whether it has taken a message: whoever brought it to life has one, and finds nobody if it leaves
    /// before.
    awake: bool,
}

/// What clients may ask of a trigger. Where the journal ends then comes with what lets it look.
#[derive(Debug)]
pub(crate) enum Command {
    /// The first of all.
    Create(Box<TriggerSpec>, i64),
    Change(Box<TriggerSpec>),
    Pause(String),
    Resume(i64),
    Delete,
}

/// Looks at a trigger.
pub(crate) type Reader = Box<dyn FnOnce(&Trigger) + Send>;

/// Something that happened, as the journal has it.
pub(crate) struct News {
    pub(crate) occasion: Occasion,
    pub(crate) scope: Value,
    pub(crate) at: Timestamp,
    pub(crate) depth: u32,
    pub(crate) place: i64,
}

/// What lies in a trigger's mailbox.
pub(crate) enum Message {
    Command {
        user: String,
        command: Command,
        /// Answered once it is on disk.
        reply: oneshot::Sender<Result<TriggerView, Rejection>>,
    },
    Read(Reader),
    /// Answered once what follows from it is on disk.
    Happened {
        news: Box<News>,
        reply: oneshot::Sender<()>,
    },
    /// Everything in the journal up to here was looked at.
    Looked(i64),
    /// Something came to its webhook.
    Hook {
        delivery: Box<Delivery>,
        reply: oneshot::Sender<Hooked>,
    },
    /// What came of making a run.
    Made {
        run: TaskId,
        made: Result<(), Rejection>,
    },
    /// A timer is due.
    Wake,
}
impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Command { command, .. } => match command {
                Command::Create(..) => "Create",
                Command::Change(_) => "Change",
                Command::Pause(_) => "Pause",
                Command::Resume(_) => "Resume",
                Command::Delete => "Delete",
            },
            Self::Read(_) => "Read",
            Self::Happened { .. } => "Happened",
            Self::Looked(_) => "Looked",
            Self::Hook { .. } => "Hook",
            Self::Made { .. } => "Made",
            Self::Wake => "Wake",
        }
    }
}

type Cx = Context<TriggerEntity>;

fn trigger_id(cx: &Cx) -> TriggerId {
    TriggerId::from_uuid(cx.id().key())
}

impl Entity for TriggerEntity {
    type State = Trigger;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Trigger;
    const FOLDER: &'static str = "triggers";

    fn is_paused(trigger: &Trigger) -> bool {
        trigger.paused.is_some()
    }

    async fn recover(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
        // Whoever recorded that it fires may have gone down before the run was made.
        go_on(cx);
        Ok(())
    }

    async fn handle(cx: &mut Cx, message: Message) -> Result<(), ActorProcessingErr> {
        cx.volatile.awake = true;
        match message {
            Message::Read(read) => read(&cx.state),
            Message::Command {
                user,
                command,
                reply,
            } => return self::command(cx, user, command, reply).await,
            Message::Happened { news, reply } => {
                happened(cx, *news).await?;
                // The follower may be gone.
                let _ = reply.send(());
            }
            Message::Looked(place) => {
                if place > cx.state.place {
                    cx.state.stage(&Event::Looked { place })?;
                    commit(cx, "journal").await?;
                }
            }
            Message::Hook { delivery, reply } => {
                let answer = hook::hooked(cx, &delivery).await?;
                // The sender may be gone.
                let _ = reply.send(answer);
            }
            Message::Made { run, made } => {
                cx.volatile.making.remove(&run);
                let event = made_event(cx, run, made);
                cx.state.stage(&event)?;
                commit(cx, "journal").await?;
            }
            Message::Wake => {}
        }
        go_on(cx);
        Ok(())
    }
}

async fn command(
    cx: &mut Cx,
    user: String,
    command: Command,
    reply: oneshot::Sender<Result<TriggerView, Rejection>>,
) -> Result<(), ActorProcessingErr> {
    let (id, is_new) = (trigger_id(cx), cx.state.head() == 0);
    let event = match decide(cx, &user, command) {
        Ok(event) => event,
        Err(rejection) => {
            // Whoever asked may be gone.
            let _ = reply.send(Err(rejection));
            go_on(cx);
            return Ok(());
        }
    };
    let last = cx.state.view(id, cx.state.head());
    if let Some(event) = event {
        cx.volatile.plan = None;
        cx.state.stage(&event)?;
        let name = cx.state.spec.name.clone();
        match commit(cx, &user).await {
            Err(journal::Error::Refused(Refusal::NameTaken { stream })) => {
                let taken = Rejection::name_taken(&name, stream, "change that one");
                let _ = reply.send(Err(taken));
                if is_new {
                    cx.passivate();
                    return Ok(());
                }
                // Only the stream knows what is true now.
                return Err(journal::Error::Refused(Refusal::NameTaken { stream }).into());
            }
            written => written?,
        }
    }
    let view = cx.state.view(id, cx.state.head()).or(last);
    let _ = reply.send(view.ok_or_else(|| not_found(id)));
    go_on(cx);
    Ok(())
}

fn not_found(id: TriggerId) -> Rejection {
    Rejection::not_found(format!("trigger {id}"))
}

fn decide(cx: &Cx, user: &str, command: Command) -> Result<Option<Event>, Rejection> {
    let user = user.to_owned();
    let exists = cx.state.head() > 0 && !cx.state.deleted;
    if !exists && !matches!(command, Command::Create(..)) {
        return Err(not_found(trigger_id(cx)));
    }
    let is_paused = cx.state.paused.is_some();
    Ok(match command {
        Command::Create(spec, after) => (!exists).then_some(Event::Created { spec, user, after }),
        Command::Change(spec) => {
            let wrong = checked(&spec);
            if !wrong.is_empty() {
                return Err(invalid(wrong));
            }
            (*spec != cx.state.spec).then_some(Event::Changed { spec, user })
        }
        Command::Pause(reason) => (!is_paused).then_some(Event::Paused { user, reason }),
        Command::Resume(after) => is_paused.then_some(Event::Resumed { user, after }),
        Command::Delete => Some(Event::Deleted { user }),
    })
}

/// Something happened that it may wait for: what follows is on disk when this ends.
async fn happened(cx: &mut Cx, news: News) -> Result<(), ActorProcessingErr> {
    // What was told before is decided; what came before it was made is not meant.
    if news.place <= cx.state.place || news.at < cx.state.since || cx.state.waits_for().is_none() {
        return Ok(());
    }
    let plan = plan(cx)?;
    let (id, way) = (trigger_id(cx), (news.depth, Some(news.place)));
    let event = cx
        .state
        .decide(id, &plan, news.occasion, &news.scope, news.at, way);
    if let Some(event) = event {
        if let Event::Refused { error, .. } = &event {
            tracing::warn!(trigger = %id, code = error.code, why = error.message, "a trigger starts nothing");
            metrics::fired("trigger", "failed");
        }
        cx.state.stage(&event)?;
        commit(cx, "journal").await?;
    }
    Ok(())
}

fn plan(cx: &mut Cx) -> Result<Plan, ActorProcessingErr> {
    if let Some(plan) = &cx.volatile.plan {
        return Ok(plan.clone());
    }
    // What was accepted once compiles again.
    let plan = Plan::of(&cx.state.spec).map_err(|error| error.message)?;
    cx.volatile.plan = Some(plan.clone());
    Ok(plan)
}

async fn commit(cx: &mut Cx, actor: &str) -> Result<(), journal::Error> {
    cx.state.commit(cx.services.commit_by(actor)).await
}

/// What came of making a run, as it is recorded.
fn made_event(cx: &Cx, run: TaskId, made: Result<(), Rejection>) -> Event {
    let Err(rejection) = made else {
        metrics::fired("trigger", "started");
        return Event::Started { run };
    };
    let now = cx.services.clock.now();
    let retry = cx.state.spec.retry.as_ref();
    let chance = cx.services.dice.unit();
    let retry_at = cx.state.ledger.next_try(run, retry, now, chance);
    tracing::warn!(trigger = %cx.id(), %run, %rejection, again = ?retry_at, "a run was not started");
    if retry_at.is_none() {
        metrics::fired("trigger", "failed");
    }
    Event::NotStarted {
        run,
        error: Failure::new(rejection.code(), rejection.to_string()),
        retry_at,
    }
}

/// Has runs made whose time has come, is told of what happens if it waits for it, else leaves memory
/// when nothing is to be made.
fn go_on(cx: &mut Cx) {
    let now = cx.services.clock.now();
    let due: Vec<Entry> = cx.state.ledger.due(now).cloned().collect();
    for entry in due {
        make(cx, entry);
    }
    if let Some(retry_at) = cx.state.ledger.retry_at() {
        cx.tell_self_after(retry_at.since(now), Message::Wake);
    }
    let id = trigger_id(cx);
    match cx.state.waits_for() {
        Some(event) => {
            let tenant = cx.state.tenant().to_owned();
            cx.services
                .watching
                .watch(id, tenant, event, cx.state.place);
        }
        None => {
            cx.services.watching.forget(id);
            if cx.volatile.awake && cx.state.ledger.pending().next().is_none() {
                cx.passivate();
            }
        }
    }
}

fn make(cx: &mut Cx, entry: Entry) {
    let (Some(run), Some(target), Some(occasion)) = (entry.run, entry.target, entry.occasion)
    else {
        return;
    };
    if !cx.volatile.making.insert(run) {
        return;
    }
    let about = json!({ "id": cx.id(), "occasion": occasion, "depth": entry.depth });
    let order = Order {
        run,
        tenant: cx.state.tenant().to_owned(),
        user: cx.state.user.clone(),
        target: *target,
        about: ("trigger", about),
        cancels: None,
        key: hook::key(trigger_id(cx), &occasion),
    };
    let (host, id) = (cx.host().clone(), cx.id());
    let store = cx.journal().store().clone();
    firing::spawn(cx.services.clone(), store, order, move |run, made| {
        // Whoever comes after it makes the run again, and finds it.
        host.tell_active(id, Message::Made { run, made });
    });
}
