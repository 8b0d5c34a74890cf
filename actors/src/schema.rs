//! JSON Schemas of what people and callers hand in, checked without ever leaving this process.

use std::fmt;

use jsonschema::{
    Draft, PatternOptions, ReferencingError, ValidationError, Validator, error::ValidationErrorKind,
};
use serde_json::Value;

/// Bytes that a schema may have as JSON.
pub const LONGEST: usize = 64 * 1024;

/// Characters of a value that a message quotes.
const QUOTED: usize = 300;

/// A schema, ready to check values; draft 2020-12 unless it says otherwise.
pub struct Schema(Validator);

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

/// Why something is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadSchema {
    /// Where in it, as a JSON Pointer; empty for all of it.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

/// Where a value is not as its schema wants it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misfit {
    /// The place in the value, as a JSON Pointer; empty for all of it.
    pub at: String,
    /// What is wrong there.
    pub message: String,
}

impl Schema {
    /// Reads a schema. What it refers to stands in itself: nothing is fetched.
    ///
    /// # Errors
    ///
    /// Where it is none, or what it refers to is not in it.
    pub fn compile(schema: &Value) -> Result<Self, BadSchema> {
        let size = serde_json::to_vec(schema).map_or(usize::MAX, |bytes| bytes.len());
        if size > LONGEST {
            return Err(BadSchema {
                at: String::new(),
                message: format!("has {size} bytes; a schema may have {LONGEST}"),
            });
        }
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            // Whatever the pattern, the time grows with the text alone.
            .with_pattern_options(PatternOptions::regex());
        match options.build(schema) {
            Ok(validator) => Ok(Self(validator)),
            Err(error) => Err(BadSchema {
                at: error.instance_path().to_string(),
                message: shortened(&told(&error)),
            }),
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// The first few places where it does not fit.
    pub fn check(&self, value: &Value) -> Result<(), Vec<Misfit>> {
        let misfits: Vec<_> = self
            .0
            .iter_errors(value)
            .take(MISFITS)
            .map(|error| Misfit {
                at: error.instance_path().to_string(),
                message: shortened(&error.to_string()),
            })
            .collect();
        match misfits.is_empty() {
            true => Ok(()),
            false => Err(misfits),
        }
    }
}

impl Misfit {
    /// The place as other fields are named, in a value that is called `root`: `input.tags[1]`.
    #[must_use]
    pub fn place(&self, root: &str) -> String {
        place(root, &self.at)
    }
}

/// A JSON Pointer as fields are named: `input.tags[1]`.
#[must_use]
pub fn place(root: &str, pointer: &str) -> String {
    let segments = pointer.split('/').skip(1);
    segments.fold(root.to_owned(), |place, segment| {
        let name = segment.replace("~1", "/").replace("~0", "~");
        match name.bytes().all(|byte| byte.is_ascii_digit()) {
            true => format!("{place}[{name}]"),
            false => format!("{place}.{name}"),
        }
    })
}

/// Places that are told at once.
const MISFITS: usize = 10;

/// Why something is no schema. What the library says of references is about its own insides.
fn told(error: &ValidationError<'_>) -> String {
    const INSIDE: &str = "what is under `$defs` is `#/$defs/NAME`";
    let ValidationErrorKind::Referencing(wrong) = error.kind() else {
        return error.to_string();
    };
    match wrong {
        ReferencingError::Unretrievable { uri, .. } => {
            let uri = uri.strip_prefix(NO_ADDRESS).unwrap_or(uri);
            format!(
                "refers to `{uri}`, and nothing is fetched; put what it needs under `$defs`, and refer to it as `#/$defs/NAME`"
            )
        }
        ReferencingError::PointerToNowhere { pointer }
        | ReferencingError::InvalidPercentEncoding { pointer, .. }
        | ReferencingError::InvalidArrayIndex { pointer, .. } => {
            format!("refers to `{pointer}`, which is not in it; {INSIDE}")
        }
        ReferencingError::NoSuchAnchor { anchor } | ReferencingError::InvalidAnchor { anchor } => {
            format!("refers to `#{anchor}`, which is not in it; {INSIDE}")
        }
        ReferencingError::InvalidUri(_) => {
            format!("has a `$ref` or `$id` that is no address; {INSIDE}")
        }
        ReferencingError::UnknownSpecification { specification: uri }
        | ReferencingError::CircularMetaschema { uri } => format!(
            "is written after `{uri}`, which is not known here; without `$schema` it is read as draft 2020-12"
        ),
    }
}

/// What the library puts before a relative address.
const NO_ADDRESS: &str = "json-schema:///";

fn shortened(message: &str) -> String {
    match message.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_misfit_names_its_place() {
        let schema = json!({
            "type": "object", "required": ["ok"],
            "properties": { "ok": { "type": "boolean" }, "tags": { "items": { "type": "string" } } },
        });
        let schema = Schema::compile(&schema).unwrap();
        assert_eq!(schema.check(&json!({ "ok": true, "tags": ["a"] })), Ok(()));
        let wrong = schema.check(&json!({ "tags": ["a", 1] })).unwrap_err();
        let places: Vec<_> = wrong.iter().map(|misfit| misfit.at.as_str()).collect();
        assert_eq!(places.len(), 2, "{wrong:?}");
        assert!(
            places.contains(&"/tags/1") && places.contains(&""),
            "{wrong:?}"
        );
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        for wrong in [
            json!({ "type": "bool" }),
            json!({ "pattern": "(" }),
            json!(7),
        ] {
            assert!(Schema::compile(&wrong).is_err(), "{wrong}");
        }
        let long = json!({ "description": "x".repeat(LONGEST) });
        assert!(Schema::compile(&long).is_err());
    }

    #[test]
    fn nothing_is_fetched() {
        for elsewhere in ["http://127.0.0.1:1/schema.json", "file:///etc/hostname"] {
            let error = Schema::compile(&json!({ "$ref": elsewhere })).unwrap_err();
            assert_eq!(
                error.message,
                format!(
                    "refers to `{elsewhere}`, and nothing is fetched; put what it needs under `$defs`, and refer to it as `#/$defs/NAME`"
                )
            );
        }
    }

    #[test]
    fn what_a_schema_refers_to_in_itself_must_be_there() {
        let inside = "; what is under `$defs` is `#/$defs/NAME`";
        for (reference, told) in [
            (
                "#/$defs/none",
                format!("refers to `/$defs/none`, which is not in it{inside}"),
            ),
            (
                "#none",
                format!("refers to `#none`, which is not in it{inside}"),
            ),
            (
                "http://[",
                "has a `$ref` or `$id` that is no address".to_owned(),
            ),
        ] {
            let wrong = Schema::compile(&json!({ "$ref": reference })).unwrap_err();
            assert!(wrong.message.starts_with(&told), "{reference}: {wrong}");
        }
    }

    #[test]
    fn a_pattern_cannot_take_for_ever() {
        let schema = Schema::compile(&json!({ "pattern": "^(a+)+$" })).unwrap();
        let text = "a".repeat(50_000) + "b";
        assert!(schema.check(&json!(text)).is_err());
    }
}
