//! Whether a plan may run: every mistake that can be seen before anything is stored.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use protocol::{
    api::FieldError,
    plan::{Plan, PlanSource, StepSpec},
    task::TaskSpec,
};
use serde_json::Value;

use super::{Cycle, Graph, Roster, words::nearest};
use crate::{Rejection, config};

const MAX_ID: usize = 64;
const MAX_DESCRIPTION: usize = 16_384;
const MAX_INPUT: usize = 256 * 1024;
const MAX_ATTEMPTS: u32 = 20;
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Mistakes beyond this many are counted, not listed.
const MAX_LISTED: usize = 50;
/// Mistakes beyond this many get no "did you mean", which is the dear part of a message.
const MAX_SUGGESTED: usize = 10;

/// Why a plan may not run: all mistakes, named as the client wrote the fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct Refusal {
    /// `plan_cycle` when steps wait for each other in a circle, else `invalid`.
    pub code: &'static str,
    /// At least one.
    pub errors: Vec<FieldError>,
}

impl Refusal {
    /// A refusal for one mistake.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: "invalid",
            errors: vec![FieldError::new(field, message)],
        }
    }

    fn message(&self) -> String {
        match self.errors.as_slice() {
            [] => "the plan is not valid".to_owned(),
            [one] => format!("{}: {}", one.field, one.message),
            [first, rest @ ..] => {
                let (field, message, more) = (&first.field, &first.message, rest.len());
                format!("{field}: {message} (and {more} more)")
            }
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid {
            code: refusal.code,
            message: refusal.to_string(),
            errors: refusal.errors,
        }
    }
}

/// Looks a task and its steps over and puts the steps in an order in which they could run.
///
/// # Errors
///
/// All mistakes that were found; the first fifty by name.
pub fn review(
    spec: &TaskSpec,
    steps: &[StepSpec],
    source: PlanSource,
    roster: &Roster,
    limits: &config::Tasks,
) -> Result<Plan, Refusal> {
    let mut review = Review::new(roster, limits);
    review.task(spec, steps.len());
    if steps.is_empty() {
        review.wrong("steps", "a plan needs at least one step");
    }
    // A plan that is far too long is not worth a look at each of its steps.
    let too_long = steps.len() > limits.max_steps as usize;
    if too_long {
        let (count, most) = (steps.len(), limits.max_steps);
        review.wrong("steps", format!("{count} steps are more than {most}"));
        return Err(review.refusal("invalid"));
    }
    review.ids(steps);
    for (at, step) in steps.iter().enumerate() {
        review.step(at, step);
    }
    match Graph::new(steps) {
        Err(cycle) => {
            review.cycle(steps, &cycle);
            Err(review.refusal("plan_cycle"))
        }
        Ok(_) if !review.errors.is_empty() => Err(review.refusal("invalid")),
        Ok(graph) => Ok(Plan {
            source,
            steps: graph.order().iter().map(|&at| steps[at].clone()).collect(),
        }),
    }
}

/// Looks a task over that has no steps yet.
pub(super) fn review_task(
    spec: &TaskSpec,
    roster: &Roster,
    limits: &config::Tasks,
) -> Result<(), Refusal> {
    let mut review = Review::new(roster, limits);
    review.task(spec, spec.requirements.capabilities.len());
    if review.errors.is_empty() {
        Ok(())
    } else {
        Err(review.refusal("invalid"))
    }
}

/// Finds the mistakes and keeps them.
struct Review<'a> {
    roster: &'a Roster,
    limits: &'a config::Tasks,
    errors: Vec<FieldError>,
    unlisted: usize,
}

impl<'a> Review<'a> {
    fn new(roster: &'a Roster, limits: &'a config::Tasks) -> Self {
        Self {
            roster,
            limits,
            errors: Vec::new(),
            unlisted: 0,
        }
    }

    fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.errors.len() < MAX_LISTED {
            self.errors.push(FieldError::new(field, message));
        } else {
            self.unlisted += 1;
        }
    }

    fn refusal(mut self, code: &'static str) -> Refusal {
        if self.unlisted > 0 {
            let message = format!("{} more mistakes are not listed", self.unlisted);
            self.errors.push(FieldError::new("steps", message));
        }
        let errors = self.errors;
        Refusal { code, errors }
    }

    /// `; did you mean …?`, or nothing when nothing is near.
    fn suggestion<'k>(&self, given: &str, known: impl Iterator<Item = &'k str>) -> String {
        if self.errors.len() >= MAX_SUGGESTED {
            return String::new();
        }
        nearest(given, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
    }

    fn task(&mut self, spec: &TaskSpec, steps: usize) {
        let length = spec.description.chars().count();
        if spec.description.trim().is_empty() {
            self.wrong("description", "says nothing");
        } else if length > MAX_DESCRIPTION {
            self.wrong(
                "description",
                format!("{length} characters are more than {MAX_DESCRIPTION}"),
            );
        }
        self.input("input", &spec.input);
        for (at, capability) in spec.requirements.capabilities.iter().enumerate() {
            self.capability(format!("requirements.capabilities[{at}]"), capability);
        }
        for (at, tool) in spec.requirements.tools.iter().enumerate() {
            if tool.trim().is_empty() {
                self.wrong(format!("requirements.tools[{at}]"), "is empty");
            }
        }
        let cpu = spec.requirements.resources.cpu;
        if !cpu.is_finite() || cpu < 0.0 {
            self.wrong("requirements.resources.cpu", "is not a number of cores");
        }
        self.budget(spec, steps);
    }

    fn budget(&mut self, spec: &TaskSpec, steps: usize) {
        if let Some(most) = spec.budget.max_attempts
            && (most as usize) < steps.max(1)
        {
            self.wrong(
                "budget.max_attempts",
                format!("{most} attempts cannot complete {} steps", steps.max(1)),
            );
        }
        let times = [
            ("budget.wall_time", spec.budget.wall_time),
            ("budget.queue_time", spec.budget.queue_time),
        ];
        for (field, span) in times {
            if span.is_some_and(|span| span.0.is_zero()) {
                self.wrong(field, "leaves no time at all");
            }
        }
    }

    fn ids(&mut self, steps: &[StepSpec]) {
        let mut first = HashMap::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            let field = format!("steps[{at}].id");
            if !is_id(&step.id) {
                self.wrong(
                    field,
                    format!(
                        "`{}` is not 1 to {MAX_ID} letters, digits, `_` or `-`",
                        brief(&step.id)
                    ),
                );
            } else if let Some(other) = first.insert(step.id.as_str(), at) {
                self.wrong(field, format!("`{}` is steps[{other}] already", step.id));
            }
        }
        // `needs` are checked against what was written, good or bad: a wrong id is one mistake.
        let known: HashSet<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        for (at, step) in steps.iter().enumerate() {
            let needs = step.needs.iter().enumerate();
            for (slot, need) in needs.filter(|(_, need)| !known.contains(need.as_str())) {
                let field = format!("steps[{at}].needs[{slot}]");
                let others = steps.iter().map(|step| step.id.as_str());
                let near = self.suggestion(need, others.filter(|id| *id != step.id));
                self.wrong(field, format!("there is no step `{}`{near}", brief(need)));
            }
        }
    }

    fn step(&mut self, at: usize, step: &StepSpec) {
        self.doer(at, step);
        self.input(&format!("steps[{at}].input"), &step.input);
        if let Some(retry) = &step.retry {
            if !(1..=MAX_ATTEMPTS).contains(&retry.max_attempts) {
                self.wrong(
                    format!("steps[{at}].retry.max_attempts"),
                    format!("{} is not between 1 and {MAX_ATTEMPTS}", retry.max_attempts),
                );
            }
            if retry.backoff > self.limits.max_backoff {
                let (given, most) = (retry.backoff, self.limits.max_backoff);
                self.wrong(
                    format!("steps[{at}].retry.backoff"),
                    format!("{given} is longer than {most}"),
                );
            }
        }
        if let Some(timeout) = step.timeout
            && (timeout.0.is_zero() || timeout.0 > MAX_TIMEOUT)
        {
            self.wrong(
                format!("steps[{at}].timeout"),
                format!("{timeout} is not between 1ms and 24h"),
            );
        }
    }

    /// Whether somebody is named who can do it.
    fn doer(&mut self, at: usize, step: &StepSpec) {
        let roster = self.roster;
        match (&step.agent, &step.capability) {
            (None, None) => self.wrong(
                format!("steps[{at}]"),
                "needs an `agent` or a `capability` that says who does it",
            ),
            (None, Some(capability)) => {
                self.capability(format!("steps[{at}].capability"), capability);
            }
            (Some(agent), capability) => match roster.agent(agent) {
                None => {
                    let near = self.suggestion(agent, roster.names());
                    self.wrong(
                        format!("steps[{at}].agent"),
                        format!("there is no agent `{}`{near}", brief(agent)),
                    );
                }
                Some(member) => {
                    if let Some(capability) = capability
                        && !member.capabilities.contains(capability)
                    {
                        self.wrong(
                            format!("steps[{at}].capability"),
                            format!(
                                "agent `{}` does not offer `{}`",
                                member.name,
                                brief(capability)
                            ),
                        );
                    }
                }
            },
        }
    }

    fn capability(&mut self, field: String, capability: &str) {
        if !self.roster.offers(capability) {
            let near = self.suggestion(capability, self.roster.capabilities());
            let (given, offered) = (brief(capability), self.roster.summary());
            self.wrong(
                field,
                format!("no agent offers `{given}`{near} ({offered})"),
            );
        }
    }

    fn input(&mut self, field: &str, input: &Value) {
        let size = size(input);
        if size > MAX_INPUT {
            self.wrong(
                field,
                format!("{size} bytes are more than {MAX_INPUT}; pass a reference instead"),
            );
        }
    }

    fn cycle(&mut self, steps: &[StepSpec], cycle: &Cycle) {
        let Some(&first) = cycle.steps().first() else {
            return;
        };
        let ids: Vec<String> = cycle.ids(steps).into_iter().map(brief).collect();
        let step = &steps[first];
        let next = ids.get(1).unwrap_or(&step.id);
        let need = step.needs.iter().position(|need| need == next).unwrap_or(0);
        let message = if let [only] = ids.as_slice() {
            format!("`{only}` needs itself: {only} → {only}")
        } else {
            let path = ids.join(" → ");
            format!("steps need each other in a circle: {path} → {}", ids[0])
        };
        // In front, so that it is listed however many other mistakes there are.
        let field = format!("steps[{first}].needs[{need}]");
        self.errors.insert(0, FieldError::new(field, message));
    }
}

fn is_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(allowed)
}

/// What a client wrote, short enough to be repeated to them.
fn brief(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Bytes of a value as JSON, without writing it anywhere.
fn size(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    if value.is_null() {
        return 0;
    }
    let mut count = Count(0);
    // A value has no keys that JSON lacks, and counting cannot fail.
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests;
