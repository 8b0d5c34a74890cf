//! Graphs: branches, choices, joins, loops, what nodes share.

use protocol::workflow::{NodeStatus, RunEvent};
use serde_json::{Value, json};

use crate::play::{Play, by_name, fails, gives};

fn node(id: &str) -> Value {
    json!({ "id": id, "type": "agent", "agent": "a" })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "JSON is put together where it is used"
)]
fn graph(nodes: Value, edges: Value) -> Value {
    json!({ "name": "g", "nodes": nodes, "edges": edges })
}

fn edge(from: &str, to: &str) -> Value {
    json!({ "from": from, "to": to })
}

#[test]
fn a_diamond_runs_its_sides_together_and_its_end_after_both() {
    let edges = json!([
        edge("a", "b"),
        edge("a", "c"),
        edge("b", "d"),
        edge("c", "d")
    ]);
    let nodes = json!([node("a"), node("b"), node("c"), node("d")]);
    let mut play = Play::of(graph(nodes, edges), Value::Null, by_name());
    assert_eq!(play.start(), 1);
    play.answer("a");
    assert_eq!(play.start(), 2);
    play.answer("b");
    assert_eq!(play.start(), 0, "the other side runs");
    play.answer("c");
    assert_eq!(play.start(), 1);
    assert_eq!(play.step("d").spec.input, json!({ "b": "b", "c": "c" }));
    play.answer("d");
    assert_eq!(play.result(), "d");
}

#[test]
fn an_edge_s_condition_chooses_and_the_other_is_skipped() {
    let nodes = json!([node("d"), node("e"), node("f"), node("g")]);
    let edges = json!([
        { "from": "d", "to": "e", "condition": { "path": "$.pass", "op": "eq", "value": true } },
        { "from": "d", "to": "f", "condition": "output.pass == false" },
        edge("e", "g"), edge("f", "g"),
    ]);
    let mut play = Play::of(
        graph(nodes, edges),
        Value::Null,
        Box::new(|step| gives(json!({ "pass": true, "by": step.spec.id }))),
    );
    play.play();
    assert_eq!(play.calls, ["d", "e", "g"]);
    assert_eq!(play.status("f"), NodeStatus::Skipped);
    assert_eq!(
        play.step("g").spec.input["by"],
        "e",
        "of one branch its output"
    );
}

#[test]
fn a_condition_node_s_edges_are_labelled() {
    let nodes = json!([
        { "id": "q", "type": "condition", "condition": "input.n > 3" }, node("big"), node("small"),
    ]);
    let edges = json!([
        { "from": "q", "to": "big", "label": "true" }, { "from": "q", "to": "small", "label": "false" },
    ]);
    for (n, chosen) in [(4, "big"), (3, "small")] {
        let mut play = Play::of(
            graph(nodes.clone(), edges.clone()),
            json!({ "n": n }),
            by_name(),
        );
        play.play();
        assert_eq!(play.calls, [chosen]);
        assert_eq!(play.result(), chosen, "the only last node that ran");
    }
}

/// d says no as often as `fails`; then e.
fn looping(most: u32) -> Value {
    let nodes = json!([
        node("a"),
        node("b"),
        node("c"),
        node("d"),
        node("e"),
        node("f"),
        node("x"),
        node("j")
    ]);
    let edges = json!([
        edge("a", "b"), edge("a", "c"), edge("b", "d"), edge("c", "d"),
        { "from": "d", "to": "e", "condition": "output == true" },
        { "from": "d", "to": "f", "condition": "output == false" },
        { "from": "f", "to": "a", "loop": { "max_iterations": most } },
        edge("e", "j"), edge("x", "j"),
    ]);
    graph(nodes, edges)
}

fn passes_after(mut fails: u32) -> crate::play::Answer {
    Box::new(move |step| {
        if !step.spec.id.starts_with('d') {
            return gives(json!(step.spec.id));
        }
        let passes = fails == 0;
        fails = fails.saturating_sub(1);
        gives(json!(passes))
    })
}

