//! The end of a task, of its parts, and of every task in a scope: certain, or named as not certain.

mod sweep;

use std::{pin::Pin, time::Duration};

use protocol::{
    access::{Caller, Role},
    api::{CancelView, Reach, TaskView, Unconfirmed},
    hold::Target,
    id::{NodeId, TaskId},
    task::AttemptStatus,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::Instant};
use tracing::Instrument;

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, at_least, pausing::branch, unanswered,
    unreachable,
};
use crate::{
    Rejection,
    orchestrator::Owner,
    task::actor::{Command, Message},
};
pub(super) use sweep::{Roots, Sweep};

/// How long a cancelled task may take to end what it runs, before it is shown as it is.
pub(in super::super) const ENDING: Duration = Duration::from_secs(10);

/// The longest that anybody waits for an end.
const LONGEST: Duration = Duration::from_mins(10);

/// How often it is looked whether questions between agents have ended.
const LOOK: Duration = Duration::from_millis(5);

/// The code of what a task says that reached its end.
const SETTLED: &str = "already_settled";

/// The end of a task and of its parts.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CancelTask {
    pub(in super::super) id: TaskId,
    pub(in super::super) reason: String,
    /// How long to wait for all of it to be gone.
    #[serde(default = "ending")]
    pub(in super::super) wait: Duration,
    #[serde(default)]
    pub(in super::super) extent: Extent,
}

const fn ending() -> Duration {
    ENDING
}

/// How much ends with a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Extent {
    /// All that it is made of.
    #[default]
    Tree,
    /// Itself; whoever asks sees to the rest.
    Alone,
}

impl UseCase for CancelTask {
    type Answer = CancelView;
    const NAME: &'static str = "task.cancel";
    // What is cancelled already says so, and is asked after what still runs.
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    fn waited(&mut self, time: Duration) {
        self.wait = self.wait.saturating_sub(time);
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<CancelView> {
        // What another node says is not trusted with the clock.
        let until = Instant::now() + self.wait.min(LONGEST);
        match self.extent {
            Extent::Alone => at.end_alone(caller, self.id, self.reason, until).await,
            Extent::Tree => {
                let (at, caller) = (at.clone(), caller.clone());
                to_the_end(async move { at.end_tree(&caller, self.id, self.reason, until).await })
                    .await
            }
        }
    }
}

/// A stop goes on when who asked for it goes away: it must not end half way.
pub(super) async fn to_the_end<T: Send + 'static>(
    stop: impl Future<Output = Answer<T>> + Send + 'static,
) -> Answer<T> {
    let stop = runtime::trace::traced(runtime::trace::current_trace(), stop).in_current_span();
    tokio::spawn(stop).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a stop was not carried out");
        Err(unanswered())
    })
}

/// Attempts that ran when that was asked, and have ended.
fn ended_since(task: &TaskView, asked_at: Timestamp) -> u32 {
    let steps = task.plan.iter().flat_map(|plan| &plan.steps);
    let attempts = steps.flat_map(|step| &step.attempts);
    let ended = attempts.filter(|attempt| attempt.ended_at.is_some_and(|at| at >= asked_at));
    u32::try_from(ended.count()).unwrap_or(u32::MAX)
}

/// Whether a task said that there is nothing to stop, having reached its end.
fn is_settled(rejection: &Rejection) -> bool {
    match rejection {
        Rejection::Conflict { code, .. } => *code == SETTLED,
        Rejection::NotFound { .. }
        | Rejection::Invalid { .. }
        | Rejection::Preceded { .. }
        | Rejection::Forbidden { .. }
        | Rejection::Overloaded { .. }
        | Rejection::Unavailable { .. } => false,
    }
}

impl Orchestrator {
    /// Cancels a task and all that it is made of, also below parts that reached their end.
    async fn end_tree(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
        until: Instant,
    ) -> Answer<CancelView> {
        let asked_at = self.own()?.services.clock.now();
        let command = Command::Cancel {
            reason: reason.clone(),
        };
        // Whoever takes so long that it is not its turn keeps no stop from being carried out.
        let turn = self.0.turns.take(&branch(id)).await.ok();
        let told = self.command(caller, id, command).await;
        // From here on it cannot be paused or resumed.
        drop(turn);
        let before = match told {
            Ok(()) => None,
            // What it is made of may go on all the same.
            Err(rejection) if is_settled(&rejection) => Some(rejection),
            Err(rejection) => return Err(rejection),
        };
        tracing::info!(target: "audit", by = %caller, task = %id, reason, "a task is cancelled");
        let mut parts = self.parts_of(caller, id, reason, until);
        let roots = Roots::Told;
        let (swept, ended) = tokio::join!(parts.round(roots), self.end_of(id, asked_at, until));
        let mut ended = ended?;
        if let Err(error) = swept {
            parts.blind(&error);
        }
        // An agent may have made more of them before it was gone.
        parts.finish(roots).await;
        let reach = parts.reach;
        match before {
            Some(rejection) if reach == Reach::default() => return Err(rejection),
            Some(_) => ended.reach = Reach { nodes: 1, ..reach },
            None => ended.reach.add(reach),
        }
        Ok(ended)
    }

