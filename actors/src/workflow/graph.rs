//! The compiled form of a definition: every shape as one graph, with all that it says parsed.

mod compile;
mod loops;

use std::collections::HashMap;

use protocol::{
    plan::{Effect, RetryPolicy},
    time::Span,
    workflow::{Mode, Node, OnError, Shape},
};

use serde_json::{Map, Value};

use super::{condition::Condition, expression::Query, template::Template};

pub use compile::Fault;

/// A definition, ready to be run. Nodes and edges are named by their places.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Every node, in the order of the definition.
    pub nodes: Vec<Place>,
    /// Every edge.
    pub edges: Vec<Link>,
    /// The result of a run, where the definition says it.
    pub output: Option<Template>,
    /// What the result is otherwise made of.
    pub shape: Shape,
    /// For `concurrent`: what a failure means.
    pub mode: Mode,
    /// What is to be done, in words.
    pub description: String,
    /// What the context of a run begins with.
    pub context: Map<String, Value>,
    places: HashMap<String, usize>,
}

/// A node in its graph.
#[derive(Debug, Clone)]
pub struct Place {
    /// As written down, with the definition's defaults put in.
    pub node: Node,
    /// Runs only if this holds.
    pub when: Option<Condition>,
    /// What it is handed.
    pub input: Option<Template>,
    /// What it writes into the context.
    pub set: Vec<(String, Template)>,
    /// What it does.
    pub work: Work,
    /// Edges that come before it.
    pub incoming: Vec<usize>,
    /// Edges that leave it and go on.
    pub outgoing: Vec<usize>,
    /// Edges that leave it and go back.
    pub back: Vec<usize>,
    /// Edges that go back, of loops that it is behind: it waits until none of them will be taken.
    pub behind: Vec<usize>,
    /// What takes it back.
    pub undo: Option<(Caller, Option<Template>)>,
}

/// An edge in its graph.
#[derive(Debug, Clone)]
pub struct Link {
    /// Names it.
    pub key: String,
    /// The node before.
    pub from: usize,
    /// The node after.
    pub to: usize,
    /// Taken only if this holds.
    pub condition: Option<Condition>,
    /// What a `condition` node before it must have said.
    pub verdict: Option<bool>,
    /// For people.
    pub label: String,
    /// That it goes back: how often its nodes may run, and which they are.
    pub back: Option<Back>,
}

/// What an edge that goes back repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// Runs of its nodes in all.
    pub most: u32,
    /// The nodes from its target to its source.
    pub body: Vec<usize>,
}

/// Who is called, and with which words.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Name or id of the agent.
    pub agent: Option<String>,
    /// Or what it must be able to do.
    pub capability: Option<String>,
    /// In words.
    pub prompt: Option<Template>,
    /// What it is handed, where it says so itself.
    pub input: Option<Template>,
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum Work {
    /// One call.
    Call(Caller),
    /// Says whether something holds.
    Condition(Condition),
    /// Passes on what it is handed.
    Parallel,
    /// Passes on what it is handed, once enough branches are there.
    Join(Option<usize>),
    /// One call for each element.
    Map {
        over: Template,
        each: Caller,
        mode: Mode,
        window: usize,
    },
    /// A question.
    Human { question: Template },
    /// A run of another workflow.
    Subworkflow {
        workflow: String,
        version: Option<u32>,
    },
    /// Time passes.
    Wait {
        span: Option<Span>,
        until: Option<Template>,
    },
    /// A value.
    Transform(Template),
    /// A director and workers.
    Direct {
        lead: Caller,
        workers: Caller,
        max_workers: usize,
        max_rounds: usize,
    },
    /// Experts and a choice.
    Mixture {
        experts: Vec<(String, Caller)>,
        choose: Chooser,
    },
}

/// How one answer is made of several.
#[derive(Debug, Clone)]
pub enum Chooser {
    /// What most answered.
    Vote(Option<Query>),
    /// The highest number.
    BestOf(Query),
    /// All of them.
    Concat(Option<String>),
    /// An agent decides.
    Judge(Caller),
}

impl Graph {
    /// Where a node stands.
    #[must_use]
    pub fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// Nodes behind which nothing comes.
    pub fn last(&self) -> impl Iterator<Item = &Place> {
        self.nodes.iter().filter(|place| place.outgoing.is_empty())
    }
}

impl Place {
    /// What names it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.node.id
    }

    /// Whether its failure ends the run.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.node.on_error == OnError::Fail
    }

    /// What may be done twice.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.node.effect.unwrap_or_default()
    }

    /// How often it is tried.
    #[must_use]
    pub const fn retry(&self) -> Option<RetryPolicy> {
        self.node.retry
    }
}
