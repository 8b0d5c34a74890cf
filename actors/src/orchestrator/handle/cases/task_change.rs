//! What can be done to tasks.

use std::{pin::Pin, time::Duration};

use futures_util::{StreamExt, stream};
use protocol::{
    access::{Caller, Role},
    api::{Assignment, CancelView, Reach, TaskPatch, TaskView, Unconfirmed},
    id::{NodeId, TaskId},
    task::AttemptStatus,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, at_least, unanswered, unreachable, visible,
};
use crate::{
    Rejection,
    task::{
        Task,
        actor::{Command, Message},
    },
};

/// How long a cancelled task may take to end what it runs, before it is shown as it is.
pub(in super::super) const ENDING: Duration = Duration::from_secs(10);

/// How often it is looked whether questions between agents have ended.
const LOOK: Duration = Duration::from_millis(5);

/// Parts of a task that are cancelled at once.
const AT_ONCE: usize = 64;

/// Another description, priority or metadata.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct AmendTask {
    pub(in super::super) id: TaskId,
    pub(in super::super) patch: TaskPatch,
}

impl UseCase for AmendTask {
    type Answer = TaskView;
    const NAME: &'static str = "task.amend";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskView> {
        let Self { id, patch } = self;
        let described = patch.description.as_ref();
        if described.is_some_and(|text| text.trim().is_empty() || text.len() > 16_384) {
            return Err(Rejection::field(
                "description",
                "must have 1 to 16,384 characters",
            ));
        }
        at.command(caller, id, Command::Amend(patch)).await?;
        at.view(id).await
    }
}

/// The end of a task and of its parts.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CancelTask {
    pub(in super::super) id: TaskId,
    pub(in super::super) reason: String,
    /// How long to wait for all of it to be gone.
    #[serde(default = "ending")]
    pub(in super::super) wait: Duration,
}

const fn ending() -> Duration {
    ENDING
}

impl UseCase for CancelTask {
    type Answer = CancelView;
    const NAME: &'static str = "task.cancel";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        self.wait
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<CancelView> {
        let Self { id, reason, wait } = self;
        let until = Instant::now() + wait;
        let asked_at = at.own()?.services.clock.now();
        let cancel = Command::Cancel {
            reason: reason.clone(),
        };
        at.command(caller, id, cancel).await?;
        let mut reach = Reach {
            nodes: 1,
            tasks: 1,
            ..Reach::default()
        };
        // What it is made of ends at the same time, wherever that is.
        let (parts, asked, task) = tokio::join!(
            at.cancel_parts(caller, id, &reason, until),
            at.asks_end(id, until),
            at.settled(id, until)
        );
        let task = task?;
        reach.add(parts?);
        // An agent may have made more of them before it was gone.
        reach.add(at.cancel_parts(caller, id, &reason, until).await?);
        let still = at.still_running(&task);
        reach.running += u32::try_from(still.len()).unwrap_or(u32::MAX);
        reach.ended += ended_since(&task, asked_at);
        reach.unconfirmed.extend(still);
        reach.unconfirmed.extend(asked);
        Ok(CancelView { task, reach })
    }
}

/// The removal of a settled task from sight.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct DeleteTask {
    pub(in super::super) id: TaskId,
    pub(in super::super) cancel: Cancel,
}

/// Whether a task that is to be removed may be stopped for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancel {
    /// Stop it first.
    First,
    /// Refuse while it is not settled.
    Never,
}

impl UseCase for DeleteTask {
    type Answer = ();
    const NAME: &'static str = "task.delete";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        match self.cancel {
            Cancel::First => 2 * ENDING,
            Cancel::Never => Duration::ZERO,
        }
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<()> {
        let Self { id, cancel } = self;
        if cancel == Cancel::First && visible(at, caller, id).await?.summary.open {
            at.cancel(caller, id, "deleted".to_owned(), ENDING).await?;
        }
        at.command(caller, id, Command::Delete).await
    }
}

/// One agent for a task's unsettled steps.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct AssignTask {
    pub(in super::super) id: TaskId,
    pub(in super::super) to: Assignment,
}

