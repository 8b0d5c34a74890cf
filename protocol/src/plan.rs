//! A plan: steps and what each of them needs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Span;

/// What may be done twice when it is not known whether it was done once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing outside; may run again at will.
    Pure,
    /// May run again under the same idempotency key.
    #[default]
    Idempotent,
    /// The agent's probe tells whether it was done; without an answer the outcome is unknown.
    Guarded,
    /// Must never run twice; if its outcome is lost, it is unknown.
    Irreversible,
}

/// How often, and how far apart, a step is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 1 to 20.
    pub max_attempts: u32,
    /// Upper bound of the wait before the second attempt; it doubles each time, with full jitter.
    pub backoff: Span,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Span(std::time::Duration::from_secs(1)),
        }
    }
}

/// One call to an agent, as a client writes it down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// Names the step within its task: letters, digits, `_` and `-`, at most 64.
    pub id: String,
    /// Name or id of the agent that does it; else `capability` says what it must be able to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What the agent must be able to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// What is to be done, in words, where the task's own description does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Handed to the agent as it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// Steps that must be completed before this one starts; it receives their outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What may be done twice.
    #[serde(default)]
    pub effect: Effect,
    /// How often it is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// Where a plan came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlanSource {
    /// The client gave the steps.
    Explicit,
    /// Rules over capabilities made them.
    Rules,
    /// The definition of a workflow makes them as it goes.
    Workflow,
}

/// Reviewed steps, in an order in which they could run one after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Where it came from.
    pub source: PlanSource,
    /// Every step after all that it needs.
    pub steps: Vec<StepSpec>,
}
