//! A JSONPath into a scope.

use std::fmt;

use serde_json::Value;

use super::{EvalError, Fuel, Syntax, fuel::weight};
use crate::adapter::http::path::Path;

/// A JSONPath as it was written. One that can find several values gives a list of them, any other the
/// value that it finds or `null`.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    text: String,
    path: Path,
}

impl Query {
    /// Reads a whole text that begins at a byte of another one.
    pub(in super::super) fn parse(text: &str, at: usize) -> Result<Self, Syntax> {
        let path = Path::parse(text).map_err(|message| Syntax::new(at, message))?;
        Ok(Self {
            text: text.to_owned(),
            path,
        })
    }

    pub(in super::super) fn find(&self, scope: &Value, fuel: &Fuel) -> Result<Value, EvalError> {
        if self.finds_many() {
            fuel.look(self.begin(scope))?;
        }
        let found = self.path.find(scope);
        let found = found.unwrap_or_else(|| match self.finds_many() {
            true => Value::Array(Vec::new()),
            false => Value::Null,
        });
        fuel.make(weight(&found).0)?;
        Ok(found)
    }

    /// The first value that it finds.
    pub(in super::super) fn first<'a>(
        &self,
        value: &'a Value,
        fuel: &Fuel,
    ) -> Result<Option<&'a Value>, EvalError> {
        if self.finds_many() {
            fuel.look(self.begin(value))?;
        }
        Ok(self.path.first(value))
    }

    /// What its known keys lead to, which is all that it can look at.
    fn begin<'a>(&self, scope: &'a Value) -> &'a Value {
        let keys = self.keys();
        keys.iter()
            .try_fold(scope, |value, key| value.get(key))
            .unwrap_or(&Value::Null)
    }

    pub(in super::super) fn finds_many(&self) -> bool {
        self.path.finds_many()
    }

    /// The keys with which it begins. What is in its filters lies below these, for they have no `$`.
    pub(in super::super) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut rest = self.text.get(1..).unwrap_or_default();
        while let Some((key, after)) = key(rest) {
            keys.push(key.to_owned());
            rest = after;
        }
        keys
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A key at the front of what is left of a path, and what comes after it.
fn key(rest: &str) -> Option<(&str, &str)> {
    if let Some(name) = rest.strip_prefix('.') {
        let end = name.find(|letter| !in_name(letter)).unwrap_or(name.len());
        return (end > 0).then(|| name.split_at(end));
    }
    let quoted = rest.strip_prefix('[')?;
    let quote = quoted.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (name, after) = quoted[1..].split_once(quote)?;
    let after = after.strip_prefix(']')?;
    (!name.contains('\\')).then_some((name, after))
}

/// A letter of a name that stands without quotes.
const fn in_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii()
}

/// The byte after the JSONPath that begins at the front of a text, where an expression goes on.
pub(super) fn length(text: &str) -> usize {
    let mut end = 1;
    loop {
        let rest = &text[end..];
        let step = match rest.as_bytes() {
            [b'.', b'.', b'*', ..] => 3,
            [b'.', b'*', ..] | [b'.', b'.', b'[', ..] => 2,
            [b'.', b'.', ..] => 2 + name(&rest[2..]),
            [b'.', ..] => match name(&rest[1..]) {
                0 => 0,
                letters => 1 + letters,
            },
            [b'[', ..] => brackets(rest),
            _ => 0,
        };
        if step == 0 {
            return end;
        }
        end += step;
    }
}

fn name(text: &str) -> usize {
    let starts = |letter: char| in_name(letter) && !letter.is_ascii_digit();
    if !text.starts_with(starts) {
        return 0;
    }
    text.find(|letter| !in_name(letter)).unwrap_or(text.len())
}

/// Bytes from a bracket to the one that closes it, or to the end.
fn brackets(text: &str) -> usize {
    let mut open = 0_usize;
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (Some(_), '\\') => {
                letters.next();
            }
            (Some(end), letter) if letter == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '[') => open += 1,
            (None, ']') if open == 1 => return at + 1,
            (None, ']') => open -= 1,
            (None, _) => {}
        }
    }
    text.len()
}
