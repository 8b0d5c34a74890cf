//! What can be done to tasks.

use std::{pin::Pin, time::Duration};

use protocol::{
    access::{Caller, Role},
    api::{Assignment, TaskPatch, TaskView},
    id::TaskId,
};
use serde::{Deserialize, Serialize};

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
const ENDING: Duration = Duration::from_secs(10);

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
}

impl UseCase for CancelTask {
    type Answer = TaskView;
    const NAME: &'static str = "task.cancel";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn wait(&self) -> Duration {
        // Its parts are ended one after the other, before it is waited for.
        2 * ENDING
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TaskView> {
        let Self { id, reason } = self;
        let cancel = Command::Cancel {
            reason: reason.clone(),
        };
        at.command(caller, id, cancel).await?;
        for part in at.parts(caller, id).await? {
            if part.summary.open {
                let part = TaskId::from_uuid(part.stream.key());
                // A part that was settled meanwhile needs no stop.
                let _ = at.cancel(caller, part, reason.clone()).await;
            }
        }
        at.await_task(caller, id, ENDING).await
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
            at.cancel(caller, id, "deleted".to_owned()).await?;
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

impl Orchestrator {
    /// Cancels a task wherever it is. Boxed, as a use case that is a part of itself.
    fn cancel<'a>(
        &'a self,
        caller: &'a Caller,
        id: TaskId,
        reason: String,
    ) -> Pin<Box<dyn Future<Output = Answer<TaskView>> + Send + 'a>> {
        Box::pin(self.cancel_task(caller, id, reason))
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
