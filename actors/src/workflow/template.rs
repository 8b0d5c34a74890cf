//! JSON in which strings refer to what a run knows; its rules stand at [`protocol::workflow::Template`].

use protocol::json;
use serde_json::{Map, Value};

use super::expression::{
    EvalError, Expression, Fuel, Kinds, MAX_DEPTH, Query, Syntax, Uses, as_text, weight,
};

/// A template, read once.
///
/// ```
/// use actors::workflow::template::Template;
/// use serde_json::json;
///
/// let template = Template::parse(&json!({ "files": "$.input.files[*].name", "ask": "Read ${input.n} of them" }))?;
/// let scope = json!({ "input": { "files": [{ "name": "a" }], "n": 1 } });
/// assert_eq!(template.render(&scope)?, json!({ "files": ["a"], "ask": "Read 1 of them" }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    part: Part,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// Refers to nothing.
    Fixed(Value),
    Query(Query),
    Expression(Expression),
    Text(Vec<Piece>),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Fixed(String),
    Expression(Expression),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// When a string in it is not in the language, or it is nested too deeply.
    pub fn parse(value: &Value) -> Result<Self, Syntax> {
        let part = part(value, MAX_DEPTH)?;
        Ok(Self { part })
    }

    /// Its value in a scope.
    ///
    /// # Errors
    ///
    /// When an expression has none, or it becomes too large or too deep.
    pub fn render(&self, scope: &Value) -> Result<Value, EvalError> {
        let value = self.part.render(scope, &Fuel::full())?;
        match weight(&value).1 {
            depth if depth > MAX_DEPTH => Err(EvalError::new(format!(
                "a value is nested more than {MAX_DEPTH} deep"
            ))),
            _ => json::check(&value)
                .map(|()| value)
                .map_err(|why| EvalError::new(why.to_string())),
        }
    }

    /// Adds what of a scope it refers to.
    pub fn uses(&self, into: &mut Uses) {
        self.visit(&mut |place| match place {
            Place::Query(query) => into.add(&query.keys()),
            Place::Expression(expression) => expression.uses(into),
        });
    }

    /// Shows each path into the scope that it refers to, as far as its keys are known.
    pub(crate) fn visit_paths(&self, show: &mut dyn FnMut(&[String])) {
        self.visit(&mut |place| match place {
            Place::Query(query) => show(&query.keys()),
            Place::Expression(expression) => expression.visit_paths(show),
        });
    }

    fn visit(&self, show: &mut dyn FnMut(Place<'_>)) {
        self.part.visit(show);
    }

    /// What its value can be, as far as that shows without a scope.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        match &self.part {
            Part::Fixed(value) => Kinds::of(value),
            Part::Query(query) if query.finds_many() => Kinds::LIST,
            Part::Query(_) => Kinds::ANY,
            Part::Expression(expression) => expression.kinds(),
            Part::Text(_) => Kinds::TEXT,
            Part::List(_) => Kinds::LIST,
            Part::Object(_) => Kinds::OBJECT,
        }
    }
}

/// What refers to the scope.
enum Place<'a> {
    Query(&'a Query),
    Expression(&'a Expression),
}

fn part(value: &Value, depth: usize) -> Result<Part, Syntax> {
    let Some(depth) = depth.checked_sub(1) else {
        let message = format!("a template is nested at most {MAX_DEPTH} deep");
        return Err(Syntax::new(0, message));
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Part::Fixed(value.clone())),
        Value::String(text) => string(text),
        Value::Array(list) => {
            let parts = list.iter().enumerate().map(|(at, element)| {
                part(element, depth).map_err(|fault| fault.within(&at.to_string()))
            });
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            let fixed = parts.iter().all(Part::is_fixed);
            Ok(if fixed {
                Part::Fixed(fixed_list(parts))
            } else {
                Part::List(parts)
            })
        }
        Value::Object(fields) => {
            let parts = fields.iter().map(|(key, value)| {
                let part = part(value, depth).map_err(|fault| fault.within(key))?;
                Ok((key.clone(), part))
            });
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            let fixed = parts.iter().all(|(_, part)| part.is_fixed());
            Ok(if fixed {
                Part::Fixed(fixed_object(parts))
            } else {
                Part::Object(parts)
            })
        }
    }
}

