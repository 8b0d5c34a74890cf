//! Schedules: made, changed, paused, fired by hand, and what they have started.

use protocol::{
    access::{Caller, Role},
    api::{FiringView, Page, ScheduleQuery, ScheduleView},
    entity::{EntityId, EntityKind},
    id::{ScheduleId, TaskId},
    schedule::{ScheduleSpec, Target},
};
use runtime::{
    entity::Seed,
    store::{StreamQuery, StreamRow},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, at_least,
    pages::{Leaf, body, page, streams_of},
    unanswered, unreachable,
};
use crate::{
    Rejection, firing,
    schedule::{Command, Message, Slots, checked, invalid},
    template,
};

/// A new schedule.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct CreateSchedule {
    pub(in super::super) spec: ScheduleSpec,
}

impl UseCase for CreateSchedule {
    type Answer = ScheduleView;
    const NAME: &'static str = "schedule.create";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ScheduleView> {
        at_least(caller, Role::Developer)?;
        let services = &at.own()?.services;
        let id = ScheduleId::from_uuid(at.fresh_id()?);
        let wrong = checked(id, &self.spec, services.clock.now());
        if !wrong.is_empty() {
            return Err(invalid(wrong));
        }
        at.check_target(caller, &self.spec.target).await?;
        let seed = Seed {
            tenant: caller.tenant.as_str().into(),
            name: None,
        };
        let (reply, made) = oneshot::channel();
        let message = Message::Command {
            user: caller.user.clone(),
            command: Command::Create(Box::new(self.spec)),
            reply,
        };
        let created = services.schedules.create(id.into(), seed, message);
        created.await.map_err(unreachable)?;
        let (view, _) = made.await.unwrap_or_else(|_| Err(unanswered()))?;
        tracing::info!(target: "audit", by = %caller, schedule = %id, name = view.name, "a schedule is made");
        Ok(view)
    }
}

impl Orchestrator {
    /// What is to be started must be there when that is written down: a name that is misspelt would be
    /// found out at night. It may be gone by then all the same, and then the firing says so.
    pub(super) async fn check_target(&self, caller: &Caller, target: &Target) -> Answer<()> {
        let wrong = |field: &str, missing: Rejection| match missing {
            Rejection::NotFound { .. } => Rejection::field(
                format!("target.{field}"),
                format!("there is no such {field}; make it first, or name another"),
            ),
            other => other,
        };
        if let Some(name) = &target.workflow {
            let workflow = self.find_workflow(caller, name).await;
            let newest = workflow.map_err(|error| wrong("workflow", error))?.version;
            if let Some(version) = target.version.filter(|it| !(1..=newest).contains(it)) {
                let message = format!("there is no version {version}; the newest is {newest}");
                return Err(Rejection::field("target.version", message));
            }
        }
        if let Some(name) = &target.template {
            let store = self.own()?.journal.store();
            let template = template::find(store, &caller.tenant, name).await;
            template.map_err(|error| wrong("template", error))?;
        }
        Ok(())
    }
}

/// What clients do to a schedule.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Turned {
    Changed(Box<ScheduleSpec>),
    Paused(String),
    Resumed,
    Fired,
    Deleted,
}

/// A change of a schedule; with the run, when one is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TurnSchedule {
    pub(in super::super) id: ScheduleId,
    pub(in super::super) turned: Turned,
}

