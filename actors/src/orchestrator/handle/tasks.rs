//! Tasks.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::{
        AllocationView, Assignment, AttemptView, Page, ResultView, TaskPatch, TaskQuery,
        TaskSummary, TaskTree, TaskView, WhyStep, WhyView,
    },
    entity::{EntityId, EntityKind},
    id::TaskId,
};
use runtime::{
    entity::TellError,
    store::{StreamQuery, StreamRow},
};
use tokio::sync::oneshot;

use super::{Answer, Orchestrator};
use crate::{
    Rejection,
    task::{
        Task,
        actor::{self, Command, Message},
        view,
    },
};

/// Items of a page when the client does not say, and the most it can ask for.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 200;

/// Levels of parts within parts that are followed.
const DEPTH: u32 = 16;

impl Orchestrator {
    /// The task as it is now.
    ///
    /// # Errors
    ///
    /// `NotFound` also when it is not the caller's to see.
    pub async fn task(&self, caller: &Caller, id: TaskId) -> Answer<TaskView> {
        self.visible(caller, id).await?;
        self.view(id).await
    }

    /// The task when it is settled, or as it is when the time is up.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn await_task(
        &self,
        caller: &Caller,
        id: TaskId,
        wait: Duration,
    ) -> Answer<TaskView> {
        let row = self.visible(caller, id).await?;
        if row.summary.open && !wait.is_zero() {
            let (settled, end) = oneshot::channel();
            self.0
                .services
                .tasks
                .tell(id.into(), Message::Await(settled))
                .await
                .map_err(unreachable)?;
            if let Ok(Ok(task)) = tokio::time::timeout(wait, end).await {
                return Ok(*task);
            }
        }
        self.view(id).await
    }

    /// A page of tasks, the newest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the cursor is none of ours.
    pub async fn tasks(&self, caller: &Caller, query: &TaskQuery) -> Answer<Page<TaskSummary>> {
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let before = query
            .cursor
            .as_deref()
            .map(|cursor| cursor.parse::<TaskId>().map(EntityId::from))
            .transpose()
            .map_err(|_| Rejection::field("cursor", "is not a cursor that this list gave"))?;
        let user = if caller.sees_all_users() {
            query.user_id.clone()
        } else {
            Some(caller.user.clone())
        };
        let rows = StreamQuery {
            tenant: caller.tenant.clone(),
            kind: EntityKind::Task,
            status: query.status.map(|status| status.as_str().to_owned()),
            user,
            parent: query.parent_id.map(EntityId::from),
            text: query.q.clone(),
            before,
            limit: limit + 1,
        };
        let mut rows = self.0.journal.store().list(&rows).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|row| row.stream.to_string());
        let items = rows.iter().map(summary).collect::<Answer<_>>()?;
        Ok(Page {
            items,
            total: None,
            next_cursor,
        })
    }

    /// Changes description, priority or metadata while the task is not settled.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is settled.
    pub async fn amend_task(
        &self,
        caller: &Caller,
        id: TaskId,
        patch: TaskPatch,
    ) -> Answer<TaskView> {
        if patch
            .description
            .as_ref()
            .is_some_and(|text| text.trim().is_empty() || text.len() > 16_384)
        {
            return Err(Rejection::field(
                "description",
                "must have 1 to 16,384 characters",
            ));
        }
        self.command(caller, id, Command::Amend(patch)).await?;
        self.view(id).await
    }

    /// Stops a task and its parts; answers when nothing of it runs any more.
    ///
    /// # Errors
    ///
    /// `Conflict` when it was settled otherwise.
    pub async fn cancel_task(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
    ) -> Answer<TaskView> {
        self.command(
            caller,
            id,
            Command::Cancel {
                reason: reason.clone(),
            },
        )
        .await?;
        for part in self.parts(caller, id).await? {
            if part.summary.open {
                let part = TaskId::from_uuid(part.stream.key());
                // A part that was settled meanwhile needs no stop.
                let _ = Box::pin(self.cancel_task(caller, part, reason.clone())).await;
            }
        }
        self.await_task(caller, id, Duration::from_secs(10)).await
    }

    /// Removes a settled task from sight; with `cancel`, stops it first.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is not settled.
    pub async fn delete_task(&self, caller: &Caller, id: TaskId, cancel: Cancel) -> Answer<()> {
        if cancel == Cancel::First && self.visible(caller, id).await?.summary.open {
            self.cancel_task(caller, id, "deleted".to_owned()).await?;
        }
        self.command(caller, id, Command::Delete).await
    }

    /// Binds a task's unsettled steps to one agent.
    ///
    /// # Errors
    ///
    /// `Invalid` when the agent cannot do them.
    pub async fn assign_task(
        &self,
        caller: &Caller,
        id: TaskId,
        to: Assignment,
    ) -> Answer<TaskView> {
        let command = Command::Assign {
            agent: to.agent_id,
            step: to.step,
        };
        self.command(caller, id, command).await?;
        self.view(id).await
    }

    /// What a settled task gave, with provenance.
    ///
    /// # Errors
    ///
    /// `Conflict` while it is not settled.
    pub async fn task_result(&self, caller: &Caller, id: TaskId) -> Answer<ResultView> {
        self.visible(caller, id).await?;
        let result = self.read(id, move |task, _| view::result(id, task)).await?;
        if result.status.is_terminal() {
            Ok(result)
        } else {
            Err(Rejection::Conflict {
                code: "not_settled",
                message: format!(
                    "the task is {}; its result comes when it is settled",
                    result.status.as_str()
                ),
            })
        }
    }

    /// The score card of each attempt, and for steps that wait how agents look now.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn allocation(&self, caller: &Caller, id: TaskId) -> Answer<Vec<AllocationView>> {
        self.visible(caller, id).await?;
        self.read(id, |task, _| view::allocation(task)).await
    }

    /// Every attempt of every step.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn attempts(&self, caller: &Caller, id: TaskId) -> Answer<Vec<AttemptView>> {
        let task = self.task(caller, id).await?;
        let steps = task.plan.map(|plan| plan.steps).unwrap_or_default();
        Ok(steps.into_iter().flat_map(|step| step.attempts).collect())
    }

    /// What each unsettled step waits for.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn why(&self, caller: &Caller, id: TaskId) -> Answer<WhyView> {
        let tenant = self.visible(caller, id).await?.tenant;
        let task = self.read(id, |task, _| task.clone()).await?;
        let requests = actor::requests(&tenant, id, &task);
        let steps: Vec<WhyStep> = task
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| !step.status.is_settled())
            .map(|(index, step)| {
                let waiting = requests.iter().find(|(other, _)| *other == index);
                let card = waiting
                    .filter(|_| step.retry_at.is_none())
                    .map(|(_, request)| self.0.services.allocator.explain(request));
                crate::task::why::step(&task, step, card)
            })
            .collect();
        let summary = match steps.first() {
            None => view::ending(&task),
            Some(first) => format!("step {} {}", first.step, first.reason),
        };
        Ok(WhyView {
            id,
            status: task.status,
            summary,
            steps,
        })
    }

    /// A task and its parts.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn task_tree(&self, caller: &Caller, id: TaskId) -> Answer<TaskTree> {
        let row = self.visible(caller, id).await?;
        self.tree_of(caller, &row, DEPTH).await
    }

    async fn tree_of(&self, caller: &Caller, row: &StreamRow, depth: u32) -> Answer<TaskTree> {
        let task = summary(row)?;
        let mut children = Vec::new();
        if depth > 0 {
            for part in self.parts(caller, task.id).await?.iter().rev() {
                children.push(Box::pin(self.tree_of(caller, part, depth - 1)).await?);
            }
        }
        Ok(TaskTree { task, children })
    }

    async fn parts(&self, caller: &Caller, id: TaskId) -> Answer<Vec<StreamRow>> {
        let query = StreamQuery {
            tenant: caller.tenant.clone(),
            kind: EntityKind::Task,
            status: None,
            user: None,
            parent: Some(id.into()),
            text: None,
            before: None,
            limit: 1000,
        };
        Ok(self.0.journal.store().list(&query).await?)
    }

    /// Writes a snapshot of the task now, so that its next recovery starts there.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn checkpoint_task(&self, caller: &Caller, id: TaskId) -> Answer<TaskView> {
        self.visible(caller, id).await?;
        let loaded = self.0.journal.load::<Task>(id.into()).await?;
        if let Some(mut task) = loaded {
            task.checkpoint().await?;
        }
        self.view(id).await
    }

    /// The task's row, if it is the caller's to see.
    pub(super) async fn visible(&self, caller: &Caller, id: TaskId) -> Answer<StreamRow> {
        let row = self.0.journal.store().stream(id.into()).await?;
        row.filter(|row| {
            row.tenant == caller.tenant
                && !row.summary.hidden
                && (caller.sees_all_users() || row.summary.user == caller.user)
        })
        .ok_or_else(|| Rejection::not_found(format!("task {id}")))
    }

    /// Reads a task: from its actor while it is open, else from its stream, which cannot change.
    async fn read<R: Send + 'static>(
        &self,
        id: TaskId,
        read: impl Fn(&Task, u64) -> R + Clone + Send + 'static,
    ) -> Answer<R> {
        let (reply, answer) = oneshot::channel();
        let from_actor = read.clone();
        let message = Message::Read(Box::new(move |task, head| {
            // A reader that gave up needs no answer.
            let _ = reply.send(from_actor(task, head));
        }));
        if self.0.services.tasks.tell_active(id.into(), message)
            && let Ok(answer) = answer.await
        {
            return Ok(answer);
        }
        match self.0.journal.load::<Task>(id.into()).await? {
            Some(task) => Ok(read(&task, task.head())),
            None => Err(Rejection::not_found(format!("task {id}"))),
        }
    }

    pub(super) async fn view(&self, id: TaskId) -> Answer<TaskView> {
        self.read(id, move |task, head| view::task(id, head, task))
            .await
    }

    async fn command(&self, caller: &Caller, id: TaskId, command: Command) -> Answer<()> {
        at_least(caller, Role::Developer)?;
        self.visible(caller, id).await?;
        let user = caller.user.clone();
        self.0
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

/// Whether a task that is to be removed may be stopped for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// Stop it first.
    First,
    /// Refuse while it is not settled.
    Never,
}

