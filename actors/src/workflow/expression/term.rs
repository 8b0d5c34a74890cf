//! What an expression consists of, and its value in a scope.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    EvalError, Fuel, Query,
    function::Function,
    number::{self, Arithmetic},
    order::{Order, compare, contains, described, same},
};

static NULL: Value = Value::Null;

/// An expression or a part of one. Operators of one rank stand side by side, so that long sums are not
/// deep.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Literal(Value),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    Query(Box<Query>),
    Name(String),
    Inside { of: Box<Self>, steps: Vec<Access> },
    Call(Function, Vec<Self>),
    Not(Box<Self>),
    Minus(Box<Self>),
    Product(Box<Self>, Vec<(Arithmetic, Self)>),
    Sum(Box<Self>, Vec<(Arithmetic, Self)>),
    Compare(Box<Self>, Relation, Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    FirstKnown(Vec<Self>),
    Choice(Box<[Self; 3]>),
}

/// One step into a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Access {
    Field(String),
    Index(Term),
}

/// How two values stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Same,
    Other,
    Ordered(Order),
    In,
}

impl Relation {
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Same => "==",
            Self::Other => "!=",
            Self::Ordered(order) => order.sign(),
            Self::In => "in",
        }
    }
}

type Answer<'a> = Result<Cow<'a, Value>, EvalError>;

impl Term {
    /// Borrows from the scope and from the literals as long as it can.
    pub(super) fn evaluate<'a>(&'a self, scope: &'a Value, fuel: &Fuel) -> Answer<'a> {
        let value = match self {
            Self::Literal(value) => return Ok(Cow::Borrowed(value)),
            Self::Name(name) => return Ok(Cow::Borrowed(scope.get(name).unwrap_or(&NULL))),
            Self::Query(query) => return query.find(scope, fuel).map(Cow::Owned),
            Self::Inside { of, steps } => {
                return inside(of.evaluate(scope, fuel)?, steps, scope, fuel);
            }
            Self::Call(function, terms) => return call(*function, terms, scope, fuel),
            Self::FirstKnown(terms) => return first_known(terms, scope, fuel),
            Self::Choice(parts) => {
                let [test, yes, no] = parts.as_ref();
                let chosen = if test.holds(scope, fuel)? { yes } else { no };
                return chosen.evaluate(scope, fuel);
            }
            Self::List(terms) => list(terms, scope, fuel)?,
            Self::Object(fields) => object(fields, scope, fuel)?,
            Self::Not(term) => Value::Bool(!term.holds(scope, fuel)?),
            Self::Minus(term) => number::minus(&*term.evaluate(scope, fuel)?)?,
            Self::Product(first, rest) | Self::Sum(first, rest) => {
                return chain(first, rest, scope, fuel);
            }
            Self::Compare(left, relation, right) => {
                let left = left.evaluate(scope, fuel)?;
                let right = right.evaluate(scope, fuel)?;
                Value::Bool(stands(&left, *relation, &right, fuel)?)
            }
            Self::All(terms) => Value::Bool(all_are(true, terms, scope, fuel)?),
            Self::Any(terms) => Value::Bool(!all_are(false, terms, scope, fuel)?),
        };
        Ok(Cow::Owned(value))
    }

    fn holds(&self, scope: &Value, fuel: &Fuel) -> Result<bool, EvalError> {
        truth(&*self.evaluate(scope, fuel)?)
    }
}

/// Only `true` and `false` choose.
pub(in super::super) fn truth(value: &Value) -> Result<bool, EvalError> {
    value.as_bool().ok_or_else(|| {
        let is = described(value);
        EvalError::new(format!("{is} is where true or false must be"))
    })
}

