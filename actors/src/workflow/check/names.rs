//! Names of a definition, of its nodes, its edges and its experts.

use std::collections::{HashMap, HashSet};

use protocol::workflow::{Definition, Edge, Expert};

use super::{Findings, element, field};

/// What stands in the place of a name in the address of the schema.
const SCHEMA: &str = "schema";

pub(super) fn check(definition: &Definition, found: &mut Findings) {
    if !is_name(&definition.name) {
        let message = "a workflow's name is 1 to 64 lower-case letters, digits and `-`";
        found.add(None, "name", message);
    }
    if definition.name == SCHEMA {
        let message = "`schema` is where the JSON Schema of definitions is found; choose another";
        found.add(None, "name", message);
    }
    let mut first = HashMap::new();
    for (at, node) in definition.nodes.iter().enumerate() {
        let path = field(&element("nodes", at), "id");
        if !is_id(&node.id) {
            found.add(Some(&node.id), path, ID);
        } else if let Some(first) = first.insert(node.id.as_str(), at) {
            let message = format!("`{}` is the id of {} too", node.id, element("nodes", first));
            found.add(Some(&node.id), path, message);
        }
    }
    let mut keys = HashSet::new();
    for (at, edge) in definition.edges.iter().enumerate() {
        let key = key(edge);
        if !keys.insert(key.clone()) {
            let path = element("edges", at);
            let message = format!("another edge is `{key}` too; give one of them an `id`");
            found.add(None, path, message);
        }
    }
}

const ID: &str = "an id is 1 to 48 letters, digits, `_` and `-`";

/// What names an edge.
pub(super) fn key(edge: &Edge) -> String {
    let named = edge.id.clone();
    named.unwrap_or_else(|| format!("{}-{}", edge.from, edge.to))
}

fn is_id(id: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    (1..=48).contains(&id.len()) && id.chars().all(allowed)
}

/// Whether it can name a workflow.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

/// Names of experts, and that there is one.
pub(super) fn experts(node: Option<&str>, path: &str, experts: &[Expert], found: &mut Findings) {
    if experts.is_empty() {
        found.add(node, path, "a mixture has at least one expert");
    }
    let mut seen = HashSet::new();
    for (at, expert) in experts.iter().enumerate() {
        let path = field(&element(path, at), "id");
        if !is_id(&expert.id) {
            found.add(node, path, ID);
        } else if !seen.insert(expert.id.as_str()) {
            let message = format!("another expert is `{}` too", expert.id);
            found.add(node, path, message);
        }
    }
}
