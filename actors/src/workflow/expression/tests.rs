//! What the language says, and that nothing hostile harms it.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn scope() -> Value {
    json!({
        "input": { "n": 3, "name": "Ada", "tags": ["a", "b"], "nil": null, "big": u64::MAX },
        "context": { "k-1": 7 },
        "nodes": { "a": { "status": "completed", "output": { "rows": [{ "v": 1 }, { "v": 2.5 }] } } },
        "item": [4, 5],
    })
}

fn value(text: &str) -> Value {
    match evaluated(text) {
        Ok(value) => value,
        Err(fault) => panic!("{text}: {fault}"),
    }
}

fn evaluated(text: &str) -> Result<Value, String> {
    let expression = Expression::parse(text).map_err(|fault| fault.to_string())?;
    expression.evaluate(&scope()).map_err(|fault| fault.message)
}

fn fault(text: &str) -> String {
    match evaluated(text) {
        Ok(value) => panic!("{text} is {value}"),
        Err(fault) => fault,
    }
}

#[test]
fn literals_names_and_what_is_in_them() {
    for (text, expected) in [
        ("1", json!(1)),
        ("1.50", json!(1.5)),
        ("2e3", json!(2000.0)),
        ("'it''s' == \"it's\"", json!(null)),
        (r#"'it\'s "\u00e4"\n'"#, json!("it's \"ä\"\n")),
        ("[1, 'a', null, [],]", json!([1, "a", null, []])),
        ("{a: 1, 'b c': input.n}", json!({ "a": 1, "b c": 3 })),
        ("input.name", json!("Ada")),
        ("input['name']", json!("Ada")),
        ("context['k-1']", json!(7)),
        ("item[0]", json!(4)),
        ("item[-1]", json!(5)),
        ("item[-3]", json!(null)),
        ("item[input.n - 2]", json!(5)),
        ("input.name.first", json!(null)),
        ("nowhere.at.all[3]['x']", json!(null)),
        ("{a: [1, 2]}.a[1]", json!(2)),
        ("$.nodes.a.output.rows[*].v", json!([1, 2.5])),
        ("$.nodes.a.output.rows[?@.v > 2].v", json!([2.5])),
        ("$.nodes.a.output.rows[1].v", json!(2.5)),
        ("$.nodes.z", json!(null)),
        ("$.nodes.z[*]", json!([])),
        ("($.input).n", json!(3)),
    ] {
        if text.starts_with("'it''s'") {
            assert!(evaluated(text).is_err());
        } else {
            assert_eq!(value(text), expected, "{text}");
        }
    }
}

#[test]
fn operators_bind_as_in_other_languages() {
    for (text, expected) in [
        ("1 + 2 * 3", json!(7)),
        ("(1 + 2) * 3", json!(9)),
        ("10 - 2 - 3", json!(5)),
        ("-input.n + 5", json!(2)),
        ("7 / 2", json!(3.5)),
        ("8 / 2", json!(4)),
        ("-7 % 3", json!(-1)),
        ("'a' + 'b' + 'c'", json!("abc")),
        ("[1] + [2]", json!([1, 2])),
        ("not 1 == 2", json!(true)),
        ("!true || true && false", json!(false)),
        ("true or input.nil.x == 1 and false", json!(true)),
        ("input.nil ?? input.none ?? 5", json!(5)),
        ("input.nil ?? true ? 'y' : 'n'", json!("y")),
        (
            "input.n > 2 ? 'many' : input.n == 1 ? 'one' : 'few'",
            json!("many"),
        ),
        ("'b' in input.tags", json!(true)),
        ("'n' in input and 'd' in 'Ada'", json!(true)),
        ("1 == 1.0", json!(true)),
        ("[1, {a: 2}] == [1.0, {a: 2.0}]", json!(true)),
        ("'1' == 1", json!(false)),
        ("null == false", json!(false)),
        ("'a' < 'b'", json!(true)),
        ("1 >= 1.5", json!(false)),
        // What is decided is not looked at any more.
        ("false && 1 < 'a'", json!(false)),
        ("true ? 1 : 1 / 0", json!(1)),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn whole_numbers_stay_exact() {
    assert_eq!(value("input.big - 1"), json!(u64::MAX - 1));
    assert_eq!(value("-9223372036854775808"), json!(i64::MIN));
    assert_eq!(
        value("9007199254740993 == 9007199254740992.0"),
        json!(false)
    );
    assert_eq!(value("9007199254740993 > 9007199254740992.0"), json!(true));
    assert_eq!(value("18446744073709551615 < 1e300"), json!(true));
    assert_eq!(value("-1e300 < -9223372036854775808"), json!(true));
    assert_eq!(value("0 > -0.5 and -1 < -0.5"), json!(true));
    assert_eq!(fault("input.big + 1"), "a number becomes too large");
    assert_eq!(
        fault("input.big * input.big * input.big"),
        "a number becomes too large"
    );
    assert_eq!(fault("1e300 * 1e300"), "a number becomes too large");
    assert_eq!(fault("1 / 0"), "a number is divided by 0");
    assert_eq!(fault("1.0 % 0"), "a number is divided by 0");
    assert_eq!(
        fault("18446744073709551616"),
        "18446744073709551616 is too large a number"
    );
}

#[test]
fn what_does_not_go_together_is_named() {
    for (text, expected) in [
        ("1 < 'a'", "a number and a text have no order"),
        ("null < 1", "null and a number have no order"),
        (
            "1 + 'a'",
            "`+` does not go with a number and a text; text(…) makes a text of anything",
        ),
        ("1 and true", "a number is where true or false must be"),
        ("!null", "null is where true or false must be"),
        ("item[true]", "a truth value is where an index must be"),
        ("1 in 2", "a number cannot contain a number"),
        ("lower(1)", "lower: a number is where a text must be"),
        ("sum(['a'])", "sum: a text is where a number must be"),
        ("sort([1, 'a'])", "sort: a number and a text have no order"),
        (
            "sort([true])",
            "sort: a truth value and a truth value have no order",
        ),
        ("any([1])", "any: a number is where true or false must be"),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn functions_answer_as_the_guide_says() {
    for (text, expected) in [
        ("len('äb') + len([1]) + len({a: 1}) + len(null)", json!(4)),
        ("lower('Ä') + upper('b') + trim(' c ')", json!("äBc")),
        (
            "contains('abc', 'b') and contains([1], 1.0) and contains({a: 1}, 'a')",
            json!(true),
        ),
        (
            "starts_with('abc', 'ab') and ends_with('abc', 'bc')",
            json!(true),
        ),
        ("split('a,b,', ',')", json!(["a", "b", ""])),
        ("join(['a', 1, null], '-') + join([])", json!("a-1-null")),
        (
            "keys({b: 1, a: 2}) + values({b: 1, a: 2})",
            json!(["b", "a", 1, 2]),
        ),
        (
            "[min([3, 1, 2]), max(3, 1, 2), min([]), max('a', 'b')]",
            json!([1, 3, null, "b"]),
        ),
        ("sum([1, 2.5]) + sum([])", json!(3.5)),
        (
            "[abs(-3), abs(-1.5), round(2.5), round(-2.5), floor(-0.5), ceil(0.5)]",
            json!([3, 1.5, 3, -3, -1, 1]),
        ),
        (
            "[number('12'), number(' 1.5 '), number('x'), number(true), number(null)]",
            json!([12, 1.5, null, 1, null]),
        ),
        (
            "[text(1), text('a'), text(null), text([1])]",
            json!(["1", "a", "null", "[1]"]),
        ),
        (
            "[bool('true'), bool('no'), bool(0), bool(false)]",
            json!([true, null, false, false]),
        ),
        (
            "[json('a'), from_json('{\"a\": [1]}').a[0]]",
            json!(["\"a\"", 1]),
        ),
        (
            "[exists(input.n), exists(input.nil), exists(input.none)]",
            json!([true, false, false]),
        ),
        (
            "[first([1, 2]), last([1, 2]), first([])]",
            json!([1, 2, null]),
        ),
        (
            "[slice([1, 2, 3], 1), slice([1, 2, 3], 0, -1), slice('äbc', -2), slice([1], 5, 2)]",
            json!([[2, 3], [1, 2], "bc", []]),
        ),
        (
            "sort([3, 1.5, 2]) + sort(['b', 'a'])",
            json!([1.5, 2, 3, "a", "b"]),
        ),
        (
            "unique([1, 1.0, '1', {a: 1, b: 2}, {b: 2, a: 1}])",
            json!([1, "1", { "a": 1, "b": 2 }]),
        ),
        (
            "[any([false, true]), any([]), all([true, false]), all([])]",
            json!([true, false, false, true]),
        ),
        ("[count([1, 2, 1]), count([1, 2, 1], 1)]", json!([3, 2])),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    assert!(fault("from_json('{')").starts_with("from_json: the text is not JSON: "));
    let raw = r#"from_json('{"$serde_json::private::RawValue": "[5]"}')"#;
    assert!(fault(raw).contains("cannot be given"), "{}", fault(raw));
}

#[test]
fn a_fault_says_where_and_what_was_expected() {
    for (text, at, message) in [
        ("", 0, "a value is expected, not the end"),
        ("1 +", 3, "a value is expected, not the end"),
        ("a b", 2, "an operator or the end is expected, not `b`"),
        ("a = b", 2, "`=` alone means nothing; `==` compares"),
        ("(a", 2, "`)` is expected, not the end"),
        ("a.", 2, "the name of a field is expected, not the end"),
        ("'abc", 0, "the text that begins here has no end"),
        (
            "1 < 2 < 3",
            6,
            "comparisons do not follow each other; join them by `and`",
        ),
        (
            "lenn(x)",
            0,
            "there is no function `lenn`; did you mean `len`?",
        ),
        (
            "split(x)",
            0,
            "`split` takes (text, separator), not 1 values",
        ),
        ("a ~ b", 2, "'~' has no meaning here"),
        ("and", 0, "a value is expected, not `and`"),
    ] {
        let fault = Expression::parse(text).unwrap_err();
        assert_eq!((fault.at, fault.message.as_str()), (at, message), "{text}");
    }
    assert!(Expression::parse("$..a..b").is_err());
}

#[test]
fn hostile_texts_neither_exhaust_the_stack_nor_take_long() {
    for opening in [
        "(", "[", "-", "!", "not ", "{a:", "len(", "a[", "a?", "$[?(", "$[", "1+(",
    ] {
        let text = opening.repeat(MAX_LENGTH / opening.len());
        assert!(Expression::parse(&text).is_err(), "{opening}");
    }
    let long = format!("'{}'", "a".repeat(MAX_LENGTH));
    assert!(
        Expression::parse(&long)
            .unwrap_err()
            .message
            .contains("at most")
    );
    // Side by side is not deep.
    let sum = vec!["1"; 4000].join("+");
    assert_eq!(value(&sum), json!(4000));
}

#[test]
fn the_deepest_expression_fits_a_small_stack() {
    let deepest = format!(
        "{}1{}",
        "(".repeat(MAX_DEPTH - 1),
        ")".repeat(MAX_DEPTH - 1)
    );
    let lists = deepest.replace('(', "[").replace(')', "]");
    let run = move || {
        let parsed = Expression::parse(&deepest).unwrap();
        assert_eq!(parsed.evaluate(&json!({})), Ok(json!(1)));
        assert!(
            Expression::parse(&lists)
                .unwrap()
                .evaluate(&json!({}))
                .is_ok()
        );
        assert!(Expression::parse(&format!("({deepest})")).is_err());
    };
    let small = std::thread::Builder::new().stack_size(1 << 20);
    small.spawn(run).unwrap().join().unwrap();
}

#[test]
fn values_cannot_grow_without_bound() {
    let scope = json!({ "x": "x".repeat(1 << 20), "l": vec!["x".repeat(1000); 1000] });
    let told = |text: &str| {
        let parsed = Expression::parse(text).unwrap();
        parsed.evaluate(&scope).unwrap_err().message
    };
    let limit = "the values that are made here are larger than 16 MiB";
    assert_eq!(told(&["x"; 100].join("+")), limit);
    assert_eq!(told(&format!("[{}]", ["x"; 100].join(","))), limit);
    assert_eq!(told("join(l, x)"), format!("join: {limit}"));
    let many = ["l == l"; 2000].join("&&");
    assert_eq!(told(&many), "this looks at more than 256 MiB of values");
    let deep = "[".repeat(100) + &"]".repeat(100);
    let parsed = Expression::parse(&format!("from_json('{deep}')")).unwrap();
    let fault = parsed.evaluate(&scope).unwrap_err();
    assert!(
        fault.message.contains("more than 64 deep"),
        "{}",
        fault.message
    );
}

#[test]
fn what_is_referred_to_is_known_before_it_runs() {
    let uses = |text: &str| {
        let mut uses = Uses::default();
        Expression::parse(text).unwrap().uses(&mut uses);
        uses
    };
    let named = |ids: &[&str]| UsedNodes::Named(ids.iter().map(|id| (*id).to_owned()).collect());
    assert_eq!(uses("1 + 2"), Uses::default());
    let both = uses("nodes.a.output.x > $.nodes['b-1'].output or input.ok");
    assert_eq!(both.nodes, named(&["a", "b-1"]));
    assert!(both.input && !both.context && both.roots.is_empty());
    assert_eq!(uses("nodes[context.which].status").nodes, UsedNodes::All);
    assert_eq!(uses("$.nodes[*].status").nodes, UsedNodes::All);
    assert!(uses("nodes[context.which].status").context);
    assert_eq!(uses("len(nodes)").nodes, UsedNodes::All);
    assert_eq!(uses("nodes.a[nodes.b.output].x").nodes, named(&["a", "b"]));
    assert_eq!(
        uses("item.x + index").roots.into_iter().collect::<Vec<_>>(),
        ["index", "item"]
    );
    let whole = uses("$");
    assert!(whole.input && whole.context && whole.nodes == UsedNodes::All);
    assert!(whole.roots.contains("$"));
}

#[test]
fn the_kind_of_a_value_shows_before_there_is_one() {
    let kinds = |text: &str| Expression::parse(text).unwrap().kinds();
    assert_eq!(kinds("a == 1 and b"), Kinds::BOOL);
    assert_eq!(kinds("a.b"), Kinds::ANY);
    assert_eq!(kinds("a * 2"), Kinds::NUMBER);
    assert_eq!(kinds("a + 'x'"), Kinds::TEXT);
    assert_eq!(kinds("a ? 1 : 'x'"), Kinds::NUMBER | Kinds::TEXT);
    assert_eq!(kinds("null ?? 1"), Kinds::NUMBER);
    assert_eq!(kinds("$.a[*]"), Kinds::LIST);
    assert_eq!(kinds("a ? 1 : 'x'").to_string(), "a number or a text");
}

#[test]
fn every_function_gives_what_its_row_says() {
    let samples = [
        "null", "true", "-1.5", "3", "'[1]'", "'b'", "[2, 1]", "[true]", "{k: 'v'}",
    ];
    for function in FUNCTIONS {
        for first in samples {
            for second in std::iter::once("").chain(samples) {
                let given = [first, second].into_iter().filter(|text| !text.is_empty());
                let text = format!(
                    "{}({})",
                    function.name,
                    given.collect::<Vec<_>>().join(", ")
                );
                let Ok(parsed) = Expression::parse(&text) else {
                    continue;
                };
                if let Ok(value) = parsed.evaluate(&json!({})) {
                    let kind = Kinds::of(&value);
                    assert!(parsed.kinds().can_be(kind), "{text} is {value}");
                }
            }
        }
    }
}

/// Texts that are often in the language.
fn written() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop_oneof![
            Just("1"),
            Just("0.5"),
            Just("1e30"),
            Just("18446744073709551615"),
            Just("true"),
            Just("null"),
            Just("'a\"'"),
            Just("\"\\u0001\\n\""),
            Just("input"),
            Just("item"),
            Just("$.input.n"),
            Just("$.nodes[*]"),
            Just("$"),
            Just("$['a b'][0]"),
            Just("[]"),
            Just("{}"),
        ]
        .prop_map(str::to_owned),
        "[a-z]{1,3}",
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let operator = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("/"),
            Just("%"),
            Just("=="),
            Just("!="),
            Just("<"),
            Just(">="),
            Just(" in "),
            Just("&&"),
            Just(" or "),
            Just("??"),
        ];
        let function =
            proptest::sample::select(FUNCTIONS.iter().map(|f| f.name).collect::<Vec<_>>());
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("{a}{o}{b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("!{a}")),
            inner.clone().prop_map(|a| format!("not {a}")),
            inner.clone().prop_map(|a| format!("{a}.output")),
            inner.clone().prop_map(|a| format!("{a}['x-y']")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|all| format!("[{}]", all.join(","))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{k: {a}, 'l m': {b}}}")),
            (function, proptest::collection::vec(inner, 1..3))
                .prop_map(|(f, all)| format!("{f}({})", all.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        if let Ok(parsed) = Expression::parse(&text) {
            let _ = parsed.evaluate(&scope());
        }
    }

    #[test]
    fn no_heap_of_signs_makes_it_panic(text in "[-a-c0-9.$@?*+!=<>&|:,(){}\\[\\] '\"\\\\]{0,40}") {
        if let Ok(parsed) = Expression::parse(&text) {
            let _ = parsed.evaluate(&scope());
            let printed = parsed.to_string();
            prop_assert_eq!(Expression::parse(&printed), Ok(parsed), "{}", printed);
        }
    }

    #[test]
    fn what_is_printed_parses_back_to_the_same(text in written()) {
        if let Ok(parsed) = Expression::parse(&text) {
            let printed = parsed.to_string();
            prop_assert_eq!(Expression::parse(&printed), Ok(parsed), "{} printed {}", text, printed);
        }
    }

    #[test]
    fn a_value_is_of_a_kind_that_was_foreseen(text in written()) {
        if let Ok(parsed) = Expression::parse(&text)
            && let Ok(value) = parsed.evaluate(&scope())
        {
            prop_assert!(parsed.kinds().can_be(Kinds::of(&value)), "{} is {}", text, value);
            prop_assert_eq!(parsed.evaluate(&scope()), Ok(value));
        }
    }
}
