//! What can be done to tasks.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{Assignment, TaskPatch, TaskView},
    id::TaskId,
};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, at_least, cancel::ENDING, unanswered,
    unreachable, visible,
};
use crate::{
    Rejection,
    task::{
        Task,
        actor::{Command, Message},
    },
};

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
        at_least(caller, Role::Developer)?;
        let open = visible(at, caller, id).await?.summary.open;
        let mut below = at.goes_on_below(caller, id).await?;
        if cancel == Cancel::First && (open || below) {
            let reason = "deleted".to_owned();
            at.end_task(caller, id, reason, Some(ENDING)).await?;
            below = at.goes_on_below(caller, id).await?;
        }
        if below {
            return Err(Rejection::Conflict {
                code: "still_running",
                message: "parts of the task are not settled, and without it no stop would find them; cancel it first, or pass cancel=true".to_owned(),
            });
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
    pub(super) async fn command(
        &self,
        caller: &Caller,
        id: TaskId,
        command: Command,
    ) -> Answer<()> {
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
