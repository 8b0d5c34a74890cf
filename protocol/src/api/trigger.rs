//! Triggers over HTTP.

use serde::{Deserialize, Serialize};

use crate::{
    id::{TaskId, TriggerId},
    time::Timestamp,
    trigger::TriggerSpec,
};

/// A trigger as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TriggerView {
    /// Its id.
    pub id: TriggerId,
    /// Its name.
    pub name: String,
    /// `active` or `paused`.
    pub status: String,
    /// Who made it, and in whose name its runs are started.
    pub user_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where webhooks are sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it started something last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// Runs that it was to start, so far.
    pub fired: u64,
    /// Runs that could not be started, so far.
    pub failed: u64,
    /// Why it is paused, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// What was asked for.
    pub spec: TriggerSpec,
    /// Position of its last event.
    #[serde(default)]
    pub version: u64,
}

/// What the sender of a webhook is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HookView {
    /// The run that is started for it; absent when the filter does not hold, or the trigger is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<TaskId>,
    /// Whether the same delivery came before; nothing was started for this one.
    pub repeated: bool,
}
