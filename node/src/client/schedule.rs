//! Schedules and triggers.

use protocol::{
    api::{FiringView, Page, PauseReason, ScheduleQuery, ScheduleView, TriggerView},
    id::{ScheduleId, TriggerId},
    schedule::ScheduleSpec,
    trigger::TriggerSpec,
};
use reqwest::Method;

use super::{Answer, Client, Route};

fn schedule<const N: usize>(id: ScheduleId, parts: [&str; N]) -> Route {
    let id = id.to_string();
    Route::to(["schedules", &id].into_iter().chain(parts))
}

fn trigger<const N: usize>(id: TriggerId, parts: [&str; N]) -> Route {
    let id = id.to_string();
    Route::to(["triggers", &id].into_iter().chain(parts))
}

fn list(folder: &str, query: &ScheduleQuery) -> Route {
    Route::to([folder])
        .with("status", query.status.as_ref())
        .with("limit", query.limit)
        .with("cursor", query.cursor.as_ref())
}

fn because(reason: &str) -> PauseReason {
    let reason = reason.to_owned();
    PauseReason { reason }
}

impl Client {
    /// Makes a schedule.
    ///
    /// # Errors
    ///
    /// When the node cannot be reached or refuses, as for all the methods below.
    pub async fn create_schedule(&self, spec: &ScheduleSpec) -> Answer<ScheduleView> {
        self.send(Method::POST, Route::to(["schedules"]), spec)
            .await
    }

    /// A page of schedules.
    pub async fn schedules(&self, query: &ScheduleQuery) -> Answer<Page<ScheduleView>> {
        self.get(list("schedules", query)).await
    }

    /// One schedule.
    pub async fn schedule(&self, id: ScheduleId) -> Answer<ScheduleView> {
        self.get(schedule(id, [])).await
    }

    /// Changes a schedule from now on.
    pub async fn change_schedule(
        &self,
        id: ScheduleId,
        spec: &ScheduleSpec,
    ) -> Answer<ScheduleView> {
        self.send(Method::PUT, schedule(id, []), spec).await
    }

    /// Removes a schedule.
    pub async fn delete_schedule(&self, id: ScheduleId) -> Answer<()> {
        self.delete(schedule(id, [])).await
    }

    /// Lets no slot fire until it is resumed.
    pub async fn pause_schedule(&self, id: ScheduleId, reason: &str) -> Answer<ScheduleView> {
        self.send(Method::POST, schedule(id, ["pause"]), &because(reason))
            .await
    }

    /// Lets slots fire again.
    pub async fn resume_schedule(&self, id: ScheduleId) -> Answer<ScheduleView> {
        self.post(schedule(id, ["resume"])).await
    }

    /// Starts a run now.
    pub async fn fire_schedule(&self, id: ScheduleId) -> Answer<FiringView> {
        self.post(schedule(id, ["fire"])).await
    }

    /// What became of its slots.
    pub async fn schedule_runs(&self, id: ScheduleId) -> Answer<Page<FiringView>> {
        self.get(schedule(id, ["runs"])).await
    }

    /// Makes a trigger.
    pub async fn create_trigger(&self, spec: &TriggerSpec) -> Answer<TriggerView> {
        self.send(Method::POST, Route::to(["triggers"]), spec).await
    }

    /// A page of triggers.
    pub async fn triggers(&self, query: &ScheduleQuery) -> Answer<Page<TriggerView>> {
        self.get(list("triggers", query)).await
    }

    /// One trigger.
    pub async fn trigger(&self, id: TriggerId) -> Answer<TriggerView> {
        self.get(trigger(id, [])).await
    }

    /// Changes a trigger from now on.
    pub async fn change_trigger(&self, id: TriggerId, spec: &TriggerSpec) -> Answer<TriggerView> {
        self.send(Method::PUT, trigger(id, []), spec).await
    }

    /// Removes a trigger.
    pub async fn delete_trigger(&self, id: TriggerId) -> Answer<()> {
        self.delete(trigger(id, [])).await
    }

    /// Lets it start nothing until it is resumed.
    pub async fn pause_trigger(&self, id: TriggerId, reason: &str) -> Answer<TriggerView> {
        self.send(Method::POST, trigger(id, ["pause"]), &because(reason))
            .await
    }

    /// Lets it start again.
    pub async fn resume_trigger(&self, id: TriggerId) -> Answer<TriggerView> {
        self.post(trigger(id, ["resume"])).await
    }

    /// What it started.
    pub async fn trigger_runs(&self, id: TriggerId) -> Answer<Page<FiringView>> {
        self.get(trigger(id, ["runs"])).await
    }
}
