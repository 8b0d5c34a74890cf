//! Where an event of a run holds values.

use protocol::{
    task::{Event, Finding, Outcome},
    workflow::RunEvent,
};
use serde_json::Value;

macro_rules! visitor {
    ($name:ident, $doc:literal, ($($mutable:tt)?), $iter:ident, $values:ident) => {
        #[doc = $doc]
        pub(super) fn $name(
            event: & $($mutable)? Event,
            visit: &mut dyn FnMut(& $($mutable)? Value),
        ) {
            match event {
                Event::Submitted { spec, .. } => {
                    if spec.workflow.is_some() {
                        visit(& $($mutable)? spec.input);
                    }
                }
                Event::AttemptEnded { outcome, .. } => match outcome {
                    Outcome::Succeeded { output } => visit(output),
                    Outcome::Failed { .. }
                    | Outcome::Lost { .. }
                    | Outcome::Cancelled
                    | Outcome::Waits { .. } => {}
                },
                Event::Probed { finding, .. } => match finding {
                    Finding::Done { output } => visit(output),
                    Finding::NotDone | Finding::Unknown { .. } => {}
                },
                Event::Settled { result, .. } => visit(result),
                Event::Run { event } => match event {
                    RunEvent::Forked { nodes, context, .. } => {
                        nodes.$iter().for_each(|node| visit(& $($mutable)? node.output));
                        context.$values().for_each(visit);
                    }
                    RunEvent::Started { steps, .. } => {
                        steps.$iter().for_each(|step| visit(& $($mutable)? step.input));
                    }
                    RunEvent::Asked { input, .. } => visit(input),
                    RunEvent::Settled { output, .. } => output.$iter().for_each(visit),
                    RunEvent::Ended { output, detail, .. } => {
                        visit(output);
                        visit(detail);
                    }
                    RunEvent::Wrote { values, .. } => values.$values().for_each(visit),
                    RunEvent::Undoes { call, .. } => visit(& $($mutable)? call.input),
                    RunEvent::Waits { .. }
                    | RunEvent::Broke { .. }
                    | RunEvent::WentBack { .. }
                    | RunEvent::TakesBack { .. } => {}
                },
                Event::Planned { .. }
                | Event::AttemptStarted { .. }
                | Event::RetryScheduled { .. }
                | Event::StepSettled { .. }
                | Event::ResultCameLate { .. }
                | Event::Amended { .. }
                | Event::Assigned { .. }
                | Event::CancelRequested { .. }
                | Event::Paused { .. }
                | Event::Resumed { .. }
                | Event::AttemptInterrupted { .. }
                | Event::Replied { .. }
                | Event::Deleted { .. } => {}
            }
        }
    };
}

visitor!(each, "Looks at each value.", (), iter, values);
visitor!(each_mut, "May change each value.", (mut), iter_mut, values_mut);
