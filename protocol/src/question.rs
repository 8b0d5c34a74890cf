//! A question to a person: what is asked, of whom, and what became of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use crate::{
    access::Role,
    id::{CommandId, QuestionId, TaskId},
    json,
    task::Failure,
    time::Span,
};

/// Version of [`Event`] that this build writes.
pub const EVENT_VERSION: u16 = 1;

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Addressee {
    /// Whoever has this role or a higher one.
    Role(Role),
    /// One user, by name.
    User(String),
}

impl Default for Addressee {
    fn default() -> Self {
        Self::Role(Role::Operator)
    }
}

const ROLES: [(Role, &str); 4] = [
    (Role::Viewer, "viewer"),
    (Role::Developer, "developer"),
    (Role::Operator, "operator"),
    (Role::Admin, "admin"),
];

/// Characters that the name of a user may have.
const LONGEST_NAME: usize = 200;

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => {
                let word = ROLES.iter().find(|(other, _)| other == role);
                f.write_str(word.map_or("admin", |(_, word)| word))
            }
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

/// Why a text names nobody who can be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a role (`viewer`, `developer`, `operator`, `admin`) nor a user (`user:NAME`)"
)]
pub struct InvalidAddressee(String);

impl FromStr for Addressee {
    type Err = InvalidAddressee;

    fn from_str(text: &str) -> Result<Self, InvalidAddressee> {
        let invalid = || InvalidAddressee(text.chars().take(80).collect());
        if let Some(name) = text.strip_prefix("user:") {
            let fits = !name.is_empty() && name.chars().count() <= LONGEST_NAME;
            return match fits && !name.chars().any(char::is_control) {
                true => Ok(Self::User(name.to_owned())),
                false => Err(invalid()),
            };
        }
        let role = ROLES.iter().find(|(_, word)| *word == text);
        role.map(|(role, _)| Self::Role(*role)).ok_or_else(invalid)
    }
}

impl Serialize for Addressee {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Addressee {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Addressee {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Addressee".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A role, or one user as `user:NAME`.",
            "pattern": "^(viewer|developer|operator|admin|user:.+)$",
        })
    }
}

/// Who is asked next when the deadline passes without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Escalation {
    /// Who.
    pub to: Addressee,
    /// How long they have, from when they are asked; for ever without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
}

/// What is asked, whoever asks it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Asking {
    /// In words.
    pub text: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub about: Value,
    /// JSON Schema of the answer; any JSON without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Who may answer; any operator without it.
    #[serde(default)]
    pub to: Addressee,
    /// How long they have; for ever without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// Who is asked next, one after another, each when the deadline before passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<Escalation>,
    /// The answer when nobody gave one in time, which may be null; without it there is none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::present"
    )]
    pub default: Option<Value>,
}

/// A question with the one that asks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuestionSpec {
    /// The task that waits for the answer.
    pub task: TaskId,
    /// Which node or step of it.
    pub node: String,
    /// Whose task it is.
    pub user: String,
    /// What is asked.
    #[serde(flatten)]
    pub asking: Asking,
}

/// What the one that asked is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// This is the answer.
    Done {
        /// What it is.
        output: Value,
        /// Who gave it; empty when nobody did and the default counts.
        user: String,
    },
    /// There is none.
    Failed {
        /// Why; the code `no_answer` when nobody answered in time.
        error: Failure,
    },
}

/// A question of a running step, which waits for the reply before it goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// What tells it from other questions of the step.
    pub key: String,
    /// The question that it becomes.
    pub question: QuestionId,
    /// What is asked.
    pub asking: Asking,
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuestionStatus {
    /// It waits for an answer.
    #[default]
    Open,
    /// It has one.
    Answered,
    /// Nobody answered in time, and there is no default.
    Expired,
    /// Whoever asked does not want to know any more.
    Withdrawn,
}

impl QuestionStatus {
    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A fact about a question. New kinds may be added; a kind that was released never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A task asked it.
    Asked {
        /// What, and for whom.
        spec: Box<QuestionSpec>,
    },
    /// Somebody is about to answer it, and nobody else may meanwhile.
    Claimed {
        /// Who.
        user: String,
    },
    /// They will not answer it after all.
    Released {
        /// Who said so.
        user: String,
    },
    /// Somebody else is asked instead.
    Delegated {
        /// Who said so.
        user: String,
        /// Who is asked now.
        to: Addressee,
    },
    /// The deadline passed: the next ones are asked.
    Escalated {
        /// Which rung of the ladder; the first is 0.
        rung: u32,
    },
    /// The answer; there is no second one.
    Answered {
        /// Who gave it.
        user: String,
        /// What it is.
        answer: Value,
        /// By which request, so that a repeat of it is recognised.
        command: CommandId,
    },
    /// The last deadline passed: the default counts as the answer.
    Defaulted,
    /// The last deadline passed, and there is no default.
    Expired,
    /// Whoever asked does not want to know any more.
    Withdrawn {
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// The one that asked could not be told what came of it yet.
    Untold {
        /// How often that was tried.
        tries: u32,
    },
    /// The one that asked has recorded what came of it, or is gone.
    Delivered,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_is_asked_reads_as_it_is_written() {
        for text in [
            "viewer",
            "developer",
            "operator",
            "admin",
            "user:ann",
            "user:a:b",
        ] {
            let to: Addressee = text.parse().unwrap();
            assert_eq!(to.to_string(), text);
            assert_eq!(serde_json::to_value(&to).unwrap(), json!(text));
        }
        for wrong in ["", "user:", "finance", "Operator", "user:a\nb"] {
            assert!(wrong.parse::<Addressee>().is_err(), "{wrong}");
        }
        assert_eq!(Addressee::default().to_string(), "operator");
    }

    #[test]
    fn events_keep_the_form_that_was_written() {
        let id = "task_00000000000000000000000000000007";
        let asked = json!({
            "type": "asked",
            "spec": {
                "task": id, "node": "approve", "user": "ann", "text": "Ship it?",
                "schema": { "type": "boolean" }, "to": "operator", "deadline": "1h",
                "escalate": [{ "to": "user:bob", "deadline": "1d" }], "default": false,
            },
        });
        let event: Event = serde_json::from_value(asked.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), asked);
        let answered = json!({
            "type": "answered", "user": "bob", "answer": true,
            "command": "cmd_00000000000000000000000000000009",
        });
        let event: Event = serde_json::from_value(answered.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), answered);
        for (text, event) in [
            (r#"{"type":"defaulted"}"#, Event::Defaulted),
            (r#"{"type":"delivered"}"#, Event::Delivered),
            (
                r#"{"type":"escalated","rung":1}"#,
                Event::Escalated { rung: 1 },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Event>(text).unwrap(), event);
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
    }
}
