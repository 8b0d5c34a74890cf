//! Giving steps to agents, and taking them back.

use std::{collections::HashSet, sync::Arc, time::Duration};

use protocol::{
    id::TaskId,
    task::{Event, Finding},
    time::Timestamp,
};
use ractor::ActorProcessingErr;

use super::{
    Cx,
    effect::{Effect, Measure},
    task_id,
};
use crate::{
    Rejection,
    adapter::{Call, Spent},
    agent::token_hash,
    allocator::{Ask, Grant, Pin, Requirement},
    host::{Report, Run},
    registry::Agent,
    task::{Attempt, Step, Task, rules::Assignee, trace},
};

/// Gives every ready step to an agent that is free now; asks the allocator to look for the others.
pub(super) fn allocate(cx: &mut Cx, now: Timestamp) -> Result<(), ActorProcessingErr> {
    let ready: Vec<usize> = cx
        .state
        .ready(now)
        .map(|(index, _)| index)
        .filter(|index| !cx.volatile.requested.contains(index))
        .collect();
    for index in ready {
        let request = request(cx, index);
        match cx.services.allocator.try_now(&request) {
            Some(grant) => start(cx, index, grant)?,
            None => {
                cx.volatile.requested.insert(index);
                cx.services.allocator.wait(request);
            }
        }
    }
    forget_unready(cx, now);
    Ok(())
}

/// Steps that stopped being ready while they waited leave the waiting room.
fn forget_unready(cx: &mut Cx, now: Timestamp) {
    if cx.volatile.requested.is_empty() {
        return;
    }
    let ready: HashSet<usize> = cx.state.ready(now).map(|(index, _)| index).collect();
    let id = task_id(cx);
    let allocator = cx.services.allocator.clone();
    cx.volatile.requested.retain(|index| {
        let still = ready.contains(index);
        if !still {
            allocator.forget(id, *index);
        }
        still
    });
}

/// The allocator found an agent. A step that is not ready any more gives the slot back by dropping it.
pub(super) fn granted(cx: &mut Cx, index: usize, grant: Grant) -> Result<(), ActorProcessingErr> {
    cx.volatile.requested.remove(&index);
    // What asked for it may never have been committed: then there is no such step any more.
    let Some(step) = cx.state.steps.get(index) else {
        return Ok(());
    };
    let bound = step.assigned.as_ref();
    if bound.is_some_and(|agent| *agent != grant.agent.name) {
        // It was found before the step was bound to another.
        return Ok(());
    }
    if is_held(cx, &grant.agent) {
        // It was found before an operator held it.
        return Ok(());
    }
    start(cx, index, grant)
}

fn is_held(cx: &Cx, agent: &Agent) -> bool {
    let Some(held) = cx.services.holds.get() else {
        return false;
    };
    let facts = agent.facts();
    let node = facts.host.as_ref().map(|(_, name)| &**name);
    let tools = &cx.state.spec.requirements.tools;
    let tenant = cx.state.tenant();
    held.on_agent(tenant, &facts.spec, node).is_some() || held.on_tools(tenant, tools).is_some()
}

fn start(cx: &mut Cx, index: usize, grant: Grant) -> Result<(), ActorProcessingErr> {
    let token = cx.services.dice.token();
    let (node, node_name) = match grant.slot.booking() {
        Some(booking) => (booking.node, booking.name.to_string()),
        None => (cx.services.hosts.me(), cx.services.node.to_string()),
    };
    let to = Assignee {
        agent: grant.agent.id,
        agent_name: grant.agent.name.clone(),
        node,
        node_name,
        card: grant.card,
    };
    let now = cx.services.clock.now();
    let waited = cx.state.steps[index].ready_at.map(|since| now.since(since));
    let Ok(event) = cx.state.intend(index, to, token_hash(&token), now) else {
        return Ok(());
    };
    cx.state.stage(&event)?;
    let step = &cx.state.steps[index];
    if let Some(attempt) = step.running() {
        let timeout = match grant.slot.booking() {
            Some(booking) => booking.timeout,
            None => timeout_of(&grant.agent),
        };
        let run = Run {
            call: call(cx, step, attempt, timeout),
            effect: step.spec.effect,
            slot: grant.slot,
            report: Report::new(
                cx.services.hosts.clone(),
                task_id(cx),
                &step.spec.id,
                attempt.number,
                token,
            ),
        };
        let measured = waited.map(|waited| Effect::Measure(Measure::Allocated(waited)));
        cx.volatile.effects.extend(measured);
        cx.volatile
            .effects
            .push(Effect::Dispatch(grant.agent, Box::new(run)));
    }
    Ok(())
}

/// How long a call may take as an agent that this node hosts says.
fn timeout_of(agent: &Agent) -> Option<Duration> {
    let adapter = agent.hosted.adapter();
    adapter.and_then(|adapter| adapter.timeout())
}

fn call(cx: &Cx, step: &Step, attempt: &Attempt, of_agent: Option<Duration>) -> Call {
    let timeout = step.spec.timeout.map(|span| span.0).or(of_agent);
    let timeout = timeout.unwrap_or(cx.services.config.tasks.step_timeout.0);
    Call {
        task: task_id(cx),
        step: step.spec.id.clone(),
        attempt: attempt.number,
        idempotency_key: idempotency_key(task_id(cx), &step.spec.id),
        description: step
            .spec
            .description
            .as_deref()
            .unwrap_or(&cx.state.spec.description)
            .into(),
        task_input: Arc::new(cx.state.large.loaded(&cx.state.spec.input)),
        input: cx.state.large.loaded(&step.spec.input),
        needs: cx.state.needs(step),
        replies: step.asks.replies(),
        timeout,
        trace: cx
            .state
            .trace
            .map(|asked| trace::attempt_place(task_id(cx), asked, attempt)),
        spent: Spent::default(),
    }
}

