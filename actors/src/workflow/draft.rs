//! From what a client gave to a definition that may be published.

use protocol::{
    api::{FieldError, WorkflowDraft},
    id::WorkflowId,
    workflow::{Definition, Shape},
};
use serde_json::{Value, json};

use super::{
    check::{self, Problem},
    graph::Graph,
    read,
};
use crate::Rejection;

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
        let definition = match given.source {
            Some(_) => of_text(text, given)?,
            None => of_json(text, given)?,
        };
        if definition.name.parse::<WorkflowId>().is_ok() {
            return Err(Rejection::field(
                "name",
                "must not look like a workflow's id",
            ));
        }
        Ok(Some(Self {
            source: text.to_owned(),
            definition: Box::new(definition),
        }))
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

/// A text that says all of it itself, in YAML or JSON; what is wrong is named with its line.
fn of_text(text: &str, given: &WorkflowDraft) -> Result<Definition, Rejection> {
    let definition = read::checked(text).map_err(|problems| invalid("source", problems))?;
    let said = serde_json::to_value(&definition).unwrap_or_default();
    for (key, field, value) in beside(given) {
        if let Some(other) = said.get(key).filter(|other| **other != value) {
            return Err(contradicted(field, &value, other));
        }
    }
    compiled(definition)
}

/// JSON; what stands beside it fills it in.
fn of_json(text: &str, given: &WorkflowDraft) -> Result<Definition, Rejection> {
    const PLACE: &str = "dag_definition";
    if text.len() > read::MAX_LENGTH {
        return Err(invalid(PLACE, vec![read::too_long()]));
    }
    let mut value = protocol::json::read(text.as_bytes()).map_err(|error| {
        let why = match error.is_data() {
            true => format!("cannot be taken: {error}"),
            false => format!("is not JSON: {error}"),
        };
        Rejection::field(PLACE, why)
    })?;
    if let Value::Object(fields) = &mut value {
        for (key, field, said) in beside(given) {
            match fields.get(key) {
                None => {
                    fields.insert(key.to_owned(), said);
                }
                Some(other) if *other == said => {}
                Some(other) => return Err(contradicted(field, &said, other)),
            }
        }
    }
    let definition = read::definition(&value).map_err(|problems| invalid(PLACE, problems))?;
    match check::check(&definition) {
        problems if problems.is_empty() => compiled(definition),
        problems => Err(invalid(PLACE, problems)),
    }
}

fn contradicted(field: &str, said: &Value, other: &Value) -> Rejection {
    let message = format!("is {said}, and the definition says {other}; give it once");
    Rejection::field(field, message)
}

/// What passed every check, and can be run.
fn compiled(definition: Definition) -> Result<Definition, Rejection> {
    match Graph::compile(&definition) {
        Ok(_) => Ok(definition),
        Err(fault) => Err(Rejection::field(fault.path, fault.message)),
    }
}

fn invalid(place: &str, problems: Vec<Problem>) -> Rejection {
    let errors: Vec<FieldError> = problems
        .into_iter()
        .map(|problem| {
            let mut message = problem.message;
            if let Some(line) = problem.line {
                message = format!("{message} (line {line})");
            }
            let path = match problem.path.as_str() {
                "" => place.to_owned(),
                path => path.to_owned(),
            };
            FieldError::new(path, message)
        })
        .collect();
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
        let cases = [
            (
                r#"{"nodes": [{"id": "a", "type": "task", "capability": "c"}]}"#,
                vec!["dag_definition"],
            ),
            (
                r#"{"name": "N", "nodes": [{"id": "a", "type": "task", "capability": "c"}]}"#,
                vec!["name"],
            ),
            (r#"{"name": "n"}"#, vec!["nodes"]),
            (
                r#"{"name": "n", "input": {"type": "shoe"}, "nodes": [{"id": "a", "type": "task", "capability": "c"}]}"#,
                vec!["input"],
            ),
            (
                r#"{"name": "n", "type": "mixture"}"#,
                vec!["experts", "dag_definition"],
            ),
            (
                r#"{"name": "n", "nodes": [{"id": "a", "type": "task", "capability": "c"}, {"id": "a", "type": "task", "capability": "c"}]}"#,
                vec!["nodes[1].id"],
            ),
            (
                r#"{"name": "n", "nodes": [{"id": "a b", "type": "task", "capability": "c", "needs": ["z"]}]}"#,
                vec!["nodes[0].id", "nodes[0].needs[0]"],
            ),
            (
                r#"{"name": "n", "nodes": [{"id": "a", "type": "task", "capability": "c"}], "edges": [{"from": "a", "to": "b"}]}"#,
                vec!["edges[0].to"],
            ),
            (
                r#"{"name": "n", "nodes": [{"id": "a", "type": "fly"}]}"#,
                vec!["nodes[0].type"],
            ),
            (r#"{"name": "n", "colour": 1}"#, vec!["colour"]),
        ];
        let told = cases.iter().map(|(text, _)| (*text, wrong(&given(text))));
        let expected = cases.iter().map(|(text, fields)| {
            let fields = fields.iter().map(|field| (*field).to_owned());
            (*text, fields.collect::<Vec<_>>())
        });
        assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
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
    fn a_definition_of_any_form_is_at_most_so_long() {
        let text = r#"{"name": "n", "nodes": [{"id": "a", "type": "parallel"}]}"#;
        for (length, is_taken) in [(read::MAX_LENGTH, true), (read::MAX_LENGTH + 1, false)] {
            let long = format!("{}{text}", " ".repeat(length - text.len()));
            let source = WorkflowDraft {
                source: Some(long.clone()),
                ..WorkflowDraft::default()
            };
            let json = WorkflowDraft {
                dag_definition: serde_json::from_str(
                    &text.replace(": [", &format!(": [{}", " ".repeat(length - text.len()))),
                )
                .unwrap(),
                ..WorkflowDraft::default()
            };
            for (draft, field) in [(source, "source"), (json, "dag_definition")] {
                if is_taken {
                    assert!(Draft::read(&draft).is_ok(), "{field}");
                } else {
                    assert_eq!(wrong(&draft), [field]);
                }
            }
        }
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
