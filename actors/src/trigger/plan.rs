//! Whether something is meant by a trigger, and what is started for it.

use protocol::{
    api::FieldError,
    schedule::Target,
    trigger::{On, TriggerSpec},
};
use serde_json::Value;

use crate::{
    firing,
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

fn wrong(field: &str, syntax: &Syntax) -> FieldError {
    FieldError::new(field, syntax.to_string())
}

/// What is wrong with what a client asks for.
#[must_use]
pub fn checked(spec: &TriggerSpec) -> Vec<FieldError> {
    let mut wrong = firing::checked(&spec.name, spec.retry.as_ref(), &spec.target);
    wrong.extend(waits(&spec.on).err());
    wrong.extend(Plan::of(spec).err());
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
}
