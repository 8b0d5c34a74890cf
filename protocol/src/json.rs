//! JSON that others wrote: programs, services, senders of webhooks, texts in texts. Pure.
//!
//! [`read`] takes what the same bytes mean to everyone else. `serde_json::Value` by itself does not: to
//! it an object whose first name is one that `serde_json` keeps for itself is the JSON in its text, of
//! any depth. What is kept of such values must be readable again, so they are bounded, too.

mod objects;

use std::fmt;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

pub use objects::{Objects, objects};

/// How deep objects and arrays may lie in each other.
pub const MAX_DEPTH: usize = 64;

/// How the names begin that `serde_json` keeps for itself.
const RESERVED: &str = "$serde_json::private::";

/// What is wrong with JSON that is well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is nested too deeply.
    #[error("objects and arrays lie more than {MAX_DEPTH} deep in each other")]
    Depth,
    /// It has a name that nobody can give.
    #[error("a name that begins with `{RESERVED}` cannot be given")]
    Reserved,
}

/// Whether a name is one that `serde_json` keeps for itself.
#[must_use]
pub fn is_reserved(name: impl AsRef<[u8]>) -> bool {
    name.as_ref().starts_with(RESERVED.as_bytes())
}

/// Reads JSON, all of the bytes.
///
/// ```
/// let raw = br#"{"$serde_json::private::RawValue": "[5]"}"#;
/// assert!(protocol::json::read(raw).is_err());
/// ```
///
/// # Errors
///
/// When it is no JSON, or unfit; the latter are errors of data, not of syntax.
pub fn read(bytes: &[u8]) -> serde_json::Result<Value> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = At(0).deserialize(&mut json)?;
    json.end().map(|()| value)
}

/// Looks at a value that is there already.
///
/// # Errors
///
/// When it is unfit.
pub fn check(value: &Value) -> Result<(), Unfit> {
    let mut open = vec![(value, 0)];
    while let Some((value, around)) = open.pop() {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            Value::Array(_) | Value::Object(_) if around == MAX_DEPTH => return Err(Unfit::Depth),
            Value::Array(list) => open.extend(list.iter().map(|value| (value, around + 1))),
            Value::Object(fields) => {
                if fields.keys().any(is_reserved) {
                    return Err(Unfit::Reserved);
                }
                open.extend(fields.values().map(|value| (value, around + 1)));
            }
        }
    }
    Ok(())
}

/// A value that is there, if it is null: serde takes that for one that is not.
///
/// # Errors
///
/// When it is no JSON.
pub fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(field).map(Some)
}

/// A value with so many objects and arrays around it.
#[derive(Clone, Copy)]
struct At(usize);

impl At {
    fn within<E: Error>(self) -> Result<Self, E> {
        match self.0 {
            MAX_DEPTH => Err(E::custom(Unfit::Depth)),
            around => Ok(Self(around + 1)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for At {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.within()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.within()?;
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if is_reserved(&name) {
                return Err(A::Error::custom(Unfit::Reserved));
            }
            let value = entries.next_value_seed(inner)?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn json_is_read_as_everyone_reads_it() {
        let text = r#"{"b": [1, -1, 1.5, 1e400, "\u0041x", null, true], "a": {"b": {}}, "b": 2}"#;
        for text in [text.replace("1e400", "1e40"), nested(MAX_DEPTH)] {
            let value = read(text.as_bytes()).unwrap();
            assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            assert_eq!(check(&value), Ok(()));
        }
        for wrong in ["", "{", "[1] 2", "[1,]"] {
            assert!(
                read(wrong.as_bytes()).unwrap_err().classify() != serde_json::error::Category::Data
            );
        }
    }

    #[test]
    fn what_could_not_be_kept_is_unfit() {
        let deep = nested(MAX_DEPTH + 1);
        let raw = format!("[{{\"{RESERVED}RawValue\": \"[5]\"}}]");
        let escaped = raw.replace("$serde", "\\u0024serde");
        for text in [deep.as_str(), &nested(100_000), &raw, &escaped] {
            assert!(read(text.as_bytes()).unwrap_err().is_data());
        }
        let value = serde_json::from_str::<Value>(&deep).unwrap();
        assert_eq!(check(&value), Err(Unfit::Depth));
        let mut fields = Map::new();
        fields.insert(format!("{RESERVED}RawValue"), "[5]".into());
        let value = Value::Array(vec![Value::Object(fields)]);
        assert_eq!(check(&value), Err(Unfit::Reserved));
    }
}
