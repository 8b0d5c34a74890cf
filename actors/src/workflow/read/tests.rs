//! What is read, and where it stands.

use proptest::prelude::*;
use protocol::{question::Asking, workflow::Work};
use serde_json::json;

use super::*;

fn told(text: &str) -> Vec<(Option<u32>, Option<String>, String)> {
    let problems = read(text).unwrap_err().into_iter();
    problems
        .map(|it| (it.line, it.node, format!("{}: {}", it.path, it.message)))
        .collect()
}

#[test]
fn yaml_and_json_say_the_same() {
    let yaml = "name: x # a comment\nnodes:\n  - id: a\n    type: task\n    capability: c\n    timeout: 5s\n    input: &i { n: 1, big: 18446744073709551615, none: ~ }\n  - { id: b, type: transform, output: *i }\n";
    let first = read(yaml).unwrap().definition;
    let json = serde_json::to_string_pretty(&first).unwrap();
    assert_eq!(read(&json).unwrap().definition, first);
    let tabs = json.replace("  ", "\t");
    assert_eq!(read(&tabs).unwrap().definition, first);
    assert_eq!(
        first.nodes[0].input,
        json!({ "n": 1, "big": u64::MAX, "none": null })
    );
}

#[test]
fn no_name_makes_json_of_a_text() {
    let raw = r#"{"$serde_json::private::RawValue": "[5]"}"#;
    let node = format!(r#"{{"id": "a", "type": "task", "capability": "c", "input": {raw}}}"#);
    let json = format!(r#"{{"name": "x", "nodes": [{node}]}}"#);
    let yaml = format!("name: x\nnodes:\n  - {node}\n");
    for text in [json, yaml] {
        let told = told(&text);
        assert!(told[0].2.contains("cannot be given"), "{told:?}");
    }
}

#[test]
fn each_part_has_its_line_and_column() {
    let text = "name: x\nnodes:\n  - id: a\n    type: parallel\n    needs:\n      - b\n      - c\n";
    let places = read(text).unwrap().places;
    let place = |line, column| Some(Place { line, column });
    assert_eq!(places.of("name"), place(1, 1));
    assert_eq!(places.of("nodes[0].needs"), place(5, 5));
    assert_eq!(places.of("nodes[0].needs[1]"), place(7, 9));
    // What is not there is looked for where it would be.
    assert_eq!(places.of("nodes[0].timeout"), place(3, 5));
    assert_eq!(places.of("edges"), None);
    let json = "{\n  \"name\": \"x\",\n  \"nodes\": [\n    {\"id\": \"a\", \"type\": \"parallel\"}\n  ]\n}";
    let places = read(json).unwrap().places;
    assert_eq!(places.of("nodes[0].type"), place(4, 17));
    assert_eq!(places.of("nodes[0].timeout"), place(4, 5));
    let odd = "{\"name\": \"x\", \"nodes\": [\n{\"id\": \"a\", \"type\": \"transform\", \"output\":\n {\"ö.\\\"]\": \"ö\", \"b c\": [1,\n 2]}}]}";
    for text in [odd.to_owned(), format!("# a comment\n{odd}")] {
        let below = u32::from(text != odd);
        let places = read(&text).unwrap().places;
        let found = |path: &str| places.of(path).map(|it| (it.line - below, it.column));
        assert_eq!(found("nodes[0].output[\"ö.\\\"]\"]"), Some((3, 3)));
        assert_eq!(found("nodes[0].output[\"b c\"][1].c"), Some((4, 2)));
        assert_eq!(found("nodes[0].output[\"b c\"]"), Some((3, 17)));
        assert_eq!(found("nodes[0].output.b c"), Some((2, 34)));
    }
}

#[test]
fn unknown_fields_are_refused_by_name() {
    let text = "name: x\nnodes:\n  - id: a\n    type: task\n    capabilty: c\n  - id: b\n    type: wait\n    agent: c\n  - { id: c, type: map, over: [], each: { agnt: x } }\n  - { id: d, type: mixture, experts: [{ id: e, agent: x, foo: 1 }], choose: { by: vote, score: $ } }\n  - { id: e, type: tusk }\n  - { id: f }\n";
    let some = |line, node: &str, text: &str| (Some(line), Some(node.to_owned()), text.to_owned());
    assert_eq!(
        told(text),
        [
            some(
                5,
                "a",
                "nodes[0].capabilty: a `task` node has no field `capabilty`; did you mean `capability`?"
            ),
            some(8, "b", "nodes[1].agent: a `wait` node has no field `agent`"),
            some(
                9,
                "c",
                "nodes[2].each.agnt: `each` has no field `agnt`; did you mean `agent`?"
            ),
            some(
                10,
                "d",
                "nodes[3].experts[0].foo: an expert has no field `foo`"
            ),
            some(
                10,
                "d",
                "nodes[3].choose.score: a choice by `vote` has no field `score`"
            ),
            some(
                11,
                "e",
                "nodes[4].type: there is no type of node `tusk`; did you mean `task`?"
            ),
            some(12, "f", "nodes[5]: a node has a `type`"),
        ]
    );
    let top = told("name: x\nnods: []\n");
    assert_eq!(top.len(), 1);
    assert!(top[0].2.contains("unknown field `nods`"), "{top:?}");
    assert_eq!(top[0].0, Some(2));
}

#[test]
fn beside_what_cannot_be_read_the_rest_is_told_too() {
    let text = "name: x\nnodes:\n  - { id: a, type: task, capabilty: c }\n  - { id: b, type: wait, for: soon }\n  - { id: c, type: task, agent: x, needs: [bb, a] }\n  - { id: d, type: condition, condition: 'nodes.a.output.n == ', needs: [a] }\n";
    let found = told(text);
    let nodes: Vec<_> = found.iter().map(|(_, node, _)| node.as_deref()).collect();
    assert_eq!(
        nodes,
        [Some("a"), Some("b"), Some("c"), Some("d")],
        "{found:?}"
    );
    let two = "name: x\nnodes:\n  - { id: a, type: wait, for: soon }\n  - { id: b, type: wait, for: late }\n";
    assert_eq!(told(two).len(), 2, "{:?}", told(two));
}

#[test]
fn editors_keep_what_is_theirs_in_nodes() {
    let text = "name: x\nnodes:\n  - { id: a, type: parallel, position: { x: 1 }, metadata: { colour: red } }\n";
    assert!(read(text).is_ok());
}

#[test]
fn values_of_the_wrong_type_have_their_line() {
    let found = told("name: x\nnodes:\n  - id: a\n    type: wait\n    for: soon\n");
    assert_eq!(found[0].1.as_deref(), Some("a"), "{found:?}");
    assert_eq!(found[0].0, Some(5), "{found:?}");
    let found = told(
        "name: x\nnodes:\n  - { id: y, type: parallel }\nedges:\n  - { from: y, to: y, label: true }\n",
    );
    assert!(
        found[0]
            .2
            .ends_with("where a text is expected; quotes make one"),
        "{found:?}"
    );
    assert_eq!(found[0].0, Some(5), "{found:?}");
    let found = told(
        "name: x\nnodes:\n  - { id: y, type: parallel }\nedges:\n  - { from: y, to: y, condition: { path: $.x, op: like } }\n",
    );
    assert!(
        found[0]
            .2
            .starts_with("edges[0].condition.op: `like` is not known here"),
        "{found:?}"
    );
    let found = told("name: x\nnodes: []\ntimeout: []\n");
    assert_eq!(found[0].0, Some(3), "{found:?}");
}

#[test]
fn what_a_field_cannot_have_is_named_by_the_field_at_every_depth() {
    let map = |most: &str| {
        format!("{{ id: x, type: map, over: [], each: {{ agent: e }}, max_parallel: {most} }}")
    };
    let most = |found: &str| {
        format!(
            "nodes[0].max_parallel: is the number {found}, where a whole number from 0 to {} is expected",
            u32::MAX
        )
    };
    for (node, told) in [
        (map("-1"), most("-1")),
        (map("1.5"), most("1.5")),
        (map("4294967296"), most("4294967296")),
        (
            "{ id: x, type: map, over: [], each: { agent: 7 } }".to_owned(),
            "nodes[0].each.agent: is the number 7, where a text is expected; quotes make one".to_owned(),
        ),
        (
            "{ id: x, type: mixture, choose: { by: concat }, experts: [{ id: a, agent: x }, { agent: y }] }".to_owned(),
            "nodes[0].experts[1]: missing field `id`".to_owned(),
        ),
        (
            "{ id: x, type: direct, agent: a, max_rounds: -1, max_workers: -1 }".to_owned(),
            format!("nodes[0].max_rounds: is the number -1, where a whole number from 0 to {} is expected", u32::MAX),
        ),
        (
            "{ id: x, type: map, over: [] }".to_owned(),
            "nodes[0]: missing field `each`".to_owned(),
        ),
    ] {
        let found = self::told(&format!("name: x\nnodes:\n  - {node}\n"));
        assert_eq!(found, [(Some(3), Some("x".to_owned()), told)]);
    }
    let text = "name: x\ntype: hierarchical\ndirector: { agent: 7 }\n";
    assert!(
        told(text)[0].2.starts_with("director.agent: "),
        "{:?}",
        told(text)
    );
}

#[test]
fn of_what_is_large_the_node_is_named() {
    let all = "x, ".repeat(4_000);
    let text = format!(
        "name: x\nnodes:\n  - {{ id: x, type: map, over: [{all}], each: {{ agent: 7 }} }}\n"
    );
    let found = told(&text);
    assert!(found[0].2.starts_with("nodes[0]: "), "{found:?}");
}

#[test]
fn an_array_is_no_object() {
    let text = "name: x\ntype: mixture\nexperts: [[a, x]]\nchoose: [vote]\nnodes:\n  - { id: x, type: map, over: [], each: [e] }\n  - [y]\n";
    let told = told(text);
    let places: Vec<_> = told.iter().map(|(_, _, told)| told.as_str()).collect();
    let array = |path: &str| format!("{path}: is an array, where an object is expected");
    assert_eq!(
        places,
        ["experts[0]", "choose", "nodes[0].each", "nodes[1]"].map(array)
    );
}

#[test]
fn an_array_is_no_object_and_an_object_no_word_at_any_depth() {
    let task = |more: &str| {
        format!("name: x\nnodes:\n  - {{ id: a, type: task, capability: c, {more} }}\n")
    };
    let with = |more: &str| format!("{}{more}\n", task("name: a"));
    let object = "is an array, where an object is expected";
    let word = "is an object, where a known word is expected";
    let condition = "is an array, where an expression, or an object with";
    let mixture = |choose: &str| {
        format!(
            "name: x\nnodes:\n  - {{ id: m, type: mixture, experts: [{{ id: e, agent: a }}], choose: {choose} }}\n"
        )
    };
    for (text, place, why) in [
        (task("retry: [3, 1s]"), "nodes[0].retry", object),
        (task("retry: []"), "nodes[0].retry", object),
        (task("compensate: [ag]"), "nodes[0].compensate", object),
        (task("effect: { pure: }"), "nodes[0].effect", word),
        (task("on_error: { fail: }"), "nodes[0].on_error", word),
        (task("when: [$.x, eq, 1]"), "nodes[0].when", condition),
        (
            task("when: { path: $.x, op: { eq: } }"),
            "nodes[0].when.op",
            word,
        ),
        (with("defaults: []"), "defaults", object),
        (with("defaults: [~, 1s, pure]"), "defaults", object),
        (with("defaults: { retry: [2, 1s] }"), "defaults.retry", object),
        (with("edges: [[~, a, b, ~, '', ~]]"), "edges[0]", object),
        (
            with("edges: [{ from: a, to: b, condition: [$.x, eq, 1] }]"),
            "edges[0].condition",
            condition,
        ),
        (
            with("edges: [{ from: a, to: a, loop: [3] }]"),
            "edges[0].loop",
            object,
        ),
        (with("type: concurrent\nmode: { collect: }"), "mode", word),
        (mixture("{ by: 0 }"), "nodes[0].choose.by", "is no text; it is one of vote, "),
        (
            "name: x\ntype: mixture\nexperts: [{ id: e, agent: a }]\nchoose: { by: 0 }\n".to_owned(),
            "choose.by",
            "is no text; it is one of vote, ",
        ),
        (
            "name: x\nnodes:\n  - { id: h, type: human, question: q, escalate: [[admin, 1h]] }\n".to_owned(),
            "nodes[0].escalate[0]",
            object,
        ),
        (
            "name: x\nnodes:\n  - { id: h, type: map, over: [], each: { agent: a }, mode: { collect: } }\n".to_owned(),
            "nodes[0].mode",
            word,
        ),
        (
            "name: x\nnodes:\n  - { id: h, type: map, over: [], each: { agent: a }, mode: { colect: 1 } }\n".to_owned(),
            "nodes[0].mode",
            "`colect` is not known here",
        ),
        (
            "name: x\nnodes:\n  - { id: h, type: condition, condition: [$.x, eq, 1] }\n".to_owned(),
            "nodes[0].condition",
            condition,
        ),
        (
            "name: x\nnodes:\n  - { id: h, type: condition, condition: { path: $.x, op: { eq: } } }\n".to_owned(),
            "nodes[0].condition.op",
            word,
        ),
    ] {
        let Err(problems) = read(&text) else {
            panic!("taken: {text}");
        };
        let Problem { path, message, .. } = &problems[0];
        assert_eq!(path, place, "{text}: {message}");
        assert!(message.starts_with(why), "{text}: {message}");
    }
}

#[test]
fn what_is_no_definition_at_all_is_told_in_words() {
    for text in ["", "- a\n", "5\n", "~\n"] {
        let found = told(text);
        assert!(
            found[0].2.contains("a `name` and `nodes`"),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn texts_that_are_neither_have_their_line() {
    for (text, line) in [
        ("name: x\nnodes: [\n", 2),
        ("name: x\nname: y\n", 2),
        ("{\n  \"name\": \"x\",,\n}", 2),
        ("a: &a [*a]", 1),
    ] {
        let found = told(text);
        assert_eq!(found[0].0, Some(line), "{text}: {found:?}");
    }
    assert!(
        read(&" ".repeat(MAX_LENGTH + 1)).unwrap_err()[0]
            .message
            .contains("at most")
    );
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert!(read(bomb).is_err());
}

#[test]
fn hostile_nesting_fits_a_small_stack() {
    let run = || {
        for opening in ["[", "{a: ", "- ", "? ", "{\"a\":", "[{a: ", "!!x "] {
            assert!(read(&opening.repeat(20_000)).is_err(), "{opening}");
            assert!(
                read(&format!("{{\"a\":{}", opening.repeat(20_000))).is_err(),
                "{opening}"
            );
        }
        let lists = format!("name: {}{}", "[".repeat(39), "]".repeat(39));
        assert!(read(&lists).is_err());
        let maps = format!("name: {}1{}", "{a: ".repeat(39), "}".repeat(39));
        assert!(read(&maps).is_err());
    };
    let small = std::thread::Builder::new().stack_size(2 << 20);
    small.spawn(run).unwrap().join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in "(name|nodes|id|type|task|edges|when|output|a|[-:{}\\[\\]\"'$&*!|>#, \n]| ){0,60}") {
        let _ = checked(&text);
    }
}

#[test]
fn a_name_is_given_once_in_either_form() {
    let first = "{\n  \"name\": \"x\",\n  \"nodes\": [\n    {\"id\": \"a\", \"type\": \"task\", \"capability\": \"c\"";
    for (text, line, path) in [
        (
            format!("{first}}}],\n  \"nam\\u0065\": \"y\"\n}}"),
            5,
            "name",
        ),
        (
            format!("{first},\n     \"id\": \"b\"}}]\n}}"),
            5,
            "nodes[0].id",
        ),
        (
            format!("{first}, \"input\": [[], {{\"o k\": {{\"n\": \"n\",\n\"n\": 1}}}}]}}]}}"),
            5,
            "nodes[0].input[1][\"o k\"].n",
        ),
    ] {
        let problems = read(&text).unwrap_err();
        let [problem] = problems.as_slice() else {
            panic!("{problems:?}");
        };
        assert_eq!((problem.line, problem.path.as_str()), (Some(line), path));
        assert!(problem.message.contains("is given twice"), "{problem}");
        assert_eq!(
            problem.node.is_some(),
            path.starts_with("nodes"),
            "{problem}"
        );
    }
    let once = format!(
        "{first}, \"input\": {{\"id\": {{\"id\": [{{\"id\": 1}}, {{\"id\": \"id\"}}]}}}}}}]}}"
    );
    assert!(read(&once).is_ok());
}

#[test]
fn a_fault_beside_what_is_deep_or_long_or_has_tabs_has_its_line() {
    let deep = "[".repeat(50) + &"]".repeat(50);
    let long = vec!["1"; 400_000].join(",");
    for beside in [deep, format!("[{long}]"), "\"\t\"".replace('\t', "\\t")] {
        let text = format!(
            "{{\n\t\"name\": \"x\", \"nodes\": [\n\t{{\"id\": \"a\", \"type\": \"transform\", \"output\": {beside}}},\n\t{{\"id\": \"b\", \"type\": \"wait\",\n\t\"for\": \"soon\"}}]}}"
        );
        let found = told(&text);
        assert_eq!(found[0].0, Some(5), "{:?}", found[0]);
        assert!(found[0].2.starts_with("nodes[1].for"), "{:?}", found[0]);
    }
}

#[test]
fn a_default_of_null_is_an_answer() {
    let yaml =
        "name: x\nnodes:\n  - { id: h, type: human, question: q, deadline: 1h, default: ~ }\n";
    let definition = read(yaml).unwrap().definition;
    let Work::Human(human) = &definition.nodes[0].work else {
        panic!("{definition:?}");
    };
    assert_eq!(human.default, Some(Value::Null));
    let json = serde_json::to_string(&definition).unwrap();
    assert_eq!(read(&json).unwrap().definition, definition);
    let asking = Asking {
        default: Some(Value::Null),
        ..Asking::default()
    };
    let kept: Asking = serde_json::from_value(json!(asking)).unwrap();
    assert_eq!(kept, asking);
}

#[test]
fn a_name_given_twice_in_yaml_is_refused_however_it_is_written() {
    let text = |first: &str, second: &str| {
        format!(
            "name: x\nnodes:\n  - id: a\n    type: transform\n    output:\n      q:\n        - {first}: 1\n          {second}: 2\n"
        )
    };
    let message = "nodes[0].output.q[0].1: the name `1` is given twice in one object";
    assert_eq!(
        told(&text("1", "'1'")),
        [(Some(8), Some("a".to_owned()), message.to_owned())]
    );
    for name in ["1", "1.5", "true", "k"] {
        let quoted = format!("'{name}'");
        for (first, second) in [(name, quoted.as_str()), (quoted.as_str(), name)] {
            let found = told(&text(first, second));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].0, Some(8), "{found:?}");
            let message = format!(": the name `{name}` is given twice in one object");
            assert!(found[0].2.ends_with(&message), "{found:?}");
        }
    }
    assert!(read(&text("1", "'2'")).is_ok());
}

#[test]
fn a_name_given_twice_in_yaml_is_told_without_advice_for_programmers() {
    for (first, second, name) in [("k", "\"k\"", "k"), ("k, k", "\"k, k\"", "k, k")] {
        let text = format!("name: x\nmetadata:\n  {first}: 1\n  {second}: 2\nnodes: []\n");
        let message = format!(": the name `{name}` is given twice in one object");
        assert_eq!(told(&text), [(Some(4), None, message)]);
    }
}

#[test]
fn a_wrong_way_to_choose_is_told_where_it_stands() {
    let text = "name: x\nnodes:\n  - id: m\n    type: mixture\n    experts: [{ id: e, agent: a }]\n    choose:\n      of: $.x\n      by: votes\n";
    let found = told(text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, Some(8), "{found:?}");
    assert!(
        found[0].2.starts_with("nodes[0].choose.by: `votes` "),
        "{found:?}"
    );
}
