//! What starts something when something else happens: what a client writes down, and what is recorded.

use serde::{Deserialize, Serialize};

use crate::{
    entity::EntityId, id::TaskId, plan::RetryPolicy, schedule::Target, task::Failure,
    time::Timestamp, workflow::Condition,
};

/// Version of [`Event`] that this build writes.
pub const EVENT_VERSION: u16 = 1;

/// How many starts may follow from each other: a run whose end starts the next one is one of them.
pub const MAX_DEPTH: u32 = 16;

/// What is started, and after what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TriggerSpec {
    /// Names it; unique among the triggers of a tenant.
    pub name: String,
    /// After what.
    pub on: On,
    /// How often a run is tried that could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// What is started. Its `input`, and that of a task, is a template over what happened.
    pub target: Target,
}

/// What a trigger waits for: an event or a webhook.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct On {
    /// Something that happens in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Happening>,
    /// A request to `/api/v1/hooks/{trigger}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Only what this holds of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Condition>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Happening {
    /// A task was submitted.
    #[serde(rename = "task.submitted")]
    TaskSubmitted,
    /// A task was completed.
    #[serde(rename = "task.completed")]
    TaskCompleted,
    /// A task failed.
    #[serde(rename = "task.failed")]
    TaskFailed,
    /// A task was cancelled.
    #[serde(rename = "task.cancelled")]
    TaskCancelled,
    /// A run of a workflow was started.
    #[serde(rename = "workflow.started")]
    WorkflowStarted,
    /// A run of a workflow was completed.
    #[serde(rename = "workflow.completed")]
    WorkflowCompleted,
    /// A run of a workflow failed.
    #[serde(rename = "workflow.failed")]
    WorkflowFailed,
    /// A run of a workflow was cancelled.
    #[serde(rename = "workflow.cancelled")]
    WorkflowCancelled,
}

impl Happening {
    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskSubmitted => "task.submitted",
            Self::TaskCompleted => "task.completed",
            Self::TaskFailed => "task.failed",
            Self::TaskCancelled => "task.cancelled",
            Self::WorkflowStarted => "workflow.started",
            Self::WorkflowCompleted => "workflow.completed",
            Self::WorkflowFailed => "workflow.failed",
            Self::WorkflowCancelled => "workflow.cancelled",
        }
    }
}

/// How a webhook is signed. The secret is in the environment of the nodes and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The variable of the node's environment that holds the secret.
    pub secret_env: String,
    /// Who signs.
    #[serde(default)]
    pub scheme: Scheme,
}

/// How a sender signs what it sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`, after Standard Webhooks.
    #[default]
    Standard,
    /// `X-GitHub-Delivery` and `X-Hub-Signature-256`.
    Github,
}

/// What a run was started for: names it for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// An event of this cluster.
    Event {
        /// To whom it happened.
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        entity: EntityId,
        /// Its position in what happened to it.
        seq: u64,
    },
    /// A delivery to the webhook, by the id that its sender gave it.
    Delivery(String),
}

/// A fact about a trigger. New kinds may be added; a kind that was released never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A client made it.
    Created {
        /// What was asked for.
        spec: Box<TriggerSpec>,
        /// Who asked, and in whose name runs are started.
        user: String,
        /// Only what stands behind this place in the journal is looked at.
        after: i64,
    },
    /// A client changed it.
    Changed {
        /// What it is from now on.
        spec: Box<TriggerSpec>,
        /// Who asked.
        user: String,
    },
    /// A run is about to be made: under this id, and only once.
    Fired {
        /// For what.
        occasion: Occasion,
        /// The run.
        run: TaskId,
        /// What is started, with its input.
        target: Box<Target>,
        /// How many starts led to this one, itself included.
        depth: u32,
        /// Where in the journal that happened; absent for a webhook.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<i64>,
    },
    /// A run is there.
    Started {
        /// The run.
        run: TaskId,
    },
    /// A run could not be made.
    NotStarted {
        /// The run.
        run: TaskId,
        /// Why.
        error: Failure,
        /// When it is tried again; never when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// Something that it waits for happened, and nothing is started for it.
    Refused {
        /// What.
        occasion: Occasion,
        /// Why not.
        error: Failure,
        /// Where in the journal that happened; absent for a webhook.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<i64>,
    },
    /// Everything in the journal up to here was looked at.
    Looked {
        /// The place.
        place: i64,
    },
    /// Nothing is started until it is resumed.
    Paused {
        /// Who asked.
        user: String,
        /// Why, in the client's words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// It starts again; what happened in the meantime is let pass.
    Resumed {
        /// Who asked.
        user: String,
        /// Only what stands behind this place in the journal is looked at.
        after: i64,
    },
    /// A client removed it; what it started goes on.
    Deleted {
        /// Who asked.
        user: String,
    },
}
