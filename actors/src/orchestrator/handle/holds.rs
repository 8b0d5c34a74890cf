//! Stopping, pausing, resuming and holding.

use std::time::Duration;

use protocol::{
    access::Caller,
    agent::StopMode,
    api::{CancelView, HoldChange, HoldView, Page, ScopeView, TaskChange},
    hold::Target,
    id::{HoldId, TaskId},
};

use super::{
    Answer, Orchestrator,
    cases::{
        CancelTask, Deed, Extent, LiftHold, ListHolds, PauseTask, PlaceHold, ResumeTask, TurnScope,
        When,
    },
};
use crate::{Rejection, hold::Fate};

impl Orchestrator {
    /// Stops a task and its parts, and tells what is gone when that is all, or the time is up.
    ///
    /// # Errors
    ///
    /// `Conflict` when it was settled otherwise.
    pub async fn end_task(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
        wait: Option<Duration>,
    ) -> Answer<CancelView> {
        let wait = wait.unwrap_or(super::cases::ENDING);
        let case = CancelTask {
            id,
            reason,
            wait,
            extent: Extent::Tree,
        };
        self.carry_out(caller, case).await
    }

    /// Lets nothing more of a task and of its parts start until it is resumed. Attempts that run go on
    /// to their end, or are ended and tried again; in the second case it answers when they are gone.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is over or being cancelled.
    pub async fn pause_task(
        &self,
        caller: &Caller,
        id: TaskId,
        reason: String,
        running: StopMode,
    ) -> Answer<TaskChange> {
        let case = PauseTask {
            id,
            reason,
            running,
        };
        self.carry_out(caller, case).await
    }

    /// Lets a paused task go on, with those of its parts that rest because of it.
    ///
    /// # Errors
    ///
    /// As [`pause_task`](Self::pause_task).
    pub async fn resume_task(&self, caller: &Caller, id: TaskId) -> Answer<TaskChange> {
        self.carry_out(caller, ResumeTask { id }).await
    }

    /// Ends every task in a scope; of an agent or a node, every attempt that it runs.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role operator, `Invalid` when it is no scope.
    pub async fn stop_scope(
        &self,
        caller: &Caller,
        scope: Target,
        reason: String,
    ) -> Answer<ScopeView> {
        self.turn_scope(caller, scope, Deed::Stop, reason).await
    }

    /// Lets nothing in a scope start until it is resumed, neither of what is there nor of what comes.
    ///
    /// # Errors
    ///
    /// As [`stop_scope`](Self::stop_scope).
    pub async fn pause_scope(
        &self,
        caller: &Caller,
        scope: Target,
        reason: String,
        running: StopMode,
    ) -> Answer<ScopeView> {
        let deed = Deed::Pause(running);
        self.turn_scope(caller, scope, deed, reason).await
    }

    /// Lets a paused scope go on.
    ///
    /// # Errors
    ///
    /// As [`stop_scope`](Self::stop_scope).
    pub async fn resume_scope(&self, caller: &Caller, scope: Target) -> Answer<ScopeView> {
        let deed = Deed::Resume;
        self.turn_scope(caller, scope, deed, String::new()).await
    }

    async fn turn_scope(
        &self,
        caller: &Caller,
        scope: Target,
        deed: Deed,
        reason: String,
    ) -> Answer<ScopeView> {
        let case = TurnScope {
            scope,
            deed,
            reason,
        };
        self.carry_out(caller, case).await
    }

    /// Holds a dependency: just the steps that need it wait.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role operator, `NotFound` when there is no such agent, `Invalid` when nothing
    /// depends on such a thing.
    pub async fn hold(
        &self,
        caller: &Caller,
        target: Target,
        reason: String,
    ) -> Answer<HoldChange> {
        self.hold_when(caller, target, reason, When::Known).await
    }

    /// The same also for something that is not there yet; the answer says so.
    ///
    /// # Errors
    ///
    /// As [`hold`](Self::hold).
    pub async fn hold_ahead(
        &self,
        caller: &Caller,
        target: Target,
        reason: String,
    ) -> Answer<HoldChange> {
        self.hold_when(caller, target, reason, When::Ahead).await
    }

    async fn hold_when(
        &self,
        caller: &Caller,
        target: Target,
        reason: String,
        when: When,
    ) -> Answer<HoldChange> {
        if !target.is_dependency() {
            return Err(Rejection::field(
                "target",
                "must be an agent, an agent type, a tool or a provider; a scope is paused",
            ));
        }
        let fate = Fate::GoesOn;
        let case = PlaceHold {
            target,
            reason,
            fate,
            when,
        };
        self.carry_out(caller, case).await
    }

    /// Lifts a hold, whether on a dependency or on a scope.
    ///
    /// # Errors
    ///
    /// `Forbidden` below the role operator, `NotFound` when there is none.
    pub async fn lift(&self, caller: &Caller, id: HoldId) -> Answer<HoldChange> {
        self.carry_out(caller, LiftHold { id }).await
    }

    /// Everything that is held, the first placed first.
    ///
    /// # Errors
    ///
    /// `Unavailable` when no control node can be reached.
    pub async fn holds(&self, caller: &Caller) -> Answer<Page<HoldView>> {
        let items = self.carry_out(caller, ListHolds).await?;
        Ok(Page {
            total: Some(items.len() as u64),
            items,
            next_cursor: None,
        })
    }
}
