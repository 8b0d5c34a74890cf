//! What runs that fail or are stopped do about calls of which nobody knows whether they took effect.

use protocol::{
    task::{Finding, TaskStatus},
    workflow::NodeStatus,
};
use serde_json::{Value, json};

use crate::{
    ends::{fails_at, lost, pays, pays_back, settled, undoable},
    play::{Play, by_name, fails},
};

/// `pay` cannot be done twice, and `b` fails the run beside it.
fn pays_beside(pay: &Value) -> Play {
    let mut pay = pay.clone();
    pay["id"] = json!("pay");
    let definition = json!({
        "name": "g",
        "nodes": [undoable("a"), pay, { "id": "b", "type": "agent", "agent": "b", "needs": ["a"] }],
    });
    let mut play = Play::of(definition, Value::Null, fails_at("b"));
    play.start();
    play.answer("a");
    play.start();
    play
}

fn payment() -> Value {
    let mut pay = undoable("pay");
    pay["effect"] = json!("irreversible");
    pay
}

/// The run fails while nobody knows whether it paid.
fn breaks_in_doubt() -> Play {
    let mut play = pays_beside(&payment());
    play.end("pay", &lost());
    play.answer("b");
    assert_eq!(play.status("pay"), NodeStatus::Unknown);
    assert_eq!(play.asked(), ["pay"]);
    assert_eq!((play.start(), play.is_settled()), (0, false));
    play
}

#[test]
fn what_took_effect_after_all_is_taken_back_by_a_run_that_failed_meanwhile() {
    let mut play = breaks_in_doubt();
    play.record(settled("pay", Some(json!("receipt"))));
    play.decide();
    assert_eq!(play.status("pay"), NodeStatus::Completed);
    play.play();
    assert_eq!(play.calls, ["a", "pay", "b", "pay~undo", "a~undo"]);
    assert_eq!(play.step("pay~undo").spec.input, json!({ "of": "receipt" }));
    assert_eq!(play.error().message, "node b: as played");
    play.replays();
}

#[test]
fn what_did_not_take_effect_is_not_done_by_a_run_that_failed_meanwhile() {
    let mut play = breaks_in_doubt();
    play.record(settled("pay", None));
    play.decide();
    assert_eq!(play.status("pay"), NodeStatus::Cancelled);
    play.play();
    assert_eq!(play.calls, ["a", "pay", "b", "a~undo"]);
    assert_eq!(play.error().message, "node b: as played");
    assert!(play.is_settled());
    play.replays();
}

#[test]
fn a_run_that_failed_names_what_nobody_can_tell_about() {
    let mut play = breaks_in_doubt();
    play.nobody_knows("pay");
    play.play();
    assert_eq!(play.calls, ["a", "pay", "b", "a~undo"]);
    let message = &play.error().message;
    assert_eq!(
        message,
        "node b: as played; not known whether pay took effect"
    );
    assert_eq!(play.status("pay"), NodeStatus::Failed);
    play.replays();
}

#[test]
fn what_nobody_can_tell_about_is_named_once() {
    let mut play = pays();
    play.nobody_knows("pay");
    play.play();
    let message = &play.error().message;
    assert_eq!(message.matches("pay took effect").count(), 1, "{message}");
    play.replays();
}

#[test]
fn what_is_lost_once_the_run_failed_is_asked_about() {
    let mut play = pays_beside(&payment());
    play.answer("b");
    assert_eq!(play.asked(), [""; 0]);
    play.end("pay", &lost());
    assert_eq!(play.asked(), ["pay"]);
    play.record(settled("pay", Some(json!("receipt"))));
    play.decide();
    play.play();
    assert_eq!(play.calls[3..], ["pay~undo", "a~undo"]);
    play.replays();
}

#[test]
fn a_run_that_is_cancelled_waits_to_hear_whether_something_took_effect() {
    for answered in [Some(json!("receipt")), None] {
        let mut play = pays_beside(&payment());
        play.end("pay", &lost());
        play.cancel();
        assert!(!play.is_settled());
        play.record(settled("pay", answered.clone()));
        play.decide();
        play.play();
        let undone: &[&str] = match answered {
            Some(_) => &["pay~undo", "a~undo"],
            None => &["a~undo"],
        };
        assert_eq!(play.calls[3..], *undone);
        let end = (play.task.status, play.task.error.as_ref());
        assert_eq!(end, (TaskStatus::Cancelled, None));
        play.replays();
    }
}

#[test]
fn what_a_cancel_stops_and_may_have_taken_effect_is_asked_about() {
    let mut play = pays_beside(&payment());
    play.cancel();
    assert_eq!(play.status("b"), NodeStatus::Cancelled);
    assert_eq!(play.asked(), ["pay"]);
    play.nobody_knows("pay");
    play.play();
    assert_eq!(play.task.status, TaskStatus::Cancelled);
    let error = play.task.error.as_ref().unwrap();
    assert_eq!(error.code, "outcome_unknown");
    assert_eq!(error.message, "not known whether pay took effect");
    play.replays();
}

#[test]
fn what_is_terminated_asks_nobody_and_names_what_may_have_taken_effect() {
    let mut play = breaks_in_doubt();
    for event in play.task.terminate("ann", "enough") {
        play.record(event);
    }
    play.decide();
    assert_eq!(play.task.status, TaskStatus::Cancelled);
    assert_eq!(play.status("pay"), NodeStatus::Cancelled);
    let message = &play.task.error.as_ref().unwrap().message;
    assert!(
        message.ends_with("not known whether pay took effect"),
        "{message}"
    );
    assert_eq!(play.calls, ["a", "pay", "b"]);
    play.replays();
}

