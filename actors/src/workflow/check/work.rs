//! Whether each node says what its type needs, and numbers that are within their limits.

use protocol::{
    plan::RetryPolicy,
    question::Addressee,
    time::{Span, Timestamp},
    workflow::{Choose, Director, Expert, Human, Node, Undo, Work, Worker},
};
use serde_json::Value;

use super::{
    Findings, element, field,
    graph::Web,
    names::{self, is_name},
};
use crate::question::{NEVER_ASKED, NEVER_COUNTS};

pub(super) fn check(node: &Node, path: &str, web: &Web<'_>, at: usize, found: &mut Findings) {
    let id = Some(node.id.as_str());
    span(id, &field(path, "timeout"), node.timeout, found);
    retry(id, &field(path, "retry"), node.retry, found);
    if let Some(undo) = &node.compensate {
        caller(id, &field(path, "compensate"), &asked(undo), found);
    }
    match &node.work {
        Work::Task(worker) => caller(id, path, worker, found),
        Work::Agent(worker) => agent(id, path, worker, found),
        Work::Condition { .. } | Work::Parallel | Work::Transform { .. } => {}
        Work::Join(join) => {
            let branches = web.before(at).count();
            let fits =
                |most: u32| usize::try_from(most).is_ok_and(|most| (1..=branches).contains(&most));
            if let Some(enough) = join.wait_for.filter(|enough| !fits(*enough)) {
                let message = match branches {
                    0 => "it waits for branches, and none leads to it; name them in its `needs`"
                        .to_owned(),
                    1 => format!("is {enough}, and 1 branch leads to it: it can wait for 1"),
                    _ => format!(
                        "is {enough}, and {branches} branches lead to it: it can wait for 1 to {branches}"
                    ),
                };
                found.add(id, field(path, "wait_for"), message);
            }
        }
        Work::Map {
            each, max_parallel, ..
        } => {
            caller(id, &field(path, "each"), each, found);
            if let Some(most) = max_parallel {
                within(id, &field(path, "max_parallel"), *most, 1, u32::MAX, found);
            }
        }
        Work::Human(it) => human(id, path, it, found),
        Work::Subworkflow { workflow, version } => {
            if !is_name(workflow) {
                let message = "a workflow's name is 1 to 64 lower-case letters, digits and `-`";
                found.add(id, field(path, "workflow"), message);
            }
            if let Some(version) = version {
                within(id, &field(path, "version"), *version, 1, u32::MAX, found);
            }
        }
        Work::Wait { span: time, until } => wait(id, path, *time, until, found),
        Work::Direct(it) => director(id, path, it, found),
        Work::Mixture {
            experts: asked,
            choose: by,
        } => {
            let place = field(path, "experts");
            names::experts(id, &place, asked, found);
            experts(id, &place, asked, found);
            choose(id, &field(path, "choose"), by, found);
        }
    }
}

fn asked(undo: &Undo) -> Worker {
    Worker {
        agent: undo.agent.clone(),
        capability: undo.capability.clone(),
        ..Worker::default()
    }
}

/// Exactly one of the two says who does it.
fn caller(node: Option<&str>, path: &str, worker: &Worker, found: &mut Findings) {
    match (&worker.agent, &worker.capability) {
        (None, None) => found.add(node, path, "an `agent` or a `capability` says who does it"),
        (Some(_), Some(_)) => {
            found.add(
                node,
                path,
                "an `agent` or a `capability` says who does it, not both",
            );
        }
        (Some(name), None) | (None, Some(name)) => named(node, path, name, found),
    }
}

fn agent(node: Option<&str>, path: &str, worker: &Worker, found: &mut Findings) {
    if worker.capability.is_some() {
        let message = "an `agent` node names its agent; a `task` node has a `capability`";
        found.add(node, field(path, "capability"), message);
    }
    match &worker.agent {
        Some(name) => named(node, path, name, found),
        None => found.add(node, path, "an `agent` node says which `agent`"),
    }
}

fn named(node: Option<&str>, path: &str, name: &str, found: &mut Findings) {
    if name.trim().is_empty() {
        found.add(node, path, "the name of who does it is empty");
    }
}

