//! Workflows and their runs.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use protocol::{
    access::Caller,
    agent::StopMode,
    api::{
        CheckRequest, CheckView, ContextPatch, ContextView, ExecuteRequest, ExecutionChange,
        ExecutionQuery, ExecutionSummary, ExecutionView, ForkRequest, Page, ReplayRequest,
        ReplayView, VersionView, WorkflowChange, WorkflowDraft, WorkflowQuery, WorkflowReach,
        WorkflowSummary, WorkflowView,
    },
    id::{TaskId, WorkflowId},
};
use serde_json::Value;

use super::{
    Answer, Begun, Drawing, Inner, Orchestrator,
    cases::{
        CheckRuns, CreateWorkflow, DeleteWorkflow, DrawRun, ENDING, FindWorkflow, ForkRun,
        ListRuns, ListWorkflows, ReplayRun, RunTurn, ShowContext, ShowRun, ShowValue, ShowWorkflow,
        StartRun, TerminateRun, TurnRuns, UpdateWorkflow, WorkflowVersions, WriteContext,
    },
};
use crate::{
    Rejection,
    workflow::library::{NewRun, Starting, Starts},
};

impl Orchestrator {
    /// Makes a workflow.
    ///
    /// # Errors
    ///
    /// `Invalid` names each wrong place of the definition, `Conflict` a name that is taken.
    pub async fn create_workflow(
        &self,
        caller: &Caller,
        draft: WorkflowDraft,
    ) -> Answer<WorkflowView> {
        self.carry_out(caller, CreateWorkflow { draft }).await
    }

    /// A page of workflows, the newest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the cursor is none of ours.
    pub async fn workflows(
        &self,
        caller: &Caller,
        query: &WorkflowQuery,
    ) -> Answer<Page<WorkflowSummary>> {
        let query = query.clone();
        self.carry_out(caller, ListWorkflows { query }).await
    }

    /// One workflow, by id or name, as all the methods below take it; in its newest version, or another.
    ///
    /// # Errors
    ///
    /// `NotFound` also when it belongs to another tenant.
    pub async fn workflow(
        &self,
        caller: &Caller,
        workflow: &str,
        version: Option<u32>,
    ) -> Answer<WorkflowView> {
        let id = self.workflow_id(caller, workflow).await?;
        self.carry_out(caller, ShowWorkflow { id, version }).await
    }

    /// Gives it another definition, which makes a version, or another status. Runs keep theirs.
    ///
    /// # Errors
    ///
    /// `Forbidden` when it is another user's, or as [`create_workflow`](Self::create_workflow).
    pub async fn update_workflow(
        &self,
        caller: &Caller,
        workflow: &str,
        draft: WorkflowDraft,
    ) -> Answer<WorkflowChange> {
        let id = self.workflow_id(caller, workflow).await?;
        self.carry_out(caller, UpdateWorkflow { id, draft }).await
    }

    /// Removes it from sight. Its runs go on.
    ///
    /// # Errors
    ///
    /// As [`update_workflow`](Self::update_workflow).
    pub async fn delete_workflow(&self, caller: &Caller, workflow: &str) -> Answer<()> {
        let id = self.workflow_id(caller, workflow).await?;
        self.carry_out(caller, DeleteWorkflow { id }).await
    }

    /// Its versions, the newest first.
    ///
    /// # Errors
    ///
    /// As [`workflow`](Self::workflow).
    pub async fn workflow_versions(
        &self,
        caller: &Caller,
        workflow: &str,
    ) -> Answer<Vec<VersionView>> {
        let id = self.workflow_id(caller, workflow).await?;
        self.carry_out(caller, WorkflowVersions { id }).await
    }

