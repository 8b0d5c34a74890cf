//! Pausing a task and letting it go on.

use std::{collections::HashSet, sync::Arc};

use protocol::{
    agent::StopMode,
    hold::Target,
    id::{AgentId, HoldId, NodeId},
    task::{Event, TokenHash},
};
use ractor::ActorProcessingErr;
use runtime::store;
use tokio::sync::mpsc;

use super::{Cx, effect::Effect};
use crate::{
    ask::Asked,
    hold::{Act, Fate, Hold, News, keeps},
    services::Services,
    task::{
        Attempt, Task,
        ending::by,
        pause::{Cause, OPERATOR},
    },
};

/// Nothing more starts; with `Now`, what runs and may run again is interrupted. Nothing when the task
/// is over.
pub(super) fn pause(
    cx: &mut Cx,
    user: &str,
    (by, reason): (Cause, &str),
    running: StopMode,
    news: mpsc::UnboundedSender<News>,
) -> Result<Option<()>, ActorProcessingErr> {
    if cx.state.status.is_terminal() || cx.state.cancelling {
        return Ok(None);
    }
    let mut events: Vec<Event> = cx.state.pause(by, user, reason).into_iter().collect();
    let changed = !events.is_empty();
    let fate = match running {
        StopMode::Graceful => Fate::GoesOn,
        StopMode::Now => {
            events.extend(interrupt(cx, (user, reason), |_| true));
            Fate::Interrupted
        }
    };
    super::stage(cx, events)?;
    tell(cx, news, changed, fate, |_| true);
    Ok(Some(()))
}

/// The task goes on, unless something else pauses it too. Nothing when it is over.
pub(super) fn resume(
    cx: &mut Cx,
    user: &str,
    by: Cause,
    news: mpsc::UnboundedSender<News>,
) -> Result<Option<()>, ActorProcessingErr> {
    if cx.state.status.is_terminal() || cx.state.cancelling {
        return Ok(None);
    }
    let event = cx.state.resume(by, user);
    let changed = event.is_some();
    super::stage(cx, event)?;
    tell(cx, news, changed, Fate::GoesOn, |_| true);
    Ok(Some(()))
}

/// Interrupts attempts; they are told once that is on disk.
fn interrupt(
    cx: &mut Cx,
    (user, reason): (&str, &str),
    of: impl Fn(&Attempt) -> bool,
) -> Vec<Event> {
    let why: Arc<str> = by(user, "paused", reason).into();
    let events = cx.state.interrupt(reason, of);
    for event in &events {
        if let Event::AttemptInterrupted { step, .. } = event
            && let Some(index) = cx.state.position(step)
            && let Some(attempt) = cx.state.steps[index].running()
        {
            let stop = Effect::stop(attempt, &why);
            cx.volatile.effects.push(stop);
        }
    }
    events
}

/// Tells all interrupted attempts that still run to end.
pub(super) fn stop_interrupted(cx: &mut Cx) {
    let pause = cx.state.own_pause();
    let why = pause.map(|it| by(&it.user, "paused", &it.reason));
    let why: Arc<str> = why.map_or_else(|| "paused".into(), Arc::from);
    let stops: Vec<_> = cx
        .state
        .interrupted()
        .map(|attempt| Effect::stop(attempt, &why))
        .collect();
    cx.volatile.effects.extend(stops);
}

/// Who waits for attempts and questions to be gone.
#[derive(Debug)]
pub(super) struct Watch {
    news: mpsc::UnboundedSender<News>,
    /// Those that are not.
    open: Vec<(TokenHash, NodeId)>,
}

/// What is held is something else than before, or attempts are to end.
pub(super) async fn held(
    cx: &mut Cx,
    act: &Act,
    news: mpsc::UnboundedSender<News>,
) -> Result<(), ActorProcessingErr> {
    let mut events = signed(cx, reconcile(cx), act).await;
    let changed = !events.is_empty();
    events.extend(interrupted(cx, act, |_| true));
    super::stage(cx, events)?;
    let is_in = is_in(cx, act);
    tell(cx, news, changed, act.fate, is_in);
    Ok(())
}

/// An attempt, or the answer to a question, and who works on it.
struct Work<'a> {
    agent: AgentId,
    name: &'a str,
    node: &'a str,
}

impl<'a> Work<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            agent: attempt.agent,
            name: &attempt.agent_name,
            node: &attempt.node_name,
        }
    }
}