#[test]
fn a_loop_goes_back_and_what_is_behind_it_waits_until_it_is_over() {
    let mut play = Play::of(looping(10), Value::Null, passes_after(2));
    play.play();
    assert_eq!(play.result(), "j");
    let of = |node: &str| -> Vec<&str> {
        let calls = play.calls.iter().map(String::as_str);
        calls.filter(|id| id.starts_with(node)).collect()
    };
    assert_eq!(of("a"), ["a", "a.2", "a.3"]);
    assert_eq!(of("d"), ["d", "d.2", "d.3"]);
    assert_eq!(of("f"), ["f", "f.2"]);
    assert_eq!(
        (of("e"), of("x"), of("j")),
        (vec!["e"], vec!["x"], vec!["j"])
    );
    let e = play.calls.iter().position(|id| id == "e").unwrap();
    let d = play.calls.iter().position(|id| id == "d.3").unwrap();
    assert!(e > d, "never chosen before: {:?}", play.calls);
    let run = play.task.run.as_ref().unwrap();
    let past: Vec<_> = run
        .turn("d")
        .unwrap()
        .past
        .iter()
        .map(|past| past.run)
        .collect();
    assert_eq!(past, [1, 2]);
    play.replays();
}

#[test]
fn a_loop_ends_at_its_limit() {
    let mut play = Play::of(looping(3), Value::Null, passes_after(99));
    play.play();
    assert_eq!(play.error().code, "loop_limit");
    assert_eq!(
        play.calls.iter().filter(|id| id.starts_with('a')).count(),
        3
    );
}

#[test]
fn an_inner_loop_counts_anew_each_time_the_outer_one_goes_round() {
    let nodes = json!([node("a"), node("b"), node("c"), node("d")]);
    let edges = json!([
        edge("a", "b"), edge("b", "c"), edge("c", "d"),
        { "from": "c", "to": "b", "loop": { "max_iterations": 3 }, "condition": "output < 2" },
        { "from": "d", "to": "a", "loop": { "max_iterations": 2 }, "condition": "output == 'again'" },
    ]);
    let mut outer = 0;
    let mut inner = 0;
    let answer: crate::play::Answer = Box::new(move |step| {
        gives(match step.spec.id.as_bytes()[0] {
            b'a' => {
                inner = 0;
                Value::Null
            }
            b'c' => {
                inner += 1;
                json!(inner - 1)
            }
            b'd' => {
                outer += 1;
                json!(if outer == 1 { "again" } else { "done" })
            }
            _ => Value::Null,
        })
    });
    let mut play = Play::of(graph(nodes, edges), Value::Null, answer);
    play.play();
    assert_eq!(play.result(), "done");
    assert_eq!(
        play.calls.iter().filter(|id| id.starts_with('c')).count(),
        6
    );
}

#[test]
fn a_join_of_some_does_not_wait_for_all() {
    let nodes = json!([node("a"), node("b"), node("c"), { "id": "j", "type": "join", "wait_for": 2 }, node("z")]);
    let edges = json!([
        edge("a", "j"),
        edge("b", "j"),
        edge("c", "j"),
        edge("j", "z")
    ]);
    let mut play = Play::of(graph(nodes, edges), Value::Null, by_name());
    play.start();
    play.answer("c");
    assert_eq!(play.start(), 0);
    play.answer("a");
    assert_eq!(play.status("j"), NodeStatus::Completed);
    assert_eq!(play.start(), 1);
    assert_eq!(play.step("z").spec.input, json!({ "a": "a", "c": "c" }));
    play.answer("z");
    assert!(!play.is_settled(), "the other one goes on");
    play.answer("b");
    assert_eq!(play.result(), "z");
}

#[test]
fn nodes_share_a_context_with_versions_and_templates_see_what_they_name() {
    let definition = json!({
        "name": "g", "context": { "tries": 0 },
        "nodes": [
            { "id": "a", "type": "agent", "agent": "a", "set": { "first": "${output.n}" } },
            { "id": "t", "type": "transform", "needs": ["a"],
              "output": { "sum": "${nodes.a.output.n + input.n}", "all": "$.nodes.a.output", "text": "n is ${context.first}!" } },
        ],
    });
    let mut play = Play::of(
        definition,
        json!({ "n": 2 }),
        Box::new(|_| gives(json!({ "n": 40 }))),
    );
    play.play();
    let expected = json!({ "sum": 42, "all": { "n": 40 }, "text": "n is 40!" });
    assert_eq!(play.result(), &expected);
    let run = play.task.run.as_ref().unwrap();
    assert_eq!(
        (run.context["first"].clone(), run.context_version),
        (json!(40), 1)
    );
}

