//! Runs a supervisor: hears of its children's ends and carries out the plans of the rules.

mod children;
mod sentry;
mod supervised;
mod watchdog;

use std::{error::Error, sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use self::children::{Children, Escalation};
use super::{
    ChildSpec, ChildView, Exit, Rejection, Reply, Spec, SupervisorRef, Tree,
    handle::{self, Fate},
};

pub use self::sentry::sentry;
#[cfg(test)]
pub(super) use self::sentry::sentry_every;
pub(super) use self::supervised::{Keeper, Supervised};

/// How long a killed actor is waited for; only a handler that blocks its thread takes longer.
pub(super) const KILL_GRACE: Duration = Duration::from_secs(1);

/// What is said of an actor that was killed.
pub(super) const KILLED: &str = "killed";

pub(super) struct SupervisorActor;

pub(super) enum Message {
    Add(ChildSpec, Reply<Result<(), Rejection>>),
    Remove(String, Reply<Result<(), Rejection>>),
    Restart(String, Reply<Result<(), Rejection>>),
    Which(Reply<Vec<ChildView>>),
    /// The back-off of this turn is over.
    Due(u64),
}

impl ractor::Message for Message {}

impl handle::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Add(..) => "Add",
            Self::Remove(..) => "Remove",
            Self::Restart(..) => "Restart",
            Self::Which(_) => "Which",
            Self::Due(_) => "Due",
        }
    }
}

pub(super) struct Args {
    tree: Tree,
    path: Arc<str>,
    spec: Spec,
    children: Vec<ChildSpec>,
    fate: Arc<Fate>,
}

impl Args {
    pub(super) fn new(
        tree: &Tree,
        path: &str,
        spec: Spec,
        children: Vec<ChildSpec>,
        handle: &SupervisorRef,
    ) -> Self {
        Self {
            tree: tree.clone(),
            path: path.into(),
            spec,
            children,
            fate: Arc::clone(handle.fate()),
        }
    }
}

pub(super) struct State {
    children: Children,
    ending: Ending,
}

impl Actor for SupervisorActor {
    type Msg = Message;
    type State = State;
    type Arguments = Args;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        args: Args,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State {
            children: Children::new(args.tree, args.path, args.spec, myself),
            ending: Ending::new(args.fate),
        };
        let started = state.children.start_all(args.children).await;
        state.settle(started).await?;
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let children = &mut state.children;
        let done = match message {
            Message::Add(child, reply) => answer(reply, children.add(child).await),
            Message::Remove(name, reply) => {
                reply.send(children.remove(&name).await);
                Ok(())
            }
            Message::Restart(name, reply) => answer(reply, children.restart(&name).await),
            Message::Which(reply) => {
                reply.send(children.views());
                Ok(())
            }
            Message::Due(turn) => children.due(turn).await,
        };
        state.settle(done).await
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (who, exit) = match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => (who, exit(reason.as_deref())),
            SupervisionEvent::ActorFailed(who, error) => {
                (who, Exit::Failed(error_chain(error.as_ref())))
            }
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => return Ok(()),
        };
        let done = state.children.ended(who.get_id(), exit).await;
        state.settle(done).await
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.children.stop_all().await;
        state.ending.orderly();
        Ok(())
    }
}

impl State {
    /// Gives up when it was too much: the children go first, because ractor would kill them.
    async fn settle(&mut self, done: Result<(), Escalation>) -> Result<(), ActorProcessingErr> {
        let Err(escalation) = done else {
            return Ok(());
        };
        self.children.stop_all().await;
        self.ending.escalated(&escalation);
        Err(escalation.into())
    }
}

/// Answers, unless the supervisor gives up over it: then the reply is dropped with it.
fn answer<R>(reply: Reply<R>, done: Result<R, Escalation>) -> Result<(), Escalation> {
    reply.send(done?);
    Ok(())
}

/// Tells who waits for it why the supervisor ended, also when it was killed.
struct Ending {
    fate: Arc<Fate>,
    reason: Option<String>,
}

impl Ending {
    fn new(fate: Arc<Fate>) -> Self {
        Self {
            fate,
            reason: Some("the supervisor was killed".to_owned()),
        }
    }

    fn orderly(&mut self) {
        self.reason = None;
    }

    fn escalated(&mut self, escalation: &Escalation) {
        self.reason = Some(error_chain(escalation));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(reason) = self.reason.take() {
            self.fate.send_replace(Some(reason));
        }
    }
}

/// ractor tells a kill from a stop by the reason alone.
fn exit(reason: Option<&str>) -> Exit {
    match reason {
        Some("killed" | "actor_task_cancelled") => Exit::Failed(KILLED.to_owned()),
        Some(_) | None => Exit::Normal,
    }
}

/// The error and what caused it, on one line.
fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
