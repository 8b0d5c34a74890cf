//! The one error body, after RFC 9457.

use serde::{Deserialize, Serialize};

/// `application/problem+json`: what went wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// A stable address for this kind of problem, `urn:troupe:problem:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// For programs, such as `not_found`, `invalid`, `conflict`, `unavailable`.
    pub code: String,
    /// What happened and what helps, for people. The same text as `detail`.
    pub message: String,
    /// What happened and what helps, by the name that RFC 9457 gives it.
    pub detail: String,
    /// The request, as logs name it.
    pub request_id: String,
    /// Which inputs were wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What came of it when somebody else settled it first, where that is why the request was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<serde_json::Value>,
}

/// One wrong input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldError {
    /// The path to it, such as `steps[2].needs[0]`, or the name of a header or parameter.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl FieldError {
    /// Puts one together.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}
