//! Tasks with blanks: what a client writes down, how one is made a task, and what is recorded of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::TaskId,
    json,
    task::{Budget, Priority, Requirements},
    time::Timestamp,
};

/// Version of [`Event`] that this build writes.
pub const EVENT_VERSION: u16 = 1;

/// A task with blanks, and what may fill them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    /// Unique; lower-case letters, digits and `-`, at most 64. `PUT` may leave it out.
    #[serde(default)]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What fills the blanks; 64 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// A task as `POST /tasks` takes it. `${…}` within a string is an expression over `params`, as in
    /// `${params.city}`; a string that is one such expression alone becomes its value as it is.
    pub task: Map<String, Value>,
}

/// What fills a blank.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Names it; letters, digits and `_`, at most 64, no digit first.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What kind of value it is; any when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ParamKind>,
    /// JSON Schema of its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Its value when it is not given; `null` is one, whatever kind it is of.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::present"
    )]
    pub default: Option<Value>,
    /// Whether it must be given; it must when absent, unless there is a default. What need not be given and
    /// has no default is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
}

impl Param {
    /// Whether it must be given.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.required.unwrap_or(self.default.is_none())
    }
}

/// Kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ParamKind {
    /// Text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// Names with values.
    Object,
}

impl ParamKind {
    /// As JSON Schema spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// A task made of a template. What is given beside `template` and `params` takes the place of what the
/// template says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TemplateUse {
    /// The template, by name or id.
    pub template: String,
    /// What fills its blanks.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// What is to be done, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Handed to every step beside its own input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// How urgent it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// What agents must offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
    /// Its limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The conversation that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The task that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<TaskId>,
    /// No step starts before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// Free JSON, returned unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// A fact about a template. New kinds may be added; a kind that was released never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It says this from now on; the first time makes it.
    Written {
        /// What it says.
        spec: Box<TemplateSpec>,
        /// Who says so.
        user: String,
    },
    /// A client removed it; the tasks that were made of it go on.
    Deleted {
        /// Who asked.
        user: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_its_words() {
        let text = r#"{"type":"written","spec":{"name":"n","params":[{"name":"q","type":"string"}],"task":{"description":"${params.q}"}},"user":"ann"}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn what_has_a_default_need_not_be_given() {
        let param = |required, default| Param {
            required,
            default,
            ..Param::default()
        };
        assert!(param(None, None).is_required());
        assert!(!param(None, Some(Value::from(1))).is_required());
        assert!(!param(Some(false), None).is_required());
    }
}
