//! Functions of lists and objects.

use std::{cmp::Ordering, collections::HashSet, fmt::Write};

use serde_json::{Map, Value};

use super::{
    super::{
        number::Number,
        order::{self, ordering, same},
    },
    Arguments, EvalError, wrong,
};

type Answer = Result<Value, EvalError>;

pub(super) fn len(arguments: &Arguments<'_>) -> Answer {
    Ok(match arguments.value(0) {
        Value::Null => 0,
        Value::String(text) => text.chars().count(),
        Value::Array(list) => list.len(),
        Value::Object(fields) => fields.len(),
        other @ (Value::Bool(_) | Value::Number(_)) => {
            return Err(wrong(other, "a text, a list or an object"));
        }
    }
    .into())
}

pub(super) fn contains(arguments: &Arguments<'_>) -> Answer {
    order::contains(arguments.value(0), arguments.value(1)).map(Value::Bool)
}

fn object<'a>(arguments: &'a Arguments<'_>) -> Result<&'a Map<String, Value>, EvalError> {
    let value = arguments.value(0);
    value.as_object().ok_or_else(|| wrong(value, "an object"))
}

pub(super) fn keys(arguments: &Arguments<'_>) -> Answer {
    Ok(object(arguments)?.keys().map(String::as_str).collect())
}

pub(super) fn values(arguments: &Arguments<'_>) -> Answer {
    Ok(object(arguments)?.values().cloned().collect())
}

pub(super) fn first(arguments: &Arguments<'_>) -> Answer {
    Ok(arguments.list(0)?.first().cloned().unwrap_or_default())
}

pub(super) fn last(arguments: &Arguments<'_>) -> Answer {
    Ok(arguments.list(0)?.last().cloned().unwrap_or_default())
}

pub(super) fn slice(arguments: &Arguments<'_>) -> Answer {
    match arguments.value(0) {
        Value::Array(list) => {
            let (skip, take) = part(arguments, list.len())?;
            Ok(list.iter().skip(skip).take(take).cloned().collect())
        }
        Value::String(text) => {
            let (skip, take) = part(arguments, text.chars().count())?;
            let part: String = text.chars().skip(skip).take(take).collect();
            Ok(part.into())
        }
        other => Err(wrong(other, "a list or a text")),
    }
}

/// How many to leave out and how many to take then.
fn part(arguments: &Arguments<'_>, length: usize) -> Result<(usize, usize), EvalError> {
    let from = place(arguments, 1, length)?;
    let to = match arguments.value(2) {
        Value::Null => length,
        _ => place(arguments, 2, length)?,
    };
    Ok((from, to.saturating_sub(from)))
}

fn place(arguments: &Arguments<'_>, at: usize, length: usize) -> Result<usize, EvalError> {
    let given = arguments.number(at)?.whole();
    let given = given.ok_or_else(|| EvalError::new("a place is a whole number"))?;
    let length = length as i128;
    let place = if given < 0 { length + given } else { given };
    Ok(usize::try_from(place.clamp(0, length)).unwrap_or_default())
}

pub(super) fn sort(arguments: &Arguments<'_>) -> Answer {
    let mut sorted: Vec<&Value> = arguments.list(0)?.iter().collect();
    // One look finds what has no order; sorting cannot fail half way.
    if let Some((first, rest)) = sorted.split_first() {
        ordering(first, first)?;
        for other in rest {
            ordering(first, other)?;
        }
    }
    sorted.sort_by(|left, right| ordering(left, right).unwrap_or(Ordering::Equal));
    Ok(sorted.into_iter().cloned().collect())
}

pub(super) fn unique(arguments: &Arguments<'_>) -> Answer {
    let mut seen = HashSet::new();
    let is_new = |element: &&Value| seen.insert(fingerprint(element));
    Ok(arguments.list(0)?.iter().filter(is_new).cloned().collect())
}

/// A text that is equal for values that are the [`same`].
fn fingerprint(value: &Value) -> String {
    let mut print = String::new();
    write_fingerprint(value, &mut print);
    print
}

fn write_fingerprint(value: &Value, into: &mut String) {
    match value {
        Value::Number(number) => {
            let number = Number::from(number);
            // Writing to a text does not fail.
            let _ = match number.whole() {
                Some(whole) => write!(into, "{whole}"),
                None => write!(into, "{:e}", number.real()),
            };
        }
        Value::Array(list) => {
            into.push('[');
            for element in list {
                write_fingerprint(element, into);
                into.push(',');
            }
            into.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            into.push('{');
            for (key, value) in fields {
                let _ = write!(into, "{key:?}:");
                write_fingerprint(value, into);
                into.push(',');
            }
            into.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {
            let _ = write!(into, "{value}");
        }
    }
}

pub(super) fn count(arguments: &Arguments<'_>) -> Answer {
    let list = arguments.list(0)?;
    Ok(match arguments.values.get(1) {
        Some(value) => list.iter().filter(|element| same(element, value)).count(),
        None => list.len(),
    }
    .into())
}
