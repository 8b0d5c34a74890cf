//! From a template and what fills its blanks to a task.

use protocol::{
    api::FieldError,
    json::Objects,
    task::TaskSpec,
    template::{Param, ParamKind, TemplateSpec, TemplateUse},
    words,
};
use serde_json::{Map, Value, json};

use super::{LONGEST, check::texts};
use crate::{planner::nearest, schema::Schema, workflow::template};

/// The task that a template and what fills it make.
///
/// # Errors
///
/// All that is missing, unknown or of another type, by its field: `params.city` is what was given,
/// `task.steps[0].input` what the template says.
pub fn render(spec: &TemplateSpec, asked: &TemplateUse) -> Result<TaskSpec, Vec<FieldError>> {
    let scope = json!({ "params": filled(spec, &asked.params)? });
    let task = Value::Object(spec.task.clone());
    let rendered = template::Template::parse(&task)
        .map_err(|syntax| syntax.to_string())
        .and_then(|whole| whole.render(&scope).map_err(|error| error.to_string()));
    let mut task = rendered.map_err(|message| vec![located(&task, &scope, message)])?;
    let instead = instead(asked);
    if let (Value::Object(task), Value::Object(instead)) = (&mut task, &instead) {
        task.extend(instead.clone());
    }
    let bytes = serde_json::to_vec(&task).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > LONGEST {
        let message =
            format!("has {bytes} bytes when its blanks are filled; a task may have {LONGEST}");
        return Err(vec![FieldError::new("task", message)]);
    }
    serde_path_to_error::deserialize(Objects(task))
        .map_err(|error| vec![unreadable(&error, "task")])
}

/// What stands in the place of what the template says.
fn instead(asked: &TemplateUse) -> Value {
    let rest = TemplateUse {
        template: String::new(),
        params: Map::new(),
        ..asked.clone()
    };
    // It was JSON, and what is absent is not written.
    let mut fields = serde_json::to_value(rest).unwrap_or_default();
    if let Value::Object(fields) = &mut fields {
        fields.remove("template");
    }
    fields
}

/// Names a field of a task as the client knows it, who gave some itself.
#[must_use]
pub fn named(field: &str, asked: &TemplateUse) -> String {
    let root = field.split(['.', '[']).next().unwrap_or_default();
    if root == "Idempotency-Key" || instead(asked).get(root).is_some() {
        return field.to_owned();
    }
    format!("task.{field}")
}

/// What the blanks are filled with.
fn filled(
    spec: &TemplateSpec,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut wrong = Vec::new();
    for name in given.keys() {
        let names = || spec.params.iter().map(|param| param.name.as_str());
        if !names().any(|known| known == name) {
            let message = unknown(&spec.name, name, names());
            wrong.push(FieldError::new(format!("params.{name}"), message));
        }
    }
    let mut filled = Map::new();
    for param in &spec.params {
        let field = format!("params.{}", param.name);
        match given.get(&param.name) {
            Some(value) => {
                wrong.extend(misfits(param, value, &field));
                filled.insert(param.name.clone(), value.clone());
            }
            None if param.is_required() => {
                let mut message = format!("is missing; template `{}` needs it", spec.name);
                if !param.description.is_empty() {
                    message = format!("{message}: {}", param.description);
                }
                wrong.push(FieldError::new(field, message));
            }
            None => {
                let default = param.default.clone().unwrap_or_default();
                filled.insert(param.name.clone(), default);
            }
        }
    }
    if wrong.is_empty() {
        Ok(filled)
    } else {
        Err(wrong)
    }
}

fn unknown<'a>(template: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let hint = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match known.collect::<Vec<_>>().join("`, `") {
            names if names.is_empty() => "it has none".to_owned(),
            names => format!("it has `{names}`"),
        },
    };
    format!("is no parameter of template `{template}`; {hint}")
}

/// Where a value is not as its parameter wants it.
pub(super) fn misfits(param: &Param, value: &Value, at: &str) -> Vec<FieldError> {
    if let Some(kind) = param.kind
        && !is(kind, value)
    {
        let message = format!("must be of type {}", kind.as_str());
        return vec![FieldError::new(at, message)];
    }
    let Some(schema) = &param.schema else {
        return Vec::new();
    };
    let checked = match Schema::compile(schema) {
        Ok(schema) => schema.check(value),
        Err(bad) => return vec![FieldError::new(at, format!("cannot be checked: {bad}"))],
    };
    let misfits = checked.err().unwrap_or_default().into_iter();
    misfits
        .map(|misfit| FieldError::new(misfit.place(at), misfit.message))
        .collect()
}

fn is(kind: ParamKind, value: &Value) -> bool {
    match kind {
        ParamKind::String => value.is_string(),
        ParamKind::Number => value.is_number(),
        // As in JSON Schema, 2.0 is whole.
        ParamKind::Integer => {
            value.is_i64()
                || value.is_u64()
                || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        ParamKind::Boolean => value.is_boolean(),
        ParamKind::Array => value.is_array(),
        ParamKind::Object => value.is_object(),
    }
}

/// The text that has no value, if it is one alone; else all of it is too large.
fn located(task: &Value, scope: &Value, message: String) -> FieldError {
    let mut found = None;
    texts(task, "task", &mut |field, text| {
        let rendered = template::Template::parse(text).map(|text| text.render(scope));
        if found.is_none()
            && let Ok(Err(error)) = rendered
        {
            found = Some(FieldError::new(field, error.to_string()));
        }
    });
    found.unwrap_or_else(|| FieldError::new("task", message))
}

/// What keeps JSON from being a task.
pub(super) fn unreadable(
    error: &serde_path_to_error::Error<serde_json::Error>,
    root: &str,
) -> FieldError {
    let message = error.inner().to_string();
    let missing = message.strip_prefix("missing field `");
    let missing = missing.and_then(|rest| rest.strip_suffix('`'));
    let path = error.path().to_string();
    let path = [Some(path.as_str()).filter(|path| *path != "."), missing];
    let path: Vec<&str> = [root]
        .into_iter()
        .chain(path.into_iter().flatten())
        .collect();
    FieldError::new(path.join("."), words::plain(&message))
}

#[cfg(test)]
mod tests;
