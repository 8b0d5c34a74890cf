//! A task's specification, its states, and the events that its stream holds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    agent::Resources,
    allocation::ScoreCard,
    id::{AgentId, HoldId, NodeId, QuestionId, TaskId},
    plan::{Plan, StepSpec},
    question::{Reply, Wanted},
    time::{Span, Timestamp},
    usage::Usage,
    wire::Trace,
    workflow::{RunEvent, RunSpec},
};

/// Version of [`Event`] that this build writes.
pub const EVENT_VERSION: u16 = 1;

/// Urgency from 0 to 9; among waiting steps the higher starts first, and waiting raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "u8", into = "u8")]
#[cfg_attr(feature = "schema", schemars(with = "u8"))]
pub struct Priority(u8);

impl Priority {
    /// The most urgent.
    pub const MAX: Self = Self(9);

    /// As a number from 0 to 9.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        if number <= Self::MAX.0 {
            Ok(Self(number))
        } else {
            Err(format!("priority {number} is not between 0 and 9"))
        }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// What an agent must offer to be chosen for any step of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Without explicit steps: one step a capability, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Tools that the agent must declare in `metadata.tools`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// What the work takes of the agent's node.
    #[serde(skip_serializing_if = "Resources::is_none")]
    pub resources: Resources,
    /// Takes an agent in the region of the node that owns the task before any that is elsewhere, whatever
    /// their scores. None there is no reason to wait.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prefer_local: bool,
}

/// Limits of a whole task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Attempts over all steps, those aside that no host took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// From submission to settlement; then the task fails with `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_time: Option<Span>,
    /// How long a step may wait for an agent; then the task fails with `queue_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_time: Option<Span>,
}

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// What is to be done, in words; 1 to 16,384 characters.
    pub description: String,
    /// The steps; without any, the planner makes them from the description.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepSpec>,
    /// Handed to every step beside its own input.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// What agents must offer.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requirements: Requirements,
    /// Its limits.
    #[serde(default, skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    /// The conversation that it belongs to; steps prefer the agent that served it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The task that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<TaskId>,
    /// No step starts before this moment, also after a restart; its `wall_time` counts from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// The workflow that it is a run of: its steps are made as that says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Box<RunSpec>>,
    /// Free JSON, returned unchanged.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Requirements {
    /// Whether nothing is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Budget {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Submitted, not yet looked at.
    #[default]
    Pending,
    /// Being turned into a plan.
    Planning,
    /// Its steps run or wait for agents.
    Executing,
    /// No step of it starts until it is resumed.
    Paused,
    /// All steps completed.
    Completed,
    /// A step failed for good, or a limit was crossed.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl TaskStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Planning,
        Self::Executing,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether it is final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Planning => "planning",
            Self::Executing => "executing",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Waits for steps that it needs.
    #[default]
    Pending,
    /// Ready; waits for an agent or for its next attempt.
    Queued,
    /// An attempt runs.
    Running,
    /// An attempt succeeded.
    Completed,
    /// All attempts failed.
    Failed,
    /// Not run, because a step that it needs did not complete.
    Skipped,
    /// Stopped on request.
    Cancelled,
    /// It may have taken effect; nobody knows, and it must not run again.
    Unknown,
}

impl StepStatus {
    /// Whether it is final.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Pending | Self::Queued | Self::Running)
    }

    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// How an attempt ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// Started, no receipt yet.
    Running,
    /// Its result was accepted.
    Succeeded,
    /// The agent answered that it failed, or did not answer in time.
    Failed,
    /// The node or proxy that ran it went away; whether it took effect is not known.
    Lost,
    /// Stopped on request.
    Cancelled,
}

/// Why something failed: a stable code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// For programs, such as `timeout`, `exit_status`, `http_status`, `response_mapping`.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Failure {
    /// Puts a failure together.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It took effect and gave this output.
    Succeeded {
        /// What the agent answered.
        output: Value,
    },
    /// It failed; `retryable` says whether another attempt can help.
    Failed {
        /// Why.
        error: Failure,
        /// Whether another attempt can help.
        retryable: bool,
    },
    /// Nobody knows whether it took effect.
    Lost {
        /// What happened to the one that ran it.
        error: Failure,
    },
    /// It was stopped on request.
    Cancelled,
    /// It gave the step back to wait for people. When all of them replied, the step is tried again as if
    /// this one had not been.
    Waits {
        /// What they are asked.
        questions: Vec<Wanted>,
    },
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// It took effect and gave this output.
    Done {
        /// What it gave.
        output: Value,
    },
    /// It did not take effect.
    NotDone,
    /// That cannot be found out.
    Unknown {
        /// Why.
        detail: String,
    },
}

/// The SHA-256 of an attempt's secret token, as lower-case hex; the token itself is never stored.
pub type TokenHash = String;

