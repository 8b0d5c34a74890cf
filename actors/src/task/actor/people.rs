//! Steps that wait for people: their questions are put once they are on disk, and taken back with them.

use protocol::task::{Event, Outcome};

use super::{Cx, effect::Effect};
use crate::task::Step;

/// What is to be done once an event that was just applied is on disk.
pub(super) fn note(cx: &mut Cx, event: &Event) {
    let (id, over) = match event {
        Event::AttemptEnded {
            step,
            outcome: Outcome::Waits { .. },
            ..
        } if !cx.state.cancelling => (step, Over::No),
        Event::StepSettled { step, .. } => (step, Over::Yes),
        Event::AttemptEnded { .. }
        | Event::Submitted { .. }
        | Event::Planned { .. }
        | Event::AttemptStarted { .. }
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
        | Event::Settled { .. }
        | Event::Deleted { .. } => return,
    };
    let step = cx.state.position(id).map(|index| &cx.state.steps[index]);
    let effects: Vec<_> = step
        .into_iter()
        .flat_map(|step| effects(step, over))
        .collect();
    cx.volatile.effects.extend(effects);
}

/// Asks once more for all that steps wait for: who was to ask may have gone down before it did.
pub(super) fn ask_again(cx: &mut Cx) {
    let open = cx
        .state
        .steps
        .iter()
        .filter(|step| !step.status.is_settled());
    let effects: Vec<_> = open.flat_map(|step| effects(step, Over::No)).collect();
    cx.volatile.effects.extend(effects);
}

/// Whether anybody still wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    No,
    Yes,
}

fn effects(step: &Step, over: Over) -> impl Iterator<Item = Effect> {
    step.asks.open().filter_map(move |ask| match over {
        Over::Yes => Some(Effect::Withdraw(ask.question.into())),
        Over::No => Some(Effect::AskPeople {
            question: ask.question,
            node: step.spec.id.clone(),
            asking: ask.asking.clone()?,
        }),
    })
}
