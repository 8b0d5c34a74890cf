//! Whether what a run is given is what its workflow takes.

use protocol::api::FieldError;
use serde_json::Value;

use crate::{
    Rejection,
    schema::{Misfit, Schema},
};

/// What the runs of a workflow take.
#[derive(Debug, Default)]
pub struct Input(Option<Schema>);

impl Input {
    /// As a definition's `input` says; any input fits when it says nothing.
    ///
    /// # Errors
    ///
    /// A sentence, when that is no JSON Schema.
    pub fn compile(schema: Option<&Value>) -> Result<Self, String> {
        let compiled = schema.map(Schema::compile).transpose();
        compiled.map(Self).map_err(|bad| match bad.at.as_str() {
            "" => format!("is no JSON Schema: {bad}"),
            at => format!("is no JSON Schema at `{at}`: {bad}"),
        })
    }

    /// Whether a run may begin with this.
    ///
    /// # Errors
    ///
    /// `Invalid` names each place that does not fit.
    pub fn check(&self, input: &Value) -> Result<(), Rejection> {
        let fits = self.0.as_ref().map(|schema| schema.check(input));
        let Some(Err(misfits)) = fits else {
            return Ok(());
        };
        let named = |misfit: Misfit| FieldError::new(misfit.place("input"), misfit.message);
        let errors: Vec<FieldError> = misfits.into_iter().map(named).collect();
        let first = errors.first();
        let first = first.map_or_else(String::new, |it| format!("{}: {}; ", it.field, it.message));
        Err(Rejection::Invalid {
            code: "invalid_input",
            message: format!("{first}the workflow's `input` says what a run takes"),
            errors,
        })
    }
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
