//! What a run of a workflow records beside what every task does.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    entity::EntityId,
    id::{TaskId, WorkflowId},
    json,
    plan::StepSpec,
    task::Failure,
    time::Timestamp,
};

/// Of which workflow a task is a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The workflow.
    pub id: WorkflowId,
    /// Its name.
    pub name: String,
    /// Which version of its definition; a run keeps it.
    pub version: u32,
    /// How many nodes that has.
    #[serde(default)]
    pub nodes: u32,
    /// Where it comes from, when it was not started anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// The run that another one was forked from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// That run.
    pub run: TaskId,
    /// The node from which on everything is done anew.
    pub node: String,
    /// What that node is handed in place of what its definition says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// Its turn has not come.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// For a person, a moment, or a run of another workflow.
    Waiting,
    /// It gave its output.
    Completed,
    /// It did not.
    Failed,
    /// Nobody knows whether it took effect; a person is asked.
    Unknown,
    /// Not chosen.
    Skipped,
    /// Stopped on request.
    Cancelled,
}

impl NodeStatus {
    /// Whether it is over.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Skipped | Self::Cancelled
        )
    }

    /// As the API prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Names an edge that goes back.
pub type LoopKey = String;

/// One time that a node had its turn; prints as `node`, later ones as `node.2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeRun {
    /// The node.
    pub node: String,
    /// The first is 1.
    pub run: u32,
}

impl std::fmt::Display for NodeRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.run {
            0 | 1 => f.write_str(&self.node),
            later => write!(f, "{}.{later}", self.node),
        }
    }
}

/// A node whose outcome a fork takes over: what it did is not done again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inherited {
    /// The node and which run of it.
    #[serde(flatten)]
    pub at: NodeRun,
    /// How it ended.
    pub status: NodeStatus,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// Why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// When it ended there.
    pub settled_at: Timestamp,
}

/// A decision of a run, or something that came to it from outside that is no result of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum RunEvent {
    /// It begins with what another run had.
    Forked {
        /// Nodes whose outcome it takes over.
        nodes: Vec<Inherited>,
        /// Its context.
        context: Map<String, Value>,
        /// Nodes that called something irreversible in that run, or in those that it comes from.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        called: Vec<String>,
    },
    /// A node's turn has come: these calls are made for it, beside those that were before.
    Started {
        /// The node and which run of it.
        #[serde(flatten)]
        at: NodeRun,
        /// The calls, with what they are handed. Their ids begin with the node's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        steps: Vec<StepSpec>,
        /// How many of them are made at once; all of them when 0.
        #[serde(default, skip_serializing_if = "is_zero")]
        window: u32,
        /// Whether its outcome is that of its only call.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alone: bool,
    },
    /// A node waits for a moment.
    Waits {
        /// The node and which run of it.
        #[serde(flatten)]
        at: NodeRun,
        /// Until when.
        until: Timestamp,
    },
    /// A node waits for another entity, a question or a run, that is made if it is not there.
    Asked {
        /// The node and which run of it.
        #[serde(flatten)]
        at: NodeRun,
        /// The entity.
        entity: EntityId,
        /// What it is asked or handed.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        input: Value,
        /// Whether it is asked what became of a call whose outcome nobody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<String>,
    },
    /// A person, or a probe, said what became of a call whose outcome nobody knew.
    Settled {
        /// The step.
        step: String,
        /// What it gave, which may be null, if it took effect.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "json::present"
        )]
        output: Option<Value>,
        /// Who says so.
        user: String,
    },
    /// A node is over in a way that none of its calls says by itself. Those that were not made yet never are.
    Ended {
        /// The node and which run of it.
        #[serde(flatten)]
        at: NodeRun,
        /// How.
        status: NodeStatus,
        /// What it gave.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        output: Value,
        /// Why it did not complete.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
        /// That it gave what each of its calls gave, in their order, instead of `output`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        gathered: bool,
        /// What it was made of, for people: the candidates of a mixture, the rounds of a director.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        detail: Value,
    },
    /// The run fails: what has not started never does.
    Broke {
        /// Because of which node.
        node: String,
        /// Why.
        error: Failure,
    },
    /// An edge that goes back was taken: these nodes are to run once more.
    WentBack {
        /// The edge.
        edge: LoopKey,
        /// The nodes.
        nodes: Vec<String>,
        /// Edges that go back within these nodes: they are counted anew.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inner: Vec<LoopKey>,
    },
    /// Keys of the context have new values.
    Wrote {
        /// By which node; absent for a client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// Which version of the context this is; the first has 0.
        version: u64,
        /// The keys; `null` removes one.
        values: Map<String, Value>,
    },
    /// The run is over but for what takes back what it did.
    TakesBack {
        /// Nodes to be taken back, the last one first.
        nodes: Vec<String>,
    },
    /// A node is taken back.
    Undoes {
        /// The node.
        node: String,
        /// The call that does it.
        call: Box<StepSpec>,
    },
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_took_effect_and_gave_nothing_is_read_as_that() {
        for output in [Some(Value::Null), Some(json!({ "id": 7 })), None] {
            let event = RunEvent::Settled {
                step: "pay".to_owned(),
                output,
                user: "ada".to_owned(),
            };
            let written = serde_json::to_string(&event).unwrap();
            let read: RunEvent = serde_json::from_str(&written).unwrap();
            assert_eq!(read, event, "{written}");
        }
    }
}
