//! An agent's proxy: runs attempts beside its mailbox, never in it; checks health; obeys operators.

mod check;
mod message;
mod run;

use std::{sync::Arc, time::Duration};

use protocol::{
    agent::{AgentSpec, Event, Mode, StopMode},
    entity::{EntityId, EntityKind},
    id::{AgentId, CommandId},
};
use ractor::ActorProcessingErr;
use runtime::{
    entity::{Context, Entity},
    journal::{self, Commit},
    store::{Delivery, Refusal},
};

pub(crate) use self::check::ALERT;
pub(crate) use self::message::{Answer, Change, Message, ProbeRequest};
pub(crate) use self::run::{Report, Run};
use super::{
    AgentRecord,
    breaker::{Breaker, CallEnd, Pass},
    state,
    stats::SuccessRate,
};
use crate::{
    Rejection,
    adapter::for_agent,
    allocator::Circuit,
    registry::{Agent, Facts, Gate, agent_tools},
    services::Services,
};

/// The volatile part of a proxy.
#[derive(Debug, Default)]
pub(crate) struct AgentEntity {
    agent: Option<Arc<Agent>>,
    breaker: Option<Breaker>,
    success: SuccessRate,
    checking: check::Checking,
}

type Cx = Context<AgentEntity>;

impl Entity for AgentEntity {
    type State = AgentRecord;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Agent;
    const FOLDER: &'static str = "agents";

    async fn recover(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
        if cx.state.deleted {
            return Ok(());
        }
        enlist(cx);
        cx.tell_self(Message::Check { reply: None });
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
            Message::Run(run) => {
                run::start(cx, *run);
                Ok(())
            }
            Message::Stop { token } => {
                if let Some(agent) = &cx.volatile.agent
                    && let Some(running) = agent.running.get(&token)
                {
                    running.cancel();
                }
                Ok(())
            }
            Message::Ended { pass, end } => {
                ended(cx, pass, end);
                Ok(())
            }
            Message::BreakerDue => {
                show_circuit(cx);
                Ok(())
            }
            Message::Probe(request) => {
                run::probe(cx, *request);
                Ok(())
            }
            Message::Check { reply } => {
                check::begin(cx, reply);
                Ok(())
            }
            Message::Checked(report) => check::end(cx, report).await,
        }
    }
}

fn agent_id(cx: &Cx) -> AgentId {
    AgentId::from_uuid(cx.id().key())
}

/// Puts the agent's entry into the registry, or brings the one that is there up to date.
fn enlist(cx: &mut Cx) {
    let Some(spec) = cx.state.spec.clone() else {
        return;
    };
    cx.volatile.breaker = Some(Breaker::new(&cx.services.config.breaker));
    let id = agent_id(cx);
    let facts = facts(cx, *spec);
    match cx.services.registry.get(id) {
        Some(agent) => {
            agent.gate.set_limit(facts.spec.max_tasks);
            agent.change(|old| *old = facts);
            cx.volatile.agent = Some(agent);
            cx.services.registry.reindex(cx.state.tenant());
        }
        None => {
            let allocator = cx.services.allocator.clone();
            let gate = Arc::new(Gate::new(facts.spec.max_tasks, move || allocator.freed(id)));
            let agent = Arc::new(Agent::new(id, cx.state.tenant().to_owned(), gate, facts));
            cx.volatile.agent = Some(agent.clone());
            cx.services.registry.insert(agent);
        }
    }
    cx.services.allocator.changed();
}

fn facts(cx: &Cx, spec: AgentSpec) -> Facts {
    let adapter = match for_agent(&spec, &cx.services.doors) {
        Ok(adapter) => Some(adapter),
        Err(errors) => {
            tracing::error!(
                agent = spec.name,
                ?errors,
                "the agent's configuration makes no sense to this build"
            );
            None
        }
    };
    Facts {
        tools: agent_tools(&spec),
        spec: Arc::new(spec),
        mode: cx.state.mode,
        health: None,
        known_health: cx.state.health,
        circuit: super::breaker::Position::Closed,
        admits: Circuit::Passable,
        adapter,
        created_at: cx.state.created_at,
        updated_at: cx.state.updated_at,
    }
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
            enlist(cx);
            let _ = reply.send(Ok(()));
            cx.tell_self(Message::Check { reply: None });
        }
        Err(error) => {
            let _ = reply.send(Err(not_recorded(error, &name)));
            cx.passivate();
        }
    }
    Ok(())
}

