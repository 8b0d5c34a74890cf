//! Runs of workflows: beginning one, and listing them.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use protocol::{
    access::{Caller, Role},
    agent::StopMode,
    api::{
        ExecutionQuery, ExecutionStatus, ExecutionSummary, ExecutionView, Page, Reach, TaskSummary,
        TaskView, Unconfirmed, WorkflowReach,
    },
    entity::{EntityId, EntityKind},
    id::{TaskId, WorkflowId},
    plan::{Plan, PlanSource},
    task::{Budget, TaskSpec, TaskStatus},
    workflow::{Definition, RunSpec},
};
use runtime::store::{Idempotency, Runs, StreamQuery};
use serde::{Deserialize, Serialize};

use super::{
    Answer, ENDING, Effect, Orchestrator, PauseTask, Place, ResumeTask, UseCase, at_least,
    pages::{Leaf, page, streams_of},
    submission::{Admitted, idempotency, mismatch},
    tasks::summary,
    visible,
    workflows::{may_begin, no_version},
};
use crate::{
    Rejection,
    orchestrator::Submission,
    task::view,
    workflow::{library::NewRun, view::execution},
};

/// A new run of a workflow.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct StartRun {
    pub(in super::super) run: NewRun,
    /// The client's key, and the SHA-256 of the body that came with it.
    pub(in super::super) key: Option<(String, [u8; 32])>,
    /// How long to wait for its end.
    pub(in super::super) wait: Option<Duration>,
}

impl UseCase for StartRun {
    type Answer = Begun;
    const NAME: &'static str = "run.start";
    const EFFECT: Effect = Effect::Once;

    fn place(&self) -> Place<'_> {
        match self.run.id {
            Some(id) => Place::Entity(id.into()),
            None => Place::New,
        }
    }

    fn effect(&self) -> Effect {
        // Under an id or a key, the second time finds what the first one made.
        match (self.run.id, &self.key) {
            (None, None) => Effect::Once,
            (Some(_), _) | (None, Some(_)) => Effect::Repeats,
        }
    }

    fn wait(&self) -> Duration {
        self.wait.unwrap_or_default()
    }

    fn waited(&mut self, time: Duration) {
        self.wait = self.wait.map(|wait| wait.saturating_sub(time));
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Begun> {
        let Self { run, key, wait } = self;
        at_least(caller, Role::Developer)?;
        let own = at.own()?;
        let Some(id) = run.id else {
            let key = key.map(|key| idempotency(caller, key));
            let workflow = run.workflow.clone();
            // Its end is waited for as soon as it is known to be what is asked for.
            let before = Box::pin(at.made_before(caller, key.as_ref(), None));
            if let Some(made) = before.await? {
                let id = made.task.id;
                let begun = the_same(&workflow, at.begun(made).await?)?;
                if wait.is_none() {
                    return Ok(begun);
                }
                let over = Box::pin(at.replay(caller, id.into(), wait)).await?;
                return at.begun(over).await;
            }
            let id = TaskId::from_uuid(at.fresh_id()?);
            let spec = at.admit_run(caller, run).await?;
            let made = at.make_task(caller, admitted(id, spec, key), wait).await?;
            return the_same(&workflow, at.begun(made).await?);
        };
        // Of two that are to begin at the same time, the second finds the first.
        let _alone = own.services.library.lane(id).await;
        if let Some(row) = own.journal.store().stream(id.into()).await? {
            if row.tenant != caller.tenant {
                return Err(Rejection::not_found(id.to_string()));
            }
            let made = at.replay(caller, row.stream, wait).await?;
            return at.begun(made).await;
        }
        let key = run.key.clone().map(Idempotency::of_its_own);
        let spec = at.admit_run(caller, run).await?;
        let made = at.make_task(caller, admitted(id, spec, key), wait).await?;
        at.begun(made).await
    }
}

/// What became of the start of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// The run.
    pub run: ExecutionSummary,
    /// Whether this call made it; false when it was there before.
    pub fresh: bool,
}

/// What a key made before must be a run of the workflow that is named now: it stands in the path, so
/// that the body, by which a repeat is known, can be the same for another one.
fn the_same(workflow: &str, begun: Begun) -> Answer<Begun> {
    let Begun { run, fresh } = &begun;
    if *fresh || run.name == workflow || workflow.parse() == Ok(run.workflow_id) {
        return Ok(begun);
    }
    Err(mismatch(
        run.id.into(),
        &format!("as a run of workflow `{}`", run.name),
    ))
}

pub(super) fn no_run(id: TaskId) -> Rejection {
    Rejection::not_found(format!("execution {id}"))
}

pub(super) fn admitted(id: TaskId, spec: TaskSpec, key: Option<Idempotency>) -> Admitted {
    let plan = Plan {
        source: PlanSource::Workflow,
        steps: Vec::new(),
    };
    Admitted {
        id,
        spec,
        plan,
        key,
        forked: None,
    }
}

