//! What nodes say to each other about questions of agents, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter::{AskError, Asker};

/// To the owner of the task for which it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Put {
    pub(super) of: Asker,
    pub(super) agent: String,
    pub(super) input: Value,
    /// In milliseconds: how long the one that asks still waits.
    pub(super) within: u64,
}

/// What the owner answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Answered(Value),
    Failed(AskError),
    /// Nothing happened: the task is not owned here.
    Elsewhere,
}
