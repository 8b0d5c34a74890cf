//! Submitting a task: once, however often it is asked for under one key.

use std::time::Duration;

use protocol::{
    access::{Caller, Role},
    api::FieldError,
    entity::EntityId,
    id::{CommandId, TaskId},
    plan::Plan,
    record::ChainHash,
    task::TaskSpec,
    workflow::RunEvent,
};
use runtime::{
    entity::Seed,
    store::{Idempotency, Refusal},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Answer, Effect, Orchestrator, Place, UseCase, at_least, unanswered, unreachable, visible,
};
use crate::{
    Rejection,
    orchestrator::Submission,
    planner,
    task::actor::{self, Message, Submit},
};

/// A new task.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct SubmitTask {
    pub(in super::super) spec: TaskSpec,
    /// The client's key, and the SHA-256 of the body that came with it.
    pub(in super::super) key: Option<(String, [u8; 32])>,
    /// How long to wait for its end.
    pub(in super::super) wait: Option<Duration>,
}

impl UseCase for SubmitTask {
    type Answer = Submission;
    const NAME: &'static str = "task.submit";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        Place::New
    }

    fn effect(&self) -> Effect {
        // Under a key, the second time finds what the first one made.
        match self.key {
            Some(_) => Effect::Repeats,
            None => Effect::Once,
        }
    }

    fn wait(&self) -> Duration {
        self.wait.unwrap_or_default()
    }

    fn waited(&mut self, time: Duration) {
        self.wait = self.wait.map(|wait| wait.saturating_sub(time));
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Submission> {
        let Self { spec, key, wait } = self;
        at_least(caller, Role::Developer)?;
        if spec.workflow.is_some() {
            return Err(Rejection::field(
                "workflow",
                "is set by the node; a run begins with POST /api/v1/workflows/{id}/execute",
            ));
        }
        let key = key.map(|key| idempotency(caller, key));
        if let Some(made) = at.made_before(caller, key.as_ref(), wait).await? {
            return Ok(made);
        }
        let id = TaskId::from_uuid(at.fresh_id()?);
        let plan = at.admit_when_heard(caller, &spec).await?;
        at.make_task(
            caller,
            Admitted {
                id,
                spec,
                plan,
                key,
                forked: None,
            },
            wait,
        )
        .await
    }
}

/// The client's key, as the store keeps it.
pub(super) fn idempotency(caller: &Caller, (key, body): (String, [u8; 32])) -> Idempotency {
    Idempotency {
        // Of two users who think of the same key, neither learns of the other.
        key: format!("{}/{key}", caller.user),
        body_hash: ChainHash(body),
    }
}

/// A task that was let in.
pub(super) struct Admitted {
    pub(super) id: TaskId,
    pub(super) spec: TaskSpec,
    pub(super) plan: Plan,
    pub(super) key: Option<Idempotency>,
    /// What a fork takes over.
    pub(super) forked: Option<RunEvent>,
}

/// How long word of an agent may take from the node where it was registered.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// The pause before a plan is looked at anew.
const AGAIN: Duration = Duration::from_millis(50);