impl UseCase for TurnSchedule {
    type Answer = (ScheduleView, Option<TaskId>);
    const NAME: &'static str = "schedule.turn";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    fn effect(&self) -> Effect {
        match self.turned {
            Turned::Fired => Effect::Once,
            Turned::Changed(_) | Turned::Paused(_) | Turned::Resumed | Turned::Deleted => {
                Effect::Repeats
            }
        }
    }

    async fn perform(
        self,
        at: &Orchestrator,
        caller: &Caller,
    ) -> Answer<(ScheduleView, Option<TaskId>)> {
        let Self { id, turned } = self;
        at_least(caller, Role::Developer)?;
        seen(at, caller, id.into()).await?;
        let (command, what) = match turned {
            Turned::Changed(spec) => {
                at.check_target(caller, &spec.target).await?;
                (Command::Change(spec), "changed")
            }
            Turned::Paused(reason) => (Command::Pause { reason }, "paused"),
            Turned::Resumed => (Command::Resume, "resumed"),
            Turned::Fired => (Command::Fire, "fired"),
            Turned::Deleted => (Command::Delete, "deleted"),
        };
        let user = caller.user.clone();
        let asked = at
            .own()?
            .services
            .schedules
            .ask(id.into(), |reply| Message::Command {
                user,
                command,
                reply,
            });
        let answer = asked.await.map_err(unreachable)?;
        let turned = answer.unwrap_or_else(|| Err(unanswered()))?;
        tracing::info!(target: "audit", by = %caller, schedule = %id, what, "a schedule is turned");
        Ok(turned)
    }
}

/// One schedule.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowSchedule {
    pub(in super::super) id: ScheduleId,
}

impl UseCase for ShowSchedule {
    type Answer = ScheduleView;
    const NAME: &'static str = "schedule.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ScheduleView> {
        at_least(caller, Role::Viewer)?;
        let row = seen(at, caller, self.id.into()).await?;
        schedule(&row)
    }
}

/// A page of schedules, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListSchedules {
    pub(in super::super) query: ScheduleQuery,
}

impl UseCase for ListSchedules {
    type Answer = Page<ScheduleView>;
    const NAME: &'static str = "schedule.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<ScheduleView>> {
        listed(at, caller, EntityKind::Schedule, self.query, schedule).await
    }
}

/// What became of a schedule's slots.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ScheduleFirings {
    pub(in super::super) id: ScheduleId,
}

impl UseCase for ScheduleFirings {
    type Answer = Vec<FiringView>;
    const NAME: &'static str = "schedule.runs";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Vec<FiringView>> {
        at_least(caller, Role::Viewer)?;
        let id = self.id.into();
        seen(at, caller, id).await?;
        let own = at.own()?;
        let read = own.services.schedules.ask(id, |reply| {
            Message::Read(Box::new(move |schedule, _| {
                // Whoever asked may be gone.
                let _ = reply.send(schedule.firings());
            }))
        });
        let mut firings = read.await.map_err(unreachable)?.ok_or_else(unanswered)?;
        firing::outcomes(own.journal.store(), &mut firings).await?;
        Ok(firings)
    }
}

/// The row of a schedule or a trigger, if it is the caller's to see.
pub(super) async fn seen(at: &Orchestrator, caller: &Caller, id: EntityId) -> Answer<StreamRow> {
    let row = at.own()?.journal.store().stream(id).await?;
    row.filter(|row| {
        row.tenant == caller.tenant
            && !row.summary.hidden
            && (caller.sees_all_users() || row.summary.user == caller.user)
    })
    .ok_or_else(|| Rejection::not_found(format!("{} {id}", id.kind())))
}

/// A page of schedules or triggers.
pub(super) async fn listed<T>(
    at: &Orchestrator,
    caller: &Caller,
    kind: EntityKind,
    query: ScheduleQuery,
    view: impl Fn(&StreamRow) -> Answer<T>,
) -> Answer<Page<T>> {
    at_least(caller, Role::Viewer)?;
    let rows = StreamQuery {
        status: query.status,
        user: (!caller.sees_all_users()).then(|| caller.user.clone()),
        ..streams_of(caller, kind)
    };
    let leaf = Leaf {
        limit: query.limit,
        cursor: query.cursor.as_deref(),
        ..Leaf::default()
    };
    page(at, rows, leaf, view).await
}

/// A schedule as its row says.
fn schedule(row: &StreamRow) -> Answer<ScheduleView> {
    let view: ScheduleView = body(row)?;
    let id = ScheduleId::from_uuid(row.stream.key());
    let slots = Slots::of(id, &view.spec, view.created_at).ok();
    let jittered = |slot| slots.as_ref().map_or(slot, |slots| slots.fires_at(slot));
    Ok(ScheduleView {
        id,
        version: row.head,
        next_at: view.next_at.map(jittered),
        ..view
    })
}