fn summary(row: &StreamRow) -> Answer<TaskSummary> {
    let mut summary: TaskSummary =
        serde_json::from_str(&row.summary.body).map_err(|error| Rejection::Unavailable {
            message: format!(
                "the index of {} cannot be read ({error}); `troupe db rebuild` makes it anew",
                row.stream
            ),
            retry_after: Duration::from_secs(60),
        })?;
    summary.id = TaskId::from_uuid(row.stream.key());
    summary.task_id = summary.id;
    Ok(summary)
}

/// Whether the caller's role reaches.
pub(super) fn at_least(caller: &Caller, role: Role) -> Answer<()> {
    if caller.role >= role {
        Ok(())
    } else {
        Err(Rejection::Forbidden {
            message: format!(
                "this needs the role {role:?} or a higher one; {caller} has {:?}",
                caller.role
            )
            .to_lowercase(),
        })
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it stands where `map_err` hands an error over"
)]
pub(super) fn unreachable(error: TellError) -> Rejection {
    match error {
        TellError::NoSuchEntity(id) => Rejection::not_found(id.to_string()),
        TellError::Parked { .. } => Rejection::Conflict {
            code: "parked",
            message: error.to_string(),
        },
        TellError::Activation { .. } | TellError::Elsewhere(_) | TellError::Unreachable(_) => {
            Rejection::Unavailable {
                message: error.to_string(),
                retry_after: Duration::from_secs(1),
            }
        }
    }
}

/// The actor failed before it answered; what it had staged may or may not be on disk.
pub(super) fn unanswered() -> Rejection {
    Rejection::Unavailable {
        message: "the request was not answered; repeat it with the same Idempotency-Key to learn what became of it".to_owned(),
        retry_after: Duration::from_secs(1),
    }
}
