//! The spans of a task, as its events say: the whole, and each attempt.
//!
//! Their places follow from what is recorded, so that whoever owns the task at its end puts together
//! what was begun on other nodes. See `invoke_workflow` and `invoke_agent` of OpenTelemetry's
//! conventions for generative AI.

use protocol::{
    id::{NodeId, TaskId},
    task::{Event, Failure, TaskStatus},
    time::Timestamp,
    usage::Usage,
    wire::Trace,
};
use runtime::trace::{Kind, Link, Note, Origin, Span, Value, records};

use super::{
    Task,
    state::{Attempt, Ending, Step},
};

/// Where a task's own span stands in the trace in which it was asked for.
#[must_use]
pub fn place(id: TaskId, asked: Trace) -> Trace {
    if records(asked) {
        asked.at(id.uuid().as_u64_pair().1.to_be_bytes())
    } else {
        asked
    }
}

/// Where an attempt's span stands.
#[must_use]
pub fn attempt_place(id: TaskId, asked: Trace, attempt: &Attempt) -> Trace {
    let whole = place(id, asked);
    let start = attempt.token.get(..16);
    let start = start.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match start {
        Some(start) if start != 0 && records(whole) => whole.at(start.to_be_bytes()),
        Some(_) | None => whole,
    }
}

/// What an event that was just applied brought to its end.
#[must_use]
pub fn ended(node: NodeId, id: TaskId, task: &Task, event: &Event) -> Option<Span> {
    let asked = task.trace.filter(|trace| records(*trace))?;
    match event {
        Event::AttemptEnded { step, number, .. } => {
            let step = &task.steps[task.position(step)?];
            let attempt = step.attempts.iter().find(|one| one.number == *number)?;
            attempt_span(node, (id, asked), task, step, attempt)
        }
        Event::Settled { .. } => Some(task_span(node, (id, asked), task)),
        Event::Submitted { .. }
        | Event::Planned { .. }
        | Event::AttemptStarted { .. }
        | Event::Probed { .. }
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
        | Event::Run { .. }
        | Event::Deleted { .. } => None,
    }
}

/// That the task goes on in this life of its actor, after the end of the one before.
#[must_use]
pub fn resumed(node: NodeId, id: TaskId, task: &Task, now: Timestamp) -> Option<Span> {
    let asked = task.trace.filter(|trace| records(*trace))?;
    let whole = place(id, asked);
    Some(Span {
        node,
        at: runtime::trace::below(whole),
        parent: Some(whole.span),
        origin: Origin::Elsewhere,
        name: "resume_workflow".into(),
        kind: Kind::Internal,
        started: now,
        ended: now,
        attributes: vec![
            ("troupe.task.id", id.to_string().into()),
            ("troupe.node.id", node.to_string().into()),
        ],
        notes: Vec::new(),
        links: Vec::new(),
        error: None,
    })
}

fn task_span(node: NodeId, (id, asked): (TaskId, Trace), task: &Task) -> Span {
    let name = task.spec.metadata.get("job").and_then(|job| job.as_str());
    let name = name.unwrap_or("task").to_owned();
    let mut attributes: Vec<(&'static str, Value)> = vec![
        ("gen_ai.operation.name", "invoke_workflow".into()),
        ("gen_ai.workflow.name", name.clone().into()),
        ("troupe.task.id", id.to_string().into()),
        ("troupe.task.state", task.status.as_str().into()),
        ("troupe.task.attempts", task.attempts().into()),
        ("troupe.node.id", node.to_string().into()),
    ];
    if let Some(session) = &task.spec.session_id {
        attributes.push(("gen_ai.conversation.id", session.clone().into()));
    }
    let error = match task.status {
        TaskStatus::Failed => {
            let failure = task.error.as_ref();
            let code = failure.map_or("failed", |failure| failure.code.as_str());
            attributes.push(("error.type", code.to_owned().into()));
            Some(code.to_owned())
        }
        TaskStatus::Pending
        | TaskStatus::Planning
        | TaskStatus::Executing
        | TaskStatus::Paused
        | TaskStatus::Completed
        | TaskStatus::Cancelled => None,
    };
    Span {
        node,
        at: place(id, asked),
        parent: Some(asked.span),
        origin: Origin::Elsewhere,
        name: format!("invoke_workflow {name}").into(),
        kind: Kind::Internal,
        started: task.created_at,
        ended: task.settled_at.unwrap_or(task.created_at),
        attributes,
        notes: trouble(task),
        links: Vec::new(),
        error,
    }
}

