//! Numbers: whole ones exact, all others as floating point.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value;

use super::{EvalError, Fuel, fuel::weight, order::described};

/// What joins numbers; `Plus` also joins texts and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Plus,
    Minus,
    Times,
    By,
    Rest,
}

impl Arithmetic {
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::By => "/",
            Self::Rest => "%",
        }
    }
}

/// A number of JSON.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(i128),
    Real(f64),
}

impl From<&serde_json::Number> for Number {
    fn from(number: &serde_json::Number) -> Self {
        let whole = number.as_i64().map(i128::from);
        whole
            .or_else(|| number.as_u64().map(i128::from))
            .map_or_else(
                || Self::Real(number.as_f64().unwrap_or_default()),
                Self::Whole,
            )
    }
}

impl Number {
    /// As JSON: whole numbers between those of 64 bits, others finite.
    pub(super) fn into_value(self) -> Result<Value, EvalError> {
        let value = match self {
            Self::Whole(whole) => i64::try_from(whole)
                .map(Value::from)
                .or_else(|_| u64::try_from(whole).map(Value::from))
                .ok(),
            Self::Real(real) => serde_json::Number::from_f64(real).map(Value::Number),
        };
        value.ok_or_else(|| EvalError::new("a number becomes too large"))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "only where a floating point number takes part"
    )]
    pub(super) const fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    /// The whole number that it is, if it is one of those that JSON can carry exactly.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "its range and its fraction are looked at"
    )]
    pub(super) fn whole(self) -> Option<i128> {
        /// Two to the power of 64.
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        match self {
            Self::Whole(whole) => Some(whole),
            Self::Real(real) => {
                (real.fract() == 0.0 && real.abs() < BEYOND).then_some(real as i128)
            }
        }
    }

    /// Exact, also between whole numbers and others.
    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => left.cmp(&right),
            (Self::Real(left), Self::Real(right)) => {
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
            (Self::Whole(left), Self::Real(right)) => whole_to_real(left, right),
            (Self::Real(left), Self::Whole(right)) => whole_to_real(right, left).reverse(),
        }
    }
}

fn whole_to_real(whole: i128, real: f64) -> Ordering {
    let floor = Number::Real(real.floor()).whole();
    match floor {
        Some(floor) if whole == floor && real.fract() != 0.0 => Ordering::Less,
        Some(floor) => whole.cmp(&floor),
        // Beyond every whole number of 64 bits.
        None if real > 0.0 => Ordering::Less,
        None => Ordering::Greater,
    }
}

pub(super) fn minus(value: &Value) -> Result<Value, EvalError> {
    match Number::from(number(value)?) {
        Number::Whole(whole) => Number::Whole(-whole).into_value(),
        Number::Real(real) => Number::Real(-real).into_value(),
    }
}

fn number(value: &Value) -> Result<&serde_json::Number, EvalError> {
    match value {
        Value::Number(number) => Ok(number),
        other => {
            let is = described(other);
            Err(EvalError::new(format!("{is} is where a number must be")))
        }
    }
}

pub(super) fn apply(
    left: Cow<'_, Value>,
    sign: Arithmetic,
    right: &Value,
    fuel: &Fuel,
) -> Result<Value, EvalError> {
    match (left.as_ref(), sign, right) {
        (Value::Number(left), _, Value::Number(right)) => {
            calculate(left.into(), sign, right.into())?.into_value()
        }
        (Value::String(_), Arithmetic::Plus, Value::String(end)) => {
            let mut text = joined(left, end.len(), fuel)?;
            if let Value::String(text) = &mut text {
                text.push_str(end);
            }
            Ok(text)
        }
        (Value::Array(_), Arithmetic::Plus, Value::Array(end)) => {
            let mut list = joined(left, weight(right).0, fuel)?;
            if let Value::Array(list) = &mut list {
                list.extend_from_slice(end);
            }
            Ok(list)
        }
        (left, sign, right) => Err(EvalError::new(format!(
            "`{}` does not go with {} and {}{}",
            sign.sign(),
            described(left),
            described(right),
            if sign == Arithmetic::Plus && (left.is_string() || right.is_string()) {
                "; text(…) makes a text of anything"
            } else {
                ""
            }
        ))),
    }
}

/// The left side as one's own, with so many bytes to come; a sum copies its beginning only once.
fn joined(left: Cow<'_, Value>, more: usize, fuel: &Fuel) -> Result<Value, EvalError> {
    fuel.make(more)?;
    match left {
        Cow::Owned(own) => Ok(own),
        part @ Cow::Borrowed(_) => fuel.keep(part),
    }
}

fn calculate(left: Number, sign: Arithmetic, right: Number) -> Result<Number, EvalError> {
    let too_large = || EvalError::new("a number becomes too large");
    let by_nothing = || EvalError::new("a number is divided by 0");
    if let (Number::Whole(left), Number::Whole(right)) = (left, right) {
        let whole = match sign {
            Arithmetic::Plus => left.checked_add(right),
            Arithmetic::Minus => left.checked_sub(right),
            Arithmetic::Times => left.checked_mul(right),
            Arithmetic::By | Arithmetic::Rest if right == 0 => return Err(by_nothing()),
            Arithmetic::By if left % right != 0 => {
                let real = Number::Whole(left).real() / Number::Whole(right).real();
                return Ok(Number::Real(real));
            }
            Arithmetic::By => left.checked_div(right),
            Arithmetic::Rest => left.checked_rem(right),
        };
        return whole.map(Number::Whole).ok_or_else(too_large);
    }
    let (left, right) = (left.real(), right.real());
    let real = match sign {
        Arithmetic::Plus => left + right,
        Arithmetic::Minus => left - right,
        Arithmetic::Times => left * right,
        Arithmetic::By | Arithmetic::Rest if right == 0.0 => return Err(by_nothing()),
        Arithmetic::By => left / right,
        Arithmetic::Rest => left % right,
    };
    Ok(Number::Real(real))
}
