//! A task that is a run of a workflow: carries out what its definition says comes next.

use std::sync::Arc;

use protocol::{
    entity::EntityId,
    question::Reply,
    task::{Event, Failure},
    time::Timestamp,
    workflow::{NodeStatus, RunEvent},
};
use ractor::ActorProcessingErr;
use serde_json::Value;

use super::{Cx, effect::Effect, stage, task_id};
use crate::{
    task::Task,
    workflow::{
        graph::Graph,
        run::{Wait, decide, state::OUTCOME_UNKNOWN},
    },
};

/// Decisions in a row after which a run is taken out of service, rather than decide for ever. The longest
/// loop of nodes that call nobody takes a tenth of it.
const ROUNDS: u32 = 200_000;

/// Decides until there is nothing to decide.
pub(super) async fn go_on(cx: &mut Cx, now: Timestamp) -> Result<(), ActorProcessingErr> {
    if cx.state.run.is_none() || cx.state.status.is_terminal() {
        return Ok(());
    }
    let graph = graph(cx).await?;
    for _ in 0..ROUNDS {
        let mut events = decide(&graph, task_id(cx), &cx.state, now);
        if events.is_empty() {
            events = cx.state.out_of_attempts();
        }
        if events.is_empty() {
            return Ok(());
        }
        for event in &events {
            note(cx, event);
        }
        stage(cx, events)?;
    }
    Err("its decisions do not come to an end".into())
}

/// What its definition says; the same for all of its life.
async fn graph(cx: &mut Cx) -> Result<Arc<Graph>, ActorProcessingErr> {
    if let Some(graph) = &cx.volatile.graph {
        return Ok(graph.clone());
    }
    let Some(of) = &cx.state.spec.workflow else {
        return Err("a run whose workflow nobody named".into());
    };
    let graph = cx.services.library.graph(of.id, of.version).await?;
    cx.volatile.graph = Some(graph.clone());
    Ok(graph)
}

/// What is to be done once a decision is on disk.
fn note(cx: &mut Cx, event: &Event) {
    let Event::Run { event } = event else {
        return;
    };
    let effect = match event {
        RunEvent::Asked {
            at,
            entity,
            input,
            about,
        } => Effect::Ask(Box::new(Ask {
            entity: *entity,
            of: about.clone().unwrap_or_else(|| at.to_string()),
            input: cx.state.large.loaded(input),
        })),
        RunEvent::Started { .. }
        | RunEvent::Waits { .. }
        | RunEvent::Settled { .. }
        | RunEvent::Ended { .. }
        | RunEvent::Broke { .. }
        | RunEvent::WentBack { .. }
        | RunEvent::Wrote { .. }
        | RunEvent::TakesBack { .. }
        | RunEvent::Undoes { .. }
        | RunEvent::Forked { .. } => return,
    };
    cx.volatile.effects.push(effect);
}

/// What a node asks of another entity.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The question, or the run.
    pub(crate) entity: EntityId,
    /// The node's turn, or the step, that it is for.
    pub(crate) of: String,
    /// What it is asked or handed.
    pub(crate) input: Value,
}

/// Asks once more for all that it waits for: who was to ask may have gone down before it did.
pub(super) fn ask_again(cx: &mut Cx) {
    let Some(run) = &cx.state.run else {
        return;
    };
    let asks = run.waits().filter_map(|(turn, wait)| match wait {
        Wait::For {
            entity,
            input,
            about,
        } => Some(Effect::Ask(Box::new(Ask {
            entity: *entity,
            of: about.clone().unwrap_or_else(|| turn.at().to_string()),
            input: cx.state.large.loaded(input),
        }))),
        Wait::Until(_) => None,
    });
    let asks: Vec<Effect> = asks.collect();
    cx.volatile.effects.extend(asks);
}

/// What another entity says for which a node waits. Said again, it is nothing.
pub(super) fn told(task: &Task, by: EntityId, told: Reply) -> Option<Event> {
    let run = task.run.as_ref()?;
    let turn = run.waiting_for(by)?;
    let about = match &turn.waits {
        Some(Wait::For { about, .. }) => about.clone(),
        Some(Wait::Until(_)) | None => None,
    };
    let ended = |status, output, error| RunEvent::Ended {
        at: turn.at(),
        status,
        output,
        error,
        gathered: false,
        detail: Value::Null,
    };
    let in_vain = |step: &str, why: &str| {
        let message = format!("nobody knows whether step {step} took effect: {why}");
        let error = Failure::new(OUTCOME_UNKNOWN, message);
        ended(NodeStatus::Failed, Value::Null, Some(error))
    };
    let event = match (about, told) {
        (Some(step), Reply::Done { output, user }) => match output.get("took_effect") {
            Some(Value::Bool(took_effect)) => {
                let gave = output.get("output").cloned().unwrap_or_default();
                let output = took_effect.then_some(gave);
                RunEvent::Settled { step, output, user }
            }
            _ => in_vain(&step, &format!("{user} cannot tell")),
        },
        (None, Reply::Done { output, .. }) => ended(NodeStatus::Completed, output, None),
        (Some(step), Reply::Failed { error }) => in_vain(&step, &error.message),
        (None, Reply::Failed { error }) => ended(NodeStatus::Failed, Value::Null, Some(error)),
    };
    Some(Event::Run { event })
}
