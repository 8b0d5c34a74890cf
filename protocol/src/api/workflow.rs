//! Workflows and their runs over HTTP.

mod execution;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

pub use execution::{
    CheckRequest, CheckView, ContextPatch, ContextView, DivergenceView, EdgeView, ExecuteRequest,
    ExecutionChange, ExecutionQuery, ExecutionStatus, ExecutionSummary, ExecutionView, ForkRequest,
    NodeRunView, ReplayRequest, ReplayView, RunOf, WaitView, WorkflowNode, WorkflowReach,
};

use crate::{
    id::WorkflowId,
    time::Timestamp,
    workflow::{Shape, Status},
};

/// `POST /workflows`; with `PUT /workflows/{id}`, what is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WorkflowDraft {
    /// The definition as JSON; it is kept and returned byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::workflow::Definition>")
    )]
    pub dag_definition: Option<Box<RawValue>>,
    /// Or the definition as a text, JSON or YAML; it is kept and returned byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its name, if the definition does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people, if the definition does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its graph looks like, if the definition does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_type: Option<Shape>,
    /// Whether runs of it may begin; a new one is `active` when this is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

impl WorkflowDraft {
    /// The definition's text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let json = self.dag_definition.as_ref().map(|json| json.get());
        json.or(self.source.as_deref())
    }
}

/// A workflow, in one of its versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkflowView {
    /// Its id.
    pub id: WorkflowId,
    /// The same, by the name that older clients know.
    pub workflow_id: WorkflowId,
    /// Who made it.
    pub user_id: String,
    /// Unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// What its graph looks like.
    pub workflow_type: Shape,
    /// Whether runs of it may begin.
    pub status: Status,
    /// Which version this is.
    pub version: u32,
    /// The definition: byte for byte as it was given, if that was JSON.
    #[cfg_attr(feature = "schema", schemars(with = "crate::workflow::Definition"))]
    pub dag_definition: Box<RawValue>,
    /// The text that was given, byte for byte, if that was not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the context of a run begins with.
    pub context: Map<String, Value>,
    /// Each run has one of its own; here it is `null`.
    pub result: Value,
    /// Free JSON.
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What a list shows of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkflowSummary {
    /// Its id.
    pub id: WorkflowId,
    /// The same, by the name that older clients know.
    pub workflow_id: WorkflowId,
    /// Unique.
    pub name: String,
    /// For people, cut to 200 characters.
    pub description: String,
    /// What its graph looks like.
    pub workflow_type: Shape,
    /// Whether runs of it may begin.
    pub status: Status,
    /// Its newest version.
    pub version: u32,
    /// Who made it.
    pub user_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// One version of a workflow, which never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VersionView {
    /// Which; the first is 1.
    pub version: u32,
    /// Who gave it.
    pub user_id: String,
    /// For people, cut to 200 characters.
    pub description: String,
    /// How many nodes it has.
    pub nodes: u32,
    /// When it was given.
    pub created_at: Timestamp,
}

/// Which workflows a list holds, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WorkflowQuery {
    /// Only this status.
    pub status: Option<Status>,
    /// Only workflows whose name or description contains this, case aside.
    pub q: Option<String>,
    /// Items a page; 50 when absent, 200 at most.
    pub limit: Option<u32>,
    /// From `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A workflow that was made or changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkflowChange {
    /// Whether that made a version; a definition that says the same makes none.
    pub published: bool,
    /// The workflow.
    pub workflow: WorkflowView,
}
