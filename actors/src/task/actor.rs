//! Runs one [`Task`]: takes commands and results, records what they lead to, gives steps to agents.
//!
//! What arrives is decided at once and staged; one commit writes all that is staged, and only then
//! is anybody told. While a step's result is being written, further results wait in the mailbox and
//! share the next commit.

mod attempts;
mod effect;
mod flow;
mod idle;
mod lineage;
mod message;
mod others;
mod pausing;
mod step;
mod submission;
mod withdraw;

use std::{collections::HashSet, sync::Arc};

use protocol::{
    api::TaskView,
    entity::EntityKind,
    id::{CommandId, TaskId},
    question::Reply,
    task::{Event, Outcome, TaskStatus},
    time::Timestamp,
};
use ractor::ActorProcessingErr;
use runtime::{
    entity::{Context, Entity},
    journal::{self, Commit},
    store::{Idempotency, ReminderChange},
};
use tokio::sync::oneshot;

use self::effect::{Effect, Measure};
use self::idle::{idle_until, leave, rests, set_timer};
pub(crate) use self::lineage::{above, stopped};
pub(crate) use self::message::{Answer, Command, Ended, Message, Submit};
pub(crate) use self::step::requests;
pub(crate) use self::submission::refused;
pub(crate) use self::withdraw::{WITHDRAWAL, carry};
use super::{
    Task, links,
    rules::{Moment, Received, at_cost, never_started},
    trace, view,
};
use crate::{
    Rejection, agent::token_hash, services::Services, task::pause::OPERATOR, workflow::graph::Graph,
};

/// The name of the reminder that brings a waiting task back.
const WAKE: &str = "wake";

/// Why an attempt ends whose task is over, when nobody is known who had that stopped.
const OVER: &str = "stopped with its task";

/// The volatile part of an active task.
#[derive(Debug, Default)]
pub(crate) struct TaskEntity {
    /// Steps for which the allocator looks for an agent.
    requested: HashSet<usize>,
    /// Lost attempts about which agents are being asked, by step and number.
    probing: HashSet<(String, u32)>,
    /// What is to be done once the staged events are written.
    effects: Vec<Effect>,
    /// Told of each interrupted attempt that is gone.
    interrupting: Vec<pausing::Watch>,
    /// What its workflow says, if it is a run of one.
    graph: Option<Arc<Graph>>,
    /// Questions and runs that it is having made.
    asking: others::BeingMade,
    /// Answered when the task is settled.
    waiters: Vec<oneshot::Sender<Box<TaskView>>>,
    /// The client's key, until the first commit.
    key: Option<Idempotency>,
    command: Option<CommandId>,
    actor: String,
    flushing: bool,
    /// The tree was told by whom it was stopped: once, so that what somebody does later is told as well.
    is_ending: bool,
    /// It was loaded, and has taken a message.
    is_up: bool,
    /// The moment for which a timer runs.
    timer: Option<Timestamp>,
}

type Cx = Context<TaskEntity>;

impl Entity for TaskEntity {
    type State = Task;
    type Message = Message;
    type Services = Services;
    const KIND: EntityKind = EntityKind::Task;
    const FOLDER: &'static str = "tasks";

    fn is_paused(task: &Task) -> bool {
        task.status == TaskStatus::Paused
    }

    async fn recover(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
        if cx.state.status.is_terminal() {
            return Ok(());
        }
        let (me, now) = (cx.services.hosts.me(), cx.services.clock.now());
        if let Some(span) = trace::resumed(me, task_id(cx), &cx.state, now) {
            cx.volatile.effects.push(Effect::Record(Box::new(span)));
        }
        let events = attempts::settle_lost(cx);
        "recovery".clone_into(&mut cx.volatile.actor);
        stage(cx, events)?;
        // Who was to tell them may have gone down before it did.
        if cx.state.cancelling {
            step::stop_all(cx, OVER);
        }
        pausing::stop_interrupted(cx);
        flow::ask_again(cx);
        others::ask_people_again(cx);
        pausing::catch_up(cx)?;
        let events = pausing::recall(cx).await?;
        stage(cx, events)?;
        // Its node may have gone down before it looked.
        follow_parents(cx).await?;
        flush(cx).await
    }