    /// Begins a run, which is durable when this answers. With `wait`, answers when it is settled or the
    /// time is up. `key` is the client's idempotency key and the SHA-256 of the body that came with it.
    ///
    /// # Errors
    ///
    /// `Invalid` when the input is not what the definition says, `Conflict` while the workflow is not
    /// active, `Overloaded` at the limit of open tasks.
    pub async fn execute_workflow(
        &self,
        caller: &Caller,
        workflow: &str,
        request: ExecuteRequest,
        key: Option<(String, [u8; 32])>,
        wait: Option<Duration>,
    ) -> Answer<Begun> {
        let run = NewRun {
            workflow: workflow.to_owned(),
            version: request.version,
            input: request.input,
            priority: request.priority,
            start_at: request.start_at,
            budget: request.budget,
            session_id: request.session_id,
            parent_id: request.parent_id,
            metadata: request.metadata,
            ..NewRun::default()
        };
        self.carry_out(caller, StartRun { run, key, wait }).await
    }

    /// A page of runs, the newest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the cursor is none of ours.
    pub async fn executions(
        &self,
        caller: &Caller,
        query: &ExecutionQuery,
    ) -> Answer<Page<ExecutionSummary>> {
        let query = query.clone();
        self.carry_out(caller, ListRuns { query }).await
    }

    /// A run as it stands.
    ///
    /// # Errors
    ///
    /// `NotFound` also when it is not the caller's to see, or a task that is no run.
    pub async fn execution(&self, caller: &Caller, id: TaskId) -> Answer<ExecutionView> {
        self.carry_out(caller, ShowRun { id }).await
    }

    /// Lets no node of a run start until it is resumed; attempts that run go on to their end, or are ended
    /// and tried again.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is over or being cancelled.
    pub async fn pause_execution(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
        running: StopMode,
    ) -> Answer<ExecutionChange> {
        self.execution(caller, id).await?;
        let reach = self.pause_task(caller, id, reason, running).await?.reach;
        let execution = self.execution(caller, id).await?;
        Ok(ExecutionChange { execution, reach })
    }

    /// Lets a run go on.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is over.
    pub async fn resume_execution(&self, caller: &Caller, id: TaskId) -> Answer<ExecutionChange> {
        self.execution(caller, id).await?;
        let reach = self.resume_task(caller, id).await?.reach;
        let execution = self.execution(caller, id).await?;
        Ok(ExecutionChange { execution, reach })
    }

    /// Stops a run and its parts, takes back what its definition says, and tells what is gone when that is
    /// all, or the time is up.
    ///
    /// # Errors
    ///
    /// `Conflict` when it was settled otherwise.
    pub async fn cancel_execution(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
        wait: Option<Duration>,
    ) -> Answer<ExecutionChange> {
        self.execution(caller, id).await?;
        let reach = self.end_task(caller, id, reason, wait).await?.reach;
        let execution = self.execution(caller, id).await?;
        Ok(ExecutionChange { execution, reach })
    }

    /// Stops a run and its parts at once: what it did is not taken back.
    ///
    /// # Errors
    ///
    /// `Conflict` when it was settled otherwise.
    pub async fn terminate_execution(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
        wait: Option<Duration>,
    ) -> Answer<ExecutionChange> {
        let wait = wait.unwrap_or(ENDING);
        let case = TerminateRun { id, reason, wait };
        let reach = self.carry_out(caller, case).await?.reach;
        let execution = self.execution(caller, id).await?;
        Ok(ExecutionChange { execution, reach })
    }

    /// The graph of a run as a picture.
    ///
    /// # Errors
    ///
    /// As [`execution`](Self::execution).
    pub async fn draw_execution(
        &self,
        caller: &Caller,
        id: TaskId,
        format: Drawing,
    ) -> Answer<String> {
        self.carry_out(caller, DrawRun { id, format }).await
    }

    /// What the nodes of a run share.
    ///
    /// # Errors
    ///
    /// As [`execution`](Self::execution).
    pub async fn context(&self, caller: &Caller, id: TaskId) -> Answer<ContextView> {
        self.carry_out(caller, ShowContext { id }).await
    }

    /// A large value of a run, to which what is shown of it refers.
    ///
    /// # Errors
    ///
    /// `NotFound` also without such a value.
    pub async fn execution_value(
        &self,
        caller: &Caller,
        id: TaskId,
        digest: String,
    ) -> Answer<Value> {
        self.carry_out(caller, ShowValue { id, digest }).await
    }