/// What a client hears that gave an agent the name of another.
pub(crate) fn name_taken(name: &str, stream: EntityId) -> Rejection {
    Rejection::Conflict {
        code: "name_taken",
        message: format!(
            "the name `{name}` is taken by {stream}; choose another, or update that agent"
        ),
    }
}

fn not_recorded(error: journal::Error, name: &str) -> Rejection {
    match error {
        journal::Error::Refused(Refusal::NameTaken { stream }) => name_taken(name, stream),
        journal::Error::Refused(refusal) => Rejection::Unavailable {
            message: refusal.to_string(),
            retry_after: Duration::from_secs(1),
        },
        journal::Error::Deposed(stream) => Rejection::Unavailable {
            message: format!("{stream} is moving to another node"),
            retry_after: Duration::from_secs(1),
        },
        journal::Error::Store(error) => error.into(),
    }
}

async fn commit(cx: &mut Cx, user: &str, outbox: Vec<Delivery>) -> Result<(), journal::Error> {
    let command = CommandId::from_uuid(cx.services.dice.uuid_v7(cx.services.clock.now()));
    let mut commit = Commit::by(user.into(), command);
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

/// What a change that is on disk means for the registry and for what runs.
fn follow(cx: &mut Cx, change: &Change) {
    let Some(agent) = cx.volatile.agent.clone() else {
        return;
    };
    match change {
        Change::Update(_) => {
            enlist(cx);
            cx.tell_self(Message::Check { reply: None });
        }
        Change::Start | Change::Resume | Change::Pause | Change::Stop(StopMode::Graceful) => {
            agent.change(|facts| facts.mode = cx.state.mode);
        }
        Change::Stop(StopMode::Now) => {
            agent.change(|facts| facts.mode = cx.state.mode);
            stop_running(&agent);
        }
        Change::Delete => {
            cx.services.registry.remove(agent.id);
            agent.gate.set_limit(0);
            stop_running(&agent);
            cx.passivate();
        }
    }
    let updated = cx.state.updated_at;
    agent.change(|facts| facts.updated_at = updated);
    cx.services.allocator.changed();
}

/// Ends what runs: the tasks try it elsewhere, by effect class.
fn stop_running(agent: &Agent) {
    for running in &agent.running {
        running.value().cancel();
    }
}

/// A call ended: breaker and success rate learn from it.
fn ended(cx: &mut Cx, pass: Pass, end: CallEnd) {
    let now = cx.services.clock.now();
    if let Some(breaker) = &mut cx.volatile.breaker {
        breaker.record(pass, end, now);
    }
    if let Some(agent) = &cx.volatile.agent {
        cx.volatile.success.add(end);
        agent.set_success_rate(cx.volatile.success.get());
    }
    show_circuit(cx);
}

/// Publishes where the breaker stands; an open one is looked at again when its pause is over.
fn show_circuit(cx: &mut Cx) {
    let now = cx.services.clock.now();
    let (Some(agent), Some(breaker)) = (cx.volatile.agent.clone(), cx.volatile.breaker) else {
        return;
    };
    let circuit = breaker.position(now);
    let admits = if breaker.admits(now) {
        Circuit::Passable
    } else {
        Circuit::Open
    };
    let facts = agent.facts();
    if (facts.circuit, facts.admits) == (circuit, admits) {
        return;
    }
    if facts.circuit != circuit {
        tracing::warn!(
            agent = agent.name,
            circuit = circuit.as_str(),
            "the agent's circuit changed"
        );
    }
    agent.change(|facts| (facts.circuit, facts.admits) = (circuit, admits));
    cx.services.allocator.changed();
    if admits == Circuit::Open {
        cx.tell_self_after(cx.services.config.breaker.pause.0, Message::BreakerDue);
    }
}
