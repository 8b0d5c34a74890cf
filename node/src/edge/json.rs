//! Limits of JSON that serde does not know: depth, lengths, and names that cannot be given or are given
//! twice. Pure.
//!
//! One pass over the bytes before they are parsed, so that what the parser builds is bounded. It
//! does not judge syntax: where the text is malformed it stops, and the parser says what is wrong.

use std::{borrow::Cow, collections::HashSet};

use protocol::json::{self, MAX_DEPTH};

/// How many items an array may have, or an object names.
pub(crate) const MAX_ITEMS: usize = 10_000;
/// How many bytes a string may have, as it is written.
pub(crate) const MAX_STRING: usize = 256 * 1024;

/// Which limit was crossed, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub(crate) limit: Limit,
    pub(crate) at: usize,
}

/// What is limited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Limit {
    #[error("objects and arrays lie more than {MAX_DEPTH} deep in each other")]
    Depth,
    #[error("an array or object has more than {MAX_ITEMS} items")]
    Items,
    #[error("a string has more than {MAX_STRING} bytes")]
    String,
    #[error("the name `{0}` is given twice in one object")]
    Twice(String),
    #[error("the name `{0}` cannot be given")]
    Reserved(String),
}

/// An object or array that is not closed yet.
struct Open<'a> {
    items: usize,
    names: Option<Names<'a>>,
}

/// The names of an object: looked through while few, hashed when many.
enum Names<'a> {
    Few(Vec<Cow<'a, str>>),
    Many(HashSet<Cow<'a, str>>),
}

impl<'a> Names<'a> {
    const FEW: usize = 16;

    /// Whether `name` is new.
    fn add(&mut self, name: Cow<'a, str>) -> bool {
        match self {
            Self::Few(names) if names.contains(&name) => false,
            Self::Few(names) if names.len() < Self::FEW => {
                names.push(name);
                true
            }
            Self::Few(names) => {
                let mut many: HashSet<_> = names.drain(..).collect();
                many.insert(name);
                *self = Self::Many(many);
                true
            }
            Self::Many(names) => names.insert(name),
        }
    }
}

/// How long strings may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strings {
    /// All of them as long as most may be.
    Short,
    /// The one of this name in the outermost object is as long as the whole may be.
    Whole(&'static str),
}

/// Checks `text` against the limits.
pub(crate) fn check(text: &str, strings: Strings) -> Result<(), Crossed> {
    let bytes = text.as_bytes();
    let mut open: Vec<Open<'_>> = Vec::with_capacity(8);
    let mut is_whole = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                if open.len() == MAX_DEPTH {
                    return Err(Crossed {
                        limit: Limit::Depth,
                        at,
                    });
                }
                let names = (byte == b'{').then(|| Names::Few(Vec::new()));
                open.push(Open { items: 1, names });
            }
            b'}' | b']' => drop(open.pop()),
            b',' => {
                if let Some(inner) = open.last_mut() {
                    inner.items += 1;
                    if inner.items > MAX_ITEMS {
                        return Err(Crossed {
                            limit: Limit::Items,
                            at,
                        });
                    }
                }
            }
            b'"' => {
                let Some(end) = string_end(bytes, at + 1) else {
                    return Ok(());
                };
                let is_name = is_name(bytes, end + 1);
                let is_outermost = open.len() == 1;
                let may_be_long = is_whole && is_outermost && !is_name;
                if end - at - 1 > MAX_STRING && !may_be_long {
                    return Err(Crossed {
                        limit: Limit::String,
                        at,
                    });
                }
                if let Some(names) = open.last_mut().and_then(|inner| inner.names.as_mut())
                    && is_name
                {
                    let Some(name) = unescaped(&text[at..=end]) else {
                        return Ok(());
                    };
                    if json::is_reserved(name.as_bytes()) {
                        return Err(Crossed {
                            limit: Limit::Reserved(shown(&name)),
                            at,
                        });
                    }
                    is_whole =
                        is_outermost && matches!(strings, Strings::Whole(whole) if whole == name);
                    if !names.add(name.clone()) {
                        return Err(Crossed {
                            limit: Limit::Twice(shown(&name)),
                            at,
                        });
                    }
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Where the string that begins at `from` has its closing quote.
fn string_end(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        match bytes.get(from)? {
            b'"' => return Some(from),
            b'\\' => from += 2,
            _ => from += 1,
        }
    }
}

/// Whether a colon follows, blanks aside.
fn is_name(bytes: &[u8], from: usize) -> bool {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

/// The text of a quoted string; `None` when its escapes are malformed.
fn unescaped(quoted: &str) -> Option<Cow<'_, str>> {
    if quoted.contains('\\') {
        serde_json::from_str(quoted).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(&quoted[1..quoted.len() - 1]))
    }
}

fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

/// Line and column of a byte, both from 1.
pub(crate) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    (line, at - start + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn crossed(text: &str) -> Option<Limit> {
        check(text, Strings::Short)
            .err()
            .map(|crossed| crossed.limit)
    }

    #[test]
    fn each_limit_holds_to_the_unit() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(crossed(&nested(MAX_DEPTH)), None);
        assert_eq!(crossed(&nested(MAX_DEPTH + 1)), Some(Limit::Depth));
        assert_eq!(crossed(&nested(1_000_000)), Some(Limit::Depth));

        let long = |items| format!("[{}]", vec!["1"; items].join(","));
        assert_eq!(crossed(&long(MAX_ITEMS)), None);
        assert_eq!(crossed(&long(MAX_ITEMS + 1)), Some(Limit::Items));

        let wide = |bytes| format!("\"{}\"", "x".repeat(bytes));
        assert_eq!(crossed(&wide(MAX_STRING)), None);
        assert_eq!(crossed(&wide(MAX_STRING + 1)), Some(Limit::String));
    }

    #[test]
    fn a_name_is_given_once_however_it_is_written() {
        for twice in [
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": 1, "b": {"c": 1, "c": 2}}"#,
            r#"[{"a": 1, "\u0061" : 2}]"#,
        ] {
            assert!(matches!(crossed(twice), Some(Limit::Twice(_))), "{twice}");
        }
        for once in [
            r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}"#,
            r#"{"a": "b", "b": "a", "c": ["a", "a"]}"#,
            r#"{"a": "\"a\":", "A": ":"}"#,
        ] {
            assert_eq!(crossed(once), None, "{once}");
        }
        let many = (0..40)
            .map(|n| format!("\"k{n}\": {n}"))
            .collect::<Vec<_>>()
            .join(",");
        assert_eq!(crossed(&format!("{{{many}}}")), None);
        assert_eq!(
            crossed(&format!("{{{many}, \"k3\": 1}}")),
            Some(Limit::Twice("k3".to_owned()))
        );
    }

    #[test]
    fn names_that_the_parser_keeps_for_itself_are_not_given() {
        for name in [
            "$serde_json::private::RawValue",
            "\\u0024serde_json::private::Number",
        ] {
            let text = format!(r#"[{{"a": 1}}, {{"{name}" : "[5]"}}]"#);
            assert!(matches!(crossed(&text), Some(Limit::Reserved(_))), "{text}");
        }
        let said = r#"{"a": "$serde_json::private::RawValue"}"#;
        assert_eq!(crossed(said), None);
    }

    #[test]
    fn positions_count_from_one() {
        assert_eq!(position("ab\ncd", 0), (1, 1));
        assert_eq!(position("ab\ncd", 4), (2, 2));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(text in "[\\[\\]{}:,\"\\\\u0-9a ]{0,80}") {
            let _ = check(&text, Strings::Whole("a"));
        }
    }
}
