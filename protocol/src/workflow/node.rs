//! What a node does.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Condition, Template, is_default};
use crate::{
    json::{self, objects},
    plan::{Effect, RetryPolicy},
    time::Span,
};

/// One thing to be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Node {
    /// Names it within its definition: letters, digits, `_` and `-`, at most 48.
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Nodes that are over before; the same as an edge from each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Runs only if this holds when its turn comes; else it is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// What it is handed. Without it the output of the node before it, of all nodes before it by their
    /// ids, or the input of the run.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Template,
    /// Keys of the context that it writes when it completed, under `output` what it gave.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Template>,
    /// What its failure means.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_error: OnError,
    /// How often it is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// How long one attempt may take; of a `map`, `human`, `subworkflow` the whole node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// What may be done twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// What takes it back when the run fails or is cancelled after it completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensate: Option<Undo>,
    /// What it does.
    #[serde(flatten)]
    pub work: Work,
}

/// What the failure of a node means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails: what has not started never does.
    #[default]
    Fail,
    /// The run goes on: edges are taken as if it had completed, with its error in the scope.
    Continue,
}

/// What a node does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Work {
    /// An agent that can do something does it.
    Task(Worker),
    /// The agent of this name does it.
    Agent(Worker),
    /// Its output is whether something holds.
    Condition {
        /// What.
        condition: Condition,
    },
    /// Where branches begin; its output is its input.
    #[default]
    Parallel,
    /// Where branches meet.
    Join(Join),
    /// The same for each element of a list, as many at once as there are agents.
    Map {
        /// The list.
        over: Template,
        /// Who does it; sees `item` and `index`.
        #[serde(deserialize_with = "objects")]
        each: Worker,
        /// What a failed element means.
        #[serde(
            default,
            skip_serializing_if = "is_default",
            deserialize_with = "objects"
        )]
        mode: super::Mode,
        /// Elements under way at once; all of them without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_parallel: Option<u32>,
    },
    /// A person answers a question.
    Human(Human),
    /// A run of another workflow.
    Subworkflow {
        /// Its name.
        workflow: String,
        /// Which version; the newest without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
    },
    /// Time passes.
    Wait {
        /// How long.
        #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
        span: Option<Span>,
        /// Or until when: a moment as RFC 3339.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        until: Template,
    },
    /// A value is made of others.
    Transform {
        /// The value.
        output: Template,
    },
    /// A director hands out work, sees what came of it, and may hand out more.
    Direct(Director),
    /// Several experts at the same question, then one choice.
    Mixture {
        /// Who is asked.
        #[serde(deserialize_with = "objects")]
        experts: Vec<Expert>,
        /// How one answer is chosen.
        #[serde(deserialize_with = "objects")]
        choose: Choose,
    },
}

/// Who does something, and in which words it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Worker {
    /// Name or id of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Or what an agent must be able to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// What is to be done, in words; a template. The description of the workflow without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What it is handed, where its node does not say: for elements of a `map`, experts and the like.
    #[serde(default, rename = "with", skip_serializing_if = "Value::is_null")]
    pub input: Template,
}

/// What takes a node back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// Name or id of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Or what an agent must be able to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// What it is handed; `output` is what the node gave. That output without it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Template,
}

/// Where branches meet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Join {
    /// How many branches are enough; all of them without it. The others go on, and nobody waits for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for: Option<u32>,
}

/// A question to a person.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Human {
    /// What is asked; a template.
    pub question: String,
    /// JSON Schema of the answer; any JSON without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Who may answer: `viewer`, `developer`, `operator`, `admin`, or `user:NAME`; any operator without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// By when, counted from the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// Who is asked next when the deadline passes without an answer, one after another.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "objects"
    )]
    pub escalate: Vec<Rung>,
    /// The answer when nobody gave one in time, which may be null; without it the node fails with
    /// `no_answer`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::present"
    )]
    pub default: Option<Value>,
}

/// A step up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Who is asked then: `viewer`, `developer`, `operator`, `admin`, or `user:NAME`.
    pub role: String,
    /// How long they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
}

/// Who hands out work.
///
/// The director is handed `{input, round, workers: [{id, status, output, error}]}` and answers
/// `{"workers": [{"id"?, "agent"?, "capability"?, "prompt"?, "input"?}], "output"?}`. With workers, they run
/// and it is asked again; without any, `output` is what the node gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Director {
    /// Who directs.
    #[serde(flatten)]
    pub lead: Worker,
    /// Who works when the director does not say.
    #[serde(
        default,
        skip_serializing_if = "is_default",
        deserialize_with = "objects"
    )]
    pub workers: Worker,
    /// Workers over all rounds; 1 to 1,000.
    #[serde(default = "most_workers")]
    pub max_workers: u32,
    /// How often the director is asked; 1 to 100.
    #[serde(default = "most_rounds")]
    pub max_rounds: u32,
}

const fn most_workers() -> u32 {
    16
}

const fn most_rounds() -> u32 {
    8
}

/// One of several who are asked the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Expert {
    /// Names it among the others.
    pub id: String,
    /// Who.
    #[serde(flatten)]
    pub worker: Worker,
}

/// How one answer is made of several. Those of experts that failed do not take part; when all failed, so
/// did the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Choose {
    /// What most of them answered; among equals the one named first.
    Vote {
        /// What of an answer counts: JSONPath into it; all of it without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
    /// The answer with the highest number.
    BestOf {
        /// Where in an answer the number stands: JSONPath.
        score: String,
    },
    /// All of them, in their order.
    Concat {
        /// Between texts; answers that are not text give an array.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separator: Option<String>,
    },
    /// An agent is handed `{input, candidates: [{id, output}]}` and answers `{"choice": ID}` or
    /// `{"output": …}`.
    Judge(Worker),
}
