//! What is recorded of a workflow: its versions, and whether it may be started.

use serde::{Deserialize, Serialize};

use super::Definition;

/// Version of [`Event`] that this build writes.
pub const EVENT_VERSION: u16 = 1;

/// Whether runs of a workflow may begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not yet: it is being written.
    Draft,
    /// Yes.
    #[default]
    Active,
    /// No more; it is kept to be looked at.
    Archived,
}

impl Status {
    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Archived => "archived",
        }
    }
}

/// A fact about a workflow. New kinds may be added; a kind that was released never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// There is a version of it; the first one has 1.
    Published {
        /// Which.
        version: u32,
        /// The text that was given, JSON or YAML, byte for byte.
        source: String,
        /// What it says.
        definition: Box<Definition>,
        /// Who gave it.
        user: String,
    },
    /// The text of its newest version was written anew, and says the same.
    Rewritten {
        /// The text that was given, byte for byte.
        source: String,
        /// Who gave it.
        user: String,
    },
    /// Runs of it may begin.
    Activated {
        /// Who says so.
        user: String,
    },
    /// No run of it begins any more; those that are under way go on.
    Deactivated {
        /// What it is instead.
        status: Status,
        /// Who says so.
        user: String,
    },
    /// It was removed from sight; its history stays, and its runs go on.
    Deleted {
        /// By whom.
        user: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_version_keeps_its_text_byte_for_byte() {
        let source = "{ \"name\" : \"n\",\r\n\t\"nodes\": [ ] }\u{a0}";
        let event = Event::Published {
            version: 1,
            source: source.to_owned(),
            definition: Box::default(),
            user: "ann".to_owned(),
        };
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.contains(r#""type":"published""#), "{text}");
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
