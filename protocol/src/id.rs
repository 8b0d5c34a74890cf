//! Typed ids: a UUIDv7 printed with its kind, so that a log line says what it names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// Why a text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}_` and 32 hex digits")]
pub struct InvalidId {
    /// The kind that was expected.
    pub prefix: &'static str,
    /// What was given, cut to 80 characters.
    pub text: String,
}

/// Reads `prefix_<32 hex digits>`.
pub(crate) fn parse(prefix: &'static str, text: &str) -> Result<Uuid, InvalidId> {
    let invalid = || InvalidId {
        prefix,
        text: text.chars().take(80).collect(),
    };
    let digits = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .ok_or_else(invalid)?;
    if digits.len() != 32 || digits.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(invalid());
    }
    Uuid::try_parse(digits).map_err(|_| invalid())
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The word before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Names a UUID as an id of this kind.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "_[0-9a-f]{32}$"),
                })
            }
        }
    };
}

typed_id!(
    /// A task: one unit of work that a client submitted.
    TaskId,
    "task"
);
typed_id!(
    /// A registered agent.
    AgentId,
    "agent"
);
typed_id!(
    /// A hold: what operators keep from starting, until they lift it.
    HoldId,
    "hold"
);
typed_id!(
    /// A workflow: a definition with its versions.
    WorkflowId,
    "workflow"
);
typed_id!(
    /// A question to a person.
    QuestionId,
    "question"
);
typed_id!(
    /// What starts something at given times.
    ScheduleId,
    "schedule"
);
typed_id!(
    /// What starts something when something else happens.
    TriggerId,
    "trigger"
);
typed_id!(
    /// A task with blanks.
    TemplateId,
    "template"
);
typed_id!(
    /// One request from outside; the append that it causes carries it, so a repeat is recognised.
    CommandId,
    "cmd"
);
typed_id!(
    /// One start of a node process; never used again.
    NodeId,
    "node"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_with_its_kind_and_reads_back() {
        let id = TaskId::from_uuid(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001));
        assert_eq!(id.to_string(), "task_01980000000070008000000000000001");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            serde_json::from_str::<TaskId>(&serde_json::to_string(&id).unwrap()).unwrap(),
            id
        );
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        for text in [
            "agent_01980000000070008000000000000001",
            "task_",
            "task_0198",
            "task_0198000000007000800000000000000G",
            "task_0198000000007000800000000000000A",
            "",
        ] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
    }
}
