//! A run makes no more attempts than its budget has, whichever nodes they are for.

use std::collections::HashSet;

use protocol::{
    id::QuestionId,
    question::{Asking, Reply, Wanted},
    task::{Event, Outcome},
    workflow::NodeStatus,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    ends::{fails_at, undoable},
    play::{Answer, Play, by_name, fails, gives},
};

fn of(shape: &str, nodes: &Value) -> Value {
    json!({ "name": "bud", "type": shape, "nodes": nodes })
}

fn calls(id: &str) -> Value {
    json!({ "id": id, "type": "agent", "agent": "a" })
}

fn goes_on(id: &str) -> Value {
    json!({ "id": id, "type": "agent", "agent": "a", "on_error": "continue", "retry": { "max_attempts": 3 } })
}

fn transiently() -> Answer {
    Box::new(|_| match fails("busy") {
        Outcome::Failed { error, .. } => Outcome::Failed {
            error,
            retryable: true,
        },
        other => other,
    })
}

#[test]
fn a_first_attempt_beyond_the_budget_is_not_made_and_fails_its_node() {
    let nodes = json!([calls("a"), calls("b"), calls("c")]);
    let mut play = Play::limited(of("sequential", &nodes), 2, by_name());
    play.play();
    assert_eq!(play.calls, ["a", "b"]);
    assert_eq!(play.error().code, "attempt_limit");
    assert_eq!(
        play.error().message,
        "node c: the budget allows no more attempts than 2"
    );
    play.replays();
    let mut play = Play::limited(of("sequential", &nodes), 3, by_name());
    assert_eq!(play.play().result(), &json!("c"));
}

#[test]
fn a_run_that_goes_on_after_failures_makes_no_more_attempts_than_it_may() {
    let nodes = json!([goes_on("a"), goes_on("b")]);
    let mut play = Play::limited(of("sequential", &nodes), 2, transiently());
    for _ in 0..5 {
        play.play();
        play.pass(60);
    }
    assert_eq!(play.calls, ["a", "a"]);
    assert_eq!(play.status("b"), NodeStatus::Failed);
    assert!(play.is_settled());
    play.replays();
}

#[test]
fn nodes_that_begin_at_once_share_what_is_left() {
    let nodes = json!([goes_on("a"), goes_on("b"), goes_on("c")]);
    let mut play = Play::limited(of("concurrent", &nodes), 2, by_name());
    assert_eq!(play.start(), 2);
    assert_eq!(play.status("c"), NodeStatus::Failed);
    play.play();
    assert_eq!(play.calls, ["a", "b"]);
    assert_eq!(play.result()[2]["error"]["code"], "attempt_limit");
    play.replays();
}

#[test]
fn calls_of_one_node_that_come_one_after_another_end_with_the_budget() {
    let node = json!({
        "id": "m", "type": "map", "over": [1, 2, 3, 4], "max_parallel": 1, "mode": "collect",
        "each": { "agent": "a" },
    });
    let mut play = Play::limited(of("sequential", &json!([node])), 2, by_name());
    play.play();
    assert_eq!(play.calls.len(), 2);
    assert!(play.is_settled());
    play.replays();
}

#[test]
fn what_was_done_is_taken_back_though_the_budget_is_exhausted() {
    let nodes = json!([undoable("a"), undoable("b"), calls("c")]);
    let mut failed_once = HashSet::new();
    // Also when that must be tried again.
    let answer: Answer = Box::new(move |step| match step.spec.id.ends_with("~undo") {
        true if failed_once.insert(step.spec.id.clone()) => (transiently())(step),
        _ => gives(json!(step.spec.id)),
    });
    let mut play = Play::limited(of("sequential", &nodes), 2, answer);
    for _ in 0..5 {
        play.play();
        play.pass(60);
    }
    assert_eq!(
        play.calls,
        ["a", "b", "b~undo", "b~undo", "a~undo", "a~undo"]
    );
    assert_eq!(
        play.error().message,
        "node c: the budget allows no more attempts than 2"
    );
    play.replays();
}

#[test]
fn what_waits_for_an_answer_keeps_the_attempt_that_it_still_needs() {
    let nodes = json!([goes_on("a"), goes_on("b"), goes_on("c")]);
    let mut graph = of("concurrent", &nodes);
    graph["nodes"][1]["needs"] = json!(["c"]);
    graph["type"] = json!("graph");
    let mut play = Play::limited(graph, 2, by_name());
    assert_eq!(play.start(), 2);
    let question = QuestionId::from_uuid(Uuid::from_u128(5));
    let asked = Wanted {
        key: "k".to_owned(),
        question,
        asking: Asking::default(),
    };
    let waits = Outcome::Waits {
        questions: vec![asked],
    };
    play.end("a", &waits);
    play.answer("c");
    assert_eq!(play.status("b"), NodeStatus::Failed);
    let reply = Reply::Done {
        output: json!(1),
        user: "ann".to_owned(),
    };
    play.record(Event::Replied {
        step: "a".to_owned(),
        question,
        reply,
    });
    play.decide();
    play.play();
    assert_eq!(play.calls, ["a", "c", "a"]);
    assert_eq!(play.status("a"), NodeStatus::Completed);
}

#[test]
fn what_fails_otherwise_fails_as_before() {
    let nodes = json!([calls("a"), calls("b")]);
    let mut play = Play::limited(of("sequential", &nodes), 1, fails_at("a"));
    play.play();
    assert_eq!(play.error().message, "node a: as played");
}