/// Says what was done, how much goes on of what runs in the scope, and later that what ends is gone.
fn tell(
    cx: &mut Cx,
    news: mpsc::UnboundedSender<News>,
    changed: bool,
    fate: Fate,
    is_in: impl Fn(&Work<'_>) -> bool,
) {
    let mut open = Vec::new();
    let mut ending = HashSet::new();
    let mut running = 0;
    for step in &cx.state.steps {
        let attempt = step.running();
        let Some(attempt) = attempt.filter(|attempt| is_in(&Work::of(attempt))) else {
            continue;
        };
        let ends = match fate {
            Fate::GoesOn => false,
            Fate::Interrupted => attempt.interrupted,
            Fate::Ends => true,
        };
        if ends {
            ending.insert((step.spec.id.clone(), attempt.number));
            open.push((attempt.token.clone(), attempt.node));
        } else {
            running += 1;
        }
    }
    let sites = cx.services.hosts.around.cluster.sites();
    let asked = cx.services.asks.of(super::task_id(cx));
    let (below, others) = below(asked, ending);
    open.extend(below.into_iter().map(|asked| (asked.token, asked.node)));
    for asked in others {
        let site = sites.iter().find(|site| site.node == asked.node);
        let work = Work {
            agent: asked.agent,
            name: &asked.name,
            node: site.map_or("", |site| &site.name),
        };
        match fate {
            _ if !is_in(&work) => {}
            // It is put once: to end it now would end it for good.
            Fate::GoesOn | Fate::Interrupted => running += 1,
            Fate::Ends => open.push((asked.token, asked.node)),
        }
    }
    let acts = News::Acts {
        changed,
        ending: open.iter().map(|(_, node)| *node).collect(),
        running,
    };
    cx.volatile.effects.push(Effect::Tell(news.clone(), acts));
    if !open.is_empty() {
        cx.volatile.interrupting.push(Watch { news, open });
    }
}

/// Questions that end with these attempts, because one of these asked them or asked who asked them;
/// and the others.
fn below(asked: Vec<Asked>, mut ending: HashSet<(String, u32)>) -> (Vec<Asked>, Vec<Asked>) {
    let (mut below, mut others) = (Vec::new(), asked);
    loop {
        let (more, rest): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|asked| ending.contains(&asked.by));
        others = rest;
        if more.is_empty() {
            return (below, others);
        }
        ending.extend(more.iter().map(|asked| (asked.step.clone(), 1)));
        below.extend(more);
    }
}

/// Whether something that the task works on is looked at.
fn is_in<'a>(cx: &Cx, act: &'a Act) -> impl Fn(&Work<'_>) -> bool + use<'a> {
    let scope = act.scope(cx.state.tenant());
    let whole = scope.is_some_and(|scope| concerns(&cx.state, scope));
    let services = cx.services.clone();
    move |work| whole || scope.is_some_and(|scope| runs_on(&services, work, scope))
}

/// What an interrupt means for the attempts that `of` matches.
fn interrupted(cx: &mut Cx, act: &Act, of: impl Fn(&Attempt) -> bool) -> Vec<Event> {
    match act.fate {
        Fate::Interrupted => {
            let is_in = is_in(cx, act);
            let user = act.by.as_deref().unwrap_or(OPERATOR);
            interrupt(cx, (user, &act.reason), |attempt| {
                of(attempt) && is_in(&Work::of(attempt))
            })
        }
        Fate::GoesOn | Fate::Ends => Vec::new(),
    }
}

/// Interrupts what should have been when the task was not there to be told.
pub(super) fn catch_up(cx: &mut Cx) -> Result<(), ActorProcessingErr> {
    for (act, at) in cx.services.holds.lately(cx.services.clock.now()) {
        let events = interrupted(cx, &act, |attempt| attempt.started_at <= at);
        super::stage(cx, events)?;
    }
    Ok(())
}

/// An attempt or a question ended: who waits for that is told, once it is on disk.
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

/// The same, for attempts that end however: with their node, say.
pub(super) fn ended(cx: &mut Cx, event: &Event) {
    if cx.volatile.interrupting.is_empty() {
        return;
    }
    if let Event::AttemptEnded { step, number, .. } = event
        && let Some(index) = cx.state.position(step)
    {
        let mut attempts = cx.state.steps[index].attempts.iter();
        let token = attempts.find(|attempt| attempt.number == *number);
        if let Some(token) = token.map(|attempt| attempt.token.clone()) {
            gone(cx, &token);
        }
    }
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
        cx.state.resume(Cause::Hold(id), OPERATOR)
    });
    let placed = on
        .iter()
        .filter_map(|hold| cx.state.pause(Cause::Hold(hold.id), &hold.by, &hold.reason));
    placed.chain(lifted).collect()
}

/// The same for a task that comes into memory. An owner before this one may have known of a hold of
/// which this node has not heard: that is not lifted because it is not known here.
pub(super) async fn recall(cx: &Cx) -> Result<Vec<Event>, store::Error> {
    let mut events = reconcile(cx);
    let lifts = |event: &Event| matches!(event, Event::Resumed { .. });
    if events.iter().any(lifts) {
        cx.services.look_at_holds().await?;
        events = signed(cx, reconcile(cx), &Act::default()).await;
    }
    Ok(events)
}

/// The same, where what goes on because a hold was lifted says who did: as this tells, or as the hold
/// says, which is read then.
async fn signed(cx: &Cx, mut events: Vec<Event>, act: &Act) -> Vec<Event> {
    for event in &mut events {
        let Event::Resumed {
            user,
            hold: Some(hold),
            ..
        } = event
        else {
            continue;
        };
        let lifter = match act.lifter(*hold) {
            Some(lifter) => Some(lifter.to_owned()),
            None => lifter(cx, *hold).await,
        };
        *user = lifter.unwrap_or_else(|| OPERATOR.to_owned());
    }
    events
}

/// Who lifted a hold, as far as its row can be read.
async fn lifter(cx: &Cx, hold: HoldId) -> Option<String> {
    let row = cx.journal().store().stream(hold.into()).await.ok()??;
    let hold: Hold = serde_json::from_str(&row.summary.body).ok()?;
    hold.lifted_by
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

/// Whether something is worked on by an agent that is in a scope, or needs a dependency.
fn runs_on(services: &Services, work: &Work<'_>, target: &Target) -> bool {
    match target {
        Target::Node(name) => work.node == name,
        Target::Agent(name) => work.name == name,
        Target::AgentType(_) | Target::Tool(_) | Target::Provider(_) => {
            let agent = services.registry.get(work.agent);
            agent.is_some_and(|agent| keeps(target, &agent.facts().spec, None))
        }
        Target::Cluster | Target::Session(_) | Target::User(_) => false,
    }
}
