//! Tasks.

use std::time::Duration;

use protocol::{
    access::Caller,
    api::{
        AllocationView, Assignment, AttemptView, Page, ResultView, TaskPatch, TaskQuery,
        TaskSummary, TaskTree, TaskView, WhyView,
    },
    id::TaskId,
};

use super::{
    Answer, Cancel, Orchestrator,
    cases::{
        AmendTask, AssignTask, AwaitTask, CheckpointTask, DeleteTask, ListTasks, ShowAllocation,
        ShowResult, ShowTask, ShowTaskTree, ShowWhy,
    },
};

impl Orchestrator {
    /// The task as it is now.
    ///
    /// # Errors
    ///
    /// `NotFound` also when it is not the caller's to see.
    pub async fn task(&self, caller: &Caller, id: TaskId) -> Answer<TaskView> {
        self.carry_out(caller, ShowTask { id }).await
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
        self.carry_out(caller, AwaitTask { id, wait }).await
    }

    /// A page of tasks, the newest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the cursor is none of ours.
    pub async fn tasks(&self, caller: &Caller, query: &TaskQuery) -> Answer<Page<TaskSummary>> {
        self.carry_out(
            caller,
            ListTasks {
                query: query.clone(),
            },
        )
        .await
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
        self.carry_out(caller, AmendTask { id, patch }).await
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
        let cancelled = self.end_task(caller, id, reason, None).await?;
        Ok(cancelled.task)
    }

    /// Removes a settled task from sight; with `cancel`, stops it first.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is not settled.
    pub async fn delete_task(&self, caller: &Caller, id: TaskId, cancel: Cancel) -> Answer<()> {
        self.carry_out(caller, DeleteTask { id, cancel }).await
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
        self.carry_out(caller, AssignTask { id, to }).await
    }

    /// What a settled task gave, with provenance.
    ///
    /// # Errors
    ///
    /// `Conflict` while it is not settled.
    pub async fn task_result(&self, caller: &Caller, id: TaskId) -> Answer<ResultView> {
        self.carry_out(caller, ShowResult { id }).await
    }

    /// The score card of each attempt, and for steps that wait how agents look now.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn allocation(&self, caller: &Caller, id: TaskId) -> Answer<Vec<AllocationView>> {
        self.carry_out(caller, ShowAllocation { id }).await
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
        self.carry_out(caller, ShowWhy { id }).await
    }

    /// A task and its parts.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn task_tree(&self, caller: &Caller, id: TaskId) -> Answer<TaskTree> {
        self.carry_out(caller, ShowTaskTree { id }).await
    }

    /// Writes a snapshot of the task now, so that its next recovery starts there.
    ///
    /// # Errors
    ///
    /// As [`task`](Self::task).
    pub async fn checkpoint_task(&self, caller: &Caller, id: TaskId) -> Answer<TaskView> {
        self.carry_out(caller, CheckpointTask { id }).await
    }
}
