//! When a task that only waits leaves memory, and what brings it back.

use std::time::Duration;

use protocol::time::Timestamp;

use super::{Cx, Message, lineage};

/// A task that only waits leaves memory when the wait is longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a task that only waits for others stays after it was loaded, if nobody speaks to it.
const MOMENT: Duration = Duration::from_secs(1);

/// When the task has nothing to do but wait, and long enough to leave memory: until when.
pub(super) fn idle_until(cx: &Cx, now: Timestamp) -> Option<Timestamp> {
    let idle = cx.state.is_staged() && is_idle(cx, now);
    let due = cx.state.wake_at(now).filter(|_| idle)?;
    (due > now.plus(PATIENCE)).then_some(due)
}

/// Whether nothing of it is under way, and nobody waits for its end.
fn is_idle(cx: &Cx, now: Timestamp) -> bool {
    cx.state.running() == 0
        && cx.volatile.requested.is_empty()
        && cx.volatile.waiters.is_empty()
        && cx.state.rests_with().next().is_none()
        && cx.state.ready(now).next().is_none()
        && cx.state.to_probe().next().is_none()
}

/// Whether it only waits for people or for other runs, who bring it back.
pub(super) fn rests(cx: &Cx, now: Timestamp) -> bool {
    let run = cx.state.run.as_ref();
    let waits = cx.state.waits_for_people() || run.is_some_and(|run| run.waits().next().is_some());
    waits && !cx.state.is_staged() && is_idle(cx, now) && cx.state.wake_at(now).is_none()
}

/// Leaves memory. What is just being loaded stays a moment: whoever brought it back has something to say.
pub(super) fn leave(cx: &mut Cx) {
    match cx.volatile.is_up {
        true => cx.passivate(),
        false => cx.tell_self_after(MOMENT, Message::Wake),
    }
}

/// Comes back when something is due after `looked`, the moment at which all was looked at.
pub(super) fn set_timer(cx: &mut Cx, looked: Timestamp) {
    let queue = cx.state.spec.budget.queue_time.and_then(|span| {
        let oldest = cx
            .state
            .ready(looked)
            .filter_map(|(_, step)| step.ready_at)
            .min()?;
        Some(oldest.plus(span.0))
    });
    let rests = cx.state.rests_with().next();
    let look = rests.map(|_| looked.plus(lineage::LOOK));
    let due = cx.state.wake_at(looked).into_iter();
    let Some(due) = due.chain(queue).chain(look).min() else {
        return;
    };
    let now = cx.services.clock.now();
    if cx
        .volatile
        .timer
        .is_none_or(|earlier| due < earlier || earlier <= now)
    {
        cx.volatile.timer = Some(due);
        cx.tell_self_after(due.since(now), Message::Wake);
    }
}
