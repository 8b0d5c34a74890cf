//! Functions of texts, and those that make one kind of another.

use std::{borrow::Cow, str::FromStr};

use serde_json::Value;

use super::{Arguments, EvalError};

type Answer = Result<Value, EvalError>;

pub(super) fn lower(arguments: &Arguments<'_>) -> Answer {
    Ok(arguments.text(0)?.to_lowercase().into())
}

pub(super) fn upper(arguments: &Arguments<'_>) -> Answer {
    Ok(arguments.text(0)?.to_uppercase().into())
}

pub(super) fn trim(arguments: &Arguments<'_>) -> Answer {
    Ok(arguments.text(0)?.trim().into())
}

pub(super) fn starts_with(arguments: &Arguments<'_>) -> Answer {
    Ok(arguments.text(0)?.starts_with(arguments.text(1)?).into())
}

pub(super) fn ends_with(arguments: &Arguments<'_>) -> Answer {
    Ok(arguments.text(0)?.ends_with(arguments.text(1)?).into())
}

pub(super) fn split(arguments: &Arguments<'_>) -> Answer {
    let separator = arguments.text(1)?;
    if separator.is_empty() {
        return Err(EvalError::new("the separator is empty"));
    }
    Ok(arguments.text(0)?.split(separator).collect())
}

pub(super) fn join(arguments: &Arguments<'_>) -> Answer {
    let list = arguments.list(0)?;
    let separator = match arguments.value(1) {
        Value::Null => "",
        _ => arguments.text(1)?,
    };
    // Before it is made: the separator may be long, and the list too.
    arguments
        .fuel
        .make(separator.len().saturating_mul(list.len()))?;
    let mut joined = String::new();
    for (at, element) in list.iter().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&as_text(element));
    }
    Ok(joined.into())
}

pub(super) fn text(arguments: &Arguments<'_>) -> Answer {
    Ok(as_text(arguments.value(0)).into())
}

/// A text itself, anything else as JSON.
pub(in super::super::super) fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

pub(super) fn json(arguments: &Arguments<'_>) -> Answer {
    Ok(arguments.value(0).to_string().into())
}

pub(super) fn from_json(arguments: &Arguments<'_>) -> Answer {
    protocol::json::read(arguments.text(0)?.as_bytes()).map_err(|error| {
        EvalError::new(match error.is_data() {
            true => format!("the JSON in the text cannot be taken: {error}"),
            false => format!("the text is not JSON: {error}"),
        })
    })
}

pub(super) fn number(arguments: &Arguments<'_>) -> Answer {
    Ok(match arguments.value(0) {
        Value::Number(number) => Value::Number(number.clone()),
        Value::String(text) => {
            let number = serde_json::Number::from_str(text.trim());
            number.map_or(Value::Null, Value::Number)
        }
        Value::Bool(truth) => u8::from(*truth).into(),
        Value::Null | Value::Array(_) | Value::Object(_) => Value::Null,
    })
}

pub(super) fn truth(arguments: &Arguments<'_>) -> Answer {
    Ok(match arguments.value(0) {
        Value::Bool(truth) => Value::Bool(*truth),
        Value::Number(number) => Value::Bool(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.trim() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Null,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Value::Null,
    })
}
