//! A JSONPath (RFC 9535) that costs little on any document.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use serde_json_path::JsonPath;

/// Longest path.
const MAX_LENGTH: usize = 256;

/// A path into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    path: JsonPath,
    yields: Yields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Yields {
    One,
    Many,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// When it is none, or when it could take more than a few looks at each part of a document.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("a path has at most {MAX_LENGTH} characters"));
        }
        let path = JsonPath::parse(text)
            .map_err(|error| format!("`{text}` is not a JSONPath: {error}"))?;
        let bare = without_names(text);
        if let Some(fault) = too_costly(&bare) {
            return Err(format!("`{text}` could take too long: {fault}"));
        }
        let many = ["*", "..", "?", ",", ":"];
        let yields = if many.iter().any(|sign| bare.contains(sign)) {
            Yields::Many
        } else {
            Yields::One
        };
        Ok(Self { path, yields })
    }

    /// Whether it may lead to several values.
    #[must_use]
    pub fn finds_many(&self) -> bool {
        self.yields == Yields::Many
    }

    /// The first value that it leads to.
    #[must_use]
    pub fn first<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.path.query(document).first()
    }

    /// What it leads to: one value, or for a path with `*`, `..`, `?`, `,` or `:` a list of all.
    #[must_use]
    pub fn find(&self, document: &Value) -> Option<Value> {
        let mut found = self.path.query(document).into_iter().cloned();
        match self.yields {
            Yields::One => found.next(),
            Yields::Many => {
                let all: Vec<Value> = found.collect();
                (!all.is_empty()).then_some(Value::Array(all))
            }
        }
    }
}

/// The text without what stands in quotes.
fn without_names(text: &str) -> String {
    let mut quote = None;
    let mut escaped = false;
    text.chars()
        .filter(|&letter| match quote {
            Some(_) if escaped => {
                escaped = false;
                false
            }
            Some(open) => {
                escaped = letter == '\\';
                if letter == open {
                    quote = None;
                }
                false
            }
            None => {
                quote = matches!(letter, '"' | '\'').then_some(letter);
                quote.is_none()
            }
        })
        .collect()
}

/// Paths multiply their work where they look at the same part again and again.
fn too_costly(bare: &str) -> Option<&'static str> {
    let (before, filter) = bare.split_once('?').unwrap_or((bare, ""));
    if bare.matches("..").count() > 1 {
        Some("it has more than one `..`")
    } else if bare.matches(',').count() > 4 {
        Some("it has more than four `,`")
    } else if ["?", "$", "*", ".."]
        .iter()
        .any(|sign| filter.contains(sign))
    {
        Some("its filter holds a `?`, `$`, `*` or `..`")
    } else if !filter.is_empty() && before.contains("..") {
        Some("it has both `..` and a filter")
    } else {
        None
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.path, f)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_finds_one_value_or_a_list_of_all() {
        let document = json!({ "a": { "b": [{ "c": 1 }, { "c": 2 }], "x,*": 3 }, "n": null });
        for (path, found) in [
            ("$.a.b[0].c", Some(json!(1))),
            ("$.a.b[-1].c", Some(json!(2))),
            ("$['a']['x,*']", Some(json!(3))),
            ("$.a.b[*].c", Some(json!([1, 2]))),
            ("$.a.b[0:1].c", Some(json!([1]))),
            ("$..c", Some(json!([1, 2]))),
            ("$.a.b[?@.c > 1].c", Some(json!([2]))),
            ("$.n", Some(Value::Null)),
            ("$.a.z", None),
            ("$.a[*].z", None),
            ("$", Some(document.clone())),
        ] {
            assert_eq!(Path::parse(path).unwrap().find(&document), found, "{path}");
        }
    }

    #[test]
    fn a_path_that_multiplies_its_work_is_refused() {
        for path in [
            "$..*..*",
            "$..[?@.a]",
            "$[?@..a]",
            "$[?$[*]]",
            "$[?@[?@.a]]",
            "$[*,*][*,*][*,*][*,*][*,*]",
            "a.b",
            "$.",
            "",
            "$['a",
        ] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
        assert!(Path::parse(&format!("$.{}", "a".repeat(300))).is_err());
    }
}
