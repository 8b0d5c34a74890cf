//! From what a client gave to a definition that may be published.

use std::collections::{HashMap, HashSet};

use protocol::{
    api::{FieldError, WorkflowDraft},
    id::WorkflowId,
    workflow::{Definition, Shape},
};
use serde_json::{Value, json};

use super::{graph::Graph, input::Input};
use crate::Rejection;

/// Nodes that one workflow may have.
const MOST_NODES: usize = 10_000;

/// A definition that was read and checked, with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The text that was given, byte for byte.
    pub source: String,
    /// What it says.
    pub definition: Box<Definition>,
}

impl Draft {
    /// Reads and checks what a client gave; nothing when it gave no definition.
    ///
    /// # Errors
    ///
    /// `Invalid` names each place that is wrong.
    pub fn read(given: &WorkflowDraft) -> Result<Option<Self>, Rejection> {
        if given.dag_definition.is_some() && given.source.is_some() {
            return Err(Rejection::field(
                "source",
                "stands beside `dag_definition`; give the definition once",
            ));
        }
        let Some(text) = given.text() else {
            return match beside(given).next() {
                None => Ok(None),
                Some((_, field, _)) => Err(Rejection::field(
                    field,
                    "stands in the definition: give it in `dag_definition` or `source`",
                )),
            };
        };
        let definition = definition(text, given)?;
        let mut faults = faults(&definition);
        if faults.is_empty() {
            let fault = Graph::compile(&definition).err();
            faults.extend(fault.map(|fault| FieldError::new(fault.path, fault.message)));
        }
        if faults.is_empty() {
            return Ok(Some(Self {
                source: text.to_owned(),
                definition: Box::new(definition),
            }));
        }
        Err(invalid(faults))
    }
}

/// What may stand beside a definition: its key there, its name here, and its value.
fn beside(given: &WorkflowDraft) -> impl Iterator<Item = (&'static str, &'static str, Value)> {
    let shape = |shape: Shape| json!(shape);
    let (name, description) = (given.name.clone(), given.description.clone());
    [
        ("name", "name", name.map(Value::from)),
        ("description", "description", description.map(Value::from)),
        ("type", "workflow_type", given.workflow_type.map(shape)),
    ]
    .into_iter()
    .filter_map(|(key, field, value)| Some((key, field, value?)))
}

fn definition(text: &str, given: &WorkflowDraft) -> Result<Definition, Rejection> {
    let place = match given.source {
        Some(_) => "source",
        None => "dag_definition",
    };
    let mut value: Value = serde_json::from_str(text)
        .map_err(|error| Rejection::field(place, format!("is not JSON: {error}")))?;
    if let Value::Object(fields) = &mut value {
        for (key, field, said) in beside(given) {
            match fields.get(key) {
                None => {
                    fields.insert(key.to_owned(), said);
                }
                Some(other) if *other == said => {}
                Some(other) => {
                    let message =
                        format!("is {said}, and the definition says {other}; give it once");
                    return Err(Rejection::field(field, message));
                }
            }
        }
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = match path.as_str() {
            "" | "." => place.to_owned(),
            path => format!("{place}.{path}"),
        };
        Rejection::field(field, error.inner().to_string())
    })
}

fn invalid(errors: Vec<FieldError>) -> Rejection {
    let first = errors.first();
    let message = first.map_or_else(String::new, |error| {
        let more = match errors.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        format!("{}: {}{more}", error.field, error.message)
    });
    Rejection::Invalid {
        code: "invalid",
        message,
        errors,
    }
}

