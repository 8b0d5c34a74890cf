//! Addresses of virtual actors.

mod path;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use crate::id::{
    self, AgentId, HoldId, InvalidId, QuestionId, ScheduleId, TaskId, TemplateId, TriggerId,
    WorkflowId,
};

pub use path::{Sight, is_nobodys, meant_by, name_in, path};

/// What sort of entity an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// A registered agent.
    Agent,
    /// A task.
    Task,
    /// What operators keep from starting.
    Hold,
    /// A workflow: a definition with its versions.
    Workflow,
    /// A question to a person.
    Question,
    /// What starts something at given times.
    Schedule,
    /// What starts something when something else happens.
    Trigger,
    /// A task with blanks.
    Template,
}

impl EntityKind {
    /// Every kind that this build knows.
    pub const ALL: [Self; 8] = [
        Self::Agent,
        Self::Task,
        Self::Hold,
        Self::Workflow,
        Self::Question,
        Self::Schedule,
        Self::Trigger,
        Self::Template,
    ];

    /// The word in front of an address, `task` in `task_0198…`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => AgentId::PREFIX,
            Self::Task => TaskId::PREFIX,
            Self::Hold => HoldId::PREFIX,
            Self::Workflow => WorkflowId::PREFIX,
            Self::Question => QuestionId::PREFIX,
            Self::Schedule => ScheduleId::PREFIX,
            Self::Trigger => TriggerId::PREFIX,
            Self::Template => TemplateId::PREFIX,
        }
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address of a virtual actor: its kind and key. It is also the name of its stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId {
    kind: EntityKind,
    key: Uuid,
}

impl EntityId {
    /// Puts an address together.
    #[must_use]
    pub const fn new(kind: EntityKind, key: Uuid) -> Self {
        Self { kind, key }
    }

    /// What sort of entity this is.
    #[must_use]
    pub const fn kind(self) -> EntityKind {
        self.kind
    }

    /// Which of its kind.
    #[must_use]
    pub const fn key(self) -> Uuid {
        self.key
    }
}

macro_rules! addresses {
    ($($kind:ident: $id:ident),*) => {$(
        impl From<$id> for EntityId {
            fn from(id: $id) -> Self {
                Self::new(EntityKind::$kind, id.uuid())
            }
        }
    )*};
}

addresses!(
    Agent: AgentId,
    Task: TaskId,
    Hold: HoldId,
    Workflow: WorkflowId,
    Question: QuestionId,
    Schedule: ScheduleId,
    Trigger: TriggerId,
    Template: TemplateId
);

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.kind, self.key.simple())
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EntityId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let kind = EntityKind::ALL
            .into_iter()
            .find(|kind| text.split('_').next() == Some(kind.as_str()));
        match kind {
            Some(kind) => id::parse(kind.as_str(), text).map(|key| Self { kind, key }),
            None => Err(InvalidId {
                prefix: "agent|task|hold|workflow|question|schedule|trigger|template",
                text: text.chars().take(80).collect(),
            }),
        }
    }
}

impl Serialize for EntityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntityId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for EntityId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EntityId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[a-z]+_[0-9a-f]{32}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_with_its_kind() {
        for kind in EntityKind::ALL {
            let id = EntityId::new(kind, Uuid::from_u128(7));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!(
            "robot_00000000000000000000000000000007"
                .parse::<EntityId>()
                .is_err()
        );
    }
}