    async fn handle(cx: &mut Cx, message: Message) -> Result<(), ActorProcessingErr> {
        if cx.state.head() == 0 && !matches!(message, Message::Submit(_)) {
            // Its first commit was refused: there is no such task, whoever still speaks to it.
            return Ok(());
        }
        cx.volatile.is_up = true;
        let signed = message.is_signed();
        if signed && cx.state.is_staged() {
            flush(cx).await?;
        }
        match message {
            Message::Submit(submit) => return submission::submit(cx, *submit).await,
            Message::Flush => return flush(cx).await,
            Message::Read(read) => {
                // What is shown is on disk.
                if cx.state.is_staged() {
                    flush(cx).await?;
                }
                read(&cx.state, cx.state.head());
                return retire(cx);
            }
            Message::Await(waiter) => return wait(cx, waiter),
            Message::Command {
                user,
                command,
                reply,
            } => self::command(cx, &user, command, reply)?,
            Message::Granted { step, grant } => step::granted(cx, step, grant)?,
            Message::Ended(ended) => self::ended(cx, *ended)?,
            Message::Probed {
                step,
                number,
                finding,
            } => {
                cx.volatile.probing.remove(&(step.clone(), number));
                let events = cx
                    .state
                    .probed(&step, number, finding, moment(&cx.services));
                stage(cx, events)?;
            }
            Message::Told { by, told, recorded } => {
                let who = match &told {
                    Reply::Done { user, .. } if !user.is_empty() => user,
                    Reply::Done { .. } | Reply::Failed { .. } => OPERATOR,
                };
                who.clone_into(&mut cx.volatile.actor);
                let event = others::told(&cx.state, by, told);
                stage(cx, event)?;
                cx.volatile.effects.push(Effect::Acknowledge(recorded));
            }
            Message::NodesChanged => {
                let events = attempts::lose_gone(cx);
                if events.is_empty() {
                    return Ok(());
                }
                "recovery".clone_into(&mut cx.volatile.actor);
                stage(cx, events)?;
            }
            Message::Asked { attempts, known } => {
                let events = attempts::asked(cx, &attempts, known.as_deref());
                "recovery".clone_into(&mut cx.volatile.actor);
                stage(cx, events)?;
            }
            Message::Held { act, news } => {
                let who = act.by.as_deref().unwrap_or(OPERATOR);
                who.clone_into(&mut cx.volatile.actor);
                pausing::held(cx, &act, news).await?;
            }
            Message::Requeue => cx.volatile.requested.clear(),
            Message::Wake => {
                cx.volatile.timer = None;
                let events = lineage::wake(cx).await?;
                if !events.is_empty() {
                    "recovery".clone_into(&mut cx.volatile.actor);
                }
                stage(cx, events)?;
            }
        }
        // With several attempts under way more results may be here already: they share a commit.
        if cx.state.running() > 1 && !signed {
            if !std::mem::replace(&mut cx.volatile.flushing, true) {
                cx.tell_self(Message::Flush);
            }
            return Ok(());
        }
        flush(cx).await
    }
}

/// The moment at which a decision is taken.
fn moment(services: &Services) -> Moment<'_> {
    Moment {
        now: services.clock.now(),
        chance: services.dice.unit(),
        limits: &services.config.tasks,
    }
}

fn task_id(cx: &Cx) -> TaskId {
    TaskId::from_uuid(cx.id().key())
}

fn stage(cx: &mut Cx, events: impl IntoIterator<Item = Event>) -> Result<(), ActorProcessingErr> {
    for event in events {
        let event = match cx.state.run {
            Some(_) => cx.state.large.fold(event),
            None => event,
        };
        withdraw::follow(cx, &event);
        cx.state.stage(&event)?;
        pausing::ended(cx, &event);
        others::follow(cx, &event);
        if matches!(event, Event::Settled { .. }) {
            cx.volatile.effects.push(Effect::Leave);
            if cx.state.run.is_some() && cx.state.spec.parent_id.is_some() {
                cx.volatile.effects.push(Effect::TellAbove);
            }
        }
        let measured = Measure::of(&cx.state, &event).map(Effect::Measure);
        cx.volatile.effects.extend(measured);
        if let Some(span) = trace::ended(cx.services.hosts.me(), task_id(cx), &cx.state, &event) {
            cx.volatile.effects.push(Effect::Record(Box::new(span)));
        }
    }
    Ok(())
}

