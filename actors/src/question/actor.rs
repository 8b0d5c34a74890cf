//! Runs one [`Question`]: takes it in, takes its answer, tells the one that asked.
//!
//! It leaves memory after each command. Only while it tells somebody what came of it does it stay.

use std::sync::Arc;

use protocol::{
    access::Caller,
    api::QuestionView,
    entity::EntityKind,
    id::{CommandId, QuestionId},
    question::{Addressee, Event, QuestionSpec},
    time::Timestamp,
};
use ractor::ActorProcessingErr;
use runtime::{
    clock::{Clock, Dice},
    entity::{Context, Entity},
    journal::Commit,
    store::ReminderChange,
    supervision,
};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    Question, Refusal,
    handle::{Askers, Untold, tell},
};
use crate::Rejection;

/// The name of the reminder that brings a question back: at its deadline, or to tell what came of it.
const WAKE: &str = "wake";

/// What the questions of a node share.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    /// How the ones that asked are reached.
    pub(crate) askers: Arc<dyn Askers>,
}

/// The volatile part of a question in memory.
#[derive(Debug, Default)]
pub(crate) struct QuestionEntity {
    /// The one that asked is being told.
    telling: bool,
}

type Cx = Context<QuestionEntity>;

/// What lies in a question's mailbox.
#[derive(Debug)]
pub(crate) enum Message {
    /// The first of all.
    Ask {
        spec: Box<QuestionSpec>,
        /// Answered once it is on disk.
        reply: oneshot::Sender<()>,
    },
    /// What a person wants with it.
    Command {
        by: Caller,
        command: Command,
        reply: oneshot::Sender<Result<QuestionView, Rejection>>,
    },
    /// The one that asked does not want to know any more.
    Withdraw {
        reason: String,
        reply: oneshot::Sender<()>,
    },
    /// Its reminder is due; answered once what follows is on disk.
    Wake(oneshot::Sender<()>),
    /// The one that asked was told, or could not be.
    Told(Result<(), Untold>),
}

/// What people may do to a question.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Claim,
    Release,
    Delegate(Addressee),
    Answer { answer: Value, command: CommandId },
}

impl ractor::Message for Message {}
impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "Ask",
            Self::Command { command, .. } => match command {
                Command::Claim => "Claim",
                Command::Release => "Release",
                Command::Delegate(_) => "Delegate",
                Command::Answer { .. } => "Answer",
            },
            Self::Withdraw { .. } => "Withdraw",
            Self::Wake(_) => "Wake",
            Self::Told(_) => "Told",
        }
    }
}

impl Entity for QuestionEntity {
    type State = Question;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Question;
    const FOLDER: &'static str = "questions";

    async fn recover(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
        // Whoever was to tell it may have gone down before it did. What else brings it back is a message.
        tells(cx);
        Ok(())
    }

    async fn handle(cx: &mut Cx, message: Message) -> Result<(), ActorProcessingErr> {
        if cx.state.head() == 0 && !matches!(message, Message::Ask { .. }) {
            // Its first commit was refused: there is no such question, whoever still speaks to it.
            cx.passivate();
            return Ok(());
        }
        let now = cx.services.clock.now();
        if let Some(event) = cx.state.expire(now) {
            // Whoever comes later than the deadline finds what follows from it.
            cx.state.stage(&event)?;
        }
        match message {
            Message::Ask { spec, reply } => {
                let by = spec.user.clone();
                if cx.state.spec.is_none() {
                    cx.state.stage(&Event::Asked { spec })?;
                }
                if let Err(error) = commit(cx, &by, None).await {
                    // Nothing was made; the one that asked tries again.
                    cx.passivate();
                    tracing::debug!(question = %cx.id(), %error, "a question was not taken in");
                    return Ok(());
                }
                let _ = reply.send(());
            }
            Message::Command { by, command, reply } => {
                let decided = decide(&cx.state, &by, command);
                if let Ok(Some(event)) = &decided {
                    cx.state.stage(event)?;
                }
                commit(cx, &by.user, None).await?;
                let shown = decided.map_err(Rejection::from).map(|_| shown(cx));
                // Whoever asked may be gone.
                let _ = reply.send(shown.and_then(|view| {
                    view.ok_or_else(|| Rejection::not_found(cx.id().to_string()))
                }));
            }
            Message::Withdraw { reason, reply } => {
                if let Some(event) = cx.state.withdraw(&reason) {
                    cx.state.stage(&event)?;
                }
                commit(cx, "asker", None).await?;
                let _ = reply.send(());
            }
            Message::Wake(reply) => {
                commit(cx, "deadline", None).await?;
                let _ = reply.send(());
            }
            Message::Told(told) => self::told(cx, told, now).await?,
        }
        goes_on(cx);
        Ok(())
    }
}