fn human(node: Option<&str>, path: &str, human: &Human, found: &mut Findings) {
    if human.question.trim().is_empty() {
        found.add(node, field(path, "question"), "the question is empty");
    }
    span(node, &field(path, "deadline"), human.deadline, found);
    let escalate = field(path, "escalate");
    for (at, rung) in human.escalate.iter().enumerate() {
        let path = element(&escalate, at);
        span(node, &field(&path, "deadline"), rung.deadline, found);
        if rung.deadline.is_none() && at + 1 < human.escalate.len() {
            found.add(node, field(&path, "deadline"), NEVER_ASKED);
        }
        addressee(node, &field(&path, "role"), &rung.role, found);
    }
    if let Some(role) = &human.role {
        addressee(node, &field(path, "role"), role, found);
    }
    let last = human.escalate.last();
    let last = last.map_or(human.deadline, |rung| rung.deadline);
    if human.default.is_some() && last.is_none() {
        found.add(node, field(path, "default"), NEVER_COUNTS);
    }
    if !human.escalate.is_empty() && human.deadline.is_none() {
        let message = "nobody is asked next without a `deadline` that can pass";
        found.add(node, escalate, message);
    }
}

/// What a template will name is known when the question is put.
fn addressee(node: Option<&str>, path: &str, text: &str, found: &mut Findings) {
    let is_template = text.starts_with('$') || text.contains("${");
    if let Err(error) = text.parse::<Addressee>()
        && !is_template
    {
        found.add(node, path, error.to_string());
    }
}

fn wait(node: Option<&str>, path: &str, time: Option<Span>, until: &Value, found: &mut Findings) {
    span(node, &field(path, "for"), time, found);
    match (time, until) {
        (None, Value::Null) => found.add(node, path, "`for` or `until` says how long it waits"),
        (Some(_), Value::Null) => {}
        (Some(_), _) => {
            found.add(
                node,
                path,
                "`for` or `until` says how long it waits, not both",
            );
        }
        (None, Value::String(text)) if !text.contains('$') => {
            if let Err(fault) = text.parse::<Timestamp>() {
                found.add(node, field(path, "until"), fault);
            }
        }
        (None, _) => {}
    }
}

pub(super) fn director(node: Option<&str>, path: &str, it: &Director, found: &mut Findings) {
    caller(node, path, &it.lead, found);
    if it.workers.agent.is_some() && it.workers.capability.is_some() {
        let message = "an `agent` or a `capability` says who does it, not both";
        found.add(node, field(path, "workers"), message);
    }
    within(
        node,
        &field(path, "max_workers"),
        it.max_workers,
        1,
        1_000,
        found,
    );
    within(
        node,
        &field(path, "max_rounds"),
        it.max_rounds,
        1,
        100,
        found,
    );
}

pub(super) fn experts(node: Option<&str>, path: &str, all: &[Expert], found: &mut Findings) {
    for (at, expert) in all.iter().enumerate() {
        caller(node, &element(path, at), &expert.worker, found);
    }
}

pub(super) fn choose(node: Option<&str>, path: &str, choose: &Choose, found: &mut Findings) {
    match choose {
        Choose::Judge(judge) => caller(node, path, judge, found),
        // Their paths are the business of `words`.
        Choose::Vote { .. } | Choose::BestOf { .. } | Choose::Concat { .. } => {}
    }
}

pub(super) fn span(node: Option<&str>, path: &str, span: Option<Span>, found: &mut Findings) {
    if span.is_some_and(|span| span.0.is_zero()) {
        found.add(node, path, "no time at all is too short");
    }
}

pub(super) fn retry(
    node: Option<&str>,
    path: &str,
    retry: Option<RetryPolicy>,
    found: &mut Findings,
) {
    if let Some(retry) = retry {
        within(
            node,
            &field(path, "max_attempts"),
            retry.max_attempts,
            1,
            20,
            found,
        );
    }
}

pub(super) fn within(
    node: Option<&str>,
    path: &str,
    number: u32,
    least: u32,
    most: u32,
    found: &mut Findings,
) {
    if !(least..=most).contains(&number) {
        let range = match most {
            u32::MAX => format!("at least {least}"),
            most => format!("{least} to {most}"),
        };
        found.add(node, path, format!("it is {range}, not {number}"));
    }
}