/// The same for every attempt at a step, and for no other step.
fn idempotency_key(task: TaskId, step: &str) -> String {
    format!("{task}/{step}")
}

fn request(cx: &Cx, index: usize) -> Ask {
    ask_of(cx.state.tenant(), task_id(cx), &cx.state, index)
}

/// What the step at `index` asks of an agent.
fn ask_of(tenant: &str, id: TaskId, task: &Task, index: usize) -> Ask {
    let step = &task.steps[index];
    let mut requirement = Requirement::new(tenant, &step.spec, &task.spec.requirements);
    if let Some(agent) = &step.assigned {
        requirement.agent = Some(Pin::new(agent));
    }
    Ask {
        requirement: Arc::new(requirement),
        wanted: task.spec.requirements.capabilities.as_slice().into(),
        user: task.user.as_str().into(),
        task: id,
        step: index,
        session: task.spec.session_id.clone(),
        priority: task.spec.priority,
        since: step.ready_at.unwrap_or(task.created_at),
    }
}

/// What each step that could run asks for, to explain why it waits.
pub(crate) fn requests(tenant: &str, id: TaskId, task: &Task) -> Vec<(usize, Ask)> {
    task.frontier()
        .map(|(index, _)| (index, ask_of(tenant, id, task, index)))
        .collect()
}

/// Stops every attempt that runs; their reports settle the steps. The past of each says who had the task
/// stopped, or else `why`.
pub(super) fn stop_all(cx: &mut Cx, why: &str) {
    let why: Arc<str> = cx.state.stopped_by().unwrap_or(why).into();
    let stops: Vec<_> = cx
        .state
        .steps
        .iter()
        .filter(|step| !step.is_undo())
        .filter_map(Step::running)
        .map(|attempt| Effect::stop(attempt, &why))
        .collect();
    cx.volatile.effects.extend(stops);
}

/// Binds unsettled steps to an agent by hand; those that wait are asked for anew.
pub(super) fn assign(
    cx: &mut Cx,
    agent: &str,
    only: Option<&str>,
) -> Result<Vec<Event>, Rejection> {
    let tenant = cx.services.registry.tenant(cx.state.tenant());
    let found = tenant
        .agent(agent)
        .ok_or_else(|| Rejection::field("agent_id", format!("there is no agent `{agent}`")))?;
    if let Some(step) = only
        && cx.state.position(step).is_none()
    {
        return Err(Rejection::field(
            "step",
            format!("the task has no step `{step}`"),
        ));
    }
    let capabilities = &found.facts().spec.capabilities;
    let mut events = Vec::new();
    let steps = cx.state.steps.iter().enumerate().filter(|(_, step)| {
        !step.status.is_settled()
            && step.running().is_none()
            && only.is_none_or(|only| only == step.spec.id)
    });
    for (index, step) in steps {
        if let Some(capability) = &step.spec.capability
            && !capabilities.contains(capability)
        {
            let message = format!(
                "`{}` cannot do `{capability}`, which step `{}` needs",
                found.name, step.spec.id
            );
            return Err(Rejection::field("agent_id", message));
        }
        events.push((
            index,
            Event::Assigned {
                step: step.spec.id.clone(),
                agent: found.name.clone(),
            },
        ));
    }
    if events.is_empty() {
        return Err(Rejection::Conflict {
            code: "nothing_to_assign",
            message: "every such step runs or is settled".to_owned(),
        });
    }
    for (index, _) in &events {
        if cx.volatile.requested.remove(index) {
            cx.services.allocator.forget(task_id(cx), *index);
        }
    }
    Ok(events.into_iter().map(|(_, event)| event).collect())
}

/// Steps that wait move to where their new priority puts them.
pub(super) fn reprioritise(cx: &mut Cx) {
    for index in cx.volatile.requested.drain().collect::<Vec<_>>() {
        cx.services.allocator.forget(task_id(cx), index);
    }
}

/// Asks agents about lost attempts of guarded steps, each once at a time.
pub(super) fn probe_lost(cx: &mut Cx) {
    let lost: Vec<(Step, Attempt)> = cx
        .state
        .to_probe()
        .map(|(step, attempt)| (step.clone(), attempt.clone()))
        .collect();
    for (step, attempt) in lost {
        let (id, number) = (step.spec.id.clone(), attempt.number);
        if !cx.volatile.probing.insert((id.clone(), number)) {
            continue;
        }
        let probed = move |finding| super::Message::Probed {
            step: id,
            number,
            finding,
        };
        match cx.services.registry.get(attempt.agent) {
            Some(agent) => {
                let call = call(cx, &step, &attempt, timeout_of(&agent));
                let (hosts, tasks, id) = (cx.services.hosts.clone(), cx.host().clone(), cx.id());
                tokio::spawn(async move {
                    let finding = hosts.probe(&agent, &call).await;
                    if let Err(error) = tasks.tell(id, probed(finding)).await {
                        tracing::warn!(task = %id, %error, "a probe's finding could not be delivered");
                    }
                });
            }
            None => cx.tell_self(probed(Finding::Unknown {
                detail: format!("agent {} is not registered any more", attempt.agent_name),
            })),
        }
    }
}