impl Orchestrator {
    /// A run that was begun, as lists show it: also one that an earlier request made.
    pub(super) async fn begun(&self, made: Submission) -> Answer<Begun> {
        let TaskView { id, .. } = made.task;
        let run = self
            .read(id, move |task, _| view::summary(id, task))
            .await?;
        let run = listed(run).ok_or_else(|| no_run(id))?;
        Ok(Begun {
            run,
            fresh: made.fresh,
        })
    }

    /// Checks what a run is to be, and lets it in; who is let in must leave.
    async fn admit_run(&self, caller: &Caller, run: NewRun) -> Answer<TaskSpec> {
        let services = &self.own()?.services;
        let workflow = self.find_workflow(caller, &run.workflow).await?;
        may_begin(&workflow)?;
        let version = run.version.unwrap_or(workflow.version);
        let edition = services.library.edition(workflow.id, version).await?;
        let edition = edition.ok_or_else(|| no_version(version, workflow.version))?;
        edition.input.check(&run.input)?;
        if run.budget.max_attempts == Some(0) {
            let message = "0 attempts cannot complete a run";
            return Err(Rejection::field("budget.max_attempts", message));
        }
        if let Some(parent) = run.parent_id {
            self.admit_part(caller, parent).await?;
        }
        services.admission.enter()?;
        let spec = RunSpec {
            id: workflow.id,
            name: workflow.name,
            version,
            nodes: u32::try_from(edition.graph.nodes.len()).unwrap_or(u32::MAX),
            origin: run.origin.clone(),
        };
        Ok(task_of(run, spec, &edition.definition))
    }
}

/// The task that a run is.
fn task_of(run: NewRun, of: RunSpec, definition: &Definition) -> TaskSpec {
    let description = match definition.description.as_str() {
        "" => format!("a run of {}", of.name),
        said => said.to_owned(),
    };
    TaskSpec {
        description,
        input: run.input,
        priority: run.priority.unwrap_or_default(),
        budget: Budget {
            wall_time: run.budget.wall_time.or(definition.timeout),
            queue_time: run.budget.queue_time.or(definition.queue_timeout),
            ..run.budget
        },
        session_id: run.session_id,
        parent_id: run.parent_id,
        start_at: run.start_at,
        workflow: Some(Box::new(of)),
        metadata: run.metadata,
        ..TaskSpec::default()
    }
}

/// A page of runs, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ListRuns {
    pub(in super::super) query: ExecutionQuery,
}

impl UseCase for ListRuns {
    type Answer = Page<ExecutionSummary>;
    const NAME: &'static str = "run.list";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<Page<ExecutionSummary>> {
        let query = self.query;
        let workflow = match &query.workflow {
            Some(workflow) => Some(at.find_workflow(caller, workflow).await?.id),
            None => None,
        };
        let runs = Runs {
            of: workflow.map(EntityId::from),
            waits: query.status.and_then(waits),
        };
        let rows = StreamQuery {
            status: query.status.map(status),
            runs: Some(runs),
            user: match caller.sees_all_users() {
                true => query.user_id,
                false => Some(caller.user.clone()),
            },
            ..runs_of(caller, workflow)
        };
        let leaf = Leaf {
            limit: query.limit,
            cursor: query.cursor.as_deref(),
            ..Leaf::default()
        };
        let page = page(at, rows, leaf, |row| {
            let run = listed(summary(row)?);
            Ok(run.map(|run| match row.summary.waits {
                true => ExecutionSummary {
                    status: ExecutionStatus::Waiting,
                    ..run
                },
                false => run,
            }))
        });
        let page = page.await?;
        Ok(Page {
            items: page.items.into_iter().flatten().collect(),
            total: None,
            next_cursor: page.next_cursor,
        })
    }
}

/// All runs that the caller may see, or those of one workflow.
pub(super) fn runs_of(caller: &Caller, workflow: Option<WorkflowId>) -> StreamQuery {
    StreamQuery {
        user: (!caller.sees_all_users()).then(|| caller.user.clone()),
        runs: Some(Runs {
            of: workflow.map(EntityId::from),
            waits: None,
        }),
        ..streams_of(caller, EntityKind::Task)
    }
}

/// The status of the task that a run of this status is.
fn status(status: ExecutionStatus) -> String {
    let status = match status {
        ExecutionStatus::Pending => TaskStatus::Pending,
        ExecutionStatus::Running | ExecutionStatus::Waiting => TaskStatus::Executing,
        ExecutionStatus::Paused => TaskStatus::Paused,
        ExecutionStatus::Completed => TaskStatus::Completed,
        ExecutionStatus::Failed => TaskStatus::Failed,
        ExecutionStatus::Cancelled => TaskStatus::Cancelled,
    };
    status.as_str().to_owned()
}