#[test]
fn a_context_may_begin_with_nothing_in_it() {
    let definition = json!({ "name": "g", "context": { "later": null }, "nodes": [node("a")] });
    let mut play = Play::of(definition, Value::Null, by_name());
    play.play();
    assert_eq!(play.result(), "a");
}

#[test]
fn a_failure_that_may_be_goes_on_with_its_error_in_sight() {
    let definition = json!({
        "name": "g",
        "nodes": [
            { "id": "a", "type": "agent", "agent": "a", "on_error": "continue" },
            { "id": "t", "type": "transform", "needs": ["a"], "output": "${nodes.a.error.code}" },
        ],
    });
    let mut play = Play::of(definition, Value::Null, Box::new(|_| fails("odd")));
    play.play();
    assert_eq!(play.result(), "odd");
}

#[test]
fn an_expression_that_has_no_value_fails_the_run_and_says_where() {
    let definition = json!({
        "name": "g",
        "nodes": [node("a"), { "id": "c", "type": "condition", "needs": ["a"], "condition": "output > 3" }],
    });
    let mut play = Play::of(definition, Value::Null, by_name());
    play.play();
    assert_eq!(play.error().code, "expression");
    assert!(
        play.error().message.starts_with("node c: "),
        "{}",
        play.error().message
    );
}

#[test]
fn time_passes_and_people_answer() {
    let definition = json!({
        "name": "g",
        "nodes": [
            { "id": "w", "type": "wait", "for": "10s" },
            { "id": "h", "type": "human", "needs": ["w"], "question": "Ship ${input.what}?", "role": "lead" },
            node("z"),
        ],
        "edges": [{ "from": "h", "to": "z", "condition": "output.yes" }],
    });
    let mut play = Play::of(definition, json!({ "what": "it" }), by_name());
    assert_eq!(play.status("w"), NodeStatus::Waiting);
    assert_eq!(
        play.task.wake_at(play.now),
        Some(play.now.plus(std::time::Duration::from_secs(10)))
    );
    play.pass(9);
    assert_eq!(play.status("w"), NodeStatus::Waiting);
    play.pass(1);
    assert_eq!(play.status("h"), NodeStatus::Waiting);
    let asked = play.log.iter().rev().find_map(|(event, _)| match event {
        protocol::task::Event::Run {
            event: RunEvent::Asked { input, .. },
        } => Some(input.clone()),
        _ => None,
    });
    assert_eq!(asked.unwrap()["question"], "Ship it?");
    play.tell("h", json!({ "yes": true }));
    play.play();
    assert_eq!(play.result(), "z");
    play.replays();
}

#[test]
fn an_expression_that_has_no_value_fails_its_node_which_may_be() {
    for work in [
        json!({ "type": "condition", "condition": "input.flag" }),
        json!({ "type": "transform", "output": "${1 / input.none}" }),
        json!({ "type": "map", "over": "$.input.none.at", "each": { "agent": "a" } }),
        json!({ "type": "agent", "agent": "a", "input": "${input.none + 1}" }),
        json!({ "type": "agent", "agent": "a", "when": "input.flag" }),
    ] {
        let mut first = json!({ "id": "a", "on_error": "continue" });
        let fields = work.as_object().unwrap().clone();
        first.as_object_mut().unwrap().extend(fields);
        let told = json!({
            "id": "t", "type": "transform", "needs": ["a"], "output": "${nodes.a.error.code}",
        });
        let definition = json!({ "name": "g", "nodes": [first, told] });
        let mut play = Play::of(definition, json!({}), by_name());
        play.play();
        assert_eq!(play.status("a"), NodeStatus::Failed, "{work}");
        assert_eq!(play.result(), "expression", "{work}");
    }
}
