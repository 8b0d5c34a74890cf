//! What a plan is refused for.

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

fn with_steps(steps: impl serde::Serialize) -> serde_json::Value {
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
