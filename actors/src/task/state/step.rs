//! What a task's events say of one step and of its attempts.

use protocol::{
    allocation::ScoreCard,
    id::{AgentId, NodeId},
    plan::{Effect, RetryPolicy, StepSpec},
    task::{Failure, StepStatus},
    time::Timestamp,
    usage::Usage,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::task::{rules::was_refused, running::Of, suspend::Asks};

/// A step as its task's events say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// As planned.
    pub spec: StepSpec,
    /// Where it stands.
    pub status: StepStatus,
    /// Every attempt, the first one first.
    pub attempts: Vec<Attempt>,
    /// What it gave.
    pub output: Value,
    /// Why it did not complete.
    pub error: Option<Failure>,
    /// Not to be tried before.
    pub retry_at: Option<Timestamp>,
    /// The agent that it was bound to by hand.
    pub assigned: Option<String>,
    /// Since when it could be tried, or tried again.
    pub ready_at: Option<Timestamp>,
    /// For which node of a workflow it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Of>,
    /// What it asked people.
    #[serde(default, skip_serializing_if = "Asks::is_empty")]
    pub asks: Asks,
    pub(super) unmet: usize,
    pub(super) dependants: Vec<usize>,
}

/// An attempt as its task's events say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The first is 1.
    pub number: u32,
    /// To whom it was given.
    pub agent: AgentId,
    /// By which name.
    pub agent_name: String,
    /// On which start of a node.
    pub node: NodeId,
    /// By which name.
    #[serde(default)]
    pub node_name: String,
    /// What proves that a message speaks for it.
    pub token: String,
    /// Why this agent.
    pub card: ScoreCard,
    /// When its intent was recorded.
    pub started_at: Timestamp,
    /// How it ended, and when; the output of a success stands in the step.
    pub ended: Option<(Timestamp, Ending)>,
    /// Whether a result came after it was given up.
    pub late: bool,
    /// Whether it was told to end by a pause.
    #[serde(default)]
    pub interrupted: bool,
    /// What it took of models, as far as its agent reported that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its result was accepted.
    Succeeded,
    /// It failed.
    Failed(Failure),
    /// Nobody knows whether it took effect.
    Lost(Failure),
    /// It was stopped.
    Cancelled,
    /// It was stopped by a pause: its step is tried again as if this one had not been.
    Interrupted,
    /// It gave its step back to wait for people: the same.
    Suspended,
}

impl Step {
    /// How often and how far apart it is tried.
    #[must_use]
    pub fn retry(&self) -> RetryPolicy {
        self.spec.retry.unwrap_or_default()
    }

    /// The attempt that runs, if any.
    #[must_use]
    pub fn running(&self) -> Option<&Attempt> {
        self.attempts
            .last()
            .filter(|attempt| attempt.ended.is_none())
    }

    /// Attempts that count against the retry policy: what no host took is not among them.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.count(|ending| matches!(ending, Ending::Failed(why) if !was_refused(why)))
    }

    /// How often in a row no host took it, up to now.
    #[must_use]
    pub fn refusals(&self) -> u32 {
        let ended = self
            .attempts
            .iter()
            .rev()
            .filter_map(|it| it.ended.as_ref());
        let refused =
            ended.take_while(|(_, it)| matches!(it, Ending::Failed(why) if was_refused(why)));
        u32::try_from(refused.count()).unwrap_or(u32::MAX)
    }

    /// Attempts that went down with what ran them.
    #[must_use]
    pub fn losses(&self) -> u32 {
        self.count(|ending| matches!(ending, Ending::Lost(_) | Ending::Cancelled))
    }

    /// The moment before which it is not to be tried, while that is still to come.
    #[must_use]
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.retry_at.filter(|due| *due > now)
    }

    /// The attempt that the agent must be asked about before anything else can happen.
    #[must_use]
    pub fn to_probe(&self) -> Option<&Attempt> {
        if self.status.is_settled()
            || self.retry_at.is_some()
            || self.spec.effect != Effect::Guarded
        {
            return None;
        }
        self.attempts.last().filter(|attempt| {
            matches!(
                attempt.ended,
                Some((_, Ending::Lost(_) | Ending::Cancelled | Ending::Interrupted))
            )
        })
    }

    /// Whether no other step needs it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.dependants.is_empty()
    }

    fn count(&self, matches: impl Fn(&Ending) -> bool) -> u32 {
        let count = self
            .attempts
            .iter()
            .filter(|attempt| {
                attempt
                    .ended
                    .as_ref()
                    .is_some_and(|(_, ending)| matches(ending))
            })
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

impl Step {
    pub(in crate::task) const fn planned(spec: StepSpec) -> Self {
        Self {
            spec,
            status: StepStatus::Pending,
            attempts: Vec::new(),
            output: Value::Null,
            error: None,
            retry_at: None,
            assigned: None,
            ready_at: None,
            of: None,
            asks: Asks::none(),
            unmet: 0,
            dependants: Vec::new(),
        }
    }
}