    /// Gives what the nodes of a run share new values.
    ///
    /// # Errors
    ///
    /// `Conflict` when it was written since the version that the patch was made from.
    pub async fn write_context(
        &self,
        caller: &Caller,
        id: TaskId,
        patch: ContextPatch,
    ) -> Answer<ContextView> {
        self.carry_out(caller, WriteContext { id, patch }).await
    }

    /// Begins a run with what another one had before a node: that is not done again.
    ///
    /// # Errors
    ///
    /// `Invalid` without such a node, `Conflict` when something before it is not over.
    pub async fn fork_execution(
        &self,
        caller: &Caller,
        id: TaskId,
        request: ForkRequest,
    ) -> Answer<Begun> {
        self.carry_out(caller, ForkRun { id, request }).await
    }

    /// Decides a recorded run anew, with another definition say, and names the first decision that is
    /// another one. Nothing is done.
    ///
    /// # Errors
    ///
    /// `Invalid` without such a version, or with a definition that is none.
    pub async fn replay_execution(
        &self,
        caller: &Caller,
        id: TaskId,
        request: ReplayRequest,
    ) -> Answer<ReplayView> {
        self.carry_out(caller, ReplayRun { id, request }).await
    }

    /// Decides the last runs of a workflow anew with a definition that is to be adopted, and names the first
    /// divergence of each that would go another way. Nothing is done.
    ///
    /// # Errors
    ///
    /// As [`replay_execution`](Self::replay_execution).
    pub async fn check_workflow(
        &self,
        caller: &Caller,
        workflow: String,
        request: CheckRequest,
    ) -> Answer<CheckView> {
        self.carry_out(caller, CheckRuns { workflow, request })
            .await
    }

    /// Pauses all runs of a workflow that the caller may see. Those that begin later are not paused.
    ///
    /// # Errors
    ///
    /// `NotFound` without such a workflow.
    pub async fn pause_workflow(
        &self,
        caller: &Caller,
        workflow: &str,
        reason: String,
        running: StopMode,
    ) -> Answer<WorkflowReach> {
        let turn = RunTurn::Pause { reason, running };
        self.turn_runs(caller, workflow, turn).await
    }

    /// Lets all runs of a workflow go on that the caller may see.
    ///
    /// # Errors
    ///
    /// As [`pause_workflow`](Self::pause_workflow).
    pub async fn resume_workflow(&self, caller: &Caller, workflow: &str) -> Answer<WorkflowReach> {
        self.turn_runs(caller, workflow, RunTurn::Resume).await
    }

    async fn turn_runs(
        &self,
        caller: &Caller,
        workflow: &str,
        turn: RunTurn,
    ) -> Answer<WorkflowReach> {
        let workflow = workflow.to_owned();
        self.carry_out(caller, TurnRuns { workflow, turn }).await
    }

    async fn workflow_id(&self, caller: &Caller, workflow: &str) -> Answer<WorkflowId> {
        if let Ok(id) = workflow.parse() {
            return Ok(id);
        }
        let workflow = workflow.to_owned();
        self.carry_out(caller, FindWorkflow { workflow }).await
    }

    /// Lets what is owned here begin runs wherever these belong.
    pub(super) fn begin_runs(&self) {
        if let Some(own) = &self.0.own {
            let starter = Starter(Arc::downgrade(&self.0));
            own.services.library.provide(Box::new(starter));
        }
    }
}

/// Begins runs for those that the orchestrator keeps itself.
struct Starter(Weak<Inner>);

impl Starts for Starter {
    fn start(&self, caller: Caller, run: NewRun) -> Starting {
        let inner = self.0.upgrade();
        Box::pin(async move {
            let inner = inner.ok_or_else(|| Rejection::Unavailable {
                message: "the node is stopping".to_owned(),
                retry_after: Duration::from_secs(1),
            })?;
            let case = StartRun {
                run,
                key: None,
                wait: None,
            };
            let begun = Orchestrator(inner).carry_out(&caller, case).await?;
            Ok(begun.run.id)
        })
    }
}
