//! Whether something is meant by a trigger, and what is started for it.

use super::happening::{OF_DELIVERY, OF_EVENT, OF_TASK, OF_WORKFLOW};
use protocol::{
    api::FieldError,
    schedule::Target,
    trigger::{On, TriggerSpec},
};
use serde_json::Value;

use crate::{
    firing,
    planner::nearest,
    workflow::{condition::Condition, expression::Syntax, template::Template},
};

/// Characters that the name of a variable may have.
const LONGEST: usize = 128;

/// What a client wrote down, compiled.
#[derive(Debug, Clone)]
pub struct Plan {
    filter: Option<Condition>,
    target: Target,
    input: Template,
    params: Template,
    task_input: Option<Template>,
    steps: Vec<Template>,
}

impl Plan {
    /// Compiles a filter and templates.
    ///
    /// # Errors
    ///
    /// The first that is not in the language, by its field.
    pub fn of(spec: &TriggerSpec) -> Result<Self, FieldError> {
        let filter = spec.on.filter.as_ref().map(Condition::compile).transpose();
        let template = |field: &str, value: &Value| {
            Template::parse(value).map_err(|syntax| wrong(field, &syntax))
        };
        let task = spec.target.task.as_deref();
        let steps = task.map_or(&[][..], |task| &task.steps).iter().enumerate();
        Ok(Self {
            filter: filter.map_err(|syntax| wrong("on.filter", &syntax))?,
            input: template("target.input", &spec.target.input)?,
            params: template("target.params", &Value::Object(spec.target.params.clone()))?,
            task_input: task
                .map(|task| template("target.task.input", &task.input))
                .transpose()?,
            steps: steps
                .map(|(index, step)| {
                    template(&format!("target.task.steps[{index}].input"), &step.input)
                })
                .collect::<Result<_, _>>()?,
            target: spec.target.clone(),
        })
    }

    /// What is started for what `scope` tells of; nothing when the filter does not hold.
    ///
    /// # Errors
    ///
    /// When filter or template cannot be worked out over it, in words.
    pub fn apply(&self, scope: &Value) -> Result<Option<Target>, String> {
        if let Some(filter) = &self.filter {
            let mut whole = scope.clone();
            if let Value::Object(fields) = &mut whole {
                // A comparison looks at all of it.
                fields.insert("output".to_owned(), scope.clone());
            }
            let holds = filter.holds(&whole);
            if !holds.map_err(|error| format!("on.filter: {error}"))? {
                return Ok(None);
            }
        }
        let render = |field: &str, template: &Template| {
            let rendered = template.render(scope);
            rendered.map_err(|error| format!("{field}: {error}"))
        };
        let mut target = self.target.clone();
        target.input = render("target.input", &self.input)?;
        if let Value::Object(params) = render("target.params", &self.params)? {
            target.params = params;
        }
        if let Some(task) = &mut target.task {
            if let Some(input) = &self.task_input {
                task.input = render("target.task.input", input)?;
            }
            for (step, template) in task.steps.iter_mut().zip(&self.steps) {
                step.input = render("target.task.steps", template)?;
            }
        }
        Ok(Some(target))
    }
}

impl Plan {
    /// The first field that filter or templates name and no event has, by the field that names it.
    fn unknown(&self, on: &On) -> Option<FieldError> {
        let mut found = None;
        let mut look = |field: &str, path: &[String]| {
            if found.is_none()
                && let Some(message) = nobody_s(on, path)
            {
                found = Some(FieldError::new(field, message));
            }
        };
        if let Some(filter) = &self.filter {
            filter.visit_whole_paths(&mut |path| match path {
                [output, path @ ..] if output == "output" => look("on.filter", path),
                path => look("on.filter", path),
            });
        }
        let mut template = |field: &str, template: &Template| {
            template.visit_paths(&mut |path| look(field, path));
        };
        template("target.input", &self.input);
        template("target.params", &self.params);
        if let Some(input) = &self.task_input {
            template("target.task.input", input);
        }
        for (index, step) in self.steps.iter().enumerate() {
            template(&format!("target.task.steps[{index}].input"), step);
        }
        found
    }
}