/// A fact about a task. New kinds may be added; a kind that was released never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A client asked for it.
    Submitted {
        /// What was asked for.
        spec: Box<TaskSpec>,
        /// Who asked.
        user: String,
        /// In which trace they asked, so that all that follows belongs to it on every node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<Trace>,
    },
    /// The planner made a plan and the review passed it.
    Planned {
        /// The plan.
        plan: Plan,
    },
    /// The intent: an attempt is about to be handed to an agent.
    AttemptStarted {
        /// The step.
        step: String,
        /// Which attempt of the step; the first is 1.
        number: u32,
        /// To whom.
        agent: AgentId,
        /// By which name.
        agent_name: String,
        /// On which start of a node.
        node: NodeId,
        /// By which name, the same after a restart.
        #[serde(default)]
        node_name: String,
        /// What proves that a message speaks for it; clients are not shown it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        token: TokenHash,
        /// Why this agent.
        card: Box<ScoreCard>,
    },
    /// The receipt: what became of an attempt.
    AttemptEnded {
        /// The step.
        step: String,
        /// Which attempt of the step.
        number: u32,
        /// The name of the agent that it was given to.
        agent: String,
        /// When its intent was recorded.
        started_at: Timestamp,
        /// What became of it.
        #[serde(flatten)]
        outcome: Outcome,
        /// What it took of models, as far as its agent reported that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// The agent was asked whether an attempt without receipt took effect.
    Probed {
        /// The step.
        step: String,
        /// Which attempt of the step.
        number: u32,
        /// What the agent found.
        #[serde(flatten)]
        finding: Finding,
    },
    /// Another attempt will follow.
    RetryScheduled {
        /// The step.
        step: String,
        /// Not before this moment.
        due: Timestamp,
    },
    /// A step ended in a way that no attempt's receipt says by itself.
    StepSettled {
        /// The step.
        step: String,
        /// How: never `completed`, which a receipt says.
        status: StepStatus,
        /// Why.
        error: Option<Failure>,
    },
    /// A result came after its attempt was given up; recorded, never a success.
    ResultCameLate {
        /// The step.
        step: String,
        /// Which attempt of the step.
        number: u32,
        /// What it said.
        #[serde(flatten)]
        outcome: Outcome,
        /// The name of the agent that it was given to.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        agent: String,
        /// What it took of models, as far as its agent reported that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// Description, priority, or metadata were changed by the client.
    Amended {
        /// The new description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The new priority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        priority: Option<Priority>,
        /// The new metadata.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Map<String, Value>>,
    },
    /// A step was bound to one agent by hand.
    Assigned {
        /// The step.
        step: String,
        /// The agent's name.
        agent: String,
    },
    /// A client asked to stop it: no attempt starts after this.
    CancelRequested {
        /// Who asked.
        user: String,
        /// Why, in the client's words.
        reason: String,
    },
    /// No step starts any more until it is resumed; attempts that run go on.
    Paused {
        /// Who asked.
        user: String,
        /// Why, in the client's words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// The hold on a scope that the task is in; absent when the task itself was paused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<HoldId>,
        /// The task that was paused, of which this one is a part, or a part of a part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        above: Option<TaskId>,
    },
    /// What paused it does so no more. When nothing else does, it goes on.
    Resumed {
        /// Who asked.
        user: String,
        /// The hold that was lifted; absent when the task itself was resumed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<HoldId>,
        /// The task that was resumed, of which this one is a part, or a part of a part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        above: Option<TaskId>,
    },
    /// An attempt is told to end, by a pause that does not wait: its step is tried again, and it counts
    /// neither as failed nor as lost.
    AttemptInterrupted {
        /// The step.
        step: String,
        /// Which attempt of the step.
        number: u32,
        /// Why.
        reason: String,
    },
    /// What came of a question for which a step waits.
    Replied {
        /// The step.
        step: String,
        /// The question.
        question: QuestionId,
        /// What came of it.
        #[serde(flatten)]
        reply: Reply,
    },
    /// Something of a run of a workflow.
    Run {
        /// What.
        #[serde(flatten)]
        event: RunEvent,
    },
    /// It reached its end; nothing but late results follows.
    Settled {
        /// One of the terminal states.
        status: TaskStatus,
        /// What came of it, when completed.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        result: Value,
        /// Why it was not completed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// A client removed it from sight; its history stays.
    Deleted {
        /// By whom.
        user: String,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_an_attempt_is_written_with_what_it_took_and_read_without() {
        let old = json!({
            "type": "attempt_ended", "step": "a", "number": 1, "agent": "coder",
            "started_at": "2026-01-01T00:00:00.000000Z", "outcome": "succeeded", "output": 7,
        });
        let mut event: Event = serde_json::from_value(old.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), old);
        let Event::AttemptEnded { usage, .. } = &mut event else {
            panic!("{event:?}");
        };
        assert_eq!(*usage, None);
        *usage = Some(Usage {
            output_tokens: Some(5),
            ..Usage::default()
        });
        let written = serde_json::to_value(&event).unwrap();
        assert_eq!(written["usage"], json!({ "output_tokens": 5 }));
        assert_eq!(serde_json::from_value::<Event>(written).unwrap(), event);
        let late = json!({
            "type": "result_came_late", "step": "a", "number": 1, "outcome": "cancelled",
        });
        let event: Event = serde_json::from_value(late.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), late);
    }
}
