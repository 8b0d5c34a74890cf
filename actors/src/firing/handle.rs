//! Making runs: once under their id, however often it is tried.

use std::{collections::HashMap, time::Duration};

use protocol::{
    access::{Caller, Role},
    api::FiringView,
    id::{CommandId, TaskId},
    schedule::Target,
    task::{TaskSpec, TaskStatus},
    template::TemplateUse,
};
use runtime::{
    entity::Seed,
    journal,
    store::{self, Idempotency, Shared},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{Aim, aim};
use crate::{
    Rejection, planner,
    services::Services,
    task::actor::{self as task, Submit},
    template,
    workflow::library::NewRun,
};

/// How long it may take until a run is on disk.
const WITHIN: Duration = Duration::from_secs(10);

/// A run that is to be there.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) run: TaskId,
    pub(crate) tenant: String,
    /// In whose name.
    pub(crate) user: String,
    pub(crate) target: Target,
    /// What its metadata says beside what the target says.
    pub(crate) about: (&'static str, Value),
    /// A run that is cancelled before.
    pub(crate) cancels: Option<TaskId>,
    /// What makes this run the only one for ever, where its id does not.
    pub(crate) key: Option<String>,
}

/// What a run is made with, whatever it is a run of.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// Its id: who starts it again finds it.
    pub(crate) run: TaskId,
    pub(crate) tenant: &'a str,
    pub(crate) user: &'a str,
    /// For its metadata.
    pub(crate) about: (&'static str, Value),
    pub(crate) key: Option<String>,
}

/// Sees to it that a run is there, beside the mailbox of whoever orders it, and tells what came of it.
pub(crate) fn spawn(
    services: Services,
    store: Shared,
    order: Order,
    tell: impl FnOnce(TaskId, Result<(), Rejection>) + Send + 'static,
) {
    tokio::spawn(async move {
        let run = order.run;
        let made = tokio::time::timeout(WITHIN, make(&services, &store, order)).await;
        let made = made.unwrap_or_else(|_| Err(late()));
        tell(run, made);
    });
}

fn late() -> Rejection {
    Rejection::Unavailable {
        message: format!("the run was not on disk within {} s", WITHIN.as_secs()),
        retry_after: Duration::from_secs(1),
    }
}

async fn make(services: &Services, store: &Shared, order: Order) -> Result<(), Rejection> {
    if let Some(previous) = order.cancels {
        cancel(services, previous, &order.user).await;
    }
    if store.stream(order.run.into()).await?.is_some() {
        return Ok(());
    }
    let target = order.target;
    let start = Start {
        run: order.run,
        tenant: &order.tenant,
        user: &order.user,
        about: order.about,
        key: order.key,
    };
    let wrong = |error: protocol::api::FieldError| Rejection::field(error.field, error.message);
    match aim(&target).map_err(wrong)? {
        Aim::Workflow {
            name,
            version,
            input,
        } => start_run(services, start, name, version, input).await,
        Aim::Task(spec) => start_task(services, start, spec.clone()).await,
        Aim::Template {
            name,
            params,
            input,
        } => {
            let asked = TemplateUse {
                template: name.to_owned(),
                params: params.clone(),
                input: (!input.is_null()).then(|| input.clone()),
                ..TemplateUse::default()
            };
            let spec = template::make(store, start.tenant, &asked).await?;
            start_task(services, start, spec).await
        }
    }
}

/// Starts a run of a workflow under this id; who starts it again finds it.
async fn start_run(
    services: &Services,
    start: Start<'_>,
    workflow: &str,
    version: Option<u32>,
    input: &Value,
) -> Result<(), Rejection> {
    let (about, value) = start.about;
    let caller = Caller {
        tenant: start.tenant.to_owned(),
        user: start.user.to_owned(),
        role: Role::Developer,
    };
    let run = NewRun {
        id: Some(start.run),
        key: start.key,
        workflow: workflow.to_owned(),
        version,
        input: input.clone(),
        metadata: Map::from_iter([(about.to_owned(), value)]),
        ..NewRun::default()
    };
    services.library.start(caller, run).await.map(drop)
}

/// Starts a task under this id.
async fn start_task(
    services: &Services,
    start: Start<'_>,
    mut spec: TaskSpec,
) -> Result<(), Rejection> {
    let (about, value) = start.about;
    spec.metadata.insert(about.to_owned(), value);
    let (run, tenant) = (start.run, start.tenant);
    let roster = &services.registry.tenant(tenant).roster;
    let plan = planner::create_execution_plan(&spec, roster, &services.config.tasks)?;
    services.admission.enter()?;
    let (accepted, on_disk) = oneshot::channel();
    let submit = Submit {
        spec,
        plan,
        user: start.user.to_owned(),
        trace: runtime::trace::current_trace(),
        command: CommandId::from_uuid(services.dice.uuid_v7(services.clock.now())),
        key: start.key.map(Idempotency::of_its_own),
        accepted,
        forked: None,
        settled: None,
    };
    let seed = Seed {
        tenant: tenant.into(),
        name: None,
    };
    let message = task::Message::Submit(Box::new(submit));
    let made = match services.tasks.create(run.into(), seed, message).await {
        Err(error) => Err(unavailable(error.to_string())),
        Ok(()) => match on_disk.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(not_written(&error)),
            Err(_) => Err(unavailable(
                "the run failed before it was on disk".to_owned(),
            )),
        },
    };
    if made.is_err() {
        services.admission.leave();
    }
    made
}

fn not_written(error: &journal::Error) -> Rejection {
    unavailable(error.to_string())
}

fn unavailable(message: String) -> Rejection {
    Rejection::Unavailable {
        message,
        retry_after: Duration::from_secs(1),
    }
}

/// Cancels a run that is in the way; one that is over needs nothing.
async fn cancel(services: &Services, run: TaskId, user: &str) {
    let user = user.to_owned();
    let asked = services
        .tasks
        .ask(run.into(), |reply| task::Message::Command {
            user,
            command: task::Command::Cancel {
                reason: "the next run of its schedule starts".to_owned(),
            },
            reply,
        });
    match asked.await {
        Ok(Some(Ok(()))) => {}
        Ok(Some(Err(rejection))) => {
            tracing::debug!(%run, %rejection, "the previous run was not cancelled");
        }
        Ok(None) => tracing::warn!(%run, "the previous run did not say whether it is cancelled"),
        Err(error) => tracing::warn!(%run, %error, "the previous run was not cancelled"),
    }
}

/// Where the runs of these firings stand, as lists show it.
pub(crate) async fn outcomes(
    store: &Shared,
    firings: &mut [FiringView],
) -> Result<(), store::Error> {
    #[derive(Deserialize)]
    struct Shown {
        status: TaskStatus,
    }
    let mut known: HashMap<TaskId, Option<TaskStatus>> = HashMap::new();
    for firing in firings {
        let Some(run) = firing.run else {
            continue;
        };
        let outcome = match known.get(&run) {
            Some(outcome) => *outcome,
            None => {
                let row = store.stream(run.into()).await?;
                let shown =
                    row.and_then(|row| serde_json::from_str::<Shown>(&row.summary.body).ok());
                let outcome = shown.map(|shown| shown.status);
                known.insert(run, outcome);
                outcome
            }
        };
        firing.outcome = outcome;
    }
    Ok(())
}