/// The same elements: `$$` in their texts stands for a dollar sign by now.
fn fixed_list(parts: Vec<Part>) -> Value {
    parts.into_iter().filter_map(Part::fixed).collect()
}

fn fixed_object(parts: Vec<(String, Part)>) -> Value {
    let fields = parts.into_iter();
    let fields = fields.filter_map(|(key, part)| Some((key, part.fixed()?)));
    Value::Object(fields.collect())
}

fn string(text: &str) -> Result<Part, Syntax> {
    if text.starts_with('$') && !text.starts_with("$$") && !text.starts_with("${") {
        return Query::parse(text, 0)
            .map(Part::Query)
            .map_err(|fault| Syntax {
                message: format!("{}; `$$` stands for a dollar sign", fault.message),
                ..fault
            });
    }
    let mut pieces = pieces(text)?;
    Ok(match pieces.as_slice() {
        [] => Part::Fixed(Value::String(String::new())),
        [_] => match pieces.remove(0) {
            Piece::Fixed(text) => Part::Fixed(Value::String(text)),
            Piece::Expression(expression) => Part::Expression(expression),
        },
        [_, _, ..] => Part::Text(pieces),
    })
}

fn pieces(text: &str) -> Result<Vec<Piece>, Syntax> {
    let mut pieces = Vec::new();
    let mut fixed = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        fixed.push_str(&text[at..at + found]);
        at += found + 1;
        match text.as_bytes().get(at) {
            Some(b'$') => {
                fixed.push('$');
                at += 1;
            }
            Some(b'{') => {
                let (expression, end) = Expression::embedded(text, at + 1)?;
                if !fixed.is_empty() {
                    pieces.push(Piece::Fixed(std::mem::take(&mut fixed)));
                }
                pieces.push(Piece::Expression(expression));
                at = end;
            }
            Some(_) | None => fixed.push('$'),
        }
    }
    fixed.push_str(&text[at..]);
    if !fixed.is_empty() {
        pieces.push(Piece::Fixed(fixed));
    }
    Ok(pieces)
}

impl Part {
    const fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    fn fixed(self) -> Option<Value> {
        match self {
            Self::Fixed(value) => Some(value),
            Self::Query(_)
            | Self::Expression(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Object(_) => None,
        }
    }

    fn render(&self, scope: &Value, fuel: &Fuel) -> Result<Value, EvalError> {
        match self {
            Self::Fixed(value) => {
                fuel.make(weight(value).0)?;
                Ok(value.clone())
            }
            Self::Query(query) => query.find(scope, fuel),
            Self::Expression(expression) => expression.evaluate_with(scope, fuel),
            Self::Text(pieces) => text(pieces, scope, fuel).map(Value::String),
            Self::List(parts) => parts.iter().map(|part| part.render(scope, fuel)).collect(),
            Self::Object(parts) => {
                let fields = parts.iter().map(|(key, part)| {
                    fuel.make(key.len())?;
                    Ok((key.clone(), part.render(scope, fuel)?))
                });
                fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    fn visit(&self, show: &mut dyn FnMut(Place<'_>)) {
        match self {
            Self::Fixed(_) => {}
            Self::Query(query) => show(Place::Query(query)),
            Self::Expression(expression) => show(Place::Expression(expression)),
            Self::Text(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Fixed(_) => {}
                        Piece::Expression(expression) => show(Place::Expression(expression)),
                    }
                }
            }
            Self::List(parts) => parts.iter().for_each(|part| part.visit(show)),
            Self::Object(parts) => parts.iter().for_each(|(_, part)| part.visit(show)),
        }
    }
}

fn text(pieces: &[Piece], scope: &Value, fuel: &Fuel) -> Result<String, EvalError> {
    let mut whole = String::new();
    for piece in pieces {
        match piece {
            Piece::Fixed(text) => {
                fuel.make(text.len())?;
                whole.push_str(text);
            }
            Piece::Expression(expression) => {
                let value = expression.evaluate_with(scope, fuel)?;
                let text = as_text(&value);
                fuel.make(text.len())?;
                whole.push_str(&text);
            }
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;
