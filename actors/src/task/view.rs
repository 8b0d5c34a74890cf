//! What clients see of a task.

use protocol::{
    api::{
        AllocationView, AttemptView, PlanView, Provenance, ResultView, RunOf, StepView,
        TaskSummary, TaskView,
    },
    entity::EntityId,
    id::TaskId,
    record::Summary,
    task::{AttemptStatus, Failure, StepStatus},
    time::Timestamp,
};

use super::{Attempt, Step, Task, state::Ending, why};
use crate::workflow::view::{waits, waits_for};

/// Characters of a description that lists show.
const BRIEF: usize = 200;

/// The row that lists show, as the store keeps it. The id is not part of the state: lists put it in.
pub(crate) fn index(task: &Task) -> Summary {
    let body = summary(TaskId::from_uuid(uuid::Uuid::nil()), task);
    Summary {
        status: task.status.as_str().to_owned(),
        open: !task.status.is_terminal(),
        hidden: task.deleted,
        user: task.user.clone(),
        name: None,
        parent: task.spec.parent_id.map(EntityId::from),
        workflow: task.spec.workflow.as_ref().map(|of| of.id.into()),
        waits: task.run.as_ref().is_some_and(|run| waits(task, run)),
        // Strings, numbers and times always can be written.
        body: serde_json::to_string(&body).unwrap_or_default(),
    }
}

/// What lists show.
#[must_use]
pub fn summary(id: TaskId, task: &Task) -> TaskSummary {
    TaskSummary {
        id,
        task_id: id,
        description: task.spec.description.chars().take(BRIEF).collect(),
        status: task.status,
        progress: task.progress(),
        priority: task.spec.priority,
        user_id: task.user.clone(),
        session_id: task.spec.session_id.clone(),
        parent_id: task.spec.parent_id,
        workflow: task.spec.workflow.as_ref().map(|run| RunOf {
            id: run.id,
            name: run.name.clone(),
            version: run.version,
        }),
        created_at: task.created_at,
        completed_at: task.settled_at,
        error: task.error.clone(),
        parked: None,
    }
}

/// The whole task.
#[must_use]
pub fn task(id: TaskId, version: u64, task: &Task) -> TaskView {
    TaskView {
        id,
        task_id: id,
        session_id: task.spec.session_id.clone(),
        user_id: task.user.clone(),
        worker_id: None,
        workflow_id: task.spec.workflow.as_ref().map(|run| run.id.to_string()),
        parent_id: task.spec.parent_id,
        description: task.spec.description.clone(),
        status: task.status,
        progress: task.progress(),
        priority: task.spec.priority,
        input: task.large.loaded(&task.spec.input),
        plan: task.source.map(|source| PlanView {
            source,
            steps: task
                .steps
                .iter()
                .map(|step| self::step(task, step))
                .collect(),
        }),
        result: task.large.loaded(&task.result),
        error: task.error.clone(),
        metadata: task.spec.metadata.clone(),
        created_at: task.created_at,
        started_at: task.started_at,
        completed_at: task.settled_at,
        version,
    }
}

fn step(task: &Task, step: &Step) -> StepView {
    let last = step.attempts.last();
    StepView {
        id: step.spec.id.clone(),
        status: step.status,
        agent: last
            .map(|attempt| attempt.agent_name.clone())
            .or_else(|| step.assigned.clone())
            .or_else(|| step.spec.agent.clone()),
        capability: step.spec.capability.clone(),
        node: last.map(|attempt| attempt.node_name.clone()),
        needs: step.spec.needs.clone(),
        effect: step.spec.effect,
        attempts: step
            .attempts
            .iter()
            .map(|attempt| self::attempt(step, attempt))
            .collect(),
        output: task.large.shown(&step.output),
        error: step.error.clone(),
        retry_at: step.retry_at,
    }
}

fn attempt(step: &Step, attempt: &Attempt) -> AttemptView {
    let (status, error) = match &attempt.ended {
        None => (AttemptStatus::Running, None),
        Some((_, Ending::Succeeded)) => (AttemptStatus::Succeeded, None),
        Some((_, Ending::Failed(error))) => (AttemptStatus::Failed, Some(error)),
        Some((_, Ending::Lost(error))) => (AttemptStatus::Lost, Some(error)),
        Some((_, Ending::Cancelled | Ending::Interrupted | Ending::Suspended)) => {
            (AttemptStatus::Cancelled, None)
        }
    };
    AttemptView {
        step: step.spec.id.clone(),
        number: attempt.number,
        status,
        agent: attempt.agent_name.clone(),
        node: attempt.node_name.clone(),
        started_at: attempt.started_at,
        ended_at: attempt.ended.as_ref().map(|(at, _)| *at),
        error: error.cloned(),
        usage: attempt.usage,
    }
}

/// Every attempt of every step.
#[must_use]
pub fn attempts(task: &Task) -> Vec<AttemptView> {
    task.steps
        .iter()
        .flat_map(|step| {
            step.attempts
                .iter()
                .map(move |attempt| self::attempt(step, attempt))
        })
        .collect()
}

/// The score card of each attempt.
#[must_use]
pub fn allocation(task: &Task) -> Vec<AllocationView> {
    task.steps
        .iter()
        .flat_map(|step| {
            step.attempts.iter().map(|attempt| AllocationView {
                step: step.spec.id.clone(),
                attempt: Some(attempt.number),
                card: attempt.card.clone(),
            })
        })
        .collect()
}

/// What came of a settled task, with provenance.
#[must_use]
pub fn result(id: TaskId, task: &Task) -> ResultView {
    ResultView {
        id,
        status: task.status,
        result: task.large.loaded(&task.result),
        error: task.error.clone(),
        provenance: task
            .steps
            .iter()
            .filter_map(|step| provenance(task, step))
            .collect(),
    }
}

fn provenance(task: &Task, step: &Step) -> Option<Provenance> {
    let last = step
        .attempts
        .last()
        .filter(|_| step.status == StepStatus::Completed)?;
    Some(Provenance {
        step: step.spec.id.clone(),
        agent: last.agent_name.clone(),
        attempt: last.number,
        output: task.large.shown(&step.output),
    })
}

/// The moment for which a run waits of which nothing has begun.
#[must_use]
pub fn starts_at(task: &Task) -> Option<Timestamp> {
    let waits = task.run.as_ref().is_some_and(|run| !run.has_begun());
    task.spec.start_at.filter(|_| waits)
}

/// Why a task that is over did not complete, or what one waits for of which no step is open, in one
/// sentence.
#[must_use]
pub fn ending(task: &Task) -> String {
    match (&task.error, task.settled_at) {
        (Some(Failure { message, .. }), _) => message.clone(),
        (None, Some(_)) => format!("the task is {}", task.status.as_str()),
        (None, None) => waiting(task).unwrap_or_else(|| "the task goes on".to_owned()),
    }
}

/// What a task waits for of which no step is open.
fn waiting(task: &Task) -> Option<String> {
    if task.cancelling {
        return Some("the task is being cancelled".to_owned());
    }
    let start = || {
        let start = starts_at(task)?;
        Some(format!("the run starts at {start}, as asked for"))
    };
    let run = || task.run.as_deref().and_then(waits_for);
    why::paused(task, &[]).or_else(start).or_else(run)
}
