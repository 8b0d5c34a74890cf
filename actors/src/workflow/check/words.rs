//! Expressions, templates and JSONPaths: whether they are any, and whether what they refer to is there.

mod places;

use std::collections::BTreeSet;

use protocol::workflow::{Condition as WrittenCondition, Definition};
use serde_json::Value;

use super::{Findings, element, field, graph::Web};
use crate::workflow::{
    condition::Condition,
    expression::{Kinds, Query, Syntax},
    template::Template,
};

pub(super) use places::check;

/// What the scope has beside `input`, `context`, `nodes` and `run`, and which nodes are over.
#[derive(Debug, Clone, Copy)]
struct View<'v> {
    node: Option<&'v str>,
    beside: &'v [&'v str],
    known: Known,
}

/// Which nodes can be over.
#[derive(Debug, Clone, Copy)]
enum Known {
    All,
    None,
    /// Those that can be when this one starts.
    Before(usize),
    /// Those, and it itself.
    With(usize),
}

impl Known {
    fn has(self, at: usize, web: &Web<'_>) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Before(node) => web.is_known_to(node, at),
            Self::With(node) => at == node || web.is_known_to(node, at),
        }
    }
}

/// Most of a text that a message quotes.
const QUOTED: usize = 40;

struct Words<'d, 'f> {
    definition: &'d Definition,
    web: &'d Web<'d>,
    /// Keys of the context that something sets.
    context: BTreeSet<&'d str>,
    found: &'f mut Findings,
}

impl<'d> Words<'d, '_> {
    fn template(&mut self, path: &str, value: &Value, view: View<'_>) -> Kinds {
        match Template::parse(value) {
            Ok(template) => {
                let mut paths = Vec::new();
                template.visit_paths(&mut |path| paths.push(path.to_vec()));
                self.refer(path, &paths, view);
                template.kinds()
            }
            Err(fault) => {
                self.fault(path, value, &fault, view);
                Kinds::ANY
            }
        }
    }

    fn text(&mut self, path: &str, text: Option<&String>, view: View<'_>) {
        if let Some(text) = text {
            self.template(path, &Value::String(text.clone()), view);
        }
    }

    fn condition(&mut self, path: &str, condition: &WrittenCondition, view: View<'_>) {
        match Condition::compile(condition) {
            Ok(condition) => {
                let mut paths = Vec::new();
                condition.visit_paths(&mut |path| paths.push(path.to_vec()));
                self.refer(path, &paths, view);
            }
            Err(fault) => {
                let written = serde_json::to_value(condition).unwrap_or_default();
                self.fault(path, &written, &fault, view);
            }
        }
    }

    fn query(&mut self, path: &str, text: &str, node: Option<&str>) {
        if let Err(fault) = Query::parse(text, 0) {
            self.found.add(node, path, fault.message);
        }
    }

    /// Says where within a value a text is not in the language.
    fn fault(&mut self, path: &str, value: &Value, fault: &Syntax, view: View<'_>) {
        let mut path = path.to_owned();
        let mut part = value;
        for key in fault.path.split('/').skip(1) {
            let key = key.replace("~1", "/").replace("~0", "~");
            (path, part) = match (part, key.parse()) {
                (Value::Array(list), Ok(at)) => {
                    (element(&path, at), list.get(at).unwrap_or(&Value::Null))
                }
                (part, _) => (field(&path, &key), part.get(&key).unwrap_or(&Value::Null)),
            };
        }
        let mut message = fault.message.clone();
        if let Some(text) = part.as_str() {
            let before = text.get(..fault.at).unwrap_or_default().chars().count();
            let quoted: String = text.chars().take(QUOTED).collect();
            let more = if quoted.len() < text.len() { "…" } else { "" };
            message = format!("{message}, at character {} of `{quoted}{more}`", before + 1);
        }
        self.found.add(view.node, path, message);
    }

    fn refer(&mut self, at: &str, paths: &[Vec<String>], view: View<'_>) {
        for path in paths {
            if let Some(message) = self.missing(path, view) {
                self.found.add(view.node, at, message);
            }
        }
    }

    /// What is wrong with a path into the scope.
    fn missing(&self, path: &[String], view: View<'_>) -> Option<String> {
        let (root, rest) = path.split_first()?;
        match (root.as_str(), rest) {
            ("nodes", [id, rest @ ..]) => self.missing_node(id, rest.first(), view),
            ("context", [key, ..]) if !self.context.contains(key.as_str()) => {
                let hint = self.found.meant(key, self.context.iter().copied());
                Some(format!("nothing sets `context.{key}`{hint}"))
            }
            ("input", [key, ..]) => self.missing_input(key),
            ("run", [key, ..]) => {
                let known = ["id", "workflow", "version"];
                let hint = self.found.meant(key, known.into_iter());
                let is_known = known.contains(&key.as_str());
                (!is_known)
                    .then(|| format!("a run has an id, a workflow and a version, no `{key}`{hint}"))
            }
            ("input" | "context" | "nodes" | "run", _) => None,
            (root, _) if view.beside.contains(&root) => None,
            (root, _) => Some(self.missing_root(root, view)),
        }
    }

    fn missing_root(&self, root: &str, view: View<'_>) -> String {
        let known = || {
            let always = ["input", "context", "nodes", "run"].into_iter();
            always.chain(view.beside.iter().copied())
        };
        let hint = if self.web.ids.contains_key(root) {
            format!("; did you mean `nodes.{root}.output`?")
        } else {
            self.found.meant(root, known())
        };
        let known: Vec<&str> = known().collect();
        format!(
            "nothing is called `{root}` here, but {}{hint}",
            known.join(", ")
        )
    }

    fn missing_node(&self, id: &str, part: Option<&String>, view: View<'_>) -> Option<String> {
        const PARTS: [&str; 4] = ["status", "output", "error", "run"];
        let Some(&at) = self.web.ids.get(id) else {
            let hint = self.found.meant(id, self.web.ids.keys().copied());
            return Some(format!("there is no node `{id}`{hint}"));
        };
        if !view.known.has(at, self.web) {
            let here = view.node.unwrap_or_default();
            return Some(if here == id {
                "what it gives itself is not there before it is over".to_owned()
            } else {
                format!("`{id}` need not be over by then: nothing leads from it to `{here}`")
            });
        }
        let part = part.filter(|part| !PARTS.contains(&part.as_str()))?;
        Some(format!(
            "a node has status, output, error and run, no `{part}`; did you mean `nodes.{id}.output.{part}`?"
        ))
    }

    /// Only where the schema says that there is nothing else.
    fn missing_input(&self, key: &str) -> Option<String> {
        let schema = self.definition.input.as_ref()?;
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return None;
        }
        let open = ["$ref", "allOf", "anyOf", "oneOf", "patternProperties"];
        let properties = schema.get("properties")?.as_object()?;
        if properties.contains_key(key) || open.iter().any(|name| schema.get(name).is_some()) {
            return None;
        }
        let hint = self.found.meant(key, properties.keys().map(String::as_str));
        Some(format!("the input has no `{key}`, its schema says{hint}"))
    }
}
