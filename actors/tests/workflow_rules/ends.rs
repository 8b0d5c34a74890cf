//! How runs end that do not complete, and what is done about what they did.

use actors::{task::view, workflow::run::Wait};
use protocol::{
    id::QuestionId,
    plan::Effect,
    task::{Event, Failure, Outcome, TaskStatus},
    workflow::{NodeStatus, RunEvent},
};
use serde_json::{Value, json};

use crate::play::{Answer, Play, by_name, fails, gives};

pub(crate) fn undoable(id: &str) -> Value {
    json!({
        "id": id, "type": "agent", "agent": "a",
        "compensate": { "agent": "u", "input": { "of": "${output}" } },
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "JSON is put together where it is used"
)]
fn line(nodes: Value) -> Value {
    json!({ "name": "line", "type": "sequential", "nodes": nodes })
}

pub(crate) fn fails_at(node: &'static str) -> Answer {
    Box::new(move |step| match step.spec.id == node {
        true => fails("broken"),
        false => gives(json!(step.spec.id)),
    })
}

#[test]
fn what_completed_is_taken_back_in_the_reverse_order_when_the_run_fails() {
    let nodes = json!([undoable("a"), undoable("b"), { "id": "c", "type": "agent", "agent": "c" }]);
    let mut play = Play::of(line(nodes), Value::Null, fails_at("c"));
    play.play();
    assert_eq!(play.calls, ["a", "b", "c", "b~undo", "a~undo"]);
    assert_eq!(play.step("b~undo").spec.input, json!({ "of": "b" }));
    assert_eq!(play.step("b~undo").spec.agent.as_deref(), Some("u"));
    assert_eq!(play.error().message, "node c: as played");
    assert!(play.is_settled());
    play.replays();
}

#[test]
fn progress_counts_the_nodes_that_are_over_also_those_without_a_step() {
    let nodes = json!([
        { "id": "first", "type": "transform", "output": 1 },
        { "id": "asked", "type": "human", "question": "go on?" },
        { "id": "called", "type": "agent", "agent": "a" },
        { "id": "last", "type": "transform", "output": 2 },
    ]);
    let mut play = Play::of(line(nodes), Value::Null, Box::new(|_| gives(json!(null))));
    play.play();
    assert_eq!(play.task.progress(), 25);
    play.tell("asked", json!("yes"));
    assert_eq!(play.task.progress(), 50);
    play.play();
    assert_eq!(play.task.progress(), 100);
}

#[test]
fn what_cannot_be_taken_back_is_named_and_keeps_nobody_else() {
    let nodes = json!([undoable("a"), undoable("b"), { "id": "c", "type": "agent", "agent": "c" }]);
    let answer: Answer = Box::new(|step| match &*step.spec.id {
        "c" | "b~undo" => fails("broken"),
        other => gives(json!(other)),
    });
    let mut play = Play::of(line(nodes), Value::Null, answer);
    play.play();
    assert_eq!(play.calls.last().unwrap(), "a~undo");
    assert!(
        play.error().message.ends_with("not taken back: b"),
        "{}",
        play.error().message
    );
}

#[test]
fn a_cancelled_run_takes_back_what_it_did_and_is_cancelled() {
    let nodes = json!([undoable("a"), { "id": "b", "type": "agent", "agent": "b" }]);
    let mut play = Play::of(line(nodes), Value::Null, by_name());
    play.start();
    play.answer("a");
    play.start();
    play.cancel();
    assert_eq!(play.task.status, TaskStatus::Executing, "it is not over");
    play.play();
    assert_eq!(play.calls, ["a", "b", "a~undo"]);
    assert_eq!(
        (play.task.status, &play.task.error),
        (TaskStatus::Cancelled, &None)
    );
    assert_eq!(play.status("b"), NodeStatus::Cancelled);
}

#[test]
fn who_waits_for_a_person_is_cancelled_at_once() {
    let nodes = json!([{ "id": "h", "type": "human", "question": "Well?" }]);
    let mut play = Play::of(line(nodes), Value::Null, by_name());
    assert_eq!(play.status("h"), NodeStatus::Waiting);
    play.cancel();
    assert_eq!(play.task.status, TaskStatus::Cancelled);
    assert_eq!(play.status("h"), NodeStatus::Cancelled);
}

#[test]
fn a_run_of_which_no_step_is_open_says_what_it_waits_for() {
    let nodes = json!([
        { "id": "asked", "type": "human", "question": "go on?" },
        { "id": "w", "type": "wait", "for": "1h" },
    ]);
    let mut play = Play::of(line(nodes), Value::Null, by_name());
    let run = play.task.run.as_ref().unwrap();
    let question = run.waits().find_map(|(_, wait)| match wait {
        Wait::For { entity, .. } => Some(QuestionId::from_uuid(entity.key())),
        Wait::Until(_) => None,
    });
    let question = question.unwrap();
    let asked = format!(
        "node asked waits for somebody to answer {question}; `troupe inbox answer {question}` does"
    );
    assert_eq!(view::ending(&play.task), asked);
    let paused = Event::Paused {
        user: "ann".to_owned(),
        reason: "audit".to_owned(),
        hold: None,
        above: None,
    };
    play.record(paused);
    let why = view::ending(&play.task);
    assert!(why.starts_with("the task is paused by ann since "), "{why}");
    play.record(Event::Resumed {
        user: "ann".to_owned(),
        hold: None,
        above: None,
    });
    play.tell("asked", json!("yes"));
    let why = view::ending(&play.task);
    assert!(why.starts_with("node w waits until "), "{why}");
}

#[test]
fn a_run_that_takes_too_long_fails_even_if_it_only_waits() {
    let nodes = json!([{ "id": "w", "type": "wait", "for": "1h" }]);
    let mut definition = line(nodes);
    definition["timeout"] = json!("1m");
    let mut play = Play::of(definition, Value::Null, by_name());
    play.pass(59);
    assert!(!play.is_settled());
    play.pass(1);
    assert_eq!(play.error().code, "timeout");
}

#[test]
fn a_failure_ends_the_branches_that_have_not_begun() {
    let definition = json!({
        "name": "g",
        "nodes": [
            { "id": "a", "type": "agent", "agent": "a" },
            { "id": "b", "type": "agent", "agent": "b" },
            { "id": "c", "type": "agent", "agent": "c", "needs": ["b"] },
        ],
    });
    let mut play = Play::of(definition, Value::Null, fails_at("a"));
    play.start();
    play.answer("a");
    assert!(!play.is_settled(), "b runs");
    play.answer("b");
    play.play();
    assert_eq!(play.calls, ["a", "b"]);
    assert_eq!(play.error().code, "broken");
    assert_eq!(play.status("b"), NodeStatus::Completed);
    assert_eq!(play.status("c"), NodeStatus::Pending);
}

pub(crate) fn lost() -> Outcome {
    Outcome::Lost {
        error: Failure::new("node_lost", "its node is gone"),
    }
}

pub(crate) fn pays() -> Play {
    let nodes = json!([
        { "id": "pay", "type": "agent", "agent": "a", "effect": "irreversible" },
        { "id": "z", "type": "agent", "agent": "a" },
    ]);
    let mut play = Play::of(line(nodes), Value::Null, by_name());
    assert_eq!(play.graph.nodes[0].effect(), Effect::Irreversible);
    play.start();
    play.end("pay", &lost());
    assert_eq!(play.status("pay"), NodeStatus::Unknown);
    assert_eq!(play.task.status, TaskStatus::Executing, "somebody is asked");
    let asked = play.log.iter().any(|(event, _)| {
        matches!(event, Event::Run { event: RunEvent::Asked { about: Some(step), .. } } if step == "pay")
    });
    assert!(asked);
    assert_eq!(play.start(), 0);
    play
}

pub(crate) fn settled(step: &str, output: Option<Value>) -> Event {
    let (step, user) = (step.to_owned(), "ann".to_owned());
    Event::Run {
        event: RunEvent::Settled { step, output, user },
    }
}

#[test]
fn a_person_settles_what_nobody_knows() {
    let mut play = pays();
    play.record(settled("pay", Some(json!("receipt"))));
    play.decide();
    play.play();
    assert_eq!(play.calls, ["pay", "z"], "it is not done twice");
    assert_eq!(play.step("z").spec.input, "receipt");
    assert_eq!(play.result(), "z");
    play.replays();
}

#[test]
fn what_did_not_take_effect_is_done() {
    let mut play = pays();
    play.record(settled("pay", None));
    play.decide();
    play.play();
    assert_eq!(play.calls, ["pay", "pay", "z"]);
    assert_eq!(play.result(), "z");
    play.replays();
}

/// A run that failed, and nobody knows whether what it paid was paid back.
pub(crate) fn pays_back() -> Play {
    let mut pay = undoable("pay");
    pay["effect"] = json!("irreversible");
    let nodes = json!([undoable("a"), pay, { "id": "c", "type": "agent", "agent": "c" }]);
    let mut play = Play::of(line(nodes), Value::Null, fails_at("c"));
    for step in ["a", "pay", "c"] {
        play.start();
        play.answer(step);
    }
    play.start();
    play.end("pay~undo", &lost());
    let asked = play.log.iter().filter(|(event, _)| {
        matches!(event, Event::Run { event: RunEvent::Asked { about: Some(step), .. } } if step == "pay~undo")
    });
    assert_eq!(asked.count(), 1);
    assert_eq!(play.status("pay"), NodeStatus::Completed);
    assert_eq!((play.start(), play.is_settled()), (0, false));
    play
}

#[test]
fn a_person_settles_whether_something_was_taken_back() {
    let mut play = pays_back();
    play.record(settled("pay~undo", Some(json!("receipt"))));
    play.decide();
    play.play();
    assert_eq!(play.calls, ["a", "pay", "c", "pay~undo", "a~undo"]);
    assert_eq!(play.error().message, "node c: as played");
    assert_eq!(play.status("pay"), NodeStatus::Completed);
    play.replays();
}

#[test]
fn what_was_not_taken_back_after_all_is() {
    let mut play = pays_back();
    play.record(settled("pay~undo", None));
    play.decide();
    play.play();
    let undone = ["pay~undo", "pay~undo", "a~undo"];
    assert_eq!(play.calls[3..], undone);
    assert_eq!(play.error().message, "node c: as played");
    assert!(play.is_settled());
    play.replays();
}

#[test]
fn what_nobody_settles_is_named_and_not_asked_about_again() {
    let mut play = pays_back();
    play.nobody_knows("pay");
    play.play();
    assert_eq!(play.calls[3..], ["pay~undo", "a~undo"]);
    let message = &play.error().message;
    assert!(message.ends_with("not taken back: pay"), "{message}");
    play.replays();
}

fn each(mode: &str) -> Value {
    let mut map = undoable("each");
    map["type"] = json!("map");
    map["over"] = json!("${[1, 2, 3]}");
    map["each"] = json!({ "agent": "a" });
    map["mode"] = json!(mode);
    map["max_parallel"] = json!(1);
    map.as_object_mut().unwrap().remove("agent");
    map
}

#[test]
fn what_a_map_did_before_it_broke_is_taken_back() {
    let nodes = json!([undoable("a"), each("fail_fast")]);
    let mut play = Play::of(line(nodes), Value::Null, fails_at("each[1]"));
    play.play();
    assert_eq!(
        play.calls,
        ["a", "each[0]", "each[1]", "each~undo", "a~undo"]
    );
    let handed = &play.step("each~undo").spec.input["of"];
    assert_eq!(handed[0], "each[0]");
    assert_eq!(handed[1]["error"]["code"], "broken", "{handed}");
    assert_eq!(handed[2]["error"]["code"], "skipped", "{handed}");
    assert_eq!(play.status("each"), NodeStatus::Failed);
    assert!(play.is_settled());
    play.replays();
}

#[test]
fn a_map_that_did_nothing_before_it_broke_is_not_taken_back() {
    let nodes = json!([undoable("a"), each("fail_fast")]);
    let mut play = Play::of(line(nodes), Value::Null, fails_at("each[0]"));
    play.play();
    assert_eq!(play.calls, ["a", "each[0]", "a~undo"]);
    play.replays();
}

#[test]
fn what_a_map_did_before_the_run_was_cancelled_is_taken_back() {
    let mut play = Play::of(line(json!([each("collect")])), Value::Null, by_name());
    play.start();
    play.answer("each[0]");
    play.start();
    play.cancel();
    play.play();
    assert_eq!(play.calls, ["each[0]", "each[1]", "each~undo"]);
    assert_eq!(play.step("each~undo").spec.input["of"][0], "each[0]");
    assert_eq!(play.task.status, TaskStatus::Cancelled);
    play.replays();
}

#[test]
fn what_a_map_did_that_was_let_go_wrong_is_taken_back_when_the_run_fails_later() {
    let mut map = each("fail_fast");
    map["on_error"] = json!("continue");
    let nodes = json!([map, { "id": "c", "type": "agent", "agent": "c" }]);
    let answer: Answer = Box::new(|step| match &*step.spec.id {
        "c" | "each[1]" => fails("broken"),
        other => gives(json!(other)),
    });
    let mut play = Play::of(line(nodes), Value::Null, answer);
    play.play();
    assert_eq!(play.calls, ["each[0]", "each[1]", "c", "each~undo"]);
    play.replays();
}

#[test]
fn what_experts_did_whose_judge_broke_is_taken_back() {
    let nodes = json!([{
        "id": "m", "type": "mixture", "compensate": { "agent": "u" },
        "experts": [{ "id": "x", "agent": "a" }, { "id": "y", "agent": "a" }],
        "choose": { "by": "judge", "agent": "j" },
    }]);
    let mut play = Play::of(line(nodes), Value::Null, fails_at("m~judge"));
    play.play();
    assert_eq!(play.calls, ["m:x", "m:y", "m~judge", "m~undo"]);
    let handed = &play.step("m~undo").spec.input;
    assert_eq!((&handed[0], &handed[1]), (&json!("m:x"), &json!("m:y")));
    play.replays();
}

#[test]
fn whether_a_map_that_broke_was_taken_back_is_asked_about_once() {
    let mut map = each("fail_fast");
    map["effect"] = json!("irreversible");
    let nodes = json!([map]);
    for answered in [true, false] {
        let mut play = Play::of(line(nodes.clone()), Value::Null, fails_at("each[1]"));
        for step in ["each[0]", "each[1]"] {
            play.start();
            play.answer(step);
        }
        play.start();
        play.end("each~undo", &lost());
        assert_eq!(play.asked(), ["each~undo"]);
        if answered {
            play.record(settled("each~undo", Some(json!("receipt"))));
            play.decide();
        } else {
            play.nobody_knows("each");
        }
        assert!(play.is_settled());
        let is_named = play.error().message.ends_with("not taken back: each");
        assert_eq!(is_named, !answered, "{}", play.error().message);
        play.replays();
    }
}

#[test]
fn what_ran_when_the_time_of_its_run_was_up_is_cancelled_and_not_skipped() {
    let mut definition = line(json!([
        { "id": "a", "type": "agent", "agent": "a" },
        { "id": "b", "type": "agent", "agent": "b" },
    ]));
    definition["timeout"] = json!("1m");
    let mut play = Play::of(definition, Value::Null, by_name());
    play.start();
    play.pass(60);
    play.end("a", &Outcome::Cancelled);
    assert_eq!(play.error().code, "timeout");
    assert_eq!(play.status("a"), NodeStatus::Cancelled);
    play.replays();
}
