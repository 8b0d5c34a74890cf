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
};
use runtime::{
    entity::Seed,
    store::{Idempotency, Refusal},
};
use tokio::sync::oneshot;

use super::{
    Answer, Orchestrator, Submission,
    tasks::{at_least, unanswered, unreachable},
};
use crate::{
    Rejection, planner,
    task::actor::{self, Message, Submit},
};

impl Orchestrator {
    /// Makes a task durable and answers it. With `wait`, answers when it is settled or the time is up.
    /// `key` is the client's idempotency key and the SHA-256 of the body that came with it.
    ///
    /// # Errors
    ///
    /// `Invalid` when the plan does not pass review, `Overloaded` at the limit of open tasks.
    pub async fn submit(
        &self,
        caller: &Caller,
        spec: TaskSpec,
        key: Option<(String, [u8; 32])>,
        wait: Option<Duration>,
    ) -> Answer<Submission> {
        at_least(caller, Role::Developer)?;
        let services = &self.0.services;
        let key = key.map(|(key, body)| Idempotency {
            // Of two users who think of the same key, neither learns of the other.
            key: format!("{}/{key}", caller.user),
            body_hash: ChainHash(body),
        });
        let plan = match self.admit(caller, &spec).await {
            Ok(plan) => plan,
            Err(rejection) => return self.made_before(caller, key, rejection, wait).await,
        };
        let now = services.clock.now();
        let id = TaskId::from_uuid(services.dice.uuid_v7(now));
        let (accepted, on_disk) = oneshot::channel();
        let (settled, end) = oneshot::channel();
        let submit = Submit {
            spec,
            plan,
            user: caller.user.clone(),
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

    /// Plans a task and lets it in; who is let in must leave.
    async fn admit(&self, caller: &Caller, spec: &TaskSpec) -> Answer<Plan> {
        let services = &self.0.services;
        let plan = planner::create_execution_plan(
            spec,
            &services.registry.tenant(&caller.tenant).roster,
            &services.config.tasks,
        )?;
        if let Some(parent) = spec.parent_id {
            self.task(caller, parent)
                .await
                .map_err(|_| Rejection::field("parent_id", format!("there is no task {parent}")))?;
        }
        services.admission.enter()?;
        Ok(plan)
    }

    /// What could not be made now, its agent being gone say, may have been made before.
    async fn made_before(
        &self,
        caller: &Caller,
        key: Option<Idempotency>,
        rejection: Rejection,
        wait: Option<Duration>,
    ) -> Answer<Submission> {
        let Some(key) = key else {
            return Err(rejection);
        };
        let store = self.0.journal.store();
        match store.made_by(&caller.tenant, &key.key).await? {
            Some((stream, body)) if body == key.body_hash => {
                self.replay(caller, stream, wait).await
            }
            Some((stream, _)) => Err(mismatch(stream)),
            None => Err(rejection),
        }
    }

    /// The first commit was refused: most likely the key was used before.
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
            }) => Err(mismatch(*stream)),
            Some(Refusal::Fenced { .. } | Refusal::NameTaken { .. }) | None => {
                Err(Rejection::Unavailable {
                    message: error.to_string(),
                    retry_after: Duration::from_secs(1),
                })
            }
        }
    }

    /// What the first submission under the key made.
    async fn replay(
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

fn mismatch(stream: EntityId) -> Rejection {
    Rejection::Invalid {
        code: "idempotency_mismatch",
        message: format!(
            "Idempotency-Key: the key made {stream} from another body; use a new key for a new request"
        ),
        errors: vec![FieldError::new(
            "Idempotency-Key",
            "was used with another body",
        )],
    }
}
