//! Whether what a run is given is what its workflow takes.

use jsonschema::{Validator, paths::LocationSegment};
use protocol::api::FieldError;
use serde_json::Value;

use crate::Rejection;

/// Places that a refusal names at most.
const NAMED: usize = 20;

/// What the runs of a workflow take.
#[derive(Debug, Default)]
pub struct Input(Option<Validator>);

impl Input {
    /// As a definition's `input` says; any input fits when it says nothing.
    ///
    /// # Errors
    ///
    /// A sentence, when that is no JSON Schema.
    pub fn compile(schema: Option<&Value>) -> Result<Self, String> {
        let Some(schema) = schema else {
            return Ok(Self(None));
        };
        let options = jsonschema::options()
            // Linear in the length of the text, whatever the pattern.
            .with_pattern_options(jsonschema::PatternOptions::regex());
        let validator = options.build(schema).map_err(|error| {
            format!("is no JSON Schema at `{}`: {error}", error.instance_path())
        })?;
        Ok(Self(Some(validator)))
    }

    /// Whether a run may begin with this.
    ///
    /// # Errors
    ///
    /// `Invalid` names each place that does not fit.
    pub fn check(&self, input: &Value) -> Result<(), Rejection> {
        let Some(validator) = &self.0 else {
            return Ok(());
        };
        let errors: Vec<FieldError> = validator
            .iter_errors(input)
            .take(NAMED)
            .map(|error| {
                let segments = error.instance_path().into_iter();
                FieldError::new(place(segments), error.masked().to_string())
            })
            .collect();
        let Some(first) = errors.first() else {
            return Ok(());
        };
        Err(Rejection::Invalid {
            code: "invalid_input",
            message: format!(
                "{}: {}; the workflow's `input` says what a run takes",
                first.field, first.message
            ),
            errors,
        })
    }
}

fn place<'a>(segments: impl Iterator<Item = LocationSegment<'a>>) -> String {
    segments.fold("input".to_owned(), |place, segment| match segment {
        LocationSegment::Property(name) => format!("{place}.{name}"),
        LocationSegment::Index(at) => format!("{place}[{at}]"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input() -> Input {
        let schema = json!({
            "type": "object",
            "required": ["topic"],
            "properties": {
                "topic": { "type": "string", "minLength": 1 },
                "tags": { "type": "array", "items": { "type": "string", "pattern": "^[a-z]+$" } },
            },
        });
        Input::compile(Some(&schema)).unwrap()
    }

    #[test]
    fn each_place_that_does_not_fit_is_named() {
        for (given, places) in [
            (json!({ "topic": "t" }), vec![]),
            (json!("t"), vec!["input"]),
            (json!({}), vec!["input"]),
            (
                json!({ "topic": "", "tags": ["a", "B"] }),
                vec!["input.tags[1]", "input.topic"],
            ),
        ] {
            let mut named = match input().check(&given) {
                Ok(()) => Vec::new(),
                Err(Rejection::Invalid { errors, .. }) => {
                    errors.into_iter().map(|error| error.field).collect()
                }
                Err(other) => panic!("{other}"),
            };
            named.sort();
            assert_eq!(named, places, "{given}");
        }
    }

    #[test]
    fn without_a_schema_anything_fits() {
        let input = Input::compile(None).unwrap();
        assert_eq!(input.check(&json!([1, null])), Ok(()));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(Input::compile(Some(&json!({ "type": "shoe" }))).is_err());
        // Nothing is fetched from anywhere.
        let away = json!({ "$ref": "https://example.com/s.json" });
        assert!(Input::compile(Some(&away)).is_err());
    }
}