impl UseCase for AssignTask {
    type Answer = TaskView;
    const NAME: &'static str = "task.assign";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskView> {
        let command = Command::Assign {
            agent: self.to.agent_id,
            step: self.to.step,
        };
        at.command(caller, self.id, command).await?;
        at.view(self.id).await
    }
}

/// A snapshot of the task.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CheckpointTask {
    pub(in super::super) id: TaskId,
}

impl UseCase for CheckpointTask {
    type Answer = TaskView;
    const NAME: &'static str = "task.checkpoint";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskView> {
        visible(at, caller, self.id).await?;
        let loaded = at.own()?.journal.load::<Task>(self.id.into()).await?;
        if let Some(mut task) = loaded {
            task.checkpoint().await?;
        }
        at.view(self.id).await
    }
}

/// Attempts that ran when that was asked, and have ended.
fn ended_since(task: &TaskView, asked_at: Timestamp) -> u32 {
    let steps = task.plan.iter().flat_map(|plan| &plan.steps);
    let attempts = steps.flat_map(|step| &step.attempts);
    let ended = attempts.filter(|attempt| attempt.ended_at.is_some_and(|at| at >= asked_at));
    u32::try_from(ended.count()).unwrap_or(u32::MAX)
}

impl Orchestrator {
    /// The task when it is settled, or as it is when the time is up.
    async fn settled(&self, id: TaskId, until: Instant) -> Answer<TaskView> {
        let (settled, end) = oneshot::channel();
        let tasks = &self.own()?.services.tasks;
        let told = tasks.tell(id.into(), Message::Await(settled)).await;
        told.map_err(unreachable)?;
        match tokio::time::timeout_at(until, end).await {
            Ok(Ok(task)) => Ok(*task),
            Ok(Err(_)) | Err(_) => self.view(id).await,
        }
    }

    /// Cancels a task wherever it is. Boxed, as a use case that is a part of itself.
    pub(super) fn cancel<'a>(
        &'a self,
        caller: &'a Caller,
        id: TaskId,
        reason: String,
        wait: Duration,
    ) -> Pin<Box<dyn Future<Output = Answer<CancelView>> + Send + 'a>> {
        Box::pin(self.end_task(caller, id, reason, Some(wait)))
    }

    /// Cancels the open parts of a task, all at the same time.
    async fn cancel_parts(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: &str,
        until: Instant,
    ) -> Answer<Reach> {
        let parts = self.parts(caller, id).await?.into_iter();
        let open = parts.filter(|part| part.summary.open);
        let cancelled = stream::iter(open).map(|part| {
            let part = TaskId::from_uuid(part.stream.key());
            let left = until.saturating_duration_since(Instant::now());
            let cancelled = self.cancel(caller, part, reason.to_owned(), left);
            async move { (part, cancelled.await) }
        });
        let mut cancelled = cancelled.buffer_unordered(AT_ONCE);
        let mut reach = Reach::default();
        while let Some((part, cancelled)) = cancelled.next().await {
            match cancelled {
                Ok(view) => reach.add(view.reach),
                // It was settled or removed meanwhile, and needs no stop.
                Err(Rejection::Conflict { .. } | Rejection::NotFound { .. }) => {}
                Err(error) => reach.unconfirmed.push(Unconfirmed {
                    node: String::new(),
                    what: format!("{part}: {error}"),
                    until: None,
                }),
            }
        }
        Ok(reach)
    }

    /// Ends what agents ask each other for a task; tells what has not ended in time.
    async fn asks_end(&self, id: TaskId, until: Instant) -> Vec<Unconfirmed> {
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

    /// Attempts of a cancelled task whose end was not seen.
    fn still_running(&self, task: &TaskView) -> Vec<Unconfirmed> {
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

    fn silent(&self, node: NodeId, what: String) -> Unconfirmed {
        let (node, until) = self.lease_of(node);
        Unconfirmed { node, what, until }
    }

    async fn command(&self, caller: &Caller, id: TaskId, command: Command) -> Answer<()> {
        at_least(caller, Role::Developer)?;
        visible(self, caller, id).await?;
        let user = caller.user.clone();
        self.own()?
            .services
            .tasks
            .ask(id.into(), |reply| Message::Command {
                user,
                command,
                reply,
            })
            .await
            .map_err(unreachable)?
            .unwrap_or_else(|| Err(unanswered()))
    }
}
