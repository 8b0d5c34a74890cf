//! What is wrong with a definition, all of it at once.
//!
//! Nothing is asked of the world: whether an agent or another workflow exists shows when a run needs it.

mod graph;
mod names;
mod schemas;
mod set;
mod shape;
mod words;
mod work;

use std::fmt;

use protocol::workflow::Definition;
use serde_json::Value;

use graph::Web;

/// Most nodes of a definition.
pub const MAX_NODES: usize = 2_000;

/// Most edges of a definition, `needs` included.
pub const MAX_EDGES: usize = 20_000;

/// Most edges that go back.
pub const MAX_LOOPS: usize = 200;

/// Most problems that are told at once.
const TOLD: usize = 100;

/// Something wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The node, if it is about one.
    pub node: Option<String>,
    /// Where, such as `nodes[3].needs[0]`; empty for the whole.
    pub path: String,
    /// On which line of its text, if there is one.
    pub line: Option<u32>,
    /// What.
    pub message: String,
    /// That it says only that there are more, behind all others.
    pub is_last: bool,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            node: None,
            path: path.into(),
            line: None,
            message: message.into(),
            is_last: false,
        }
    }

    /// That there are more.
    pub(super) fn more(message: impl Into<String>) -> Self {
        Self {
            is_last: true,
            ..Self::new("", message)
        }
    }

    pub(super) fn of_node(mut self, id: Option<&str>) -> Self {
        self.node = id.filter(|id| !id.is_empty()).map(str::to_owned);
        self
    }

    /// The same with the id of the node that its path leads through.
    pub(super) fn of_node_in(self, definition: &Value) -> Self {
        let at = self.path.strip_prefix("nodes[");
        let at = at.and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
        let node = at.and_then(|at| definition.get("nodes")?.get(at)?.get("id")?.as_str());
        self.of_node(node)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "node {node}: ")?;
        }
        f.write_str(&self.message)?;
        match self.path.as_str() {
            "" => Ok(()),
            path => write!(f, " ({path})"),
        }
    }
}

/// The path of a field.
pub(super) fn field(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    match (plain, path) {
        (true, "") => key.to_owned(),
        (true, path) => format!("{path}.{key}"),
        (false, path) => format!("{path}[{key:?}]"),
    }
}

/// The path of an element of a list.
pub(super) fn element(path: &str, at: usize) -> String {
    format!("{path}[{at}]")
}

/// What is wrong with a definition; nothing if it can be run.
#[must_use]
pub fn check(definition: &Definition) -> Vec<Problem> {
    let mut found = Findings::default();
    names::check(definition, &mut found);
    shape::check(definition, &mut found);
    schemas::check(definition, &mut found);
    let needs: usize = definition.nodes.iter().map(|node| node.needs.len()).sum();
    let sizes = [
        ("nodes", "nodes", definition.nodes.len(), MAX_NODES),
        (
            "edges",
            "edges and needs",
            definition.edges.len() + needs,
            MAX_EDGES,
        ),
    ];
    for (path, what, size, most) in sizes {
        if size > most {
            found.add(
                None,
                path,
                format!("a definition has at most {most} {what}, not {size}"),
            );
            return found.told();
        }
    }
    let web = Web::new(definition, &mut found);
    graph::check(definition, &web, &mut found);
    for (at, node) in definition.nodes.iter().enumerate() {
        work::check(node, &element("nodes", at), &web, at, &mut found);
    }
    words::check(definition, &web, &mut found);
    found.told()
}

/// Where a value does not fit a JSON Schema: places as JSON pointers, each with what is wrong. A schema
/// that is none is told at the place ``.
#[must_use]
pub fn input_faults(schema: &Value, input: &Value) -> Vec<(String, String)> {
    schemas::faults(schema, input)
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings {
    problems: Vec<Problem>,
    /// How many were left out.
    more: usize,
}

impl Findings {
    fn told(self) -> Vec<Problem> {
        let mut problems = self.problems;
        let plural = if self.more == 1 { "" } else { "s" };
        if self.more > 0 {
            let message = format!("and {} more problem{plural}", self.more);
            problems.push(Problem::more(message));
        }
        problems
    }

    fn add(&mut self, node: Option<&str>, path: impl Into<String>, message: impl Into<String>) {
        if self.problems.len() < TOLD {
            self.problems
                .push(Problem::new(path, message).of_node(node));
        } else {
            self.more += 1;
        }
    }

    /// A hint at the name that was most likely meant; none where nothing more is told, as each costs a
    /// look at all names.
    fn meant<'a>(&self, given: &str, known: impl Iterator<Item = &'a str>) -> String {
        // One letter is near to every other one.
        const SHORTEST: usize = 3;
        if self.problems.len() >= TOLD || given.chars().count() < SHORTEST {
            return String::new();
        }
        match crate::planner::nearest(given, known) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
