//! How much one evaluation may look at and make.

use std::{borrow::Cow, cell::Cell};

use serde_json::Value;

use super::{EvalError, MAX_DEPTH};

/// Bytes of new values, in all.
const MAX_MADE: usize = 16 << 20;

/// Bytes looked at where that is more than one look at one value.
const MAX_WORK: usize = 256 << 20;

/// What is left for one evaluation; a template shares it among its expressions.
#[derive(Debug)]
pub(in super::super) struct Fuel {
    made: Cell<usize>,
    work: Cell<usize>,
}

impl Fuel {
    pub(in super::super) fn full() -> Self {
        Self {
            made: Cell::new(MAX_MADE),
            work: Cell::new(MAX_WORK),
        }
    }

    /// Takes what a new value of so many bytes costs.
    pub(in super::super) fn make(&self, bytes: usize) -> Result<(), EvalError> {
        take(&self.made, bytes)
            .ok_or_else(|| EvalError::new("the values that are made here are larger than 16 MiB"))
    }

    /// Takes what a look at all of a value costs.
    pub(in super::super) fn look(&self, value: &Value) -> Result<(), EvalError> {
        take(&self.work, weight(value).0)
            .ok_or_else(|| EvalError::new("this looks at more than 256 MiB of values"))
    }

    /// Makes a value one's own that may be part of the scope.
    pub(super) fn keep(&self, value: Cow<'_, Value>) -> Result<Value, EvalError> {
        let (bytes, depth) = weight(&value);
        if depth > MAX_DEPTH {
            return Err(EvalError::new(format!(
                "a value is nested more than {MAX_DEPTH} deep"
            )));
        }
        match value {
            Cow::Borrowed(part) => {
                self.make(bytes)?;
                Ok(part.clone())
            }
            Cow::Owned(own) => Ok(own),
        }
    }
}

fn take(left: &Cell<usize>, amount: usize) -> Option<()> {
    left.set(left.get().checked_sub(amount)?);
    Some(())
}

/// About how many bytes a value takes, and how deep it goes.
pub(in super::super) fn weight(value: &Value) -> (usize, usize) {
    const EACH: usize = 8;
    let mut bytes = 0;
    let mut deepest = 0;
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        bytes += EACH;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => bytes += text.len(),
            Value::Array(list) => {
                deepest = deepest.max(depth);
                open.extend(list.iter().map(|value| (value, depth + 1)));
            }
            Value::Object(fields) => {
                deepest = deepest.max(depth);
                bytes += fields.keys().map(String::len).sum::<usize>();
                open.extend(fields.values().map(|value| (value, depth + 1)));
            }
        }
    }
    (bytes, deepest)
}