/// A part rests when what it is a part of does, and is not begun when that was stopped.
async fn follow_parents(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
    let events = lineage::follow(cx).await?;
    stage(cx, events)
}

/// Decides what follows, writes everything that is staged, then acts on it.
async fn flush(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
    cx.volatile.flushing = false;
    // One moment for all: what comes due while the commit is written has its timer all the same.
    let now = cx.services.clock.now();
    let expired = cx.state.expire(now);
    stage(cx, expired)?;
    if cx.state.is_overdue(now) {
        step::stop_all(cx, "stopped with its task, whose time was up");
    }
    flow::go_on(cx, now).await?;
    step::allocate(cx, now)?;
    loop {
        let events = cx.state.conclude();
        if events.is_empty() {
            break;
        }
        stage(cx, events)?;
        flow::go_on(cx, now).await?;
    }
    let idle_until = idle_until(cx, now);
    commit(cx, idle_until).await?;
    show(cx);
    effect::carry_out(cx)?;
    match idle_until {
        Some(_) => cx.passivate(),
        None if rests(cx, now) => leave(cx),
        None => set_timer(cx, now),
    }
    retire(cx)
}

/// Lets the tree show what is on disk now, before anybody acts on it.
fn show(cx: &mut Cx) {
    cx.show_pause();
    if let Some(by) = cx.state.stopped_by()
        && !std::mem::replace(&mut cx.volatile.is_ending, true)
    {
        cx.ends_because(by);
    }
    let links = links::links(cx.state.tenant(), task_id(cx), &cx.state);
    cx.show_links(links);
}

async fn commit(cx: &mut Cx, idle_until: Option<Timestamp>) -> Result<(), journal::Error> {
    let command = cx
        .volatile
        .command
        .take()
        .unwrap_or_else(|| command_id(&cx.services));
    let mut commit = Commit::by(cx.volatile.actor.as_str().into(), command);
    commit.idempotency = cx.volatile.key.take();
    commit.outbox = withdraw::deliveries(cx, cx.services.clock.now());
    commit.reminders = idle_until
        .map(|due| ReminderChange::Set {
            name: WAKE.to_owned(),
            due,
        })
        .into_iter()
        .collect();
    cx.state.commit(commit).await
}

fn command_id(services: &Services) -> CommandId {
    CommandId::from_uuid(services.dice.uuid_v7(services.clock.now()))
}

/// A settled task answers whoever waits, then leaves memory.
fn retire(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
    if cx.state.status.is_terminal() || cx.state.head() == 0 {
        for waiter in std::mem::take(&mut cx.volatile.waiters) {
            // A waiter that gave up needs no answer.
            let _ = waiter.send(Box::new(shown(cx)));
        }
        cx.passivate();
    }
    Ok(())
}

fn wait(cx: &mut Cx, waiter: oneshot::Sender<Box<TaskView>>) -> Result<(), ActorProcessingErr> {
    cx.volatile.waiters.retain(|waiter| !waiter.is_closed());
    cx.volatile.waiters.push(waiter);
    retire(cx)
}

