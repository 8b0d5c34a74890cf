//! JSON Schemas of a definition, and what does not fit one.

use protocol::workflow::{Definition, Work};
use serde_json::Value;

use super::{Findings, element, field};
use crate::schema::Schema;

pub(super) fn check(definition: &Definition, found: &mut Findings) {
    if let Some(schema) = &definition.input {
        compile(None, "input", schema, found);
    }
    for (at, node) in definition.nodes.iter().enumerate() {
        let Work::Human(human) = &node.work else {
            continue;
        };
        let path = element("nodes", at);
        let id = Some(node.id.as_str());
        let schema = human.schema.as_ref();
        let schema = schema.and_then(|it| compile(id, &field(&path, "schema"), it, found));
        if let (Some(schema), Some(answer)) = (schema, &human.default)
            && let Err(misfits) = schema.check(answer)
        {
            for misfit in misfits {
                let message = format!("it does not fit the schema: {}", misfit.message);
                found.add(id, field(&path, "default"), message);
            }
        }
    }
}

fn compile(node: Option<&str>, path: &str, schema: &Value, found: &mut Findings) -> Option<Schema> {
    match Schema::compile(schema) {
        Ok(schema) => Some(schema),
        Err(bad) => {
            let at = match bad.at.as_str() {
                "" => String::new(),
                at => format!(" at {at}"),
            };
            let message = format!("this is not a JSON Schema{at}: {}", bad.message);
            found.add(node, path, message);
            None
        }
    }
}

pub(super) fn faults(schema: &Value, input: &Value) -> Vec<(String, String)> {
    match Schema::compile(schema) {
        Ok(schema) => {
            let misfits = schema.check(input).err().unwrap_or_default();
            let told = misfits.into_iter();
            told.map(|misfit| (misfit.at, misfit.message)).collect()
        }
        Err(bad) => {
            let message = format!("the schema itself is none: {}", bad.message);
            vec![(String::new(), message)]
        }
    }
}
