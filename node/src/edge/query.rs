//! Query parameters and path segments: decoded, known, and of the right form. Pure.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use protocol::{
    id::TaskId,
    question::Addressee,
    time::{Span, Timestamp},
    words,
};
use serde::de::{DeserializeOwned, IntoDeserializer, value::StrDeserializer};

use super::problem::Refused;

/// What a parameter can be.
pub(crate) trait Form: FromStr<Err: Display> {
    /// What it must be, for those whose parser has no words for clients.
    const WANTED: Option<&'static str> = None;
}

impl Form for u32 {
    const WANTED: Option<&'static str> = Some("a whole number from 0 to 4294967295");
}
impl Form for u64 {
    const WANTED: Option<&'static str> = Some("a whole number, 0 or more");
}
impl Form for bool {
    const WANTED: Option<&'static str> = Some("`true` or `false`");
}
impl Form for Addressee {}
impl Form for Span {}
impl Form for TaskId {}
impl Form for Timestamp {}

/// The query of one request; every name in it is one that its route takes.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

/// What a route's parameter is called; `meta.*` stands for every name that starts with `meta.`.
fn takes(known: &str, name: &str) -> bool {
    known.strip_suffix('*').map_or(known == name, |start| {
        name.strip_prefix(start)
            .is_some_and(|rest| !rest.is_empty())
    })
}

impl Query {
    /// Reads `text`, the part of a URI after `?`, for a route that takes the parameters `known`.
    pub(crate) fn read<'a>(
        text: &str,
        known: &(impl Iterator<Item = &'a str> + Clone),
    ) -> Result<Self, Refused> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) =
                (decode(name, Plus::IsSpace), decode(value, Plus::IsSpace))
            else {
                return Err(Refused::bad("query", "is not percent-encoded UTF-8"));
            };
            is_known(&name, known.clone())?;
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Refused::bad(shown(&name), "is given twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// What was given by name already, for a route that takes the parameters `known`.
    pub(crate) fn of<'a>(
        pairs: Vec<(String, String)>,
        known: &(impl Iterator<Item = &'a str> + Clone),
    ) -> Result<Self, Refused> {
        for (name, _) in &pairs {
            is_known(name, known.clone())?;
        }
        Ok(Self { pairs })
    }

    /// A parameter as text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter of a type that parses.
    pub(crate) fn get<T: Form>(&self, name: &str) -> Result<Option<T>, Refused> {
        let read = |value: &str| {
            value.parse().map_err(|error: T::Err| match T::WANTED {
                Some(wanted) => misfit(name, wanted, value),
                None => Refused::bad(name, error.to_string()),
            })
        };
        self.text(name).map(read).transpose()
    }

    /// A parameter that is a number of a range.
    pub(crate) fn within(
        &self,
        name: &str,
        range: &RangeInclusive<u32>,
    ) -> Result<Option<u32>, Refused> {
        let read = |value: &str| {
            let number = value.parse().ok().filter(|number| range.contains(number));
            let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
            number.ok_or_else(|| misfit(name, &wanted(), value))
        };
        self.text(name).map(read).transpose()
    }

    /// A parameter that is one of an enum's words.
    pub(crate) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Refused> {
        self.text(name)
            .map(|value| {
                let word: StrDeserializer<'_, serde::de::value::Error> = value.into_deserializer();
                let told = |error: serde::de::value::Error| words::plain(&error.to_string());
                T::deserialize(word).map_err(|error| Refused::bad(name, told(error)))
            })
            .transpose()
    }

    /// A parameter that is one of these words.
    pub(crate) fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<String>, Refused> {
        let read = |value: &str| {
            let wanted = || format!("one of {}", words.join(", "));
            match words.contains(&value) {
                true => Ok(value.to_owned()),
                false => Err(misfit(name, &wanted(), value)),
            }
        };
        self.text(name).map(read).transpose()
    }

    /// The page length, from 1 to 200.
    pub(crate) fn limit(&self) -> Result<Option<u32>, Refused> {
        self.within("limit", &(1..=200))
    }

    /// The node that is meant, if one is.
    pub(crate) fn node(&self) -> Result<Option<&str>, Refused> {
        match self.text("node") {
            Some("") => Err(Refused::bad(
                "node",
                "must be the name of a node, and is empty; leave it out where none is meant",
            )),
            node => Ok(node),
        }
    }

    /// What came as `START.KEY=VALUE`.
    pub(crate) fn starting(&self, start: &str) -> Vec<(String, String)> {
        self.pairs
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(start)?.to_owned(), value.clone())))
            .collect()
    }
}

fn misfit(name: &str, wanted: &str, given: &str) -> Refused {
    let given = match given {
        "" => "is empty".to_owned(),
        given => format!("is `{}`", shown(given)),
    };
    Refused::bad(name, format!("must be {wanted}, and {given}"))
}

fn is_known<'a>(
    name: &str,
    mut known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Refused> {
    if known.clone().any(|known| takes(known, name)) {
        return Ok(());
    }
    let hint = match known.next() {
        None => "is not a parameter of this path, which takes none".to_owned(),
        Some(first) => {
            let known = std::iter::once(first).chain(known);
            let known = known.collect::<Vec<_>>().join(", ");
            format!("is not a parameter of this path; it takes {known}")
        }
    };
    Err(Refused::bad(shown(name), hint))
}

fn shown(name: &str) -> String {
    name.chars()
        .take(80)
        .flat_map(char::escape_default)
        .collect()
}

/// What `+` means: a space in queries, itself in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plus {
    IsSpace,
    IsPlus,
}

/// A path segment without its percent-encoding; `None` when it is not UTF-8.
pub(crate) fn segment(text: &str) -> Option<String> {
    decode(text, Plus::IsPlus)
}

fn decode(text: &str, plus: Plus) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            b'+' if plus == Plus::IsSpace => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use protocol::task::TaskStatus;

    use super::*;

    fn read(text: &str) -> Result<Query, Refused> {
        Query::read(text, &["limit", "status", "q", "meta.*"].into_iter())
    }

    #[test]
    fn parameters_are_decoded() {
        let query = read("q=a+b%2Bc%20%C3%A4&meta.team=x&status=failed&limit=200").unwrap();
        assert_eq!(query.text("q"), Some("a b+c ä"));
        assert_eq!(
            query.starting("meta."),
            [("team".to_owned(), "x".to_owned())]
        );
        assert_eq!(
            query.word::<TaskStatus>("status").unwrap(),
            Some(TaskStatus::Failed)
        );
        assert_eq!(query.limit().unwrap(), Some(200));
        assert_eq!(read("").unwrap().limit().unwrap(), None);
        assert_eq!(segment("a+b%2F"), Some("a+b/".to_owned()));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (text, name) in [
            ("limt=1", "limt"),
            ("meta.=1", "meta."),
            ("limit=1&limit=2", "limit"),
            ("q=%ff", "query"),
            ("q=%4", "query"),
            ("q=%+4", "query"),
        ] {
            let problem = read(text).unwrap_err().problem("r");
            assert_eq!(
                (problem.status, problem.errors[0].field.as_str()),
                (400, name),
                "{text}"
            );
        }
        for text in ["limit=0", "limit=201", "limit=x", "limit=-1", "limit="] {
            let problem = read(text).unwrap().limit().unwrap_err().problem("r");
            assert_eq!(
                (problem.status, problem.errors[0].field.as_str()),
                (400, "limit"),
                "{text}"
            );
        }
        let unknown = read("status=done").unwrap().word::<TaskStatus>("status");
        assert!(
            unknown
                .unwrap_err()
                .problem("r")
                .message
                .contains("completed")
        );
    }
}
