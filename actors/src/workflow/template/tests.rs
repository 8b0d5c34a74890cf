//! What strings refer to.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rendered(template: &Value) -> Value {
    let scope = json!({
        "input": { "n": 3, "files": [{ "name": "a" }], "none": [], "text": "x" },
        "nodes": { "a": { "output": { "ok": true } } },
    });
    Template::parse(template).unwrap().render(&scope).unwrap()
}

#[test]
fn each_kind_of_string_has_its_meaning() {
    for (template, expected) in [
        (json!("plain"), json!("plain")),
        (json!(""), json!("")),
        (json!("$.input.n"), json!(3)),
        (json!("$.input.missing"), json!(null)),
        // A path that can find several is a list, also of one or none.
        (json!("$.input.files[*].name"), json!(["a"])),
        (json!("$.input.none[*]"), json!([])),
        (json!("${input.n + 1}"), json!(4)),
        (json!("${nodes.a.output}"), json!({ "ok": true })),
        (
            json!("n is ${input.n}, ok ${nodes.a.output}"),
            json!("n is 3, ok {\"ok\":true}"),
        ),
        (json!("${input.text}${input.text}"), json!("xx")),
        (json!("${ {a: {b: '}'}}.a }!"), json!("{\"b\":\"}\"}!")),
        (
            json!("$$.input.n costs $$5 or $6 and $"),
            json!("$.input.n costs $5 or $6 and $"),
        ),
        (json!("$${input.n}"), json!("${input.n}")),
        (
            json!({ "a": ["$.input.n", 1, null], "$.k": "$$" }),
            json!({ "a": [3, 1, null], "$.k": "$" }),
        ),
    ] {
        assert_eq!(rendered(&template), expected, "{template}");
    }
}

#[test]
fn a_fault_says_where_in_the_template_it_is() {
    for (template, at, path) in [
        (json!("$5 off"), 0, ""),
        (json!("a ${1 +} b"), 7, ""),
        (json!("a ${1"), 5, ""),
        (json!({ "x/y": ["", "${"] }), 2, "/x~1y/1"),
    ] {
        let fault = Template::parse(&template).unwrap_err();
        assert_eq!(
            (fault.at, fault.path.as_str()),
            (at, path),
            "{template}: {fault}"
        );
    }
}

#[test]
fn what_is_referred_to_is_known_before_it_is_rendered() {
    let mut uses = Uses::default();
    let template =
        json!({ "a": "$.nodes.a.output", "b": ["x ${context.k} ${item}"], "c": "$$.input" });
    Template::parse(&template).unwrap().uses(&mut uses);
    assert!(uses.context && !uses.input);
    assert_eq!(
        uses.nodes,
        super::super::expression::UsedNodes::Named(["a".to_owned()].into())
    );
    assert_eq!(uses.roots, ["item".to_owned()].into());
}

#[test]
fn templates_cannot_grow_or_nest_without_bound() {
    let scope = json!({ "x": "x".repeat(1 << 20), "deep": deep(50) });
    let many = Template::parse(&json!(vec!["${x}"; 20])).unwrap();
    assert!(many.render(&scope).is_err());
    assert!(Template::parse(&deep(MAX_DEPTH + 1)).is_err());
    let both = (0..30).fold(json!("${deep}"), |inner, _| json!([inner]));
    assert!(Template::parse(&both).unwrap().render(&scope).is_err());
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_template_panic(text in "[${}a.\\[\\]'ä ]{0,30}") {
        if let Ok(template) = Template::parse(&json!([text])) {
            let _ = template.render(&json!({ "a": [1] }));
        }
    }

    #[test]
    fn a_text_with_doubled_dollars_is_itself(text in "\\PC{0,40}") {
        let template = Template::parse(&json!(text.replace('$', "$$"))).unwrap();
        prop_assert_eq!(template.render(&json!({})), Ok(json!(text)));
    }
}