/// Whether all terms are `expected`; those after the first that is not are not looked at.
fn all_are(expected: bool, terms: &[Term], scope: &Value, fuel: &Fuel) -> Result<bool, EvalError> {
    for term in terms {
        if term.holds(scope, fuel)? != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

fn first_known<'a>(terms: &'a [Term], scope: &'a Value, fuel: &Fuel) -> Answer<'a> {
    for term in terms {
        let value = term.evaluate(scope, fuel)?;
        if !value.is_null() {
            return Ok(value);
        }
    }
    Ok(Cow::Borrowed(&NULL))
}

fn list(terms: &[Term], scope: &Value, fuel: &Fuel) -> Result<Value, EvalError> {
    let own = |term: &Term| fuel.keep(term.evaluate(scope, fuel)?);
    terms.iter().map(own).collect()
}

fn object(fields: &[(String, Term)], scope: &Value, fuel: &Fuel) -> Result<Value, EvalError> {
    let own = |(key, term): &(String, Term)| {
        fuel.make(key.len())?;
        Ok((key.clone(), fuel.keep(term.evaluate(scope, fuel)?)?))
    };
    let fields: Result<Map<_, _>, EvalError> = fields.iter().map(own).collect();
    Ok(Value::Object(fields?))
}

fn call<'a>(function: Function, terms: &'a [Term], scope: &'a Value, fuel: &Fuel) -> Answer<'a> {
    let values: Result<Vec<_>, _> = terms
        .iter()
        .map(|term| term.evaluate(scope, fuel))
        .collect();
    function.call(values?, fuel)
}

fn chain<'a>(
    first: &'a Term,
    rest: &'a [(Arithmetic, Term)],
    scope: &'a Value,
    fuel: &Fuel,
) -> Answer<'a> {
    let mut value = first.evaluate(scope, fuel)?;
    for (sign, term) in rest {
        let right = term.evaluate(scope, fuel)?;
        value = Cow::Owned(number::apply(value, *sign, &right, fuel)?);
    }
    Ok(value)
}

fn stands(left: &Value, how: Relation, right: &Value, fuel: &Fuel) -> Result<bool, EvalError> {
    match how {
        Relation::Same | Relation::Other => {
            fuel.look(left)?;
            Ok(same(left, right) == (how == Relation::Same))
        }
        Relation::Ordered(order) => compare(left, order, right),
        Relation::In => {
            fuel.look(right)?;
            contains(right, left)
        }
    }
}

fn inside<'a>(
    mut value: Cow<'a, Value>,
    steps: &'a [Access],
    scope: &'a Value,
    fuel: &Fuel,
) -> Answer<'a> {
    for step in steps {
        value = match step {
            Access::Field(name) => enter(value, |value| value.get(name), |own| own.get_mut(name)),
            Access::Index(term) => match &*term.evaluate(scope, fuel)? {
                Value::String(key) => enter(value, |value| value.get(key), |own| own.get_mut(key)),
                Value::Number(number) => {
                    let at = position(number, &value);
                    enter(value, |value| value.get(at?), |own| own.get_mut(at?))
                }
                other => {
                    let is = described(other);
                    return Err(EvalError::new(format!("{is} is where an index must be")));
                }
            },
        };
    }
    Ok(value)
}

/// A part of a value, borrowed as long as the whole is; `null` where there is none.
fn enter<'a>(
    whole: Cow<'a, Value>,
    borrowed: impl FnOnce(&'a Value) -> Option<&'a Value>,
    owned: impl FnOnce(&mut Value) -> Option<&mut Value>,
) -> Cow<'a, Value> {
    match whole {
        Cow::Borrowed(value) => Cow::Borrowed(borrowed(value).unwrap_or(&NULL)),
        Cow::Owned(mut value) => Cow::Owned(owned(&mut value).map(Value::take).unwrap_or_default()),
    }
}

/// The place in a list; those below 0 count from its end.
fn position(number: &serde_json::Number, list: &Value) -> Option<usize> {
    let length = list.as_array()?.len();
    match number.as_i64()? {
        back if back < 0 => length.checked_sub(usize::try_from(back.unsigned_abs()).ok()?),
        at => usize::try_from(at).ok(),
    }
}
