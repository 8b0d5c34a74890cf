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
    let mut review = Review {
        roster,
        limits,
        errors: Vec::new(),
        unlisted: 0,
    };
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

/// Finds the mistakes and keeps them.
struct Review<'a> {
    roster: &'a Roster,
    limits: &'a config::Tasks,
    errors: Vec<FieldError>,
    unlisted: usize,
}

impl Review<'_> {
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
    fn suggestion<'a>(&self, given: &str, known: impl Iterator<Item = &'a str>) -> String {
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
mod tests {
    use proptest::prelude::*;
    use protocol::id::AgentId;
    use serde_json::json;

    use super::{super::Member, *};

    fn roster() -> Roster {
        let member = |(number, name, capabilities): (u128, &str, &[&str])| Member {
            id: AgentId::from_uuid(uuid::Uuid::from_u128(number)),
            name: name.to_owned(),
            capabilities: capabilities.iter().map(|c| (*c).to_owned()).collect(),
        };
        [
            (1, "ada", ["research", "write"].as_slice()),
            (2, "git", &["history"]),
        ]
        .map(member)
        .into_iter()
        .collect()
    }

    fn look_at(spec: &serde_json::Value) -> Result<Plan, Refusal> {
        let spec: TaskSpec = serde_json::from_value(spec.clone()).unwrap();
        let limits = config::Tasks {
            max_steps: 20,
            ..config::Tasks::default()
        };
        review(&spec, &spec.steps, PlanSource::Explicit, &roster(), &limits)
    }

    fn with_steps(steps: serde_json::Value) -> serde_json::Value {
        json!({ "description": "d", "steps": steps })
    }

    #[test]
    fn a_good_plan_comes_back_with_each_step_after_its_needs() {
        let plan = look_at(&with_steps(json!([
            { "id": "report", "agent": "ada", "capability": "write", "needs": ["log", "size"] },
            { "id": "log", "capability": "history", "timeout": "24h" },
            { "id": "size", "agent": "agent_00000000000000000000000000000002",
              "retry": { "max_attempts": 20, "backoff": "60s" } },
        ])))
        .unwrap();
        let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["log", "size", "report"]);
        assert_eq!(plan.source, PlanSource::Explicit);
    }

    #[test]
    fn each_mistake_in_a_step_is_named_as_the_client_wrote_it() {
        let ok = json!({ "id": "a", "agent": "ada" });
        let long = "x".repeat(65);
        for (steps, field, says) in [
            (json!([]), "steps", "at least one"),
            (
                json!([{ "id": "", "agent": "ada" }]),
                "steps[0].id",
                "1 to 64",
            ),
            (
                json!([{ "id": "a b", "agent": "ada" }]),
                "steps[0].id",
                "`a b`",
            ),
            (
                json!([{ "id": "ä", "agent": "ada" }]),
                "steps[0].id",
                "letters",
            ),
            (
                json!([{ "id": long, "agent": "ada" }]),
                "steps[0].id",
                "1 to 64",
            ),
            (json!([ok, ok]), "steps[1].id", "steps[0]"),
            (
                json!([{ "id": "b" }]),
                "steps[0]",
                "`agent` or a `capability`",
            ),
            (
                json!([{ "id": "b", "agent": "ade" }]),
                "steps[0].agent",
                "did you mean `ada`?",
            ),
            (
                json!([{ "id": "b", "capability": "reserch" }]),
                "steps[0].capability",
                "did you mean `research`? (agents offer `history`, `research`, `write`)",
            ),
            (
                json!([{ "id": "b", "agent": "git", "capability": "write" }]),
                "steps[0].capability",
                "agent `git` does not offer `write`",
            ),
            (
                json!([{ "id": "fetch", "agent": "ada" }, { "id": "b", "agent": "ada",
              "needs": ["fetch", "fetsh"] }]),
                "steps[1].needs[1]",
                "did you mean `fetch`?",
            ),
            (
                json!([{ "id": "b", "agent": "ada", "retry": { "max_attempts": 0 } }]),
                "steps[0].retry.max_attempts",
                "between 1 and 20",
            ),
            (
                json!([{ "id": "b", "agent": "ada", "retry": { "max_attempts": 21 } }]),
                "steps[0].retry.max_attempts",
                "21",
            ),
            (
                json!([{ "id": "b", "agent": "ada", "retry": { "backoff": "61s" } }]),
                "steps[0].retry.backoff",
                "61s is longer than 1m",
            ),
            (
                json!([{ "id": "b", "agent": "ada", "timeout": "0s" }]),
                "steps[0].timeout",
                "24h",
            ),
            (
                json!([{ "id": "b", "agent": "ada", "timeout": "25h" }]),
                "steps[0].timeout",
                "25h",
            ),
            (
                json!([{ "id": "b", "agent": "ada", "input": "x".repeat(MAX_INPUT) }]),
                "steps[0].input",
                "262146 bytes",
            ),
            (json!(vec![ok; 21]), "steps", "21 steps are more than 20"),
        ] {
            let refusal = look_at(&with_steps(steps)).unwrap_err();
            assert_eq!(refusal.code, "invalid");
            let [error] = refusal.errors.as_slice() else {
                panic!("{field}: {refusal:?}");
            };
            assert_eq!(error.field, field);
            assert!(error.message.contains(says), "{field}: {}", error.message);
        }
    }

    #[test]
    fn each_mistake_in_the_task_itself_is_named() {
        for (field, value) in [
            ("description", json!(" \n")),
            ("description", json!("x".repeat(16_385))),
            ("input", json!("x".repeat(MAX_INPUT))),
            ("budget", json!({ "max_attempts": 0 })),
            ("budget", json!({ "wall_time": "0s" })),
            ("budget", json!({ "queue_time": "0ms" })),
            ("requirements", json!({ "capabilities": ["dance"] })),
            ("requirements", json!({ "tools": [""] })),
            ("requirements", json!({ "resources": { "cpu": -1.0 } })),
        ] {
            let mut spec = with_steps(json!([{ "id": "a", "agent": "ada" }]));
            spec[field] = value;
            let refusal = look_at(&spec).unwrap_err();
            assert_eq!(refusal.errors.len(), 1, "{refusal}");
            assert!(refusal.errors[0].field.starts_with(field), "{refusal}");
        }
        let mut spec = with_steps(json!([{ "id": "a", "agent": "ada" }]));
        spec["description"] = json!("ä".repeat(16_384));
        spec["input"] = json!("x".repeat(MAX_INPUT - 2));
        assert!(look_at(&spec).is_ok());
    }

    #[test]
    fn a_cycle_is_shown_as_the_path_around_it() {
        let refusal = look_at(&with_steps(json!([
            { "id": "z", "agent": "ada" },
            { "id": "a", "agent": "ada", "needs": ["z", "b"] },
            { "id": "b", "agent": "eve", "needs": ["a"] },
        ])))
        .unwrap_err();
        assert_eq!(refusal.code, "plan_cycle");
        assert_eq!(
            refusal.errors[0],
            FieldError::new(
                "steps[1].needs[1]",
                "steps need each other in a circle: a → b → a"
            )
        );
        assert_eq!(refusal.errors[1].field, "steps[2].agent");
        assert!(refusal.to_string().ends_with("(and 1 more)"), "{refusal}");
        assert_eq!(Rejection::from(refusal).code(), "plan_cycle");

        let own = json!([{ "id": "a", "agent": "ada", "needs": ["a"] }]);
        let refusal = look_at(&with_steps(own)).unwrap_err();
        assert_eq!(refusal.code, "plan_cycle");
        assert!(refusal.to_string().contains("`a` needs itself: a → a"));
    }

    #[test]
    fn countless_mistakes_are_counted_and_long_ones_cut() {
        let needs: Vec<String> = (0..10_000).map(|n| format!("ghost{n}")).collect();
        let step = json!({ "id": "a", "agent": "ada".repeat(10_000), "needs": needs });
        let refusal = look_at(&with_steps(json!([step]))).unwrap_err();
        assert_eq!(refusal.errors.len(), MAX_LISTED + 1);
        let last = refusal.errors.last().unwrap();
        assert_eq!(last.message, "9951 more mistakes are not listed");
        assert!(refusal.errors.iter().all(|error| error.message.len() < 300));
    }

    proptest! {
        #[test]
        fn whatever_passes_can_run_in_the_order_it_comes_back(
            needs in proptest::collection::vec(proptest::collection::vec(0..9_usize, 0..3), 1..9),
        ) {
            let steps: Vec<_> = needs
                .iter()
                .enumerate()
                .map(|(at, needs)| {
                    let needs: Vec<String> = needs.iter().map(|need| format!("s{need}")).collect();
                    json!({ "id": format!("s{at}"), "agent": "ada", "needs": needs })
                })
                .collect();
            match look_at(&with_steps(json!(steps))) {
                Ok(plan) => {
                    let mut done = HashSet::new();
                    for step in &plan.steps {
                        prop_assert!(step.needs.iter().all(|need| done.contains(need)));
                        done.insert(step.id.clone());
                    }
                    prop_assert_eq!(done.len(), steps.len());
                }
                Err(refusal) => prop_assert!(!refusal.errors.is_empty()),
            }
        }
    }
}
