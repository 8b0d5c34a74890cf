//! What a task is a part of: whether that rests, is over, or was stopped.

use std::time::Duration;

use protocol::{
    entity::{EntityId, EntityKind},
    id::TaskId,
    task::{Event, TaskStatus},
};
use runtime::{journal::Journal, store};

use super::Cx;
use crate::task::{Task, pause::Standing};

/// How often a part that rests looks whether what it rests with is over.
pub(super) const LOOK: Duration = Duration::from_secs(3);

/// The task `parent`, the one of which that is a part, and so on, as they are on disk: whoever stops or
/// pauses a task looks for its parts after it wrote that down.
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
        let standing = if row.summary.open {
            // Its row tells neither whether it is being cancelled nor whether it was paused itself.
            journal
                .load::<Task>(id)
                .await?
                .map_or(Standing::Open(None), |task| of(&task))
        } else if row.summary.status == TaskStatus::Cancelled.as_str() {
            Standing::Stopped
        } else {
            Standing::Over
        };
        above.push((TaskId::from_uuid(id.key()), standing));
        next = row.summary.parent;
    }
    Ok(above)
}

/// How many tasks `parent` and what that is a part of are; not counted beyond `most`.
pub(super) async fn depth(
    journal: &Journal,
    parent: Option<TaskId>,
    most: usize,
) -> Result<usize, store::Error> {
    let (mut depth, mut next) = (0, parent.map(EntityId::from));
    while let Some(id) = next.filter(|id| id.kind() == EntityKind::Task && depth < most) {
        depth += 1;
        let row = journal.store().stream(id).await?;
        next = row.and_then(|row| row.summary.parent);
    }
    Ok(depth)
}

fn of(task: &Task) -> Standing {
    match task.own_pause() {
        _ if task.cancelling => Standing::Stopped,
        Some(pause) => Standing::Paused(pause.clone()),
        None => Standing::Open(task.resumed_by.clone()),
    }
}

/// The first of what is above a task that was cancelled or is being cancelled.
pub(crate) fn stopped(above: &[(TaskId, Standing)]) -> Option<TaskId> {
    let mut above = above.iter();
    above.find_map(|(task, standing)| match standing {
        Standing::Stopped => Some(*task),
        Standing::Open(_) | Standing::Paused(_) | Standing::Over => None,
    })
}

/// What is to be recorded of a part so that it stands as what it is a part of: it rests with it, and is
/// not begun when that was stopped. Whoever stopped it may have looked before the part was on disk.
pub(super) async fn follow(cx: &Cx) -> Result<Vec<Event>, store::Error> {
    let above = above(cx.journal(), cx.state.spec.parent_id).await?;
    if is_untouched(&cx.state)
        && let Some(stopped) = stopped(&above)
    {
        let reason = format!("it is a part of {stopped}, which was cancelled");
        return Ok(cx
            .state
            .cancel(&cx.state.user, &reason)
            .into_iter()
            .collect());
    }
    Ok(cx.state.align(&above))
}

/// The same, looked at only when something that a part rests with is over: that tells nobody.
pub(super) async fn wake(cx: &Cx) -> Result<Vec<Event>, store::Error> {
    for task in cx.state.rests_with() {
        let row = cx.journal().store().stream(task.into()).await?;
        if row.is_none_or(|row| !row.summary.open) {
            return follow(cx).await;
        }
    }
    Ok(Vec::new())
}

/// Whether nothing of a task was ever given to an agent.
fn is_untouched(task: &Task) -> bool {
    task.steps.iter().all(|step| step.attempts.is_empty())
}
