//! What is found wrong with definitions.

use serde_json::json;

use super::*;
use crate::workflow::read::checked;

/// What is wrong with a text: `LINE PATH: MESSAGE` of each problem.
fn wrong(text: &str) -> Vec<String> {
    let problems = checked(text).err().unwrap_or_default();
    let said = problems.iter().map(|problem| {
        let line = problem.line.map_or("-".to_owned(), |line| line.to_string());
        format!("{line} {}: {}", problem.path, problem.message)
    });
    said.collect()
}

/// The same for the nodes and edges of a graph; the first line of these is the second one.
fn graph(rest: &str) -> Vec<String> {
    wrong(&format!("name: g\n{}", rest.trim_start_matches('\n')))
}

const NONE: [&str; 0] = [];

#[test]
fn a_definition_of_every_kind_of_node_holds() {
    let text = r#"
name: all-kinds
input:
  type: object
  properties: { files: { type: array }, who: {} }
  additionalProperties: false
context: { tries: 0 }
nodes:
  - { id: read, type: task, capability: read, prompt: "Read ${len(input.files)} files", set: { text: "$.output" } }
  - { id: each, type: map, over: "$.input.files[*]", each: { agent: reader, prompt: "${index}: ${item}" }, needs: [read] }
  - { id: check, type: agent, agent: checker, input: "${context.text}", needs: [each], compensate: { agent: undoer, input: "${output}" } }
  - { id: gate, type: condition, condition: "nodes.check.output.ok", needs: [check] }
  - { id: fix, type: task, capability: fix, input: "$.nodes.gate.output" }
  - { id: fork, type: parallel }
  - { id: ask, type: human, question: "Ship it, ${input.who}?", schema: { type: boolean }, default: false, deadline: 1h, escalate: [{ role: admin, deadline: 1h }], needs: [fork] }
  - { id: pause, type: wait, for: 5s, needs: [fork] }
  - { id: meet, type: join, wait_for: 1, needs: [ask, pause] }
  - { id: more, type: subworkflow, workflow: other, version: 2, needs: [meet] }
  - { id: lead, type: direct, agent: boss, workers: { capability: work }, needs: [more] }
  - { id: vote, type: mixture, experts: [{ id: a, agent: x }, { id: b, agent: y }], choose: { by: judge, agent: z, prompt: "${candidates}" }, needs: [lead] }
  - { id: result, type: transform, output: { run: "${run.id}", tries: "${context.tries}" }, needs: [vote] }
edges:
  - { from: gate, to: fork, label: "true" }
  - { from: gate, to: fix, label: "false" }
  - { from: fix, to: check, loop: { max_iterations: 3 }, condition: { path: $.done, op: eq, value: false } }
output: "$.nodes.result.output"
"#;
    assert_eq!(wrong(text), NONE);
}

#[test]
fn names_and_ids_are_looked_at() {
    let found = wrong(
        "name: A b\nnodes:\n  - { id: 'a b', type: parallel }\n  - { id: c, type: parallel }\n  - id: c\n    type: parallel\n",
    );
    assert_eq!(
        found,
        [
            "1 name: a workflow's name is 1 to 64 lower-case letters, digits and `-`",
            "3 nodes[0].id: an id is 1 to 48 letters, digits, `_` and `-`",
            "5 nodes[2].id: `c` is the id of nodes[1] too",
        ]
    );
}

