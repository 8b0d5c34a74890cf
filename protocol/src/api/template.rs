//! Task templates over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{id::TemplateId, template::Param, time::Timestamp};

/// Which templates a list holds, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TemplateQuery {
    /// Items a page; 50 when absent, 200 at most.
    pub limit: Option<u32>,
    /// From `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A task template as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplateView {
    /// Its id.
    pub id: TemplateId,
    /// Unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// What fills the blanks.
    pub params: Vec<Param>,
    /// The task, with `${…}` for its blanks.
    pub task: Map<String, Value>,
    /// How often it was written; the first time makes 1.
    pub version: u32,
    /// Who made it.
    pub user_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What a list shows of a task template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplateSummary {
    /// Its id.
    pub id: TemplateId,
    /// Unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// The names of its parameters.
    pub params: Vec<String>,
    /// Those of them that must be given.
    pub required: Vec<String>,
    /// How often it was written.
    pub version: u32,
    /// Who made it.
    pub user_id: String,
    /// When it was changed last.
    pub updated_at: Timestamp,
}
