//! What must hold in a job file before anything of it starts.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::Spanned;

use super::{
    Fault,
    file::{File, Step},
};

/// Everything that does not hold, in the order of the file.
pub(super) fn review(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    let agents = unique(
        file.agents.iter().map(|agent| &agent.name),
        "agent",
        &mut faults,
    );
    let steps = unique(
        file.steps.value.iter().map(|step| &step.id),
        "step",
        &mut faults,
    );
    let capabilities: BTreeSet<&str> = file
        .agents
        .iter()
        .flat_map(|agent| agent.capabilities.iter().map(String::as_str))
        .collect();
    if file.steps.value.is_empty() {
        faults.push(at(&file.steps, "there is no step".to_owned()));
    }
    for step in &file.steps.value {
        review_step(step, &agents, &steps, &capabilities, &mut faults);
    }
    if let Some(report) = &file.report
        && !steps.contains(report.value.as_str())
    {
        faults.push(unknown(report, "report", "step", &steps));
    }
    if faults.is_empty() {
        faults.extend(cycle(&file.steps.value));
    }
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults
}

fn review_step(
    step: &Step,
    agents: &BTreeSet<&str>,
    steps: &BTreeSet<&str>,
    capabilities: &BTreeSet<&str>,
    faults: &mut Vec<Fault>,
) {
    let subject = format!("step `{}`", step.id.value);
    match (&step.agent, &step.capability) {
        (None, None) => faults.push(at(
            &step.id,
            format!("{subject} names neither an `agent` nor a `capability`"),
        )),
        (Some(agent), _) if !agents.contains(agent.value.as_str()) => {
            faults.push(unknown(agent, &subject, "agent", agents));
        }
        (_, Some(capability)) if !capabilities.contains(capability.value.as_str()) => {
            faults.push(unknown(capability, &subject, "capability", capabilities));
        }
        (Some(_), _) | (_, Some(_)) => {}
    }
    for need in &step.needs {
        if !steps.contains(need.value.as_str()) {
            faults.push(unknown(need, &subject, "step", steps));
        }
    }
}

fn unique<'a>(
    names: impl Iterator<Item = &'a Spanned<String>>,
    kind: &str,
    faults: &mut Vec<Fault>,
) -> BTreeSet<&'a str> {
    let mut seen = BTreeMap::new();
    for name in names {
        let text = name.value.as_str();
        if !is_name(text) {
            let message = format!(
                "`{text}` is not a name for a{} {kind}: 1 to 64 letters, digits, `_` or `-`",
                if kind == "agent" { "n" } else { "" }
            );
            faults.push(at(name, message));
        }
        if let Some(first) = seen.get(text) {
            let message = format!("{kind} `{text}` stands in line {first} already");
            faults.push(at(name, message));
        } else {
            seen.insert(text, name.referenced.line());
        }
    }
    seen.into_keys().collect()
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Steps that need each other in a circle, if there are any: `a → b → a`.
fn cycle(steps: &[Step]) -> Option<Fault> {
    let by_id: BTreeMap<&str, &Step> = steps
        .iter()
        .map(|step| (step.id.value.as_str(), step))
        .collect();
    let mut open: BTreeSet<&str> = by_id.keys().copied().collect();
    // Takes out every step whose needs are out, until none moves; what stays lies on or behind a cycle.
    loop {
        let before = open.len();
        let ready: Vec<&str> = open
            .iter()
            .copied()
            .filter(|id| {
                by_id[id]
                    .needs
                    .iter()
                    .all(|need| !open.contains(need.value.as_str()))
            })
            .collect();
        for id in ready {
            open.remove(id);
        }
        if open.len() == before {
            break;
        }
    }
    // Each step left needs another one left, so following the needs comes back to a step.
    let mut path: Vec<&str> = vec![open.first()?];
    loop {
        let last = by_id[path.last()?];
        let next = last
            .needs
            .iter()
            .find(|need| open.contains(need.value.as_str()))?;
        if let Some(start) = path.iter().position(|id| *id == next.value) {
            path.push(&next.value);
            let circle = path[start..].join(" → ");
            return Some(at(
                next,
                format!("steps need each other in a circle: {circle}"),
            ));
        }
        path.push(&next.value);
    }
}

fn unknown(name: &Spanned<String>, subject: &str, kind: &str, known: &BTreeSet<&str>) -> Fault {
    let known: Vec<&str> = known.iter().copied().collect();
    let known = if known.is_empty() {
        "there is none".to_owned()
    } else {
        format!("known: {}", known.join(", "))
    };
    at(
        name,
        format!(
            "{subject} names the unknown {kind} `{}` ({known})",
            name.value
        ),
    )
}

fn at<T>(place: &Spanned<T>, message: String) -> Fault {
    Fault {
        line: place.referenced.line(),
        column: place.referenced.column(),
        message,
    }
}
