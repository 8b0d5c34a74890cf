//! Pausing a task and letting it go on.

use protocol::{
    agent::StopMode,
    hold::Target,
    id::NodeId,
    task::{Event, TokenHash},
};
use ractor::ActorProcessingErr;
use tokio::sync::mpsc;

use super::{Cx, effect::Effect};
use crate::{
    hold::{Act, News},
    task::{Attempt, Task},
};

/// Nothing more starts; with `Now`, what runs and may run again is interrupted. Nothing when the task
/// is over.
pub(super) fn pause(
    cx: &mut Cx,
    user: &str,
    reason: &str,
    running: StopMode,
) -> Option<Vec<Event>> {
    if cx.state.status.is_terminal() || cx.state.cancelling {
        return None;
    }
    let mut events: Vec<Event> = cx.state.pause(None, user, reason).into_iter().collect();
    if running == StopMode::Now {
        events.extend(interrupt(cx, reason, |_| true));
    }
    Some(events)
}

/// The task goes on, unless something else pauses it too. Nothing when it is over.
pub(super) fn resume(cx: &Cx, user: &str) -> Option<Vec<Event>> {
    if cx.state.status.is_terminal() || cx.state.cancelling {
        return None;
    }
    Some(cx.state.resume(None, user).into_iter().collect())
}

/// Interrupts attempts; they are told once that is on disk.
pub(super) fn interrupt(cx: &mut Cx, reason: &str, of: impl Fn(&Attempt) -> bool) -> Vec<Event> {
    let events = cx.state.interrupt(reason, of);
    for event in &events {
        if let Event::AttemptInterrupted { step, .. } = event
            && let Some(index) = cx.state.position(step)
            && let Some(attempt) = cx.state.steps[index].running()
        {
            let stop = Effect::Stop(attempt.node, attempt.agent, attempt.token.clone());
            cx.volatile.effects.push(stop);
        }
    }
    events
}

/// Tells all interrupted attempts that still run to end.
pub(super) fn stop_interrupted(cx: &mut Cx) {
    let stops: Vec<_> = cx
        .state
        .interrupted()
        .map(|attempt| Effect::Stop(attempt.node, attempt.agent, attempt.token.clone()))
        .collect();
    cx.volatile.effects.extend(stops);
}

/// An operator who waits for interrupted attempts to be gone.
#[derive(Debug)]
pub(super) struct Watch {
    news: mpsc::UnboundedSender<News>,
    /// Those that are not.
    open: Vec<(TokenHash, NodeId)>,
}

/// What is held is something else than before, or attempts are to end.
pub(super) fn held(
    cx: &mut Cx,
    act: &Act,
    news: mpsc::UnboundedSender<News>,
) -> Result<(), ActorProcessingErr> {
    let mut events = reconcile(cx);
    let changed = !events.is_empty();
    events.extend(interrupted(cx, act, |_| true));
    super::stage(cx, events)?;
    let open: Vec<_> = cx
        .state
        .interrupted()
        .map(|attempt| (attempt.token.clone(), attempt.node))
        .collect();
    let all = cx.state.running();
    let acts = News::Acts {
        changed,
        ending: open.iter().map(|(_, node)| *node).collect(),
        running: if changed || !open.is_empty() {
            u32::try_from(all - open.len()).unwrap_or(u32::MAX)
        } else {
            0
        },
    };
    cx.volatile.effects.push(Effect::Tell(news.clone(), acts));
    if !open.is_empty() {
        cx.volatile.interrupting.push(Watch { news, open });
    }
    Ok(())
}

/// What an interrupt means for the attempts that `of` matches.
fn interrupted(cx: &mut Cx, act: &Act, of: impl Fn(&Attempt) -> bool) -> Vec<Event> {
    let Some(target) = act.target(cx.state.tenant()) else {
        return Vec::new();
    };
    let whole = concerns(&cx.state, target);
    interrupt(cx, &act.reason, |attempt| {
        of(attempt) && (whole || runs_on(attempt, target))
    })
}

/// Interrupts what should have been when the task was not there to be told.
pub(super) fn catch_up(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
    for (act, at) in cx.services.holds.lately(cx.services.clock.now()) {
        let events = interrupted(cx, &act, |attempt| attempt.started_at <= at);
        super::stage(cx, events)?;
    }
    Ok(())
}

/// An attempt ended: who waits for that is told, once it is on disk.
pub(super) fn gone(cx: &mut Cx, token: &TokenHash) {
    for watch in &mut cx.volatile.interrupting {
        if let Some(at) = watch.open.iter().position(|(open, _)| open == token) {
            let (_, node) = watch.open.swap_remove(at);
            let told = Effect::Tell(watch.news.clone(), News::Gone(node));
            cx.volatile.effects.push(told);
        }
    }
    cx.volatile
        .interrupting
        .retain(|watch| !watch.open.is_empty());
}

/// What is to be recorded so that the task stands as what is held says.
pub(super) fn reconcile(cx: &Cx) -> Vec<Event> {
    let held = cx.services.holds.get();
    if held.is_none() && cx.state.pauses().is_empty() {
        return Vec::new();
    }
    let held = held.unwrap_or_default();
    let session = cx.state.spec.session_id.as_deref();
    let on: Vec<_> = held
        .on_task(cx.state.tenant(), &cx.state.user, session)
        .collect();
    let stands = |id| on.iter().any(|hold| hold.id == id);
    let lifted = cx.state.pauses().iter().filter_map(|pause| {
        let id = pause.hold.filter(|id| !stands(*id))?;
        cx.state.resume(Some(id), "operator")
    });
    let placed = on
        .iter()
        .filter_map(|hold| cx.state.pause(Some(hold.id), &hold.by, &hold.reason));
    placed.chain(lifted).collect()
}

/// Whether all of a task is in a scope.
fn concerns(task: &Task, target: &Target) -> bool {
    match target {
        Target::Cluster => true,
        Target::Session(id) => task.spec.session_id.as_ref() == Some(id),
        Target::User(name) => task.user == *name,
        Target::Node(_)
        | Target::Agent(_)
        | Target::AgentType(_)
        | Target::Tool(_)
        | Target::Provider(_) => false,
    }
}

/// Whether an attempt is run by an agent, or on a node.
fn runs_on(attempt: &Attempt, target: &Target) -> bool {
    match target {
        Target::Node(name) => attempt.node_name == *name,
        Target::Agent(name) => attempt.agent_name == *name,
        Target::Cluster
        | Target::Session(_)
        | Target::User(_)
        | Target::AgentType(_)
        | Target::Tool(_)
        | Target::Provider(_) => false,
    }
}
