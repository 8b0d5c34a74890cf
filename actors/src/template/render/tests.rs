//! Tests of templates: what is wrong with one, and what becomes of one.

use serde_json::{Value, json};

use super::*;
use crate::template::checked;

fn spec(value: Value) -> TemplateSpec {
    serde_json::from_value(value).unwrap()
}

fn weather() -> TemplateSpec {
    spec(json!({
        "name": "weather",
        "params": [
            { "name": "city", "type": "string", "description": "where" },
            { "name": "days", "type": "integer", "default": 3, "schema": { "minimum": 1, "maximum": 9 } },
            { "name": "style", "required": false },
        ],
        "task": {
            "description": "Weather of ${params.city} for ${params.days} days",
            "steps": [
                { "id": "ask", "agent": "${params.city}-agent", "input": { "n": "${params.days}", "style": "${params.style}" } },
            ],
            "priority": "${min(params.days, 9)}",
        },
    }))
}

fn asked(params: &Value) -> TemplateUse {
    serde_json::from_value(json!({ "template": "weather", "params": params })).unwrap()
}

fn fields(errors: &[FieldError]) -> Vec<&str> {
    errors.iter().map(|error| error.field.as_str()).collect()
}

#[test]
fn blanks_are_filled_with_what_is_given_or_else_their_defaults() {
    assert_eq!(checked(&weather()), vec![]);
    let task = render(&weather(), &asked(&json!({ "city": "Oslo" }))).unwrap();
    assert_eq!(task.description, "Weather of Oslo for 3 days");
    assert_eq!(task.steps[0].agent.as_deref(), Some("Oslo-agent"));
    // An expression alone becomes its value, whatever that is.
    assert_eq!(task.steps[0].input, json!({ "n": 3, "style": null }));
    assert_eq!(u8::from(task.priority), 3);
}

#[test]
fn all_that_does_not_fill_a_blank_is_named() {
    for (given, named) in [
        (json!({}), vec!["params.city"]),
        (
            json!({ "town": "Oslo", "days": "2" }),
            vec!["params.town", "params.city", "params.days"],
        ),
        (json!({ "city": "Oslo", "days": 10 }), vec!["params.days"]),
        (json!({ "city": "Oslo", "days": 1.5 }), vec!["params.days"]),
        (json!({ "city": null }), vec!["params.city"]),
    ] {
        let wrong = render(&weather(), &asked(&given)).unwrap_err();
        assert_eq!(fields(&wrong), named, "{given}");
    }
}

#[test]
fn what_is_given_beside_the_blanks_takes_the_place_of_the_template_s() {
    let mut asked = asked(&json!({ "city": "Oslo" }));
    asked.description = Some("just do it".to_owned());
    let task = render(&weather(), &asked).unwrap();
    assert_eq!(task.description, "just do it");
    assert_eq!(named("description", &asked), "description");
    assert_eq!(named("steps[0].agent", &asked), "task.steps[0].agent");
}

#[test]
fn a_task_that_a_value_spoils_is_named_by_the_template_s_field() {
    let mut free = weather();
    free.params[1].schema = None;
    let wrong = render(&free, &asked(&json!({ "city": "Oslo", "days": -1 }))).unwrap_err();
    assert_eq!(fields(&wrong), ["task.priority"]);
    let mut odd = weather();
    odd.task["priority"] = json!("${params.city + 1}");
    let wrong = render(&odd, &asked(&json!({ "city": true })));
    assert!(wrong.is_err());
    let wrong = render(&odd, &asked(&json!({ "city": "Oslo" }))).unwrap_err();
    assert_eq!(fields(&wrong), ["task.priority"], "{wrong:?}");
}

#[test]
fn a_value_that_is_inserted_is_not_looked_at_again() {
    let task = render(
        &weather(),
        &asked(&json!({ "city": "${params.days} $.params" })),
    )
    .unwrap();
    assert_eq!(
        task.description,
        "Weather of ${params.days} $.params for 3 days"
    );
}

#[test]
fn a_task_does_not_grow_beyond_what_a_client_may_send() {
    let long = "x".repeat(600_000);
    let wrong = render(&weather(), &asked(&json!({ "city": long }))).unwrap_err();
    assert_eq!(fields(&wrong), ["task"]);
}

