//! Questions to people, over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::{QuestionId, TaskId},
    json,
    question::{Addressee, Escalation, QuestionStatus},
    time::Timestamp,
};

/// Which questions `GET /questions` lists, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuestionQuery {
    /// Where they stand.
    pub status: Option<QuestionStatus>,
    /// Who is asked.
    pub role: Option<Addressee>,
    /// Only those that are put to the caller by name, or that the caller claimed or answered.
    pub mine: bool,
    /// Only those of this task.
    pub task: Option<TaskId>,
    /// At most so many.
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// What lists show of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QuestionSummary {
    /// Its id.
    pub id: QuestionId,
    /// The task that waits for the answer.
    pub task: TaskId,
    /// Which node or step of it.
    pub node: String,
    /// Whose task it is.
    pub user: String,
    /// What is asked; in lists only how it begins.
    pub question: String,
    /// Where it stands.
    pub status: QuestionStatus,
    /// Who may answer.
    pub to: Addressee,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// By when those that are asked now are to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// How often a deadline passed and others were asked.
    #[serde(default)]
    pub escalations: u32,
    /// Who is about to answer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Timestamp>,
    /// Who answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// Whether the default counts as its answer, because nobody gave one in time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_default: bool,
    /// When it was answered, expired or was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
}

/// A question in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QuestionView {
    /// What lists show, with all of the question.
    #[serde(flatten)]
    pub summary: QuestionSummary,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub about: Value,
    /// JSON Schema of the answer; any JSON is one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The answer when nobody gives one in time, which may be null.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::present"
    )]
    pub default: Option<Value>,
    /// Who is asked next, one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<Escalation>,
    /// The answer; absent while there is none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::present"
    )]
    pub answer: Option<Value>,
    /// Whether the task that asked has recorded what came of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delivered: bool,
}

/// `POST /questions/{id}/answer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The answer, as the question's schema wants it.
    pub answer: Value,
}

/// `POST /questions/{id}/delegate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DelegateRequest {
    /// Who is to answer: a role, or `user:NAME`.
    pub to: Addressee,
}