/// Why a path leads nowhere in what happens, whatever happens.
fn nobody_s(on: &On, path: &[String]) -> Option<String> {
    let (name, whole, known) = match path {
        [] => return None,
        [root, name, ..] if root == "task" && on.event.is_some() => (name, "`task`", &OF_TASK[..]),
        [root, name, ..] if root == "workflow" && on.event.is_some() => {
            (name, "`workflow`", &OF_WORKFLOW[..])
        }
        [root, ..] if on.event.is_some() => (root, "an event", &OF_EVENT[..]),
        [root, ..] => (root, "a delivery", &OF_DELIVERY[..]),
    };
    if known.contains(&name.as_str()) {
        return None;
    }
    let hint = nearest(name, known.iter().copied()).map_or_else(
        || format!("there is {}", known.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Some(format!("{whole} has no field `{name}`; {hint}"))
}

fn wrong(field: &str, syntax: &Syntax) -> FieldError {
    FieldError::new(field, syntax.to_string())
}

/// What is wrong with what a client asks for.
#[must_use]
pub fn checked(spec: &TriggerSpec) -> Vec<FieldError> {
    let mut wrong = firing::checked(&spec.name, spec.retry.as_ref(), &spec.target);
    let waits = waits(&spec.on);
    match Plan::of(spec) {
        Ok(plan) if waits.is_ok() => wrong.extend(plan.unknown(&spec.on)),
        Ok(_) => {}
        Err(error) => wrong.push(error),
    }
    wrong.splice(0..0, waits.err());
    wrong
}

fn waits(on: &On) -> Result<(), FieldError> {
    match (&on.event, &on.webhook) {
        (Some(_), None) => Ok(()),
        (None, Some(webhook)) => {
            let name = &webhook.secret_env;
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || name.len() > LONGEST || !name.chars().all(fits) {
                return Err(FieldError::new(
                    "on.webhook.secret_env",
                    "must be the name of an environment variable of the node: letters, digits and `_`",
                ));
            }
            Ok(())
        }
        (Some(_), Some(_)) => Err(FieldError::new(
            "on",
            "names both an event and a webhook; make two triggers of it",
        )),
        (None, None) => Err(FieldError::new(
            "on",
            "names nothing to wait for; give `event`, as `task.completed`, or `webhook`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "JSON is put together where it is used"
    )]
    fn spec(on: Value, target: Value) -> TriggerSpec {
        serde_json::from_value(json!({ "name": "x", "on": on, "target": target })).unwrap()
    }

    #[test]
    fn what_is_started_is_made_of_what_happened() {
        let spec = spec(
            json!({ "event": "task.completed", "filter": { "path": "$.task.result.ok", "op": "eq", "value": true } }),
            json!({ "task": { "description": "after", "input": { "of": "$.task.id", "says": "got ${task.result.n}" } } }),
        );
        assert_eq!(checked(&spec), []);
        let plan = Plan::of(&spec).unwrap();
        let scope =
            |ok: bool| json!({ "task": { "id": "task_1", "result": { "ok": ok, "n": 7 } } });
        assert_eq!(plan.apply(&scope(false)), Ok(None));
        let target = plan.apply(&scope(true)).unwrap().unwrap();
        let input = &target.task.unwrap().input;
        assert_eq!(*input, json!({ "of": "task_1", "says": "got 7" }));
    }

    #[test]
    fn what_fills_a_template_is_made_of_what_happened() {
        let spec = spec(
            json!({ "event": "task.completed" }),
            json!({ "template": "report", "params": { "of": "$.task.id", "n": 1 } }),
        );
        assert_eq!(checked(&spec), []);
        let scope = json!({ "task": { "id": "task_1" } });
        let target = Plan::of(&spec).unwrap().apply(&scope).unwrap().unwrap();
        assert_eq!(
            Value::Object(target.params),
            json!({ "of": "task_1", "n": 1 })
        );
    }

    #[test]
    fn an_expression_filters_too() {
        let spec = spec(
            json!({ "event": "task.failed", "filter": "task.error.code == 'timeout'" }),
            json!({ "workflow": "w", "input": "$.task" }),
        );
        let plan = Plan::of(&spec).unwrap();
        let scope = |code: &str| json!({ "task": { "error": { "code": code } } });
        assert_eq!(plan.apply(&scope("other")), Ok(None));
        let target = plan.apply(&scope("timeout")).unwrap().unwrap();
        assert_eq!(target.input, scope("timeout")["task"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let task = || json!({ "task": { "description": "x" } });
        for (on, target, field) in [
            (json!({}), task(), "on"),
            (
                json!({ "event": "task.failed", "webhook": { "secret_env": "A" } }),
                task(),
                "on",
            ),
            (
                json!({ "webhook": { "secret_env": "a b" } }),
                task(),
                "on.webhook.secret_env",
            ),
            (
                json!({ "event": "task.failed", "filter": "task.error.code ==" }),
                task(),
                "on.filter",
            ),
            (json!({ "event": "task.failed" }), json!({}), "target"),
            (
                json!({ "event": "task.failed" }),
                json!({ "workflow": "w", "input": "${" }),
                "target.input",
            ),
        ] {
            let errors = checked(&spec(on.clone(), target));
            assert_eq!(errors[0].field, field, "{on}");
        }
    }

    #[test]
    fn a_field_that_no_event_has_is_named_with_what_was_meant() {
        let event = |filter: Value| json!({ "event": "task.failed", "filter": filter });
        let hook = |filter: &str| json!({ "webhook": { "secret_env": "A" }, "filter": filter });
        let task = |input: &str| json!({ "task": { "description": "x", "input": { "a": input } } });
        for (on, target, field, told) in [
            (
                event(json!("task.stauts == 'failed'")),
                task("a"),
                "on.filter",
                "`task` has no field `stauts`; did you mean `status`?",
            ),
            (
                event(json!({ "path": "$.task.stauts", "op": "eq", "value": "failed" })),
                task("a"),
                "on.filter",
                "`task` has no field `stauts`; did you mean `status`?",
            ),
            (
                event(json!("zzzzzz == 1")),
                task("a"),
                "on.filter",
                "an event has no field `zzzzzz`; there is event, id, at, task, workflow",
            ),
            (
                hook("task.status == 'x'"),
                task("a"),
                "on.filter",
                "a delivery has no field `task`; there is event, id, at, body, headers",
            ),
            (
                event(json!("workflow.nme == 'x'")),
                task("a"),
                "on.filter",
                "`workflow` has no field `nme`; did you mean `name`?",
            ),
            (
                event(json!("task.error.code == 'x'")),
                task("$.task.reslt.n"),
                "target.task.input",
                "`task` has no field `reslt`; did you mean `result`?",
            ),
        ] {
            let errors = checked(&spec(on.clone(), target));
            let expected = [FieldError::new(field, told)];
            assert_eq!(errors, expected, "{on}");
        }
        for on in [
            event(json!(
                "output.task.status == 'x' and task.result.any.thing == 1"
            )),
            event(json!("task['status'] == workflow.name")),
            hook("body.go and headers.x == 'y' and event == 'webhook'"),
        ] {
            assert_eq!(checked(&spec(on.clone(), task("${id}"))), [], "{on}");
        }
    }

    #[test]
    fn a_step_that_nobody_is_to_do_is_refused() {
        let step = json!({ "id": "a", "needs": ["b"] });
        let target = json!({ "task": { "description": " ", "steps": [step] } });
        let errors = checked(&spec(json!({ "event": "task.failed" }), target));
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "target.task.description",
                "target.task.steps[0]",
                "target.task.steps[0].needs[0]"
            ]
        );
    }
}
