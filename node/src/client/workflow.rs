//! Workflows and their runs.

use std::time::Duration;

use protocol::{
    agent::StopMode,
    api::{
        CancelRequest, CheckRequest, CheckView, EventView, ExecuteRequest, ExecutionChange,
        ExecutionQuery, ExecutionStatus, ExecutionSummary, ExecutionView, ForkRequest, Page,
        PauseRequest, ReplayRequest, ReplayView, VersionView, WorkflowChange, WorkflowDraft,
        WorkflowQuery, WorkflowReach, WorkflowSummary, WorkflowView,
    },
    id::TaskId,
    time::Span,
    workflow::Status,
};
use reqwest::Method;
use serde_json::Value;

use super::{ANSWER, Answer, Client, Follow, Route};

impl Client {
    /// Makes a workflow.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn create_workflow(&self, draft: &WorkflowDraft) -> Answer<WorkflowView> {
        self.send(Method::POST, Route::to(["workflows"]), draft)
            .await
    }

    /// A page of workflows, the newest first.
    pub async fn workflows(&self, query: &WorkflowQuery) -> Answer<Page<WorkflowSummary>> {
        let route = Route::to(["workflows"])
            .with("status", query.status.map(Status::as_str))
            .with("q", query.q.as_deref())
            .with("limit", query.limit)
            .with("cursor", query.cursor.as_deref());
        self.get(route).await
    }

    /// One workflow, by id or name, as all the methods below take it.
    pub async fn workflow(&self, name: &str, version: Option<u32>) -> Answer<WorkflowView> {
        self.get(workflow(name, []).with("version", version)).await
    }

    /// Changes a workflow.
    pub async fn update_workflow(
        &self,
        name: &str,
        draft: &WorkflowDraft,
    ) -> Answer<WorkflowChange> {
        self.send(Method::PUT, workflow(name, []), draft).await
    }

    /// Removes a workflow from sight.
    pub async fn delete_workflow(&self, name: &str) -> Answer<()> {
        self.delete(workflow(name, [])).await
    }

    /// Its versions, the newest first.
    pub async fn workflow_versions(&self, name: &str) -> Answer<Page<VersionView>> {
        self.get(workflow(name, ["versions"])).await
    }

    /// Pauses all runs of a workflow.
    pub async fn pause_workflow(
        &self,
        name: &str,
        reason: &str,
        mode: StopMode,
    ) -> Answer<WorkflowReach> {
        let body = pausing(reason, mode);
        self.send(Method::POST, workflow(name, ["pause"]), &body)
            .await
    }

    /// Lets all runs of a workflow go on.
    pub async fn resume_workflow(&self, name: &str) -> Answer<WorkflowReach> {
        self.post(workflow(name, ["resume"])).await
    }

    /// Starts a run. The same `key` with the same request starts it once, however often it is sent.
    pub async fn execute(
        &self,
        name: &str,
        request: &ExecuteRequest,
        key: Option<&str>,
    ) -> Answer<ExecutionSummary> {
        let route = workflow(name, ["execute"]);
        let mut call = self.call(Method::POST, &route).json(request);
        if let Some(key) = key {
            call = call.header("idempotency-key", key);
        }
        self.read(call.timeout(ANSWER)).await
    }

    /// A page of runs, the newest first.
    pub async fn executions(&self, query: &ExecutionQuery) -> Answer<Page<ExecutionSummary>> {
        let route = Route::to(["executions"])
            .with("workflow", query.workflow.as_deref())
            .with("status", query.status.map(ExecutionStatus::as_str))
            .with("user_id", query.user_id.as_deref())
            .with("limit", query.limit)
            .with("cursor", query.cursor.as_deref());
        self.get(route).await
    }

    /// A run as it stands.
    pub async fn execution(&self, id: TaskId) -> Answer<ExecutionView> {
        self.get(execution(id, [])).await
    }

    /// Lets no node of a run start until it is resumed.
    pub async fn pause_execution(
        &self,
        id: TaskId,
        reason: &str,
        mode: StopMode,
    ) -> Answer<ExecutionChange> {
        let body = pausing(reason, mode);
        self.send(Method::POST, execution(id, ["pause"]), &body)
            .await
    }

    /// Lets a run go on.
    pub async fn resume_execution(&self, id: TaskId) -> Answer<ExecutionChange> {
        self.post(execution(id, ["resume"])).await
    }

    /// Stops a run, and takes back what its definition says.
    pub async fn cancel_execution(
        &self,
        id: TaskId,
        reason: &str,
        wait: Option<Duration>,
    ) -> Answer<ExecutionChange> {
        self.end_execution("cancel", id, reason, wait).await
    }

    /// Stops a run at once: what it did is not taken back.
    pub async fn terminate_execution(
        &self,
        id: TaskId,
        reason: &str,
        wait: Option<Duration>,
    ) -> Answer<ExecutionChange> {
        self.end_execution("terminate", id, reason, wait).await
    }

    async fn end_execution(
        &self,
        how: &str,
        id: TaskId,
        reason: &str,
        wait: Option<Duration>,
    ) -> Answer<ExecutionChange> {
        let body = CancelRequest {
            reason: reason.to_owned(),
        };
        let route = execution(id, [how]).with("wait", wait.map(Span));
        let call = self.call(Method::POST, &route).json(&body);
        self.read(call.timeout(ANSWER + wait.unwrap_or_default()))
            .await
    }

    /// A large value of a run, to which what is shown of it refers.
    pub async fn execution_value(&self, id: TaskId, value: &str) -> Answer<Value> {
        self.get(execution(id, ["values", value])).await
    }

    /// Begins a run with what another one had before a node.
    pub async fn fork_execution(
        &self,
        id: TaskId,
        request: &ForkRequest,
    ) -> Answer<ExecutionSummary> {
        self.send(Method::POST, execution(id, ["fork"]), request)
            .await
    }

    /// Decides a recorded run anew; nothing is done.
    pub async fn replay_execution(
        &self,
        id: TaskId,
        request: &ReplayRequest,
    ) -> Answer<ReplayView> {
        let route = execution(id, ["replay"]).with("dry", Some(true));
        self.send(Method::POST, route, request).await
    }

    /// Decides the last runs of a workflow anew with another definition; nothing is done.
    pub async fn check_workflow(&self, name: &str, request: &CheckRequest) -> Answer<CheckView> {
        let call = self
            .call(Method::POST, &workflow(name, ["check"]))
            .json(request);
        self.read(call.timeout(3 * ANSWER)).await
    }

    /// What happens in a run after a position. When it is settled and told, nothing follows any more.
    #[must_use]
    pub fn follow_execution(&self, id: TaskId, after: u64) -> Follow<EventView> {
        let since = (after > 0).then_some(after);
        let route = execution(id, ["events"]).with("since", since);
        Follow::new(self.clone(), route)
    }
}

fn workflow<const N: usize>(name: &str, rest: [&str; N]) -> Route {
    Route::to(["workflows", name].into_iter().chain(rest))
}

fn execution<const N: usize>(id: TaskId, rest: [&str; N]) -> Route {
    let id = id.to_string();
    Route::to(["executions", &id].into_iter().chain(rest))
}

fn pausing(reason: &str, mode: StopMode) -> PauseRequest {
    PauseRequest {
        reason: reason.to_owned(),
        mode,
    }
}