impl Orchestrator {
    /// Makes a task that was let in, and waits for its end if that is asked for.
    pub(super) async fn make_task(
        &self,
        caller: &Caller,
        admitted: Admitted,
        wait: Option<Duration>,
    ) -> Answer<Submission> {
        let Admitted {
            id,
            spec,
            plan,
            key,
            forked,
        } = admitted;
        let services = &self.own()?.services;
        let now = services.clock.now();
        let (accepted, on_disk) = oneshot::channel();
        let (settled, end) = oneshot::channel();
        let submit = Submit {
            spec,
            plan,
            forked,
            user: caller.user.clone(),
            trace: runtime::trace::current_trace(),
            command: CommandId::from_uuid(services.dice.uuid_v7(now)),
            key,
            accepted,
            settled: wait.is_some().then_some(settled),
        };
        let seed = Seed {
            tenant: caller.tenant.as_str().into(),
            name: None,
        };
        let made = services
            .tasks
            .create(id.into(), seed, Message::Submit(Box::new(submit)))
            .await;
        if let Err(error) = made {
            services.admission.leave();
            return Err(unreachable(error));
        }
        let made = match on_disk.await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => {
                services.admission.leave();
                return self.not_made(caller, &error, wait).await;
            }
            Err(_) => {
                services.admission.leave();
                return Err(unanswered());
            }
        };
        let settled = match wait {
            None => None,
            Some(wait) => tokio::time::timeout(wait, end)
                .await
                .ok()
                .and_then(Result::ok),
        };
        // Out of time, or failed and about to come back: the task as it is then.
        let task = match settled.or(made) {
            Some(task) => *task,
            None => self.view(id).await?,
        };
        Ok(Submission { task, fresh: true })
    }

    /// As [`admit`](Self::admit), but waits for word of an agent that the store has and this node has
    /// not heard of.
    async fn admit_when_heard(&self, caller: &Caller, spec: &TaskSpec) -> Answer<Plan> {
        let deadline = tokio::time::Instant::now() + HEARD_WITHIN;
        loop {
            let rejection = match self.admit(caller, spec).await {
                Ok(plan) => return Ok(plan),
                Err(rejection) => rejection,
            };
            let Some(agent) = self.unheard(caller, spec).await? else {
                return Err(rejection);
            };
            if tokio::time::Instant::now() > deadline {
                return Err(Rejection::Unavailable {
                    message: format!("this node has not heard of agent `{agent}` yet"),
                    retry_after: Duration::from_secs(1),
                });
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The first agent that a step names and this node does not know, if it is in the store.
    async fn unheard<'a>(&self, caller: &Caller, spec: &'a TaskSpec) -> Answer<Option<&'a str>> {
        let known = self.own()?.services.registry.tenant(&caller.tenant);
        let named = spec.steps.iter().filter_map(|step| step.agent.as_deref());
        let Some(agent) = named.into_iter().find(|agent| known.agent(agent).is_none()) else {
            return Ok(None);
        };
        Ok(self.agent_id(caller, agent).await?.map(|_| agent))
    }

    /// Plans a task and lets it in; who is let in must leave.
    async fn admit(&self, caller: &Caller, spec: &TaskSpec) -> Answer<Plan> {
        let services = &self.own()?.services;
        let plan = planner::create_execution_plan(
            spec,
            &services.registry.tenant(&caller.tenant).roster,
            &services.config.tasks,
        )?;
        if let Some(parent) = spec.parent_id {
            self.admit_part(caller, parent).await?;
        }
        services.admission.enter()?;
        Ok(plan)
    }

    /// A part of what is over would be found by nobody who stops that.
    pub(super) async fn admit_part(&self, caller: &Caller, parent: TaskId) -> Answer<()> {
        let wrong = |why: String| Rejection::field("parent_id", why);
        let remedy = "leave the field out, or name a task that goes on";
        let row = match visible(self, caller, parent).await {
            Ok(row) => row,
            Err(Rejection::NotFound { .. }) => {
                return Err(wrong(format!("there is no task {parent}")));
            }
            Err(other) => return Err(other),
        };
        if !row.summary.open {
            let status = &row.summary.status;
            return Err(wrong(format!("task {parent} is {status}; {remedy}")));
        }
        let above = actor::above(&self.own()?.journal, Some(parent)).await?;
        match actor::stopped(&above) {
            None => Ok(()),
            Some(above) if above == parent => {
                let why = format!("task {parent} is being cancelled; {remedy}");
                Err(wrong(why))
            }
            Some(above) => Err(wrong(format!(
                "task {parent} is a part of {above}, which was cancelled; {remedy}"
            ))),
        }
    }

    /// What an earlier request under the key made. It is looked for before anything is placed or checked:
    /// an agent may take a step at once, and what was let in then may not be let in now.
    pub(super) async fn made_before(
        &self,
        caller: &Caller,
        key: Option<&Idempotency>,
        wait: Option<Duration>,
    ) -> Answer<Option<Submission>> {
        let Some(key) = key else {
            return Ok(None);
        };
        let store = self.own()?.journal.store();
        match store.made_by(&caller.tenant, &key.key).await? {
            Some((stream, body)) if body == key.body_hash => {
                self.replay(caller, stream, wait).await.map(Some)
            }
            Some((stream, _)) => Err(mismatch(stream, ANOTHER)),
            None => Ok(None),
        }
    }

    /// The first commit was refused: most likely the key was used at the same time.
    async fn not_made(
        &self,
        caller: &Caller,
        error: &runtime::journal::Error,
        wait: Option<Duration>,
    ) -> Answer<Submission> {
        match actor::refused(error) {
            Some(Refusal::Repeated {
                stream,
                same_body: true,
            }) => self.replay(caller, *stream, wait).await,
            Some(Refusal::Repeated {
                stream,
                same_body: false,
            }) => Err(mismatch(*stream, ANOTHER)),
            Some(Refusal::Fenced { .. } | Refusal::NameTaken { .. }) | None => {
                Err(Rejection::Unavailable {
                    message: error.to_string(),
                    retry_after: Duration::from_secs(1),
                })
            }
        }
    }

    /// What the first submission under the key made.
    pub(super) async fn replay(
        &self,
        caller: &Caller,
        stream: EntityId,
        wait: Option<Duration>,
    ) -> Answer<Submission> {
        let id = TaskId::from_uuid(stream.key());
        let task = self
            .await_task(caller, id, wait.unwrap_or_default())
            .await?;
        Ok(Submission { task, fresh: false })
    }
}

const ANOTHER: &str = "from another body";

/// A key that was used for something else; `how` says what it made.
pub(super) fn mismatch(stream: EntityId, how: &str) -> Rejection {
    Rejection::Invalid {
        code: "idempotency_mismatch",
        message: format!(
            "Idempotency-Key: the key made {stream} {how}; use a new key for a new request"
        ),
        errors: vec![FieldError::new(
            "Idempotency-Key",
            "was used for another request",
        )],
    }
}
