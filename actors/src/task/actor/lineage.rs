//! How those stand of which a task is a part.

use protocol::{
    entity::{EntityId, EntityKind},
    id::TaskId,
    task::TaskStatus,
};
use runtime::{journal::Journal, store};

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
