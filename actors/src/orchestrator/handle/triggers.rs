//! What starts when something happens.

use protocol::{
    access::{Caller, DEFAULT_TENANT, Role},
    api::{FiringView, HookView, Page, ScheduleQuery, TriggerView},
    id::TriggerId,
    trigger::TriggerSpec,
};

use super::{
    Answer, Orchestrator,
    cases::{
        CreateTrigger, DeliverHook, ListTriggers, ShowTrigger, TriggerFirings, TriggerTurned,
        TurnTrigger,
    },
};
use crate::trigger::Delivery;

impl Orchestrator {
    /// Makes a trigger; its runs are started in the caller's name.
    ///
    /// # Errors
    ///
    /// `Invalid` with each field that is wrong, `Conflict` when its name is taken.
    pub async fn create_trigger(&self, caller: &Caller, spec: TriggerSpec) -> Answer<TriggerView> {
        self.carry_out(caller, CreateTrigger { spec }).await
    }

    /// One trigger.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none of this id that the caller may see, as for all the methods below.
    pub async fn trigger(&self, caller: &Caller, id: TriggerId) -> Answer<TriggerView> {
        self.carry_out(caller, ShowTrigger { id }).await
    }

    /// Triggers, the newest first.
    ///
    /// # Errors
    ///
    /// `Invalid` when the cursor is none of this list.
    pub async fn triggers(
        &self,
        caller: &Caller,
        query: ScheduleQuery,
    ) -> Answer<Page<TriggerView>> {
        self.carry_out(caller, ListTriggers { query }).await
    }

    /// Changes a trigger from now on.
    ///
    /// # Errors
    ///
    /// As [`create_trigger`](Self::create_trigger).
    pub async fn change_trigger(
        &self,
        caller: &Caller,
        id: TriggerId,
        spec: TriggerSpec,
    ) -> Answer<TriggerView> {
        let turned = TriggerTurned::Changed(Box::new(spec));
        self.carry_out(caller, TurnTrigger { id, turned }).await
    }

    /// Lets it start nothing until it is resumed; what happens meanwhile is let pass.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such trigger.
    pub async fn pause_trigger(
        &self,
        caller: &Caller,
        id: TriggerId,
        reason: String,
    ) -> Answer<TriggerView> {
        let turned = TriggerTurned::Paused(reason);
        self.carry_out(caller, TurnTrigger { id, turned }).await
    }

    /// Lets it start again, from what happens now on.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such trigger.
    pub async fn resume_trigger(&self, caller: &Caller, id: TriggerId) -> Answer<TriggerView> {
        let turned = TriggerTurned::Resumed;
        self.carry_out(caller, TurnTrigger { id, turned }).await
    }

    /// Removes a trigger; what it started goes on.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such trigger.
    pub async fn delete_trigger(&self, caller: &Caller, id: TriggerId) -> Answer<()> {
        let turned = TriggerTurned::Deleted;
        let deleted = self.carry_out(caller, TurnTrigger { id, turned }).await;
        deleted.map(drop)
    }

    /// The last hundred starts, the newest first, and how their runs stand.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such trigger.
    pub async fn trigger_runs(&self, caller: &Caller, id: TriggerId) -> Answer<Page<FiringView>> {
        let items = self.carry_out(caller, TriggerFirings { id }).await?;
        Ok(Page {
            total: Some(items.len() as u64),
            items,
            next_cursor: None,
        })
    }

    /// Hands a trigger what came to its webhook. Nothing when it is not signed as it should be: the
    /// sender is not told whether there is such a trigger.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is signed and cannot be used, `Unavailable` when its owner cannot be reached.
    pub async fn deliver_hook(
        &self,
        id: TriggerId,
        delivery: Delivery,
    ) -> Answer<Option<HookView>> {
        // Nobody that could do anything else: the signature says who it is.
        let sender = Caller {
            tenant: DEFAULT_TENANT.to_owned(),
            user: "webhook".to_owned(),
            role: Role::Viewer,
        };
        self.carry_out(&sender, DeliverHook { id, delivery }).await
    }
}
