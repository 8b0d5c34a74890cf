//! Lists come in pages.

use serde::{Deserialize, Serialize};

/// One page of a list; `next_cursor` is absent on the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many match in all, where that is cheap to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Pass as `cursor` to get the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// How fresh an answer is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// What lists show, which may be a moment behind.
    #[default]
    Eventual,
    /// All that the cluster had committed when it was asked.
    Strong,
}

impl Consistency {
    /// As a query says it, where it says anything.
    #[must_use]
    pub const fn asked(self) -> Option<&'static str> {
        match self {
            Self::Eventual => None,
            Self::Strong => Some("strong"),
        }
    }

    /// Whether nothing special is asked for.
    #[must_use]
    pub fn is_eventual(&self) -> bool {
        *self == Self::Eventual
    }
}
