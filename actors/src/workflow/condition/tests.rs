//! What holds, and what is neither yes nor no.

use serde_json::json;

use super::*;

fn condition(it: Value) -> Result<Condition, Syntax> {
    Condition::compile(&serde_json::from_value(it).unwrap())
}

#[test]
fn comparisons_look_at_the_output() {
    let scope = json!({ "output": { "n": 3, "tags": ["a"], "t": "abc", "nil": null, "rows": [{ "v": 1 }] } });
    for (path, op, value, expected) in [
        ("$.n", "eq", json!(3.0), true),
        ("$.n", "ne", json!("3"), true),
        ("$.n", "lt", json!(3), false),
        ("$.n", "le", json!(3), true),
        ("$.t", "gt", json!("abb"), true),
        ("$.n", "ge", json!(4), false),
        ("$.n", "in", json!([1, 3]), true),
        ("$.tags", "contains", json!("a"), true),
        ("$.t", "contains", json!("bc"), true),
        ("$", "contains", json!("n"), true),
        ("$.n", "exists", json!(null), true),
        ("$.nil", "exists", json!(null), false),
        ("$.rows[*].v", "exists", json!(null), true),
        ("$.rows[*].w", "exists", json!(null), false),
        ("$.missing", "eq", json!(null), true),
    ] {
        let it = condition(json!({ "path": path, "op": op, "value": value })).unwrap();
        assert_eq!(it.holds(&scope), Ok(expected), "{path} {op} {value}");
    }
    let unlike = condition(json!({ "path": "$.t", "op": "lt", "value": 1 })).unwrap();
    let fault = unlike.holds(&scope).unwrap_err();
    assert_eq!(fault.message, "a text and a number have no order");
}

#[test]
fn what_can_be_neither_true_nor_false_is_no_condition() {
    for (it, message) in [
        (
            json!("1 + 1"),
            "a condition is true or false; this is a number",
        ),
        (
            json!("'yes'"),
            "a condition is true or false; this is a text",
        ),
        (
            json!("$.a[*]"),
            "a condition is true or false; this is a list",
        ),
        (
            json!("${input.x}"),
            "a condition stands without `${` and `}`",
        ),
        (
            json!({ "path": "$.a", "op": "in", "value": 1 }),
            "a number is where a list must be",
        ),
        (
            json!({ "path": "$.a", "op": "lt", "value": [] }),
            "a list is where a number or a text must be",
        ),
    ] {
        assert_eq!(condition(it.clone()).unwrap_err().message, message, "{it}");
    }
    assert!(condition(json!({ "path": "a", "op": "exists" })).is_err());
    assert!(condition(json!("input.flag")).is_ok());
    let null = condition(json!("input.flag")).unwrap().holds(&json!({}));
    assert_eq!(
        null.unwrap_err().message,
        "null is where true or false must be"
    );
}
