//! The language of conditions and of `${…}`: total, without loops, bounded in time and space.
//!
//! Literals are those of JSON, texts also in single quotes. A name is a key of the scope, `.field`,
//! `[index]` and `["key"]` go further in; what is not there is `null`. `$.a[*].b` is a JSONPath into the
//! scope: a list if it can find several. Operators, the loosest first: `a ? b : c`, `??` (the right side
//! if the left one is `null`), `||` or `or`, `&&` or `and`, `not`, `== != < <= > >= in`, `+ -`, `* / %`,
//! `!` and `-`. [`FUNCTIONS`] names what can be called.
//!
//! Nothing is converted silently: only `true` and `false` are conditions, and only what is of the same
//! kind is ordered. Whole numbers stay exact.

mod fuel;
mod function;
mod kinds;
mod lexer;
mod number;
mod order;
mod parser;
mod print;
mod query;
mod term;
mod uses;

use std::fmt;

use serde_json::Value;

pub use function::{FUNCTIONS, Signature};
pub use kinds::Kinds;
pub use query::Query;
pub use uses::{UsedNodes, Uses};

pub(super) use fuel::{Fuel, weight};
pub(super) use function::as_text;
pub(super) use order::{Order, compare, contains, described, same};
use term::Term;
pub(super) use term::truth;

/// Longest expression, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;

/// Deepest nesting of an expression, and of values that it gives.
pub const MAX_DEPTH: usize = 64;

/// Where a text is not in the language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Syntax {
    /// What is wrong.
    pub message: String,
    /// The byte of the text at which it shows.
    pub at: usize,
    /// Where in a template the text stands, as a JSON pointer; empty elsewhere.
    pub path: String,
}

impl Syntax {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at,
            path: String::new(),
        }
    }

    /// The same inside a field or an element of a template.
    pub(super) fn within(mut self, key: &str) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        self.path.insert_str(0, &format!("/{key}"));
        self
    }
}

/// Why an expression has no value in a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// What is wrong, with the kinds of value that do not go together.
    pub message: String,
}

impl EvalError {
    pub(in crate::workflow) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// A text of the language, read once.
///
/// ```
/// use actors::workflow::expression::Expression;
/// use serde_json::json;
///
/// let passed = Expression::parse("nodes.test.output.failed == 0 and (input.strict ?? true)")?;
/// let scope = json!({ "input": {}, "nodes": { "test": { "output": { "failed": 0 } } } });
/// assert_eq!(passed.evaluate(&scope)?, json!(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    term: Term,
}

impl Expression {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// When it is not in the language, too long, or nested too deeply.
    pub fn parse(text: &str) -> Result<Self, Syntax> {
        let term = parser::alone(text)?;
        Ok(Self { term })
    }

    /// Reads an expression that begins at a byte of a text and ends at a `}` that it does not open;
    /// also gives the byte after that.
    pub(super) fn embedded(text: &str, start: usize) -> Result<(Self, usize), Syntax> {
        let (term, end) = parser::embedded(text, start)?;
        Ok((Self { term }, end))
    }

    /// Its value in a scope.
    ///
    /// # Errors
    ///
    /// When values do not go together, or more would be made than is allowed.
    pub fn evaluate(&self, scope: &Value) -> Result<Value, EvalError> {
        self.evaluate_with(scope, &Fuel::full())
    }

    pub(super) fn evaluate_with(&self, scope: &Value, fuel: &Fuel) -> Result<Value, EvalError> {
        fuel.keep(self.term.evaluate(scope, fuel)?)
    }

    /// Adds what of a scope it refers to.
    pub fn uses(&self, into: &mut Uses) {
        self.visit_paths(&mut |path| into.add(path));
    }

    /// Shows each path into the scope that it refers to, as far as its keys are known.
    pub(super) fn visit_paths(&self, visit: &mut dyn FnMut(&[String])) {
        uses::visit(&self.term, visit);
    }

    /// What its value can be, as far as that shows without a scope.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        kinds::of(&self.term)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.term.fmt(f)
    }
}

#[cfg(test)]
mod tests;
