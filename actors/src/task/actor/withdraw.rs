//! Questions whose answers nobody waits for any more are taken back.
//!
//! That is on disk with the end of who asked: a delivery, which any node carries to the question. Who asked
//! takes it back at once besides, for it alone knows whether it is just being put.

use std::time::Duration;

use protocol::{
    entity::{EntityId, EntityKind},
    id::QuestionId,
    task::Event,
    time::Timestamp,
    workflow::{NodeStatus, RunEvent},
};
use runtime::store::Delivery;

use super::{Cx, effect::Effect};
use crate::{
    services::Services,
    task::Task,
    workflow::run::{Run, Wait},
};

/// The kind of delivery that takes a question back.
pub(crate) const WITHDRAWAL: &str = "withdrawal";

/// How long who asked has to take it back itself before others do.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What a question says that was taken back.
const REASON: &str = "nobody waits for its answer any more";

/// What nobody waits for any more once this has happened, which is about to.
pub(super) fn follow(cx: &mut Cx, event: &Event) {
    let over = over(&cx.state, event).into_iter();
    let questions = over.filter(|entity| entity.kind() == EntityKind::Question);
    cx.volatile.effects.extend(questions.map(Effect::Withdraw));
}

fn over(task: &Task, event: &Event) -> Vec<EntityId> {
    let run = task.run.as_deref();
    match event {
        Event::StepSettled { step, .. } => {
            let step = task.position(step).map(|at| &task.steps[at]);
            let open = step.into_iter().flat_map(|step| step.asks.open());
            open.map(|ask| ask.question.into()).collect()
        }
        Event::Run {
            event:
                RunEvent::Ended {
                    at,
                    status: NodeStatus::Cancelled,
                    ..
                },
        } => run.map_or_else(Vec::new, |run| waits(run, Some(&at.node))),
        Event::Settled { .. } => run.map_or_else(Vec::new, |run| waits(run, None)),
        Event::Submitted { .. }
        | Event::Planned { .. }
        | Event::AttemptStarted { .. }
        | Event::AttemptEnded { .. }
        | Event::Probed { .. }
        | Event::RetryScheduled { .. }
        | Event::ResultCameLate { .. }
        | Event::Amended { .. }
        | Event::Assigned { .. }
        | Event::CancelRequested { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::AttemptInterrupted { .. }
        | Event::Replied { .. }
        | Event::Run { .. }
        | Event::Deleted { .. } => Vec::new(),
    }
}

/// What one node of a run waits for, or any.
fn waits(run: &Run, node: Option<&str>) -> Vec<EntityId> {
    let waits = run.waits();
    let waits = waits.filter(|(turn, _)| node.is_none_or(|node| node == turn.id));
    waits
        .filter_map(|(_, wait)| match wait {
            Wait::For { entity, .. } => Some(*entity),
            Wait::Until(_) => None,
        })
        .collect()
}

/// What is to be on disk with all that is staged, so that it is done whoever lives on.
pub(super) fn deliveries(cx: &Cx, now: Timestamp) -> Vec<Delivery> {
    let effects = cx.volatile.effects.iter();
    let questions = effects.filter_map(|effect| match effect {
        Effect::Withdraw(question) => Some(question),
        Effect::Dispatch(..)
        | Effect::Stop(..)
        | Effect::Leave
        | Effect::Record(_)
        | Effect::Measure(_)
        | Effect::Reply(..)
        | Effect::Tell(..)
        | Effect::Ask(_)
        | Effect::AskPeople(_)
        | Effect::TellAbove
        | Effect::Acknowledge(_) => None,
    });
    let deliveries = questions.map(|question| Delivery {
        id: cx.services.dice.uuid_v7(now),
        stream: cx.id(),
        kind: WITHDRAWAL.to_owned(),
        payload: serde_json::json!({ "question": question }).to_string(),
        due: now.plus(AT_ONCE),
        tries: 0,
    });
    deliveries.collect()
}

/// Takes a question back at once.
pub(super) fn withdraw(cx: &mut Cx, question: EntityId) {
    let asking = cx.volatile.asking.take(question);
    let (services, task) = (cx.services.clone(), cx.id());
    tokio::spawn(async move {
        // Taken back before it is there, it would be put all the same.
        if let Some(asking) = asking {
            let _ = asking.await;
        }
        let id = QuestionId::from_uuid(question.key());
        if let Err(error) = services.questions.withdraw(id, REASON).await {
            tracing::warn!(%question, %task, %error, "a question is taken back later");
        }
    });
}

/// Carries a delivery out; done when the question has recorded it.
pub(crate) async fn carry(services: &Services, delivery: &Delivery) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Payload {
        question: EntityId,
    }
    let payload: Payload =
        serde_json::from_str(&delivery.payload).map_err(|error| error.to_string())?;
    let id = QuestionId::from_uuid(payload.question.key());
    let withdrawn = services.questions.withdraw(id, REASON).await;
    withdrawn.map_err(|error| error.to_string())
}