    /// What a task is made of. Who may stop it may stop that, whoever asked for it.
    fn parts_of(&self, caller: &Caller, id: TaskId, reason: String, until: Instant) -> Sweep<'_> {
        let operator = Caller {
            role: caller.role.max(Role::Operator),
            ..caller.clone()
        };
        let mut parts = Sweep::new(self, operator, reason, until);
        parts.knows(id);
        parts
    }

    /// Whether a part of a task has not reached its end.
    pub(super) async fn goes_on_below(&self, caller: &Caller, id: TaskId) -> Answer<bool> {
        let parts = self.parts_of(caller, id, String::new(), Instant::now());
        let open = parts.look(Roots::Told).await?;
        Ok(!open.is_empty())
    }

    /// Cancels a task wherever it is. Boxed, as a use case that is a part of itself.
    fn cancel<'a>(
        &'a self,
        caller: &'a Caller,
        case: CancelTask,
    ) -> Pin<Box<dyn Future<Output = Answer<CancelView>> + Send + 'a>> {
        Box::pin(self.carry_out(caller, case))
    }

    /// Cancels a task, and none of its parts.
    async fn end_alone(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
        until: Instant,
    ) -> Answer<CancelView> {
        let asked_at = self.own()?.services.clock.now();
        self.command(caller, id, Command::Cancel { reason }).await?;
        self.end_of(id, asked_at, until).await
    }

    /// What has become of a task that is being cancelled when nothing of it runs, or the time is up.
    async fn end_of(&self, id: TaskId, asked_at: Timestamp, until: Instant) -> Answer<CancelView> {
        let (asked, task) = tokio::join!(self.asks_end(id, until), self.settled(id, until));
        let task = task?;
        let mut unconfirmed = self.still_running(&task);
        let running = u32::try_from(unconfirmed.len()).unwrap_or(u32::MAX);
        unconfirmed.extend(asked);
        if !task.status.is_terminal() && unconfirmed.is_empty() {
            let what = format!(
                "task {id}: it was told to end and is {}",
                task.status.as_str()
            );
            unconfirmed.push(self.of_owner(id, what));
        }
        let reach = Reach {
            nodes: 1,
            tasks: 1,
            ended: ended_since(&task, asked_at),
            running,
            unconfirmed,
        };
        Ok(CancelView { task, reach })
    }

    /// The task when it is settled, or as it is when the time is up.
    pub(super) async fn settled(&self, id: TaskId, until: Instant) -> Answer<TaskView> {
        let (settled, end) = oneshot::channel();
        let tasks = &self.own()?.services.tasks;
        let told = tasks.tell(id.into(), Message::Await(settled)).await;
        told.map_err(unreachable)?;
        match tokio::time::timeout_at(until, end).await {
            Ok(Ok(task)) => Ok(*task),
            Ok(Err(_)) | Err(_) => self.view(id).await,
        }
    }

    /// Ends what agents ask each other for a task; tells what has not ended in time.
    pub(super) async fn asks_end(&self, id: TaskId, until: Instant) -> Vec<Unconfirmed> {
        let Ok(own) = self.own() else {
            return Vec::new();
        };
        let (asks, hosts) = (&own.services.asks, &own.services.hosts);
        loop {
            // Also those that came meanwhile.
            let open = asks.stop(hosts, id);
            if open.is_empty() {
                return Vec::new();
            }
            if Instant::now() >= until {
                return open
                    .into_iter()
                    .map(|node| self.silent(node, "a question between agents".to_owned()))
                    .collect();
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Attempts of a task that is being stopped whose end was not seen.
    pub(super) fn still_running(&self, task: &TaskView) -> Vec<Unconfirmed> {
        let steps = task.plan.iter().flat_map(|plan| &plan.steps);
        let attempts = steps.flat_map(|step| &step.attempts);
        let running = attempts.filter(|attempt| attempt.status == AttemptStatus::Running);
        running
            .map(|attempt| Unconfirmed {
                node: attempt.node.clone(),
                what: format!(
                    "step {} of {}, by agent {}",
                    attempt.step, task.id, attempt.agent
                ),
                until: self.lease_of_name(&attempt.node),
            })
            .collect()
    }

    pub(super) fn silent(&self, node: NodeId, what: String) -> Unconfirmed {
        let (node, until) = self.lease_of(node);
        Unconfirmed { node, what, until }
    }

    /// Something about a task that its owner did not confirm.
    pub(super) fn of_owner(&self, id: TaskId, what: String) -> Unconfirmed {
        match self.owner(id.into()) {
            Owner::Here => self.silent(self.0.id, what),
            Owner::There(node) => self.silent(node, what),
            Owner::Nobody => Unconfirmed {
                node: String::new(),
                what,
                until: None,
            },
        }
    }

    /// Cancels every task in a scope, and all that they are made of.
    pub(super) async fn end_scope(
        &self,
        caller: &Caller,
        scope: Target,
        reason: String,
    ) -> Answer<Reach> {
        at_least(caller, Role::Operator)?;
        let (at, caller) = (self.clone(), caller.clone());
        to_the_end(async move {
            let until = Instant::now() + ENDING;
            let mut sweep = Sweep::new(&at, caller, reason, until);
            let roots = Roots::In(&scope);
            sweep.round(roots).await?;
            sweep.finish(roots).await;
            let mut reach = sweep.reach;
            let nodes = at.own()?.services.hosts.others().len() + 1;
            reach.nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
            Ok(reach)
        })
        .await
    }
}
