//! What a task is a part of, and whether that was stopped.

use protocol::{
    entity::EntityId,
    task::{Event, TaskStatus},
};
use runtime::{journal::Journal, store};

use super::Cx;
use crate::task::Task;

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
