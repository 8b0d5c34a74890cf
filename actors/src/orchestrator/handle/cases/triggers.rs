//! Triggers: made, changed, paused, what they have started, and what comes to their webhooks.

use protocol::{
    access::{Caller, Role},
    api::{FiringView, HookView, Page, ScheduleQuery, TriggerView},
    entity::EntityKind,
    id::TriggerId,
    trigger::TriggerSpec,
};
use runtime::{
    entity::{Seed, TellError},
    store::StreamRow,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, at_least,
    pages::body,
    schedules::{listed, seen},
    unanswered, unreachable,
};
use crate::{
    Rejection, firing,
    schedule::invalid,
    trigger::{Command, Delivery, Hooked, Message, checked, end_of_journal, hook_secret},
};

/// A new trigger.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CreateTrigger {
    pub(in super::super) spec: TriggerSpec,
}

impl UseCase for CreateTrigger {
    type Answer = TriggerView;
    const NAME: &'static str = "trigger.create";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TriggerView> {
        at_least(caller, Role::Developer)?;
        at.check_trigger(caller, &self.spec).await?;
        let own = at.own()?;
        let id = TriggerId::from_uuid(at.fresh_id()?);
        let after = end_of_journal(own.journal.store()).await?;
        let seed = Seed {
            tenant: caller.tenant.as_str().into(),
            name: None,
        };
        let (reply, made) = oneshot::channel();
        let message = Message::Command {
            user: caller.user.clone(),
            command: Command::Create(Box::new(self.spec), after),
            reply,
        };
        let created = own.services.triggers.create(id.into(), seed, message);
        created.await.map_err(unreachable)?;
        let view = made.await.unwrap_or_else(|_| Err(unanswered()))?;
        tracing::info!(target: "audit", by = %caller, trigger = %id, name = view.name, "a trigger is made");
        Ok(view)
    }
}

/// What clients do to a trigger.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum TriggerTurned {
    Changed(Box<TriggerSpec>),
    Paused(String),
    Resumed,
    Deleted,
}

/// A change of a trigger.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TurnTrigger {
    pub(in super::super) id: TriggerId,
    pub(in super::super) turned: TriggerTurned,
}

impl UseCase for TurnTrigger {
    type Answer = TriggerView;
    const NAME: &'static str = "trigger.turn";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TriggerView> {
        let Self { id, turned } = self;
        at_least(caller, Role::Developer)?;
        seen(at, caller, id.into()).await?;
        let own = at.own()?;
        let (command, what) = match turned {
            TriggerTurned::Changed(spec) => {
                at.check_trigger(caller, &spec).await?;
                (Command::Change(spec), "changed")
            }
            TriggerTurned::Paused(reason) => (Command::Pause(reason), "paused"),
            TriggerTurned::Resumed => {
                let after = end_of_journal(own.journal.store()).await?;
                (Command::Resume(after), "resumed")
            }
            TriggerTurned::Deleted => (Command::Delete, "deleted"),
        };
        let user = caller.user.clone();
        let asked = own
            .services
            .triggers
            .ask(id.into(), |reply| Message::Command {
                user,
                command,
                reply,
            });
        let answer = asked.await.map_err(unreachable)?;
        let view = answer.unwrap_or_else(|| Err(unanswered()))?;
        tracing::info!(target: "audit", by = %caller, trigger = %id, what, "a trigger is turned");
        Ok(view)
    }
}

impl Orchestrator {
    /// What is wrong with what a client asks for, also as far as this node alone can know.
    async fn check_trigger(&self, caller: &Caller, spec: &TriggerSpec) -> Answer<()> {
        let wrong = checked(spec);
        if !wrong.is_empty() {
            return Err(invalid(wrong));
        }
        self.check_target(caller, &spec.target).await?;
        let Some(webhook) = &spec.on.webhook else {
            return Ok(());
        };
        let secret = hook_secret(&self.own()?.services.config, &webhook.secret_env);
        secret
            .map(drop)
            .map_err(|why| Rejection::field("on.webhook.secret_env", why))
    }
}

/// One trigger.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowTrigger {
    pub(in super::super) id: TriggerId,
}

impl UseCase for ShowTrigger {
    type Answer = TriggerView;
    const NAME: &'static str = "trigger.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<TriggerView> {
        at_least(caller, Role::Viewer)?;
        let row = seen(at, caller, self.id.into()).await?;
        trigger(&row)
    }
}

/// A page of triggers, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListTriggers {
    pub(in super::super) query: ScheduleQuery,
}

impl UseCase for ListTriggers {
    type Answer = Page<TriggerView>;
    const NAME: &'static str = "trigger.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<TriggerView>> {
        listed(at, caller, EntityKind::Trigger, self.query, trigger).await
    }
}

/// What a trigger has started.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TriggerFirings {
    pub(in super::super) id: TriggerId,
}

impl UseCase for TriggerFirings {
    type Answer = Vec<FiringView>;
    const NAME: &'static str = "trigger.runs";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<FiringView>> {
        at_least(caller, Role::Viewer)?;
        let id = self.id.into();
        seen(at, caller, id).await?;
        let own = at.own()?;
        let read = own.services.triggers.ask(id, |reply| {
            Message::Read(Box::new(move |trigger| {
                // Whoever asked may be gone.
                let _ = reply.send(trigger.firings());
            }))
        });
        let mut firings = read.await.map_err(unreachable)?.ok_or_else(unanswered)?;
        firing::outcomes(own.journal.store(), &mut firings).await?;
        Ok(firings)
    }
}

/// Something came to a webhook; who sent it, its signature says.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct DeliverHook {
    pub(in super::super) id: TriggerId,
    pub(in super::super) delivery: Delivery,
}

impl UseCase for DeliverHook {
    /// Nothing when it is not signed as it should be, or there is no such webhook.
    type Answer = Option<HookView>;
    const NAME: &'static str = "trigger.hook";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, _: &Caller) -> Answer<Option<HookView>> {
        let Self { id, delivery } = self;
        let triggers = &at.own()?.services.triggers;
        let asked = triggers.ask(id.into(), |reply| Message::Hook {
            delivery: Box::new(delivery),
            reply,
        });
        match asked.await {
            // Strangers do not learn what is there.
            Err(TellError::NoSuchEntity(_)) => Ok(None),
            Err(error) => Err(unreachable(error)),
            Ok(None) => Err(unanswered()),
            Ok(Some(Hooked::Unsigned)) => Ok(None),
            Ok(Some(Hooked::Taken(view))) => Ok(Some(view)),
            Ok(Some(Hooked::Rejected(rejection))) => Err(rejection),
        }
    }
}

/// A trigger as its row says.
fn trigger(row: &StreamRow) -> Answer<TriggerView> {
    let view: TriggerView = body(row)?;
    let id = TriggerId::from_uuid(row.stream.key());
    Ok(TriggerView {
        id,
        version: row.head,
        url: view.url.map(|_| format!("/api/v1/hooks/{id}")),
        ..view
    })
}
