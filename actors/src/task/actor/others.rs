//! What a run waits for: questions to people, and runs of other workflows.

use protocol::entity::EntityId;

use super::{Cx, flow::Ask};

/// Makes what a node waits for, unless it is there.
pub(super) fn ask(cx: &Cx, ask: Ask) {
    tracing::error!(entity = %ask.entity, of = ask.of, task = %cx.id(), "it cannot be asked");
}

/// Nobody waits for it any more.
pub(super) fn withdraw(cx: &Cx, entity: EntityId) {
    tracing::error!(%entity, task = %cx.id(), "it cannot be withdrawn");
}
