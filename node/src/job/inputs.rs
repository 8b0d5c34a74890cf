//! What a job is given: names, types, defaults.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One input of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// What may be given.
    #[serde(rename = "type")]
    pub kind: InputType,
    /// What is taken when nothing is given.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub default: Value,
    /// Whether it must be given; an input with a default need not be.
    pub required: bool,
    /// What it is for.
    pub description: String,
}

/// What may be given for an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// A file or folder that exists; handed on as an absolute path.
    Path,
    /// Any text.
    #[default]
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// Why what was given is not what the job takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The job has no such input.
    #[error("there is no input `{name}` (known: {known})")]
    Unknown {
        /// What was given.
        name: String,
        /// What the job takes.
        known: String,
    },
    /// It must be given.
    #[error("input `{name}` is missing{description}")]
    Missing {
        /// Which input.
        name: String,
        /// What it is for, after a colon.
        description: String,
    },
    /// It is not of its type.
    #[error("input `{name}`: {message}")]
    Type {
        /// Which input.
        name: String,
        /// What is wrong with the value.
        message: String,
    },
}

/// Each input with its value; one that is neither given nor required is left out.
pub(super) fn bind(
    inputs: &BTreeMap<String, Input>,
    given: &[(String, String)],
) -> Result<Map<String, Value>, InputError> {
    if let Some((name, _)) = given.iter().find(|(name, _)| !inputs.contains_key(name)) {
        let known: Vec<&str> = inputs.keys().map(String::as_str).collect();
        return Err(InputError::Unknown {
            name: name.clone(),
            known: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        });
    }
    let mut bound = Map::new();
    for (name, input) in inputs {
        // The last one given counts, as flags do.
        let text = given.iter().rev().find(|(given, _)| given == name);
        let value = match (text, &input.default) {
            (Some((_, text)), _) => input.kind.read(text),
            (None, Value::Null) if input.required => {
                return Err(InputError::Missing {
                    name: name.clone(),
                    description: match input.description.as_str() {
                        "" => String::new(),
                        text => format!(": {text}"),
                    },
                });
            }
            (None, Value::Null) => continue,
            (None, Value::String(text)) => input.kind.read(text),
            (None, default) => input.kind.read(&default.to_string()),
        };
        let value = value.map_err(|message| InputError::Type {
            name: name.clone(),
            message,
        })?;
        bound.insert(name.clone(), value);
    }
    Ok(bound)
}

impl InputType {
    fn read(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Path => {
                let path = Path::new(text)
                    .canonicalize()
                    .map_err(|error| format!("`{text}` is not a path that exists: {error}"))?;
                path.into_os_string()
                    .into_string()
                    .map(Value::String)
                    .map_err(|_| format!("`{text}` leads to a path that is not UTF-8"))
            }
            Self::String => Ok(Value::String(text.to_owned())),
            Self::Number => text
                .parse::<serde_json::Number>()
                .map(Value::Number)
                .map_err(|_| format!("`{text}` is not a number")),
            Self::Boolean => text
                .parse()
                .map(Value::Bool)
                .map_err(|_| format!("`{text}` is neither `true` nor `false`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inputs() -> BTreeMap<String, Input> {
        let of = |kind, default, required| Input {
            kind,
            default,
            required,
            description: "what for".to_owned(),
        };
        BTreeMap::from([
            ("path".into(), of(InputType::Path, Value::Null, true)),
            ("depth".into(), of(InputType::Number, json!(3), false)),
            ("deep".into(), of(InputType::Boolean, json!(false), true)),
            ("note".into(), of(InputType::String, Value::Null, false)),
        ])
    }

    fn bind_texts(given: &[(&str, &str)]) -> Result<Value, String> {
        let given: Vec<_> = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        bind(&inputs(), &given)
            .map(Value::Object)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn given_values_come_before_defaults_and_paths_become_absolute() {
        let bound = bind_texts(&[("path", "."), ("depth", "7.5"), ("deep", "true")]).unwrap();
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(bound, json!({"deep": true, "depth": 7.5, "path": here}));
        let bound = bind_texts(&[("path", "/"), ("path", ".")]).unwrap();
        assert_eq!(bound, json!({"deep": false, "depth": 3, "path": here}));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (given, message) in [
            (&[][..], "input `path` is missing: what for"),
            (
                &[("pth", ".")],
                "there is no input `pth` (known: deep, depth, note, path)",
            ),
            (
                &[("path", ".")],
                "", // fits
            ),
            (
                &[("path", "."), ("depth", "x")],
                "input `depth`: `x` is not a number",
            ),
            (&[("path", "."), ("deep", "yes")], "neither `true`"),
            (&[("path", "/no/such")], "not a path that exists"),
        ] {
            match bind_texts(given) {
                Ok(_) => assert_eq!(message, "", "{given:?}"),
                Err(error) => assert!(error.contains(message) && !message.is_empty(), "{error}"),
            }
        }
    }
}
