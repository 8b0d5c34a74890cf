//! Functions that make one number or truth value of what they are given.

use std::cmp::Ordering;

use serde_json::Value;

use super::{
    super::{number::Number, order::ordering, term::truth},
    Arguments, EvalError, number,
};

type Answer = Result<Value, EvalError>;

pub(super) fn exists(arguments: &Arguments<'_>) -> Answer {
    Ok(Value::Bool(!arguments.value(0).is_null()))
}

pub(super) fn any(arguments: &Arguments<'_>) -> Answer {
    for element in arguments.list(0)? {
        if truth(element)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn all(arguments: &Arguments<'_>) -> Answer {
    for element in arguments.list(0)? {
        if !truth(element)? {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

pub(super) fn min(arguments: &Arguments<'_>) -> Answer {
    outermost(arguments, Ordering::Less)
}

pub(super) fn max(arguments: &Arguments<'_>) -> Answer {
    outermost(arguments, Ordering::Greater)
}

/// Of the elements of a list that is given alone, or of all that is given.
fn outermost(arguments: &Arguments<'_>, side: Ordering) -> Answer {
    let mut found: Option<&Value> = None;
    let mut look = |value| -> Result<(), EvalError> {
        if ordering(value, found.unwrap_or(value))? == side || found.is_none() {
            found = Some(value);
        }
        Ok(())
    };
    match arguments.values.as_slice() {
        [_] => arguments.list(0)?.iter().try_for_each(&mut look)?,
        values => values.iter().try_for_each(|value| look(value))?,
    }
    Ok(found.cloned().unwrap_or_default())
}

pub(super) fn sum(arguments: &Arguments<'_>) -> Answer {
    let mut sum = Number::Whole(0);
    for element in arguments.list(0)? {
        sum = match (sum, number(element)?) {
            // Elements have 64 bits each: no list is long enough to go beyond 128.
            (Number::Whole(sum), Number::Whole(more)) => Number::Whole(sum.saturating_add(more)),
            (sum, more) => Number::Real(sum.real() + more.real()),
        };
    }
    sum.into_value()
}

pub(super) fn abs(arguments: &Arguments<'_>) -> Answer {
    match arguments.number(0)? {
        Number::Whole(whole) => Number::Whole(whole.abs()).into_value(),
        Number::Real(real) => Number::Real(real.abs()).into_value(),
    }
}

pub(super) fn round(arguments: &Arguments<'_>) -> Answer {
    to_whole(arguments, f64::round)
}

pub(super) fn floor(arguments: &Arguments<'_>) -> Answer {
    to_whole(arguments, f64::floor)
}

pub(super) fn ceil(arguments: &Arguments<'_>) -> Answer {
    to_whole(arguments, f64::ceil)
}

fn to_whole(arguments: &Arguments<'_>, how: fn(f64) -> f64) -> Answer {
    match arguments.number(0)? {
        whole @ Number::Whole(_) => whole.into_value(),
        Number::Real(real) => {
            let rounded = Number::Real(how(real));
            let whole = rounded
                .whole()
                .map(|whole| Number::Whole(whole).into_value());
            match whole {
                Some(Ok(value)) => Ok(value),
                Some(Err(_)) | None => rounded.into_value(),
            }
        }
    }
}