fn ended(cx: &mut Cx, ended: Ended) -> Result<(), ActorProcessingErr> {
    let (asks, hosts) = (&cx.services.asks, &cx.services.hosts);
    // Nobody hears the answers to what it asked any more.
    asks.abandon(hosts, task_id(cx), &ended.step, ended.number);
    let token = token_hash(&ended.token);
    pausing::gone(cx, &token);
    let asks = &cx.services.asks;
    if asks.settle(&ended.step, &ended.token, &ended.outcome) {
        // Nothing of a question is recorded; who sent the answer may forget it.
        let _ = ended.recorded.send(());
        return Ok(());
    }
    let received = cx.state.receive(
        &ended.step,
        ended.number,
        &token,
        &ended.outcome,
        moment(&cx.services),
    );
    match received {
        Received::Counts(events) => {
            ended.agent.clone_into(&mut cx.volatile.actor);
            stage(cx, at_cost(events, ended.usage))?;
        }
        Received::Repeated => {}
        Received::Foreign if has_not_begun(&ended.outcome) => {
            // Its start could not be written down, so it was given back.
        }
        Received::Foreign => {
            tracing::warn!(
                target: "audit",
                task = %task_id(cx),
                step = ended.step,
                number = ended.number,
                "a result was refused: the task knows no attempt of this token"
            );
        }
    }
    cx.volatile
        .effects
        .push(Effect::Acknowledge(ended.recorded));
    Ok(())
}

/// Whether an attempt came back before its agent was called.
pub(crate) fn has_not_begun(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { error, .. } if never_started(error))
}

fn command(
    cx: &mut Cx,
    user: &str,
    command: Command,
    reply: Answer,
) -> Result<(), ActorProcessingErr> {
    let (status, is_ending) = (cx.state.status, cx.state.cancelling);
    let open = || Rejection::Conflict {
        code: "already_settled",
        message: match is_ending && !status.is_terminal() {
            true => "the task is being cancelled, and cannot be changed any more".to_owned(),
            false => format!(
                "the task is {}; a settled task cannot be changed",
                status.as_str()
            ),
        },
    };
    let stops = matches!(command, Command::Cancel { .. } | Command::Terminate { .. });
    let events = match command {
        Command::Cancel { reason } => match cx.state.cancel(user, &reason) {
            Some(event) => Ok(vec![event]),
            None if cx.state.status == TaskStatus::Cancelled || cx.state.cancelling => {
                Ok(Vec::new())
            }
            None => Err(open()),
        },
        Command::Terminate { reason } => {
            let events = cx.state.terminate(user, &reason);
            let is_over = cx.state.status.is_terminal();
            let is_cancelled = cx.state.status == TaskStatus::Cancelled;
            match is_over && !is_cancelled {
                true => Err(open()),
                false => Ok(events),
            }
        }
        Command::Write { version, values } => {
            let written = cx.state.write_context(version, values);
            written.map(|event| vec![event])
        }
        Command::Pause {
            by,
            reason,
            running,
            news,
        } => {
            let paused = pausing::pause(cx, user, (by, &reason), running, news)?;
            paused.map(|()| Vec::new()).ok_or_else(open)
        }
        Command::Resume { by, news } => {
            let resumed = pausing::resume(cx, user, by, news)?;
            resumed.map(|()| Vec::new()).ok_or_else(open)
        }
        Command::Amend(patch) => match cx.state.status.is_terminal() {
            true => Err(open()),
            false => Ok(vec![Event::Amended {
                description: patch.description,
                priority: patch.priority,
                metadata: patch.metadata,
            }]),
        },
        Command::Assign { agent, step } => step::assign(cx, &agent, step.as_deref()),
        Command::Delete => match cx.state.status.is_terminal() {
            true => Ok(vec![Event::Deleted {
                user: user.to_owned(),
            }]),
            false => Err(Rejection::Conflict {
                code: "still_running",
                message: "the task is not settled; cancel it first, or pass cancel=true".to_owned(),
            }),
        },
    };
    match events {
        Ok(events) => {
            user.clone_into(&mut cx.volatile.actor);
            let reprioritised = events.iter().any(|event| {
                matches!(
                    event,
                    Event::Amended {
                        priority: Some(_),
                        ..
                    }
                )
            });
            let stops = stops && !events.is_empty();
            stage(cx, events)?;
            if stops {
                step::stop_all(cx, OVER);
            }
            if reprioritised {
                step::reprioritise(cx);
            }
            cx.volatile.effects.push(Effect::Reply(reply, Ok(())));
        }
        Err(rejection) => cx
            .volatile
            .effects
            .push(Effect::Reply(reply, Err(rejection))),
    }
    Ok(())
}

fn shown(cx: &Cx) -> TaskView {
    view::task(task_id(cx), cx.state.head(), &cx.state)
}
