//! What a task is a part of: whether that rests, or was stopped.

use protocol::{
    entity::{EntityId, EntityKind},
    id::TaskId,
    task::{Event, TaskStatus},
};
use runtime::{journal::Journal, store};

use super::Cx;
use crate::task::{Task, pause::Standing};

/// The task `parent`, the one of which that is a part, and so on, as they are on disk.
pub(crate) async fn above(
    journal: &Journal,
    parent: Option<TaskId>,
) -> Result<Vec<(TaskId, Standing)>, store::Error> {
    let mut above = Vec::new();
    let mut next: Option<EntityId> = parent.map(EntityId::from);
    while let Some(id) = next.filter(|id| id.kind() == EntityKind::Task) {
        let Some(row) = journal.store().stream(id).await? else {
            break;
        };
        let standing = if !row.summary.open {
            Standing::Over
        } else if row.summary.status == TaskStatus::Paused.as_str() {
            // Its row does not tell whether it was paused itself.
            let task = journal.load::<Task>(id).await?;
            let pause = task.as_ref().and_then(|task| task.own_pause());
            pause.map_or(Standing::Open, |pause| Standing::Paused(pause.clone()))
        } else {
            Standing::Open
        };
        above.push((TaskId::from_uuid(id.key()), standing));
        next = row.summary.parent;
    }
    Ok(above)
}

/// The first of a task and what it is a part of, from `id` upwards, that was cancelled or is being
/// cancelled. What is read is on disk: who stops a task looks for its parts after it wrote that down.
pub(crate) async fn stopped(
    journal: &Journal,
    id: EntityId,
) -> Result<Option<EntityId>, store::Error> {
    let mut next = Some(id);
    while let Some(id) = next {
        let Some(row) = journal.store().stream(id).await? else {
            return Ok(None);
        };
        let is_stopped = if row.summary.open {
            let task = journal.load::<Task>(id).await?;
            task.is_some_and(|task| task.cancelling)
        } else {
            row.summary.status == TaskStatus::Cancelled.as_str()
        };
        if is_stopped {
            return Ok(Some(id));
        }
        next = row.summary.parent;
    }
    Ok(None)
}

/// The end of a part that came while what it is a part of was being stopped: whoever did that may have
/// looked before it was on disk.
pub(super) async fn orphaned(cx: &Cx) -> Result<Option<Event>, store::Error> {
    let Some(parent) = cx.state.spec.parent_id else {
        return Ok(None);
    };
    let stopped = stopped(cx.journal(), parent.into()).await?;
    Ok(stopped.and_then(|above| {
        let reason = format!("it is a part of {above}, which was cancelled");
        cx.state.cancel(&cx.state.user, &reason)
    }))
}

/// Whether nothing of a task was ever given to an agent.
pub(super) fn is_untouched(task: &Task) -> bool {
    task.steps.iter().all(|step| step.attempts.is_empty())
}