fn decide(state: &Question, by: &Caller, command: Command) -> Result<Option<Event>, Refusal> {
    match command {
        Command::Claim => state.claim(by),
        Command::Release => state.release(by).map(Some),
        Command::Delegate(to) => state.delegate(by, to).map(Some),
        Command::Answer { answer, command } => state.answered(by, &answer, command),
    }
}

fn shown(cx: &Cx) -> Option<QuestionView> {
    cx.state.view(QuestionId::from_uuid(cx.id().key()))
}

/// Writes what was staged, with a reminder for when it is to be looked at again.
async fn commit(
    cx: &mut Cx,
    by: &str,
    again: Option<Timestamp>,
) -> Result<(), runtime::journal::Error> {
    let now = cx.services.clock.now();
    let command = CommandId::from_uuid(cx.services.dice.uuid_v7(now));
    let mut commit = Commit::by(by.into(), command);
    let name = WAKE.to_owned();
    commit.reminders = match cx.state.wake_at().or(again) {
        Some(due) => vec![ReminderChange::Set { name, due }],
        // A new one has none yet.
        None if cx.state.head() == 0 => Vec::new(),
        None => vec![ReminderChange::Clear { name }],
    };
    cx.state.commit(commit).await
}

async fn told(
    cx: &mut Cx,
    told: Result<(), Untold>,
    now: Timestamp,
) -> Result<(), ActorProcessingErr> {
    cx.volatile.telling = false;
    if cx.state.to_tell().is_none() {
        return Ok(());
    }
    match told {
        Ok(()) => {
            cx.state.stage(&Event::Delivered)?;
            commit(cx, "asker", None).await?;
        }
        Err(untold) => {
            let (event, again) = cx.state.put_off(now);
            tracing::warn!(
                question = %cx.id(), error = %untold, %again, "who asked could not be told yet"
            );
            cx.state.stage(&event)?;
            commit(cx, "asker", Some(again)).await?;
            // The reminder brings it back, or the next start.
            cx.volatile.telling = true;
            cx.passivate();
        }
    }
    Ok(())
}

/// Leaves memory, unless the one that asked is being told.
fn goes_on(cx: &mut Cx) {
    tells(cx);
    if !cx.volatile.telling {
        cx.passivate();
    }
}

/// Tells the one that asked what came of it, if it does not know yet.
fn tells(cx: &mut Cx) {
    let task = cx.state.spec.as_ref().map(|spec| spec.task);
    let (Some(reply), Some(task)) = (cx.state.to_tell(), task) else {
        return;
    };
    if std::mem::replace(&mut cx.volatile.telling, true) {
        return;
    }
    let question = QuestionId::from_uuid(cx.id().key());
    let (askers, host, id) = (cx.services.askers.clone(), cx.host().clone(), cx.id());
    tokio::spawn(async move {
        let told = tell(&*askers, task, question, reply).await;
        // If it is gone by then, its next life tells it again.
        host.tell_active(id, Message::Told(told));
    });
}
