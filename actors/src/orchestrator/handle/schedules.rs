//! What starts by the clock.

use protocol::{
    access::Caller,
    api::{FiringView, Page, ScheduleQuery, ScheduleView},
    id::{ScheduleId, TaskId},
    schedule::ScheduleSpec,
};

use super::{
    Answer, Orchestrator,
    cases::{CreateSchedule, ListSchedules, ScheduleFirings, ShowSchedule, TurnSchedule, Turned},
};

impl Orchestrator {
    /// Makes a schedule; its runs are started in the caller's name.
    ///
    /// # Errors
    ///
    /// `Invalid` with each field that is wrong, `Conflict` when its name is taken.
    pub async fn create_schedule(
        &self,
        caller: &Caller,
        spec: ScheduleSpec,
    ) -> Answer<ScheduleView> {
        self.carry_out(caller, CreateSchedule { spec }).await
    }

    /// One schedule.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none of this id that the caller may see, as for all the methods below.
    pub async fn schedule(&self, caller: &Caller, id: ScheduleId) -> Answer<ScheduleView> {
        self.carry_out(caller, ShowSchedule { id }).await
    }

    /// Schedules, the newest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the cursor is none of this list.
    pub async fn schedules(
        &self,
        caller: &Caller,
        query: ScheduleQuery,
    ) -> Answer<Page<ScheduleView>> {
        self.carry_out(caller, ListSchedules { query }).await
    }

    /// Changes a schedule from now on.
    ///
    /// # Errors
    ///
    /// As [`create_schedule`](Self::create_schedule).
    pub async fn change_schedule(
        &self,
        caller: &Caller,
        id: ScheduleId,
        spec: ScheduleSpec,
    ) -> Answer<ScheduleView> {
        let turned = Turned::Changed(Box::new(spec));
        self.turn_schedule(caller, id, turned).await
    }

    /// Lets no slot fire until it is resumed.
    ///
    /// # Errors
    ///
    /// `Conflict` when it has no slot any more.
    pub async fn pause_schedule(
        &self,
        caller: &Caller,
        id: ScheduleId,
        reason: String,
    ) -> Answer<ScheduleView> {
        self.turn_schedule(caller, id, Turned::Paused(reason)).await
    }

    /// Lets slots fire again, from the next one on.
    ///
    /// # Errors
    ///
    /// As [`pause_schedule`](Self::pause_schedule).
    pub async fn resume_schedule(&self, caller: &Caller, id: ScheduleId) -> Answer<ScheduleView> {
        self.turn_schedule(caller, id, Turned::Resumed).await
    }

    /// Starts a run now, whatever else runs; answers its id.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such schedule.
    pub async fn fire_schedule(
        &self,
        caller: &Caller,
        id: ScheduleId,
    ) -> Answer<(ScheduleView, Option<TaskId>)> {
        let turned = Turned::Fired;
        self.carry_out(caller, TurnSchedule { id, turned }).await
    }

    /// Removes a schedule; what it started goes on.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such schedule.
    pub async fn delete_schedule(&self, caller: &Caller, id: ScheduleId) -> Answer<()> {
        let deleted = self.turn_schedule(caller, id, Turned::Deleted).await;
        deleted.map(drop)
    }

    /// What became of the last hundred slots, the newest first, and how their runs stand.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such schedule.
    pub async fn schedule_runs(&self, caller: &Caller, id: ScheduleId) -> Answer<Page<FiringView>> {
        let items = self.carry_out(caller, ScheduleFirings { id }).await?;
        Ok(Page {
            total: Some(items.len() as u64),
            items,
            next_cursor: None,
        })
    }

    async fn turn_schedule(
        &self,
        caller: &Caller,
        id: ScheduleId,
        turned: Turned,
    ) -> Answer<ScheduleView> {
        let (view, _) = self.carry_out(caller, TurnSchedule { id, turned }).await?;
        Ok(view)
    }
}
