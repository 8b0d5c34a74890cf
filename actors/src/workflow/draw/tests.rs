//! What pictures show.

use super::*;
use crate::workflow::read::read;

fn definition(text: &str) -> Definition {
    read(text).unwrap().definition
}

fn review() -> Definition {
    definition(
        r#"
name: review
nodes:
  - { id: generate, type: task, capability: write }
  - { id: review, type: agent, agent: critic, needs: [generate] }
  - { id: test, type: task, capability: test, needs: [generate] }
  - { id: gate, type: condition, condition: nodes.test.output.ok, needs: [review, test] }
  - { id: done, type: transform, output: "$.nodes.generate.output" }
  - { id: fix, type: task, capability: "fix \"it\"" }
edges:
  - { from: gate, to: done, label: "true" }
  - { from: gate, to: fix, label: "false" }
  - { from: fix, to: generate, loop: { max_iterations: 3 } }
"#,
    )
}

#[test]
fn the_text_shows_each_node_below_those_before_it() {
    let mark = |id: &str| (id == "test").then(|| "✓".to_owned());
    let picture = r#"          ┌─────────────┐
          │ generate    │
          │ task: write │
          └──────┬──────┘
        ┌────────┴────────┐
┌───────┴───────┐  ┌──────┴─────┐
│ review        │  │ ✓ test     │
│ agent: critic │  │ task: test │
└───────┬───────┘  └──────┬─────┘
        └────────┬────────┘
     ┌───────────┴──────────┐
     │ gate                 │
     │ nodes.test.output.ok │
     └───────────┬──────────┘
        ┌────────┴────────┐
  ┌─────┴─────┐  ┌────────┴───────┐
  │ done      │  │ fix            │
  │ transform │  │ task: fix "it" │
  └───────────┘  └────────────────┘

gate → done  true
gate → fix  false
fix ↺ generate  at most 3 times
"#;
    assert_eq!(text(&review(), mark), picture);
}

#[test]
fn edges_pass_the_layers_between() {
    let long = definition(
        "name: x\nnodes:\n  - { id: a, type: parallel }\n  - { id: b, type: parallel, needs: [a] }\n  - { id: c, type: parallel, needs: [a, b] }\n",
    );
    let picture = r"    ┌──────────┐
    │ a        │
    │ parallel │
    └─────┬────┘
      ┌───┴───┐
┌─────┴────┐  │
│ b        │  │
│ parallel │  │
└─────┬────┘  │
      └───┬───┘
    ┌─────┴────┐
    │ c        │
    │ parallel │
    └──────────┘
";
    assert_eq!(text(&long, |_| None), picture);
}

#[test]
fn shapes_without_nodes_show_who_takes_part() {
    let drawn = text(
        &definition(
            "name: x\ntype: hierarchical\ndirector: { agent: boss, workers: { capability: read } }\n",
        ),
        |_| None,
    );
    for words in [
        "director: boss",
        "at most 16: read",
        "workers ↺ main  at most 8 rounds",
    ] {
        assert!(drawn.contains(words), "{drawn}");
    }
    let drawn = text(
        &definition(
            "name: x\ntype: mixture\nexperts: [{ id: one, agent: a }, { id: two, agent: b }]\nchoose: { by: judge, agent: c }\n",
        ),
        |id| (id == "main").then(|| "…".to_owned()),
    );
    for words in ["expert: a", "expert: b", "… main", "judge: c"] {
        assert!(drawn.contains(words), "{drawn}");
    }
}

#[test]
fn what_is_too_wide_or_goes_round_is_a_list() {
    let mut text_of = String::from("name: x\nnodes:\n  - { id: first, type: parallel }\n");
    for at in 0..100 {
        text_of.push_str(&format!(
            "  - {{ id: n{at}, type: task, capability: c, needs: [first] }}\n"
        ));
    }
    let wide = text(&definition(&text_of), |_| None);
    assert_eq!(wide.lines().count(), 101);
    assert_eq!(wide.lines().nth(1), Some("n0     task: c   ← first"));
    let round = definition(
        "name: x\nnodes:\n  - { id: a, type: parallel, needs: [b] }\n  - { id: b, type: parallel, needs: [a, zzz] }\n",
    );
    assert_eq!(
        text(&round, |_| None),
        "a  parallel  ← b\nb  parallel  ← a\n"
    );
}

#[test]
fn dot_and_mermaid_name_nodes_and_edges() {
    let dot = dot(&review());
    for line in [
        r#"digraph "review" {"#,
        r#"  "fix" [label="fix\ntask: fix \"it\""];"#,
        r#"  "gate" [label="gate\nnodes.test.output.ok", shape=diamond];"#,
        r#"  "generate" -> "review";"#,
        r#"  "gate" -> "done" [label="true"];"#,
        r#"  "fix" -> "generate" [label="at most 3 times", style=dashed, constraint=false];"#,
    ] {
        assert!(dot.lines().any(|it| it == line), "{line}\n{dot}");
    }
    let chart = mermaid(&review());
    for line in [
        "flowchart TD",
        r#"  n5["fix<br/>task: fix #quot;it#quot;"]"#,
        r#"  n3{"gate<br/>nodes.test.output.ok"}"#,
        "  n0 --> n1",
        r#"  n3 -->|"true"| n4"#,
        r#"  n5 -.->|"at most 3 times"| n0"#,
    ] {
        assert!(chart.lines().any(|it| it == line), "{line}\n{chart}");
    }
}
