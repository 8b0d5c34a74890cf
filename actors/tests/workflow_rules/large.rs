//! Large values in runs: what is written down of them, and what rules see.

use actors::workflow::large::{LARGE, MOST};
use serde_json::{Value, json};

use crate::play::{Play, gives};

fn text(letter: &str, bytes: usize) -> Value {
    json!(letter.repeat(bytes))
}

fn journal(play: &Play) -> usize {
    let events = play.log.iter();
    events
        .map(|(event, _)| serde_json::to_string(event).unwrap().len())
        .sum()
}

#[test]
fn conditions_choices_and_templates_see_the_value_itself() {
    let play = &mut Play::of(
        json!({
            "name": "n",
            "nodes": [
                { "id": "ask", "type": "mixture", "experts": [{ "id": "x", "agent": "x" }, { "id": "y", "agent": "y" }, { "id": "z", "agent": "z" }], "choose": { "by": "vote", "of": "$.text" } },
                { "id": "long", "type": "transform", "output": "${len(nodes.ask.output.text)}" },
                { "id": "short", "type": "transform", "output": "short" },
            ],
            "edges": [
                { "from": "ask", "to": "long", "condition": format!("len(output.text) > {LARGE}") },
                { "from": "ask", "to": "short", "condition": format!("len(output.text) <= {LARGE}") },
            ],
        }),
        Value::Null,
        Box::new(|step| {
            let letter = if step.spec.id.ends_with('x') {
                "a"
            } else {
                "b"
            };
            gives(json!({ "text": text(letter, 2 * LARGE) }))
        }),
    );
    play.play();
    assert_eq!(play.result(), &json!(2 * LARGE));
    // Two answers, one of them given twice, and the choice between them.
    assert!(journal(play) < 5 * LARGE, "{}", journal(play));
    play.replays();
}

#[test]
fn a_call_that_would_be_handed_too_much_fails_the_run_before_it_is_made() {
    let many: Vec<Value> = (0..=MOST >> 22)
        .map(|at| json!({ "id": format!("n{at}"), "type": "parallel" }))
        .collect();
    let mut nodes = many.clone();
    let all: Vec<&Value> = many.iter().map(|node| &node["id"]).collect();
    nodes.push(json!({ "id": "end", "type": "agent", "agent": "a", "needs": all }));
    let play = &mut Play::of(
        json!({ "name": "n", "nodes": nodes }),
        text("a", 1 << 22),
        crate::play::by_name(),
    );
    play.play();
    assert_eq!(play.error().code, "expression");
    assert!(
        play.error().message.contains("would load more than"),
        "{:?}",
        play.error()
    );
    assert!(play.calls.is_empty());
    assert!(journal(play) < 5 << 20);
}

#[test]
fn a_director_is_handed_the_same_in_every_round() {
    let play = &mut Play::of(
        json!({
            "name": "n",
            "nodes": [{
                "id": "d", "type": "direct", "input": "${input + '!'}",
                "agent": "lead", "workers": { "agent": "w" },
            }],
        }),
        text("a", LARGE),
        Box::new(|step| match step.spec.id.as_str() {
            "d:lead1" => gives(json!({ "workers": [{ "id": "w", "prompt": "p" }] })),
            _ => gives(json!({ "output": "done" })),
        }),
    );
    play.play();
    assert_eq!(play.result(), "done");
    let handed = |step: &str| {
        let whole = play.task.large.whole(&play.step(step).spec.input);
        whole.unwrap()["input"].clone()
    };
    assert_eq!(handed("d:lead1"), json!("a".repeat(LARGE) + "!"));
    assert_eq!(handed("d:lead2"), handed("d:lead1"));
    play.replays();
}