#[test]
fn the_address_of_the_schema_is_no_name() {
    let found = wrong("name: schema\nnodes:\n  - { id: a, type: parallel }\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("1 name: `schema`"), "{found:?}");
}

#[test]
fn unknown_nodes_are_named_with_the_one_that_was_meant() {
    let found = graph(
        "nodes:\n  - { id: review, type: parallel }\n  - id: b\n    type: parallel\n    needs:\n      - revew\nedges:\n  - from: b\n    to: nowhere\n",
    );
    assert_eq!(
        found,
        [
            "7 nodes[1].needs[0]: there is no node `revew`; did you mean `review`?",
            "10 edges[0].to: there is no node `nowhere`",
        ]
    );
}

#[test]
fn a_circle_is_named_as_a_path() {
    let found = graph(
        "nodes:\n  - { id: a, type: parallel, needs: [c] }\n  - { id: b, type: parallel, needs: [a] }\n  - { id: c, type: parallel, needs: [b] }\n  - { id: d, type: parallel, needs: [c] }\n",
    );
    assert_eq!(
        found,
        ["3 nodes[0].needs[0]: a → b → c → a is a circle; an edge that goes back has a `loop`"]
    );
    let itself = graph("nodes:\n  - { id: a, type: parallel, needs: [a] }\n");
    assert_eq!(
        itself,
        ["3 nodes[0].needs[0]: a → a is a circle; an edge that goes back has a `loop`"]
    );
}

#[test]
fn loops_go_back_nest_and_end() {
    let nodes = "nodes:\n  - { id: a, type: parallel }\n  - { id: b, type: parallel, needs: [a] }\n  - { id: c, type: parallel, needs: [b] }\n  - { id: d, type: parallel, needs: [c] }\nedges:\n";
    let with = |edges: &str| graph(&format!("{nodes}{edges}"));
    assert_eq!(
        with(
            "  - { from: c, to: b, loop: {} }\n  - { from: d, to: a, loop: {} }\n  - { from: b, to: b, loop: {} }\n"
        ),
        NONE
    );
    assert_eq!(
        with("  - { from: a, to: c, loop: {} }\n"),
        ["8 edges[0].loop: it does not go back: nothing leads from `c` to `a`"]
    );
    assert_eq!(
        with("  - { from: c, to: a, loop: {} }\n  - { from: d, to: b, loop: {} }\n"),
        [
            "9 edges[1].loop: it repeats some of the nodes that `c-a` repeats, but neither all of them nor only them"
        ]
    );
    assert_eq!(
        with("  - { from: c, to: a, loop: { max_iterations: 1001 } }\n"),
        ["8 edges[0].loop.max_iterations: it is 1 to 1000, not 1001"]
    );
}

#[test]
fn what_is_never_reached_is_told() {
    let found = graph(
        "nodes:\n  - { id: a, type: parallel }\n  - { id: b, type: parallel }\n  - { id: c, type: parallel, needs: [b] }\n  - { id: d, type: parallel, when: 1 > 2 }\nedges:\n  - { from: a, to: b, condition: 'false' }\n",
    );
    assert_eq!(
        found,
        [
            "4 nodes[1]: it is never reached: no edge to it is ever taken",
            "5 nodes[2]: it is never reached: no edge to it is ever taken",
            "6 nodes[3].when: it never runs: this never holds",
        ]
    );
}

#[test]
fn texts_that_are_not_in_the_language_are_shown() {
    let found = graph(
        r#"nodes:
  - id: a
    type: task
    capability: x
    prompt: "Do ${1 +}"
    input:
      deep: ["ok", "$.a..b..c"]
  - id: b
    type: condition
    condition: "1 + 1"
  - id: c
    type: mixture
    experts: [{ id: x, agent: y }]
    choose: { by: best_of, score: "x y" }
  - { id: d, type: map, over: "${1}", each: { agent: y } }
edges:
  - { from: a, to: b, condition: { path: "x", op: eq, value: 1 } }
"#,
    );
    assert_eq!(found.len(), 6, "{found:#?}");
    assert_eq!(
        found[0],
        "6 nodes[0].prompt: a value is expected, not `}`, at character 9 of `Do ${1 +}`"
    );
    assert!(
        found[1].starts_with("8 nodes[0].input.deep[1]: "),
        "{}",
        found[1]
    );
    assert_eq!(
        found[2],
        "11 nodes[1].condition: a condition is true or false; this is a number, at character 1 of `1 + 1`"
    );
    assert!(
        found[3].starts_with("15 nodes[2].choose.score: `x y` is not a JSONPath"),
        "{}",
        found[3]
    );
    assert_eq!(
        found[4],
        "16 nodes[3].over: a list is where this must lead; it is a number"
    );
    assert!(
        found[5].starts_with("18 edges[0].condition.path: "),
        "{}",
        found[5]
    );
}

#[test]
fn what_is_referred_to_must_be_there_by_then() {
    let found = graph(
        r#"input: { properties: { file: {} }, additionalProperties: false }
context: { count: 0 }
nodes:
  - { id: a, type: task, capability: x, input: "${b}" }
  - { id: b, type: task, capability: x, input: "$.nodes.a.output", needs: [a] }
  - { id: c, type: task, capability: x, input: "${nodes.b.result}", needs: [b] }
  - { id: d, type: task, capability: x, input: "${nodes.c.output}", needs: [b] }
  - { id: e, type: task, capability: x, input: "${nodes.x.output}" }
  - { id: f, type: task, capability: x, input: "${context.cuont} ${input.fil}" }
  - { id: g, type: task, capability: x, input: "${item}", when: "nodes.g.status == 'x'" }
"#,
    );
    assert_eq!(
        found,
        [
            "5 nodes[0].input: nothing is called `b` here, but input, context, nodes, run; did you mean `nodes.b.output`?",
            "7 nodes[2].input: a node has status, output, error and run, no `result`; did you mean `nodes.b.output.result`?",
            "8 nodes[3].input: `c` need not be over by then: nothing leads from it to `d`",
            "9 nodes[4].input: there is no node `x`",
            "10 nodes[5].input: nothing sets `context.cuont`; did you mean `count`?",
            "10 nodes[5].input: the input has no `fil`, its schema says; did you mean `file`?",
            "11 nodes[6].when: what it gives itself is not there before it is over",
            "11 nodes[6].input: nothing is called `item` here, but input, context, nodes, run",
        ]
    );
}

#[test]
fn a_loop_sees_what_it_gave_the_time_before() {
    let found = graph(
        "nodes:\n  - { id: a, type: task, capability: x, input: \"${nodes.b.output}\" }\n  - { id: b, type: task, capability: x, needs: [a] }\nedges:\n  - { from: b, to: a, loop: {}, condition: 'not output.ok and nodes.a.output.n < 3' }\n",
    );
    assert_eq!(found, NONE);
}

#[test]
fn schemas_are_compiled_and_nothing_is_fetched() {
    let found = graph(
        "input: { type: strng }\nnodes:\n  - id: a\n    type: human\n    question: q\n    schema: { type: boolean }\n    default: 7\n    deadline: 1s\n  - { id: b, type: human, question: q, schema: { $ref: 'http://127.0.0.1:9/x' } }\n",
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("2 input: this is not a JSON Schema at /type"),
        "{}",
        found[0]
    );
    assert!(
        found[1].starts_with("8 nodes[0].default: it does not fit the schema"),
        "{}",
        found[1]
    );
    assert!(
        found[2].starts_with("10 nodes[1].schema: this is not a JSON Schema"),
        "{}",
        found[2]
    );
}

#[test]
fn a_schema_that_refers_to_itself_is_checked_in_bounded_space() {
    let schema = json!({ "$ref": "#" });
    let _ = input_faults(&schema, &json!({ "a": 1 }));
    let nested = json!({ "properties": { "a": { "$ref": "#" } }, "additionalProperties": false });
    assert_eq!(input_faults(&nested, &json!({ "a": { "a": {} } })), []);
    assert_eq!(
        input_faults(&nested, &json!({ "a": { "b": 1 } }))
            .first()
            .map(|it| it.0.as_str()),
        Some("/a")
    );
}

#[test]
fn each_shape_has_its_own_fields() {
    for (text, expected) in [
        (
            "name: x",
            &["- nodes: a workflow has at least one node"][..],
        ),
        (
            "name: x\ntype: hierarchical",
            &["- : a hierarchical workflow has a `director`"],
        ),
        (
            "name: x\ntype: mixture",
            &[
                "- experts: a mixture has at least one expert",
                "- : a mixture has `choose`",
            ],
        ),
        (
            "name: x\ntype: hierarchical\ndirector: { agent: a }\noutput: '${nodes.main.output}'",
            &[],
        ),
        (
            "name: x\ntype: hierarchical\ndirector: { agent: a, max_workers: 0 }",
            &["3 director.max_workers: it is 1 to 1000, not 0"],
        ),
        (
            "name: x\ntype: mixture\nexperts: [{ id: a, agent: x }, { id: a }]\nchoose: { by: vote }",
            &[
                "3 experts[1].id: another expert is `a` too",
                "3 experts[1]: an `agent` or a `capability` says who does it",
            ],
        ),
        (
            "name: x\ntype: concurrent\nmode: collect\nnodes:\n - { id: a, type: parallel }\n - { id: b, type: parallel, needs: [a] }",
            &[
                "6 nodes[1].needs: nodes of a concurrent workflow have no `needs`; its type says the order",
            ],
        ),
        (
            "name: x\nmode: collect\nnodes:\n - { id: a, type: parallel }\nexperts: [{ id: x, agent: y }]",
            &[
                "2 mode: a graph workflow has no `mode`",
                "5 experts: a graph workflow has no `experts`",
            ],
        ),
        (
            "name: x\ntype: sequential\nnodes:\n - { id: a, type: parallel }\n - { id: b, type: transform, output: '${nodes.a.output}' }\nedges:\n - { from: b, to: a, loop: {} }\n - { from: a, to: b }",
            &["8 edges[1]: a sequential workflow has no such edge; its type says the order"],
        ),
    ] {
        assert_eq!(wrong(text), expected, "{text}");
    }
}

#[test]
fn each_node_says_who_does_it_and_within_which_limits() {
    let found = graph(
        r#"nodes:
  - { id: a, type: task }
  - { id: b, type: task, agent: x, capability: y, retry: { max_attempts: 21 } }
  - { id: c, type: agent, capability: y }
  - { id: d, type: wait }
  - { id: e, type: wait, for: 1s, until: "2030-01-01T00:00:00Z", timeout: 0s }
  - { id: f, type: wait, until: tomorrow }
  - { id: g, type: join, wait_for: 3, needs: [a, b] }
  - { id: h, type: human, question: " ", role: king, escalate: [{ role: x, deadline: 1h }, { role: "${input.who}" }] }
  - { id: i, type: subworkflow, workflow: "No Name" }
"#,
    );
    let places: Vec<&str> = found
        .iter()
        .filter_map(|told| told.split(": ").next())
        .collect();
    assert_eq!(
        places,
        [
            "3 nodes[0]",
            "4 nodes[1].retry.max_attempts",
            "4 nodes[1]",
            "5 nodes[2].capability",
            "5 nodes[2]",
            "6 nodes[3]",
            "7 nodes[4].timeout",
            "7 nodes[4]",
            "8 nodes[5].until",
            "9 nodes[6].wait_for",
            "10 nodes[7].question",
            "10 nodes[7].escalate[0].role",
            "10 nodes[7].role",
            "10 nodes[7].escalate",
            "11 nodes[8].workflow",
        ],
        "{found:#?}"
    );
}

#[test]
fn a_default_counts_only_when_the_last_one_asked_has_a_deadline() {
    let found = graph(
        r"nodes:
  - { id: a, type: human, question: q, timeout: 2s, default: null }
  - { id: b, type: human, question: q, default: { ok: false }, deadline: 1s, escalate: [{ role: admin }] }
  - { id: c, type: human, question: q, default: 1, deadline: 1s }
  - { id: d, type: human, question: q, default: 1, deadline: 1s, escalate: [{ role: admin, deadline: 1s }] }
  - { id: e, type: human, question: q, deadline: 1s, escalate: [{ role: admin }] }
  - { id: f, type: human, question: q, deadline: 1s, escalate: [{ role: admin }, { role: admin, deadline: 1s }] }
",
    );
    let never = "never counts, since the last one asked has no deadline";
    let unasked = "must be given, or those after it are never asked";
    assert_eq!(
        found,
        [
            format!("3 nodes[0].default: {never}"),
            format!("4 nodes[1].default: {never}"),
            format!("8 nodes[5].escalate[0].deadline: {unasked}"),
        ]
    );
}

#[test]
fn a_join_says_how_many_branches_it_has() {
    let found = graph(
        "nodes:\n  - { id: a, type: parallel }\n  - { id: b, type: join, wait_for: 1 }\n  - { id: c, type: join, wait_for: 2, needs: [a] }\n  - { id: d, type: join, wait_for: 3, needs: [a, c] }\n",
    );
    assert_eq!(
        found,
        [
            "4 nodes[1].wait_for: it waits for branches, and none leads to it; name them in its `needs`",
            "5 nodes[2].wait_for: is 2, and 1 branch leads to it: it can wait for 1",
            "6 nodes[3].wait_for: is 3, and 2 branches lead to it: it can wait for 1 to 2",
        ]
    );
}

#[test]
fn large_definitions_are_refused_and_large_enough_ones_are_quick() {
    let node = |at: usize| match at {
        0 => json!({ "id": "n0", "type": "parallel" }),
        at => json!({ "id": format!("n{at}"), "type": "task", "capability": "x",
            "needs": [format!("n{}", at - 1)], "input": format!("${{nodes.n{}.output}}", at / 2) }),
    };
    let of = |count: usize| {
        let nodes: Vec<_> = (0..count).map(node).collect();
        let loops: Vec<_> = (0..100).map(|at| json!({ "from": format!("n{}", at * 2 + 1), "to": format!("n{}", at * 2), "loop": {} })).collect();
        crate::workflow::read::definition(&json!({ "name": "x", "nodes": nodes, "edges": loops }))
            .unwrap()
    };
    assert_eq!(check(&of(MAX_NODES)), []);
    let told = check(&of(MAX_NODES + 1));
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].message,
        "a definition has at most 2000 nodes, not 2001"
    );
    let many: Vec<_> = (0..500)
        .map(|_| json!({ "id": "", "type": "task" }))
        .collect();
    let many = crate::workflow::read::definition(&json!({ "name": "x", "nodes": many })).unwrap();
    let told = check(&many);
    assert_eq!(told.len(), 101);
    assert_eq!(told[100].message, "and 900 more problems");
}