#[test]
fn what_was_being_taken_back_when_the_run_was_terminated_is_named() {
    let mut play = pays_back();
    for event in play.task.terminate("ann", "enough") {
        play.record(event);
    }
    play.decide();
    let message = &play.task.error.as_ref().unwrap().message;
    assert!(
        message.ends_with("not known whether pay~undo took effect"),
        "{message}"
    );
    assert_eq!(play.asked(), [""; 0]);
    play.replays();
}

#[test]
fn calls_of_a_map_are_asked_about_too_and_a_map_that_is_done_is_taken_back() {
    let map = json!({
        "type": "map", "over": "${[1, 2]}", "each": { "agent": "a" },
        "effect": "irreversible", "compensate": { "agent": "u" },
    });
    let mut play = pays_beside(&map);
    play.end("pay[0]", &lost());
    play.end("pay[1]", &lost());
    play.answer("b");
    for (step, next) in [("pay[0]", vec!["pay[1]"]), ("pay[1]", vec![])] {
        assert_eq!(play.asked(), [step]);
        play.record(settled(step, Some(json!(step))));
        play.decide();
        assert_eq!(play.asked(), next);
    }
    assert_eq!(play.status("pay"), NodeStatus::Completed);
    play.play();
    let undone = ["pay~undo", "a~undo"];
    assert_eq!(play.calls[4..], undone);
    let undo = &play.step("pay~undo").spec.input;
    assert_eq!(*undo, json!(["pay[0]", "pay[1]"]));
    play.replays();
}

#[test]
fn a_call_that_is_lost_when_its_map_has_failed_is_asked_about() {
    let map = json!({
        "type": "map", "over": "${[1, 2]}", "each": { "agent": "a" }, "effect": "irreversible",
    });
    let mut play = pays_beside(&map);
    play.end("pay[0]", &fails("odd"));
    play.end("pay[1]", &lost());
    play.answer("b");
    assert_eq!(play.asked(), ["pay[1]"]);
    play.nobody_knows("pay");
    play.play();
    let message = &play.error().message;
    assert!(
        message.ends_with("; not known whether pay[1] took effect"),
        "{message}"
    );
    play.replays();
}

/// Two calls of `pay` are in doubt, and nobody can tell about the first of them.
fn tells_nothing_of_the_first(optional: bool) -> Play {
    let mut pay = payment();
    pay["type"] = json!("map");
    pay["over"] = json!("${[1, 2]}");
    pay["each"] = json!({ "agent": "a" });
    pay["on_error"] = json!(if optional { "continue" } else { "fail" });
    pay.as_object_mut().unwrap().remove("agent");
    let after = json!({ "id": "after", "type": "agent", "agent": "z", "needs": ["pay"] });
    let definition = json!({ "name": "g", "nodes": [pay, after] });
    let mut play = Play::of(definition, Value::Null, by_name());
    play.start();
    play.end("pay[0]", &lost());
    play.end("pay[1]", &lost());
    assert_eq!(play.asked(), ["pay[0]"]);
    play.nobody_knows("pay");
    assert_eq!(play.asked(), ["pay[1]"]);
    assert_eq!((play.start(), play.is_settled()), (0, false));
    play
}

#[test]
fn each_call_of_a_map_is_asked_about_before_the_run_ends() {
    let mut play = tells_nothing_of_the_first(false);
    play.nobody_knows("pay");
    play.play();
    let message = &play.error().message;
    for step in ["pay[0]", "pay[1]"] {
        let named = format!("{step} took effect");
        assert_eq!(message.matches(&named).count(), 1, "{message}");
    }
    assert_eq!(play.calls, ["pay[0]", "pay[1]"]);
    play.replays();
}

#[test]
fn what_took_effect_of_a_map_is_taken_back_also_when_nobody_can_tell_about_the_rest() {
    let mut play = tells_nothing_of_the_first(false);
    play.record(settled("pay[1]", Some(json!("receipt"))));
    play.decide();
    play.play();
    assert_eq!(play.calls[2..], ["pay~undo"]);
    // That is in doubt for itself, whatever was said of the map.
    let mut play = tells_nothing_of_the_first(false);
    play.record(settled("pay[1]", Some(json!("receipt"))));
    play.decide();
    play.start();
    play.end("pay~undo", &lost());
    assert_eq!(play.asked(), ["pay~undo"]);
    play.nobody_knows("pay");
    let message = &play.error().message;
    assert!(message.ends_with("; not taken back: pay"), "{message}");
    play.replays();
}

#[test]
fn what_did_not_take_effect_is_not_done_any_more_by_a_map_that_failed() {
    for optional in [false, true] {
        let mut play = tells_nothing_of_the_first(optional);
        play.record(settled("pay[1]", None));
        play.decide();
        play.play();
        let then: &[&str] = if optional { &["after"] } else { &[] };
        assert_eq!(play.calls[2..], *then);
        assert!(play.is_settled());
        play.replays();
    }
}

#[test]
fn what_can_be_probed_is_also_when_the_run_failed() {
    for finding in [
        Finding::Done {
            output: json!("receipt"),
        },
        Finding::NotDone,
    ] {
        let mut pay = payment();
        pay["effect"] = json!("guarded");
        let mut play = pays_beside(&pay);
        play.end("pay", &lost());
        play.answer("b");
        assert!(!play.is_settled());
        assert_eq!(play.task.to_probe().count(), 1);
        play.probe("pay", finding.clone());
        play.play();
        let undone: &[&str] = match finding {
            Finding::Done { .. } => &["pay~undo", "a~undo"],
            Finding::NotDone | Finding::Unknown { .. } => &["a~undo"],
        };
        assert_eq!(play.calls[3..], *undone);
        assert!(play.is_settled());
        play.replays();
    }
}
