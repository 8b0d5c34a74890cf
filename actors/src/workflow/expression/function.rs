//! What can be called, and how each answers.

mod fold;
mod list;
mod table;
mod text;

use std::borrow::Cow;

use serde_json::Value;

use super::{EvalError, Fuel, Kinds, fuel::weight, number::Number, order::described};
use crate::planner::nearest;

pub use table::FUNCTIONS;
pub(in super::super) use text::as_text;

/// A function of the language.
#[derive(Debug)]
pub struct Signature {
    /// What it is called.
    pub name: &'static str,
    /// What it is called with; those after `?` may be left out, `…` repeats.
    pub takes: &'static str,
    /// What it gives, in words.
    pub about: &'static str,
    least: usize,
    most: usize,
    gives: Kinds,
    run: fn(&Arguments<'_>) -> Result<Value, EvalError>,
}

/// One of [`FUNCTIONS`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Function(&'static Signature);

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Function {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = FUNCTIONS.iter().find(|function| function.name == name);
        found.map(Self).ok_or_else(|| {
            let known = FUNCTIONS.iter().map(|function| function.name);
            match nearest(name, known) {
                Some(near) => format!("there is no function `{name}`; did you mean `{near}`?"),
                None => format!("there is no function `{name}`"),
            }
        })
    }

    pub(super) const fn name(self) -> &'static str {
        self.0.name
    }

    pub(super) const fn gives(self) -> Kinds {
        self.0.gives
    }

    /// Why it cannot be called with so many values.
    pub(super) fn refuses(self, given: usize) -> Option<String> {
        let Signature {
            name,
            takes,
            least,
            most,
            ..
        } = self.0;
        let fits = (*least..=*most).contains(&given);
        (!fits).then(|| format!("`{name}` takes ({takes}), not {given} values"))
    }

    pub(super) fn call<'a>(
        self,
        values: Vec<Cow<'a, Value>>,
        fuel: &Fuel,
    ) -> Result<Cow<'a, Value>, EvalError> {
        for value in &values {
            fuel.look(value)?;
        }
        let result = (self.0.run)(&Arguments { values, fuel }).map_err(|error| {
            let message = format!("{}: {}", self.0.name, error.message);
            EvalError { message }
        })?;
        fuel.make(weight(&result).0)?;
        Ok(Cow::Owned(result))
    }
}

/// What a function is called with.
struct Arguments<'a> {
    values: Vec<Cow<'a, Value>>,
    fuel: &'a Fuel,
}

impl Arguments<'_> {
    /// `null` where nothing was given.
    fn value(&self, at: usize) -> &Value {
        self.values.get(at).map_or(&Value::Null, AsRef::as_ref)
    }

    fn text(&self, at: usize) -> Result<&str, EvalError> {
        let value = self.value(at);
        value.as_str().ok_or_else(|| wrong(value, "a text"))
    }

    fn list(&self, at: usize) -> Result<&Vec<Value>, EvalError> {
        let value = self.value(at);
        value.as_array().ok_or_else(|| wrong(value, "a list"))
    }

    fn number(&self, at: usize) -> Result<Number, EvalError> {
        number(self.value(at))
    }
}

fn number(value: &Value) -> Result<Number, EvalError> {
    match value {
        Value::Number(number) => Ok(number.into()),
        other => Err(wrong(other, "a number")),
    }
}

fn wrong(value: &Value, expected: &str) -> EvalError {
    EvalError::new(format!("{} is where {expected} must be", described(value)))
}