/// What is wrong with a definition, whatever its expressions say.
fn faults(definition: &Definition) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if let Some(fault) = wrong_name(&definition.name) {
        faults.push(FieldError::new("name", fault));
    }
    if definition.nodes.len() > MOST_NODES {
        let count = definition.nodes.len();
        let message = format!("{count} are more than {MOST_NODES}");
        faults.push(FieldError::new("nodes", message));
        return faults;
    }
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (at, node) in definition.nodes.iter().enumerate() {
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if node.id.is_empty() || node.id.len() > 48 || !node.id.chars().all(named) {
            let rule = "must have 1 to 48 letters, digits, `_` or `-`";
            faults.push(FieldError::new(format!("nodes[{at}].id"), rule));
        }
        if let Some(first) = places.insert(&node.id, at) {
            let message = format!(
                "`{}` is the id of nodes[{first}] too; ids are unique",
                node.id
            );
            faults.push(FieldError::new(format!("nodes[{at}].id"), message));
        }
    }
    let unknown = |place: String, node: &str| {
        FieldError::new(place, format!("`{node}` is no node of this workflow"))
    };
    for (at, node) in definition.nodes.iter().enumerate() {
        let needs = node.needs.iter().enumerate();
        let needs = needs.filter(|(_, need)| !places.contains_key(need.as_str()));
        faults.extend(needs.map(|(n, need)| unknown(format!("nodes[{at}].needs[{n}]"), need)));
    }
    for (at, edge) in definition.edges.iter().enumerate() {
        for (end, node) in [("from", &edge.from), ("to", &edge.to)] {
            if !places.contains_key(node.as_str()) {
                faults.push(unknown(format!("edges[{at}].{end}"), node));
            }
        }
    }
    let mut keys = HashSet::new();
    for (at, edge) in definition.edges.iter().enumerate() {
        let key = edge.id.clone();
        let key = key.unwrap_or_else(|| format!("{}-{}", edge.from, edge.to));
        if !keys.insert(key.clone()) {
            let message = format!("`{key}` names another edge too; give this one an `id`");
            faults.push(FieldError::new(format!("edges[{at}].id"), message));
        }
    }
    let empty = match definition.shape {
        Shape::Sequential | Shape::Concurrent | Shape::Graph => {
            definition.nodes.is_empty().then_some("nodes")
        }
        Shape::Hierarchical => definition.director.is_none().then_some("director"),
        Shape::Mixture => definition.experts.is_empty().then_some("experts"),
    };
    let missing = |field| FieldError::new(field, "is missing: there is nothing to be done");
    faults.extend(empty.map(missing));
    let schema = Input::compile(definition.input.as_ref());
    faults.extend(schema.err().map(|why| FieldError::new("input", why)));
    faults
}

/// Why a name cannot be one.
fn wrong_name(name: &str) -> Option<&'static str> {
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(named) {
        return Some("must have 1 to 64 lower-case letters, digits or `-`");
    }
    let looks_like_an_id = name.parse::<WorkflowId>().is_ok();
    looks_like_an_id.then_some("must not look like a workflow's id")
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn given(text: &str) -> WorkflowDraft {
        WorkflowDraft {
            dag_definition: Some(RawValue::from_string(text.to_owned()).unwrap()),
            ..WorkflowDraft::default()
        }
    }

    fn wrong(given: &WorkflowDraft) -> Vec<String> {
        match Draft::read(given) {
            Err(Rejection::Invalid { errors, .. }) => {
                errors.into_iter().map(|error| error.field).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (text, fields) in [
            (
                r#"{"nodes": [{"id": "a", "type": "task"}]}"#,
                vec!["dag_definition"],
            ),
            (
                r#"{"name": "N", "nodes": [{"id": "a", "type": "task"}]}"#,
                vec!["name"],
            ),
            (r#"{"name": "n"}"#, vec!["nodes"]),
            (
                r#"{"name": "n", "input": {"type": "shoe"}, "nodes": [{"id": "a", "type": "task"}]}"#,
                vec!["input"],
            ),
            (r#"{"name": "n", "type": "mixture"}"#, vec!["experts"]),
            (
                r#"{"name": "n", "nodes": [{"id": "a", "type": "task"}, {"id": "a", "type": "task"}]}"#,
                vec!["nodes[1].id"],
            ),
            (
                r#"{"name": "n", "nodes": [{"id": "a b", "type": "task", "needs": ["z"]}]}"#,
                vec!["nodes[0].id", "nodes[0].needs[0]"],
            ),
            (
                r#"{"name": "n", "nodes": [{"id": "a", "type": "task"}], "edges": [{"from": "a", "to": "b"}]}"#,
                vec!["edges[0].to"],
            ),
            (
                r#"{"name": "n", "nodes": [{"id": "a", "type": "fly"}]}"#,
                vec!["dag_definition.nodes[0]"],
            ),
            (
                r#"{"name": "n", "colour": 1}"#,
                vec!["dag_definition.colour"],
            ),
        ] {
            assert_eq!(wrong(&given(text)), fields, "{text}");
        }
    }

    #[test]
    fn what_stands_beside_a_definition_fills_it_in_and_never_contradicts_it() {
        let mut draft = given(r#"{"nodes": [{"id": "a", "type": "parallel"}]}"#);
        draft.name = Some("n".to_owned());
        draft.workflow_type = Some(Shape::Sequential);
        let read = Draft::read(&draft).unwrap().unwrap();
        assert_eq!(read.definition.name, "n");
        assert_eq!(read.definition.shape, Shape::Sequential);
        assert_eq!(Some(read.source.as_str()), draft.text());
        let mut draft = given(r#"{"name": "m", "nodes": [{"id": "a", "type": "parallel"}]}"#);
        draft.name = Some("n".to_owned());
        assert_eq!(wrong(&draft), ["name"]);
    }

    #[test]
    fn without_a_definition_there_is_nothing_to_read() {
        assert_eq!(Draft::read(&WorkflowDraft::default()), Ok(None));
        let lone = WorkflowDraft {
            description: Some("d".to_owned()),
            ..WorkflowDraft::default()
        };
        assert_eq!(wrong(&lone), ["description"]);
    }
}
