//! Which variables a program sees: listed ones of the node, its own, and the call.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};

use crate::adapter::Call;

/// Longer values reach the program through its standard input only.
const MAX_VALUE: usize = 32 * 1024;
/// All inputs together; a program cannot be started with much more than 2 MiB.
const MAX_VALUES: usize = 512 * 1024;

/// The environment of one attempt: what comes later wins. `directory` is the attempt's own.
///
/// # Errors
///
/// The name of an input that contains a NUL character.
pub fn environment(
    inherited: impl IntoIterator<Item = (String, String)>,
    own: &BTreeMap<String, String>,
    call: &Call,
    directory: &Path,
) -> Result<BTreeMap<String, String>, String> {
    let mut variables: BTreeMap<String, String> = inherited.into_iter().collect();
    variables.extend(own.clone());
    variables.extend(inputs(call)?);
    let fixed = [
        ("TROUPE_TASK_ID", call.task.to_string()),
        ("TROUPE_STEP", call.step.clone()),
        ("TROUPE_ATTEMPT", call.attempt.to_string()),
        ("TROUPE_IDEMPOTENCY_KEY", call.idempotency_key.clone()),
        ("TROUPE_DIR", directory.to_string_lossy().into_owned()),
    ];
    variables.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
    // That of the node's own process would be of another trace.
    variables.remove("TRACEPARENT");
    variables.extend(
        call.trace
            .map(|trace| ("TRACEPARENT".to_owned(), trace.to_string())),
    );
    Ok(variables)
}

/// `TROUPE_INPUT_<NAME>` for each scalar of the task's input and, before it, of the step's.
fn inputs(call: &Call) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    let mut size = 0;
    for fields in [call.task_input.as_object(), call.input.as_object()] {
        for (name, value) in scalars(fields) {
            if value.contains('\0') {
                return Err(name.clone());
            }
            size += value.len();
            if value.len() <= MAX_VALUE && size <= MAX_VALUES {
                variables.insert(variable(name), value);
            }
        }
    }
    Ok(variables)
}

fn scalars(fields: Option<&Map<String, Value>>) -> impl Iterator<Item = (&String, String)> {
    fields.into_iter().flatten().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((name, text))
    })
}

/// `max-size` becomes `TROUPE_INPUT_MAX_SIZE`.
fn variable(name: &str) -> String {
    let letters = name.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() {
            letter.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    "TROUPE_INPUT_".chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::adapter::tests::call;

    fn of(call: &Call) -> BTreeMap<String, String> {
        environment([], &BTreeMap::new(), call, Path::new("/w")).unwrap()
    }

    #[test]
    fn scalars_of_the_inputs_become_variables_and_the_step_wins() {
        let mut call = call(json!({ "depth": 2, "deep": { "a": 1 }, "list": [1], "none": null }));
        call.task_input = json!({ "path": "/tmp/a b", "depth": 1, "max-size": true }).into();
        let variables = of(&call);
        assert_eq!(variables["TROUPE_INPUT_PATH"], "/tmp/a b");
        assert_eq!(variables["TROUPE_INPUT_DEPTH"], "2");
        assert_eq!(variables["TROUPE_INPUT_MAX_SIZE"], "true");
        assert_eq!(variables["TROUPE_ATTEMPT"], "1");
        assert_eq!(variables["TROUPE_DIR"], "/w");
        assert_eq!(variables.len(), 3 + 5);
    }

    #[test]
    fn an_input_cannot_set_any_other_variable() {
        let input = json!({ "ld_preload": "x", "A=B\nPATH": "y", "é": "z", "": "e" });
        for name in of(&call(input)).keys() {
            let tail = name.strip_prefix("TROUPE_").unwrap();
            let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            assert!(tail.bytes().all(plain), "{name}");
        }
    }

    #[test]
    fn what_the_node_sets_wins_over_the_agent_and_the_inherited() {
        let inherited = [("PATH", "/node"), ("HOME", "/h")].map(|(k, v)| (k.into(), v.into()));
        let own = [("PATH", "/own"), ("TROUPE_TASK_ID", "forged")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let call = call(Value::Null);
        let variables = environment(inherited, &own.into(), &call, Path::new("/w")).unwrap();
        assert_eq!(variables["PATH"], "/own");
        assert_eq!(variables["HOME"], "/h");
        assert_eq!(variables["TROUPE_TASK_ID"], call.task.to_string());
    }

    #[test]
    fn a_nul_is_refused_and_a_huge_value_is_left_to_standard_input() {
        let nul = call(json!({ "a": "x\0y" }));
        let refused = environment([], &BTreeMap::new(), &nul, Path::new("/w"));
        assert_eq!(refused, Err("a".to_owned()));
        let huge = call(json!({ "huge": "x".repeat(MAX_VALUE + 1) }));
        assert!(!of(&huge).contains_key("TROUPE_INPUT_HUGE"));
    }
}