/// Attempts that did not succeed, each with why: what a retry or another node made up for.
fn trouble(task: &Task) -> Vec<Note> {
    let attempts = task.steps.iter();
    let attempts = attempts.flat_map(|step| step.attempts.iter().map(move |one| (step, one)));
    let notes = attempts.filter_map(|(step, attempt)| {
        let (at, ending) = attempt.ended.as_ref()?;
        let (name, failure) = match ending {
            Ending::Failed(failure) => ("attempt_failed", failure),
            Ending::Lost(failure) => ("attempt_lost", failure),
            Ending::Succeeded | Ending::Cancelled | Ending::Interrupted | Ending::Suspended => {
                return None;
            }
        };
        Some(Note {
            name,
            at: *at,
            attributes: vec![
                ("troupe.step", step.spec.id.clone().into()),
                ("troupe.attempt", attempt.number.into()),
                ("troupe.node.name", attempt.node_name.clone().into()),
                ("error.type", failure.code.clone().into()),
            ],
        })
    });
    notes.collect()
}

/// What an agent reported to have taken.
fn spent(usage: Usage) -> impl Iterator<Item = (&'static str, Value)> {
    let figures = [
        ("gen_ai.usage.input_tokens", usage.input_tokens),
        ("gen_ai.usage.output_tokens", usage.output_tokens),
        ("troupe.usage.cost_micros", usage.cost_micros),
    ];
    let known = figures.into_iter();
    known.filter_map(|(name, figure)| Some((name, i64::try_from(figure?).ok().map(Value::Number)?)))
}

fn attempt_span(
    node: NodeId,
    (id, asked): (TaskId, Trace),
    task: &Task,
    step: &Step,
    attempt: &Attempt,
) -> Option<Span> {
    let (at, ending) = attempt.ended.as_ref()?;
    let mut attributes: Vec<(&'static str, Value)> = vec![
        ("gen_ai.operation.name", "invoke_agent".into()),
        ("gen_ai.provider.name", "troupe".into()),
        ("gen_ai.agent.id", attempt.agent.to_string().into()),
        ("gen_ai.agent.name", attempt.agent_name.clone().into()),
        ("troupe.task.id", id.to_string().into()),
        ("troupe.step", step.spec.id.clone().into()),
        ("troupe.attempt", attempt.number.into()),
        ("troupe.node.id", attempt.node.to_string().into()),
        ("troupe.node.name", attempt.node_name.clone().into()),
    ];
    if let Some(session) = &task.spec.session_id {
        attributes.push(("gen_ai.conversation.id", session.clone().into()));
    }
    attributes.extend(attempt.usage.into_iter().flat_map(spent));
    let error = match ending {
        Ending::Failed(failure) | Ending::Lost(failure) => Some(failure),
        Ending::Succeeded | Ending::Cancelled | Ending::Interrupted | Ending::Suspended => None,
    };
    if let Some(Failure { code, .. }) = error {
        attributes.push(("error.type", code.clone().into()));
    }
    let before = step.attempts.iter();
    let before = before.take_while(|one| one.number < attempt.number).last();
    let links = before.map(|before| Link {
        to: attempt_place(id, asked, before),
        attributes: vec![("troupe.link", "attempt_before".into())],
    });
    Some(Span {
        node,
        at: attempt_place(id, asked, attempt),
        parent: Some(place(id, asked).span),
        origin: Origin::Elsewhere,
        name: format!("invoke_agent {}", attempt.agent_name).into(),
        kind: if attempt.node == node {
            Kind::Internal
        } else {
            Kind::Client
        },
        started: attempt.started_at,
        ended: *at,
        attributes,
        notes: Vec::new(),
        links: links.into_iter().collect(),
        error: error.map(|failure| failure.code.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_tells_what_was_reported_and_nothing_that_was_not() {
        let told = |usage| spent(usage).collect::<Vec<_>>();
        let some = Usage {
            input_tokens: Some(12),
            cost_micros: Some(7),
            ..Usage::default()
        };
        let expected = [
            ("gen_ai.usage.input_tokens", Value::Number(12)),
            ("troupe.usage.cost_micros", Value::Number(7)),
        ];
        assert_eq!(told(some), expected);
        assert_eq!(told(Usage::default()), []);
    }
}
