//! An agent: keeps its record, obeys operators, and sees that a node hosts it.

mod health;
mod hosting;
mod message;

use std::sync::Arc;

use protocol::{
    agent::{AgentSpec, Event, Mode, StopMode},
    entity::{EntityId, EntityKind},
    id::AgentId,
};
use ractor::ActorProcessingErr;
use runtime::{
    entity::{Context, Entity},
    journal,
    store::Delivery,
};

pub(crate) use self::health::ALERT;
pub(crate) use self::message::{Answer, Change, Message};
use super::{AgentRecord, state};
use crate::{
    Rejection, host::Running, registry::Agent, rejection::not_recorded, services::Services,
};

/// The volatile part of an agent.
#[derive(Debug, Default)]
pub(crate) struct AgentEntity {
    /// Its entry in this node's registry.
    entry: Option<Arc<Agent>>,
    hosting: hosting::Hosting,
    alarm: health::Alarm,
}

type Cx = Context<AgentEntity>;

impl Entity for AgentEntity {
    type State = AgentRecord;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Agent;
    const FOLDER: &'static str = "agents";

    fn is_paused(agent: &AgentRecord) -> bool {
        !agent.deleted && agent.mode == Mode::Paused
    }

    async fn recover(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
        if !cx.state.deleted {
            hosting::enlist(cx);
        }
        Ok(())
    }

    async fn handle(cx: &mut Cx, message: Message) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Register { spec, user, reply } => register(cx, *spec, user, reply).await,
            Message::Change {
                user,
                change,
                reply,
            } => self::change(cx, &user, *change, reply).await,
            Message::Check { reply } => {
                health::check(cx, reply);
                Ok(())
            }
            Message::Checked { report, failures } => health::checked(cx, &report, failures).await,
            Message::Sync(reply) => {
                if cx.state.head() == 0 || cx.state.deleted {
                    cx.passivate();
                }
                // A reader that gave up needs no answer.
                let _ = reply.send(());
                Ok(())
            }
            Message::Place => {
                hosting::place(cx);
                Ok(())
            }
            Message::Stray(node) => {
                hosting::retake(cx, node);
                Ok(())
            }
            Message::Share(node) => {
                hosting::share(cx, node);
                Ok(())
            }
            Message::Ending => {
                hosting::ending(cx);
                Ok(())
            }
            Message::Lacking => health::lacking(cx).await,
            Message::Placed {
                move_number,
                hosted,
            } => {
                hosting::placed(cx, move_number, hosted);
                Ok(())
            }
        }
    }
}

fn agent_id(cx: &Cx) -> AgentId {
    AgentId::from_uuid(cx.id().key())
}

async fn register(
    cx: &mut Cx,
    spec: AgentSpec,
    user: String,
    reply: Answer<()>,
) -> Result<(), ActorProcessingErr> {
    if cx.state.head() > 0 {
        return Ok(());
    }
    let name = spec.name.clone();
    cx.state.stage(&Event::Registered {
        spec: Box::new(spec),
        user: user.clone(),
    })?;
    match commit(cx, &user, Vec::new()).await {
        Ok(()) => {
            hosting::enlist(cx);
            let _ = reply.send(Ok(()));
        }
        Err(error) => {
            let _ = reply.send(Err(not_recorded(error, |stream| name_taken(&name, stream))));
            cx.passivate();
        }
    }
    Ok(())
}

/// What a client hears that gave an agent the name of another.
pub(crate) fn name_taken(name: &str, stream: EntityId) -> Rejection {
    Rejection::name_taken(name, stream, "update that agent")
}

async fn commit(cx: &mut Cx, user: &str, outbox: Vec<Delivery>) -> Result<(), journal::Error> {
    let mut commit = cx.services.commit_by(user);
    commit.outbox = outbox;
    cx.state.commit(commit).await
}

async fn change(
    cx: &mut Cx,
    user: &str,
    change: Change,
    reply: Answer<bool>,
) -> Result<(), ActorProcessingErr> {
    let Some(spec) = cx.state.spec.clone().filter(|_| !cx.state.deleted) else {
        let _ = reply.send(Err(Rejection::not_found(format!("agent {}", agent_id(cx)))));
        return Ok(());
    };
    let event = match &change {
        Change::Update(update) => Some(Event::Updated {
            spec: Box::new(state::updated(&spec, (**update).clone())),
        }),
        Change::Start | Change::Resume => mode_set(cx, Mode::Started, user),
        Change::Pause => mode_set(cx, Mode::Paused, user),
        Change::Stop(_) => mode_set(cx, Mode::Stopped, user),
        Change::Delete => Some(Event::Deleted {
            user: user.to_owned(),
        }),
    };
    let changed = event.is_some();
    if let Some(event) = event {
        cx.state.stage(&event)?;
        commit(cx, user, Vec::new()).await?;
        cx.show_pause();
    }
    follow(cx, &change);
    let _ = reply.send(Ok(changed));
    Ok(())
}

fn mode_set(cx: &Cx, mode: Mode, user: &str) -> Option<Event> {
    (cx.state.mode != mode).then(|| Event::ModeSet {
        mode,
        user: user.to_owned(),
    })
}

/// What a change that is on disk means for the registries, the host, and what runs there.
fn follow(cx: &mut Cx, change: &Change) {
    match change {
        Change::Update(_)
        | Change::Start
        | Change::Resume
        | Change::Pause
        | Change::Stop(StopMode::Graceful) => hosting::show(cx, Running::GoesOn),
        Change::Stop(StopMode::Now) => hosting::show(cx, Running::Ends),
        Change::Delete => {
            hosting::remove(cx);
            cx.passivate();
        }
    }
}