#[test]
fn what_is_wrong_with_a_template_is_named() {
    let task = || json!({ "description": "d" });
    for (template, named) in [
        (json!({ "name": "A", "task": task() }), vec!["name"]),
        (
            json!({ "name": "a", "params": [{ "name": "1x" }, { "name": "x" }, { "name": "x" }], "task": task() }),
            vec!["params[0].name", "params[2].name"],
        ),
        (
            json!({ "name": "a", "params": [{ "name": "x", "type": "string", "default": 1 }], "task": task() }),
            vec!["params[0].default"],
        ),
        (
            json!({ "name": "a", "params": [{ "name": "x", "required": true, "default": 1 }], "task": task() }),
            vec!["params[0].required"],
        ),
        (
            json!({ "name": "a", "params": [{ "name": "x", "schema": { "type": "shoe" } }], "task": task() }),
            vec!["params[0].schema.type"],
        ),
        (
            json!({ "name": "a", "task": { "description": "${params.x} ${input.y} ${params}" } }),
            vec!["task.description", "task.description"],
        ),
        (
            json!({ "name": "a", "task": { "description": "d", "steps": [{ "id": "s", "input": ["${1 +}"] }] } }),
            vec!["task.steps[0].input[0]"],
        ),
        (
            json!({ "name": "a", "task": { "description": "d", "workflow": {} } }),
            vec!["task.workflow"],
        ),
        (json!({ "name": "a", "task": {} }), vec!["task.description"]),
        (
            json!({ "name": "a", "task": { "description": "d", "steps": [{ "id": "s", "agnet": "x" }] } }),
            vec!["task.steps[0].agnet"],
        ),
        (
            json!({ "name": "a", "params": [{ "name": "x" }], "task": { "description": "d", "priority": "${params.x}", "budget": 7 } }),
            vec!["task.budget"],
        ),
    ] {
        let wrong = checked(&spec(template.clone()));
        assert_eq!(fields(&wrong), named, "{template}: {wrong:?}");
    }
}

#[test]
fn whatever_is_to_be_no_text_may_be_a_blank() {
    let free = spec(json!({
        "name": "a",
        "params": [{ "name": "x" }],
        "task": {
            "description": "d",
            "steps": [{ "id": "s", "effect": "${params.x}", "retry": { "max_attempts": "${params.x}" } }],
            "priority": "${params.x}",
            "budget": "${params.x}",
        },
    }));
    assert_eq!(checked(&free), vec![]);
    let free = spec(json!({
        "name": "a",
        "params": [{ "name": "x" }],
        "task": { "description": "d", "steps": "${params.x}" },
    }));
    assert_eq!(checked(&free), vec![]);
}

#[test]
fn a_default_of_null_is_one() {
    let said = json!({
        "name": "weather",
        "params": [{ "name": "z", "default": null }, { "name": "t", "type": "string", "default": null }],
        "task": { "description": "d", "input": { "z": "${params.z}", "t": "${params.t}" } },
    });
    let template = spec(said.clone());
    assert_eq!(checked(&template), vec![]);
    let task = render(&template, &asked(&json!({}))).unwrap();
    assert_eq!(task.input, json!({ "z": null, "t": null }));
    assert_eq!(serde_json::to_value(template).unwrap(), said);
}

#[test]
fn an_array_is_no_object_in_the_task_of_a_template() {
    for (task, field) in [
        (json!({ "description": "d", "budget": [3] }), "task.budget"),
        (
            json!({ "description": "d", "steps": [{ "id": "a", "retry": [3] }] }),
            "task.steps[0].retry",
        ),
        (
            json!({ "description": "d", "steps": [{ "id": "a", "effect": { "pure": null } }] }),
            "task.steps[0].effect",
        ),
    ] {
        let template = spec(json!({ "name": "t", "task": task }));
        assert_eq!(fields(&checked(&template)), [field]);
    }
    let filled = spec(json!({
        "name": "weather",
        "params": [{ "name": "budget" }],
        "task": { "description": "d", "budget": "${params.budget}" },
    }));
    let given = asked(&json!({ "budget": [3] }));
    assert_eq!(
        fields(&render(&filled, &given).unwrap_err()),
        ["task.budget"]
    );
}