/// Which of those that go on are meant, where that is the question.
const fn waits(status: ExecutionStatus) -> Option<bool> {
    match status {
        ExecutionStatus::Waiting => Some(true),
        ExecutionStatus::Running => Some(false),
        ExecutionStatus::Pending
        | ExecutionStatus::Paused
        | ExecutionStatus::Completed
        | ExecutionStatus::Failed
        | ExecutionStatus::Cancelled => None,
    }
}

/// What a list shows of a task that is a run.
fn listed(task: TaskSummary) -> Option<ExecutionSummary> {
    let of = task.workflow?;
    Some(ExecutionSummary {
        id: task.id,
        execution_id: task.id,
        workflow_id: of.id,
        name: of.name,
        version: of.version,
        status: task.status.into(),
        progress: task.progress,
        user_id: task.user_id,
        parent_id: task.parent_id,
        created_at: task.created_at,
        completed_at: task.completed_at,
        error: task.error,
    })
}

/// A run as it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct ShowRun {
    pub(in super::super) id: TaskId,
}

impl UseCase for ShowRun {
    type Answer = ExecutionView;
    const NAME: &'static str = "run.show";
    const EFFECT: Effect = Effect::Reads;

    fn place(&self) -> Place<'_> {
        Place::Entity(self.id.into())
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<ExecutionView> {
        let id = self.id;
        visible(at, caller, id).await?;
        let (task, head) = at.read(id, |task, head| (task.clone(), head)).await?;
        let of = task.spec.workflow.as_deref().ok_or_else(|| no_run(id))?;
        let library = &at.own()?.services.library;
        let edition = library.edition(of.id, of.version).await?;
        let edition = edition.ok_or_else(|| no_run(id))?;
        let of = (of, &*edition.definition, &*edition.graph);
        Ok(execution(id, head, &task, of))
    }
}

/// All runs of a workflow that go on are paused, or go on.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct TurnRuns {
    pub(in super::super) workflow: String,
    pub(in super::super) turn: RunTurn,
}

/// What becomes of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum RunTurn {
    Pause { reason: String, running: StopMode },
    Resume,
}

impl UseCase for TurnRuns {
    type Answer = WorkflowReach;
    const NAME: &'static str = "run.turn_all";
    const EFFECT: Effect = Effect::Repeats;

    fn place(&self) -> Place<'_> {
        Place::Store
    }

    fn wait(&self) -> Duration {
        ENDING
    }

    async fn perform(self, at: &Orchestrator, caller: &Caller) -> Answer<WorkflowReach> {
        at_least(caller, Role::Developer)?;
        let workflow = at.find_workflow(caller, &self.workflow).await?.id;
        let runs = at.open_runs(caller, workflow, &self.turn).await?;
        let turn = &self.turn;
        let turned = stream::iter(runs).map(|id| async move {
            let change = match turn.clone() {
                RunTurn::Pause { reason, running } => {
                    let case = PauseTask {
                        id,
                        reason,
                        running,
                    };
                    at.carry_out(caller, case).await
                }
                RunTurn::Resume => at.carry_out(caller, ResumeTask { id }).await,
            };
            (id, change)
        });
        let mut turned = turned.buffered(AT_ONCE);
        let (mut executions, mut reach) = (Vec::new(), Reach::default());
        while let Some((id, change)) = turned.next().await {
            match change {
                Ok(change) => {
                    executions.push(id);
                    reach.add(change.reach);
                }
                // It was settled meanwhile.
                Err(Rejection::Conflict { .. } | Rejection::NotFound { .. }) => {}
                Err(error) => reach.unconfirmed.push(Unconfirmed {
                    node: String::new(),
                    what: format!("{id}: {error}"),
                    until: None,
                }),
            }
        }
        Ok(WorkflowReach {
            workflow_id: workflow,
            executions,
            reach,
        })
    }
}

/// Runs that are paused or resumed at the same time.
const AT_ONCE: usize = 16;

impl Orchestrator {
    /// The caller's runs of a workflow that can be turned so, the newest first.
    async fn open_runs(
        &self,
        caller: &Caller,
        workflow: WorkflowId,
        turn: &RunTurn,
    ) -> Answer<Vec<TaskId>> {
        let statuses: &[TaskStatus] = match turn {
            RunTurn::Pause { .. } => &[
                TaskStatus::Pending,
                TaskStatus::Planning,
                TaskStatus::Executing,
            ],
            RunTurn::Resume => &[TaskStatus::Paused],
        };
        let mut runs = Vec::new();
        for status in statuses {
            let mut query = StreamQuery {
                status: Some(status.as_str().to_owned()),
                ..runs_of(caller, Some(workflow))
            };
            loop {
                let rows = self.own()?.journal.store().list(&query).await?;
                runs.extend(rows.iter().map(|row| TaskId::from_uuid(row.stream.key())));
                let full = rows.len() >= query.limit as usize;
                query.before = rows.last().filter(|_| full).map(|row| row.stream);
                if query.before.is_none() {
                    break;
                }
            }
        }
        Ok(runs)
    }
}