#[test]
fn many_loops_within_each_other_are_checked_and_compiled_in_a_time_that_nobody_waits_for() {
    let (nodes, loops) = (MAX_NODES, MAX_LOOPS);
    let id = |at: usize| format!("n{at}");
    let node =
        |at| json!({ "id": id(at), "type": "task", "capability": "c", "input": "${nodes.n0}" });
    let on = |from, to| {
        let condition = "nodes.n0.status == 'completed'";
        json!({ "from": id(from), "to": id(to), "condition": condition })
    };
    let back = |at: usize| json!({ "from": id(nodes - 1 - at), "to": id(at), "loop": { "max_iterations": 2 } });
    let steps = (1..=9).flat_map(|far| (0..nodes - far).map(move |from| on(from, from + far)));
    let edges: Vec<_> = steps.chain((0..loops).map(back)).collect();
    let nodes: Vec<_> = (0..nodes).map(node).collect();
    let definition = json!({ "name": "g", "nodes": nodes, "edges": edges });
    let definition = serde_json::from_value(definition).unwrap();
    assert_eq!(check(&definition), []);
    let graph = crate::workflow::graph::Graph::compile(&definition).unwrap();
    let bodies = graph.edges.iter().filter_map(|edge| edge.back.as_ref());
    let sizes: Vec<_> = bodies.map(|back| back.body.len()).collect();
    let expected: Vec<_> = (0..loops).map(|at| MAX_NODES - 2 * at).collect();
    assert_eq!(sizes, expected);
}

#[test]
fn an_edge_of_a_shape_that_writes_no_node_down_is_told_whatever_it_depends_on() {
    let found = wrong(
        "name: h\ntype: hierarchical\ndirector: { agent: a, workers: { agent: b } }\nedges:\n  - { from: main, to: main, condition: nodes.main.output }\n",
    );
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn that_there_are_more_problems_is_told_last() {
    let node = "  - { id: '', type: task }\n";
    let found = graph(&format!("nodes:\n{}", node.repeat(51)));
    assert_eq!(found.len(), 101);
    assert_eq!(found[100], "- : and 2 more problems");
    let found = graph(&format!(
        "nodes:\n{}",
        node.repeat(50) + "  - { id: '', type: parallel }\n"
    ));
    assert_eq!(found[100], "- : and 1 more problem");
    let found = graph(&format!("nodes:\n{}", node.repeat(50)));
    assert_eq!(found.len(), 100);
    let wait = |at: usize| format!("  - {{ id: n{at}, type: wait, for: soon }}\n");
    let found = graph(&format!(
        "nodes:\n{}",
        (0..101).map(wait).collect::<String>()
    ));
    assert_eq!(found.len(), 101);
    assert_eq!(
        found[100],
        "- : there may be more; only so much is told at once"
    );
}
