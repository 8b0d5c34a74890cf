//! Choices between yes and no: an expression, or a comparison as editors of graphs write it.

use protocol::workflow::{Compare, Condition as Written, Op};
use serde_json::Value;

use super::expression::{
    EvalError, Expression, Fuel, Kinds, Order, Query, Syntax, Uses, compare, contains, described,
    same, truth,
};

/// A condition, read once.
///
/// ```
/// use actors::workflow::condition::Condition;
/// use protocol::workflow::Condition as Written;
/// use serde_json::json;
///
/// let written: Written = serde_json::from_value(json!({ "path": "$.pass", "op": "eq", "value": true }))?;
/// assert!(Condition::compile(&written)?.holds(&json!({ "output": { "pass": true } }))?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Expression(Expression),
    Compare { found: Query, op: Op, with: Value },
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// When it is not in the language, or can be neither true nor false.
    pub fn compile(it: &Written) -> Result<Self, Syntax> {
        let test = match it {
            Written::Expression(text) => Test::Expression(expression(text)?),
            Written::Compare(compare) => comparison(compare)?,
        };
        Ok(Self { test })
    }

    /// Whether it holds in a scope; a comparison looks at what is there as `output`.
    ///
    /// # Errors
    ///
    /// When it is neither true nor false.
    pub fn holds(&self, scope: &Value) -> Result<bool, EvalError> {
        match &self.test {
            Test::Expression(expression) => truth(&expression.evaluate(scope)?),
            Test::Compare { found, op, with } => {
                let output = scope.get("output").unwrap_or(&Value::Null);
                let fuel = Fuel::full();
                let many = found.finds_many();
                let found = found.find(output, &fuel)?;
                fuel.look(&found)?;
                match (op, &found) {
                    (Op::Exists, Value::Array(list)) if many => {
                        Ok(list.iter().any(|value| !value.is_null()))
                    }
                    (Op::Exists, found) => Ok(!found.is_null()),
                    (Op::Eq, found) => Ok(same(found, with)),
                    (Op::Ne, found) => Ok(!same(found, with)),
                    (Op::Lt, found) => compare(found, Order::Before, with),
                    (Op::Le, found) => compare(found, Order::NotAfter, with),
                    (Op::Gt, found) => compare(found, Order::After, with),
                    (Op::Ge, found) => compare(found, Order::NotBefore, with),
                    (Op::In, found) => contains(with, found),
                    (Op::Contains, found) => contains(found, with),
                }
            }
        }
    }

    /// Adds what of a scope it refers to.
    pub fn uses(&self, into: &mut Uses) {
        match &self.test {
            Test::Expression(expression) => expression.uses(into),
            Test::Compare { .. } => {
                into.roots.insert("output".to_owned());
            }
        }
    }

    /// The same with what a comparison looks at inside the output.
    pub(crate) fn visit_whole_paths(&self, show: &mut dyn FnMut(&[String])) {
        match &self.test {
            Test::Expression(expression) => expression.visit_paths(show),
            Test::Compare { found, .. } => {
                let output = std::iter::once("output".to_owned());
                show(&output.chain(found.keys()).collect::<Vec<_>>());
            }
        }
    }

    /// Shows each path into the scope that it refers to, as far as its keys are known.
    pub(super) fn visit_paths(&self, show: &mut dyn FnMut(&[String])) {
        match &self.test {
            Test::Expression(expression) => expression.visit_paths(show),
            Test::Compare { .. } => show(&["output".to_owned()]),
        }
    }
}

fn expression(text: &str) -> Result<Expression, Syntax> {
    if text.trim_start().starts_with("${") {
        let message = "a condition stands without `${` and `}`";
        return Err(Syntax::new(0, message));
    }
    let expression = Expression::parse(text)?;
    let kinds = expression.kinds();
    if kinds.can_be(Kinds::BOOL) {
        return Ok(expression);
    }
    let message = format!("a condition is true or false; this is {kinds}");
    Err(Syntax::new(0, message))
}

fn comparison(it: &Compare) -> Result<Test, Syntax> {
    let found = Query::parse(&it.path, 0).map_err(|fault| fault.within("path"))?;
    let wanted = match it.op {
        Op::Lt | Op::Le | Op::Gt | Op::Ge if !(it.value.is_number() || it.value.is_string()) => {
            Some("a number or a text")
        }
        Op::In if !it.value.is_array() => Some("a list"),
        Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge => None,
        Op::In | Op::Contains | Op::Exists => None,
    };
    match wanted {
        Some(wanted) => {
            let is = described(&it.value);
            let message = format!("{is} is where {wanted} must be");
            Err(Syntax::new(0, message).within("value"))
        }
        None => Ok(Test::Compare {
            found,
            op: it.op,
            with: it.value.clone(),
        }),
    }
}

#[cfg(test)]
mod tests;
