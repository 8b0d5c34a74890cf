//! When values are the same, and which comes first.

use std::cmp::Ordering;

use serde_json::Value;

use super::{EvalError, number::Number};

/// Which of two values must come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Order {
    Before,
    NotAfter,
    After,
    NotBefore,
}

impl Order {
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Before => "<",
            Self::NotAfter => "<=",
            Self::After => ">",
            Self::NotBefore => ">=",
        }
    }

    const fn allows(self, ordering: Ordering) -> bool {
        match self {
            Self::Before => ordering.is_lt(),
            Self::NotAfter => ordering.is_le(),
            Self::After => ordering.is_gt(),
            Self::NotBefore => ordering.is_ge(),
        }
    }
}

/// A value's kind with its article, for messages.
pub(in super::super) const fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Whether two values say the same; numbers by what they count, objects in any order.
pub(in super::super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            Number::from(left).compare(Number::from(right)).is_eq()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            let has = |(key, a)| right.get(key).is_some_and(|b| same(a, b));
            left.len() == right.len() && left.iter().all(has)
        }
        (left, right) => left == right,
    }
}

/// Which of two numbers or texts comes first.
pub(super) fn ordering(left: &Value, right: &Value) -> Result<Ordering, EvalError> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            Ok(Number::from(left).compare(Number::from(right)))
        }
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (left, right) => Err(EvalError::new(format!(
            "{} and {} have no order",
            described(left),
            described(right)
        ))),
    }
}

pub(in super::super) fn compare(
    left: &Value,
    order: Order,
    right: &Value,
) -> Result<bool, EvalError> {
    Ok(order.allows(ordering(left, right)?))
}

/// Whether a value is an element of a list, a key of an object or a part of a text.
pub(in super::super) fn contains(whole: &Value, part: &Value) -> Result<bool, EvalError> {
    match (whole, part) {
        (Value::Array(list), part) => Ok(list.iter().any(|element| same(element, part))),
        (Value::String(text), Value::String(part)) => Ok(text.contains(part.as_str())),
        (Value::Object(fields), Value::String(key)) => Ok(fields.contains_key(key)),
        (whole, part) => Err(EvalError::new(format!(
            "{} cannot contain {}",
            described(whole),
            described(part)
        ))),
    }
}
