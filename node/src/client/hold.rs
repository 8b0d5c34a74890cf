//! Stopping, pausing, resuming and holding.

use protocol::{
    agent::StopMode,
    api::{
        HoldChange, HoldRequest, HoldView, Page, PauseRequest, ScopeRequest, ScopeTurn, ScopeView,
        TaskChange,
    },
    hold::Target,
    id::{HoldId, TaskId},
};
use reqwest::Method;

use super::{Answer, Client, Route, task};

impl Client {
    /// Lets nothing more of a task start until it is resumed.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn pause_task(&self, id: TaskId, reason: &str, mode: StopMode) -> Answer<TaskChange> {
        let body = PauseRequest {
            reason: reason.to_owned(),
            mode,
        };
        self.send(Method::POST, task(id, ["pause"]), &body).await
    }

    /// Lets a paused task go on.
    pub async fn resume_task(&self, id: TaskId) -> Answer<TaskChange> {
        self.post(task(id, ["resume"])).await
    }

    /// Ends all that is in a scope.
    pub async fn stop_scope(&self, scope: Target, reason: &str) -> Answer<ScopeView> {
        self.turn("stop", scope, reason).await
    }

    /// Lets nothing in a scope start until it is resumed.
    pub async fn pause_scope(
        &self,
        scope: Target,
        reason: &str,
        mode: StopMode,
    ) -> Answer<ScopeView> {
        let body = ScopeRequest {
            scope,
            reason: reason.to_owned(),
            mode,
        };
        self.send(Method::POST, Route::to(["pause"]), &body).await
    }

    /// Lets a paused scope go on.
    pub async fn resume_scope(&self, scope: Target) -> Answer<ScopeView> {
        self.turn("resume", scope, "").await
    }

    async fn turn(&self, deed: &str, scope: Target, reason: &str) -> Answer<ScopeView> {
        let reason = reason.to_owned();
        let body = ScopeTurn { scope, reason };
        self.send(Method::POST, Route::to([deed]), &body).await
    }

    /// Scopes that are paused and dependencies that are held.
    pub async fn holds(&self) -> Answer<Page<HoldView>> {
        self.get(Route::to(["holds"])).await
    }

    /// Holds a dependency.
    pub async fn hold(&self, request: &HoldRequest) -> Answer<HoldChange> {
        self.send(Method::POST, Route::to(["holds"]), request).await
    }

    /// Lifts a hold.
    pub async fn lift(&self, id: HoldId) -> Answer<HoldChange> {
        let id = id.to_string();
        let request = self.call(Method::DELETE, &Route::to(["holds", &id]));
        self.read(request.timeout(super::ANSWER)).await
    }
}
