//! What is wrong with a template that a client wrote down.

use std::collections::HashSet;

use protocol::{
    api::FieldError,
    json::Objects,
    task::TaskSpec,
    template::{Param, TemplateSpec},
};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::render::misfits;
use crate::{
    planner::nearest,
    schema::{Schema, place},
    workflow::template,
};

/// Parameters that a template may have.
const MOST: usize = 64;

/// Whether it can name a template.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

/// What is wrong with it, by its fields.
#[must_use]
pub fn checked(spec: &TemplateSpec) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    if !is_name(&spec.name) {
        let rule = "a template's name is 1 to 64 lower-case letters, digits and `-`";
        wrong.push(FieldError::new("name", rule));
    }
    if spec.params.len() > MOST {
        let message = format!("a template has at most {MOST} parameters");
        wrong.push(FieldError::new("params", message));
        return wrong;
    }
    let mut names = HashSet::new();
    for (at, it) in spec.params.iter().enumerate() {
        wrong.extend(param(it, &format!("params[{at}]")));
        if !names.insert(it.name.as_str()) {
            let message = format!("`{}` is the name of another one too", it.name);
            wrong.push(FieldError::new(format!("params[{at}].name"), message));
        }
    }
    let before = wrong.len();
    blanks(&Value::Object(spec.task.clone()), &names, &mut wrong);
    if wrong.len() == before {
        wrong.extend(shape(&spec.task));
    }
    wrong
}

fn param(param: &Param, at: &str) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    if !is_param(&param.name) {
        let rule =
            "a parameter's name is 1 to 64 letters, digits and `_`, and begins with no digit";
        wrong.push(FieldError::new(format!("{at}.name"), rule));
    }
    if let Some(schema) = &param.schema
        && let Err(bad) = Schema::compile(schema)
    {
        let field = place(&format!("{at}.schema"), &bad.at);
        wrong.push(FieldError::new(field, format!("is no JSON Schema: {bad}")));
        return wrong;
    }
    let Some(default) = &param.default else {
        return wrong;
    };
    if param.required == Some(true) {
        let message =
            "must be given, so that its default would never be used; leave one of them out";
        wrong.push(FieldError::new(format!("{at}.required"), message));
    }
    // As with what need not be given: nothing was.
    if !default.is_null() {
        wrong.extend(misfits(param, default, &format!("{at}.default")));
    }
    wrong
}

fn is_param(name: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let first = name.chars().next();
    name.len() <= 64
        && name.chars().all(allowed)
        && first.is_some_and(|first| !first.is_ascii_digit())
}

/// What is wrong with the expressions of a task.
fn blanks(task: &Value, params: &HashSet<&str>, wrong: &mut Vec<FieldError>) {
    // As a whole first, which sees to it that it is not too deep.
    if let Err(syntax) = template::Template::parse(task) {
        let field = place("task", &syntax.path);
        return wrong.push(FieldError::new(field, syntax.to_string()));
    }
    texts(task, "task", &mut |field, text| {
        let Ok(parsed) = template::Template::parse(text) else {
            return;
        };
        parsed.visit_paths(&mut |path| {
            let message = match path {
                [root, ..] if root != "params" => format!(
                    "refers to `{root}`; a template knows `params` alone, and `$$` stands for a dollar sign"
                ),
                [_, name, ..] if !params.contains(name.as_str()) => unknown(name, params),
                _ => return,
            };
            wrong.push(FieldError::new(field, message));
        });
    });
}

fn unknown(name: &str, params: &HashSet<&str>) -> String {
    let hint = match nearest(name, params.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "add it to `params`".to_owned(),
    };
    format!("there is no parameter `{name}`; {hint}")
}

/// Shows each text, with its place.
pub(super) fn texts(value: &Value, at: &str, show: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::String(_) => show(at, value),
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                texts(element, &format!("{at}[{index}]"), show);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                texts(field, &format!("{at}.{name}"), show);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What keeps it from being a task whatever fills the blanks.
fn shape(task: &Map<String, Value>) -> Option<FieldError> {
    if task.contains_key("workflow") {
        let message = "is set by the node; a template makes tasks, no runs of workflows";
        return Some(FieldError::new("task.workflow", message));
    }
    let mut task = Value::Object(task.clone());
    let mut is_whole = true;
    loop {
        let read = serde_path_to_error::deserialize::<_, TaskSpec>(Objects(&task));
        let error = read.err()?;
        let message = error.inner().to_string();
        if message.starts_with("missing field") && !is_whole {
            return None;
        }
        let is_known = !message.starts_with("unknown field");
        // A blank that is to be no text: its type shows when it is filled.
        let taken_out = is_known && take_out_blank(&mut task, error.path());
        if !taken_out {
            return Some(super::render::unreadable(&error, "task"));
        }
        is_whole = false;
    }
}

/// Takes out what stands at a place, if it is a text with an expression.
fn take_out_blank(task: &mut Value, path: &Path) -> bool {
    let mut segments: Vec<&Segment> = path.iter().collect();
    let Some(last) = segments.pop() else {
        return false;
    };
    let mut inside = task;
    for segment in segments {
        let next = match segment {
            Segment::Seq { index } => inside.get_mut(*index),
            Segment::Map { key } => inside.get_mut(key.as_str()),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        match next {
            Some(next) => inside = next,
            None => return false,
        }
    }
    match (inside, last) {
        (Value::Array(list), Segment::Seq { index }) => {
            let found = list.get(*index).is_some_and(is_blank);
            if found {
                list.remove(*index);
            }
            found
        }
        (Value::Object(fields), Segment::Map { key }) => {
            let found = fields.get(key).is_some_and(is_blank);
            if found {
                fields.remove(key);
            }
            found
        }
        _ => false,
    }
}

fn is_blank(value: &Value) -> bool {
    let mut refers = false;
    if let (Value::String(_), Ok(parsed)) = (value, template::Template::parse(value)) {
        parsed.visit_paths(&mut |_| refers = true);
    }
    refers
}
