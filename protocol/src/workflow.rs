//! A workflow: what a client writes down, and what its runs record.
//!
//! A [`Definition`] is data: a graph of [`Node`]s and [`Edge`]s, or one of the shapes that stand for a
//! graph. Every start of it is a *run*, a task whose plan grows as the definition says.
//!
//! Where a value is asked for, a [`Template`] may stand; where a choice is made, a [`Condition`].

mod book;
mod node;
mod run;

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

pub use book::{EVENT_VERSION, Event, Status};
pub use node::{Choose, Director, Expert, Human, Join, Node, OnError, Rung, Undo, Work, Worker};
pub use run::{Inherited, LoopKey, NodeRun, NodeStatus, Origin, RunEvent, RunSpec};

use crate::{
    json::objects,
    plan::{Effect, RetryPolicy},
    time::Span,
};

/// JSON in which strings may refer to what a run knows.
///
/// A string that begins with `$` is a JSONPath (RFC 9535) into the run's scope and gives what it finds:
/// nothing is `null`, one thing is itself. A path that can find several (`*`, `..`, `?`, `,`, `:`) always
/// gives an array, also of one or none. `${…}` within a string is an expression;
/// a string that is one such expression alone gives its value as it is, others are put together as
/// text. `$$` stands for a dollar sign. Objects and arrays are gone through; all else stands for itself.
///
/// The scope is `{input, context, nodes: {ID: {status, output, error, run}}, run: {id, workflow, version}}`,
/// beside it `item` and `index` for the runs of a `map`, `output` for what the node itself gave (in `set`
/// and in conditions of its edges), `candidates` for a judge, `rounds` for a director.
pub type Template = Value;

/// What becomes of the run whose graph it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One node after another; each receives what the one before it gave.
    Sequential,
    /// All nodes at once; the result is an array in the order of the nodes.
    Concurrent,
    /// As the edges say.
    #[default]
    Graph,
    /// A director hands out work, sees what came of it, and may hand out more.
    Hierarchical,
    /// Several experts at the same question, then one choice.
    Mixture,
}

/// Whether a failed node ends a run whose nodes have nothing to do with each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The first failure ends it: what has not started never does.
    #[default]
    FailFast,
    /// All of them run; those that failed give `{"error": {code, message}}` in place of a result.
    Collect,
}

/// What a client writes down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Unique; lower-case letters, digits and `-`, at most 64.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its graph looks like.
    #[serde(default, rename = "type")]
    pub shape: Shape,
    /// JSON Schema of the input of a run; any input is taken without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What the context of a run begins with.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// What holds for each node that does not say otherwise.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
    /// What is to be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
    /// In which order; beside `needs` of the nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    /// For `concurrent`: what a failure means.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// For `hierarchical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub director: Option<Director>,
    /// For `mixture`: who is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experts: Vec<Expert>,
    /// For `mixture`: how one answer is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choose: Option<Choose>,
    /// The result of a run; without it the output of its last node, or of all last nodes by their ids.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Template,
    /// How long a run may take, waiting for people and clocks included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How long a node may wait for an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<Span>,
    /// Free JSON, returned unchanged.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// What holds for each node that does not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// How often it is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// How long one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// What may be done twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

impl Defaults {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// From one node to another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Names it; without it `FROM-TO`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The node that is over before.
    pub from: String,
    /// The node that comes after.
    pub to: String,
    /// Taken only if this holds. After a `condition` node, `label: "true"` or `"false"` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// It goes back: when it is taken, all nodes from `to` to `from` run once more.
    #[serde(default, rename = "loop", skip_serializing_if = "Option::is_none")]
    pub back: Option<Loop>,
}

/// How often an edge that goes back may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Loop {
    /// Runs of its nodes in all, the first included; one more fails the run with `loop_limit`. 1 to 1,000.
    pub max_iterations: u32,
}

impl Default for Loop {
    fn default() -> Self {
        Self { max_iterations: 10 }
    }
}

/// A choice between yes and no.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Condition {
    /// An expression over the scope.
    Expression(String),
    /// A comparison of something in the output of the node that the edge leaves.
    Compare(Compare),
}

// What serde derives would not say what is wrong within a comparison, and take an array for one.
impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConditionVisitor)
    }
}

struct ConditionVisitor;

impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = Condition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an expression, or an object with `path`, `op` (eq, ne, lt, le, gt, ge, in, contains, exists) and `value`,",
        )
    }

    fn visit_str<E: Error>(self, expression: &str) -> Result<Condition, E> {
        Ok(Condition::Expression(expression.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Condition, A::Error> {
        objects(MapAccessDeserializer::new(fields)).map(Condition::Compare)
    }
}

/// A comparison, as editors of graphs write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// JSONPath into the output of the node that the edge leaves.
    pub path: String,
    /// How.
    pub op: Op,
    /// With what; not for `exists`.
    #[serde(default)]
    pub value: Value,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less; numbers or texts.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// One of a list.
    In,
    /// Has the value as an element, a key, or a part of its text.
    Contains,
    /// The path finds something other than `null`.
    Exists,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// JSON Schema of a [`Definition`].
#[cfg(feature = "schema")]
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Definition).to_value()
}
