//! The shapes that stand for a graph.

use protocol::{task::TaskStatus, workflow::NodeStatus};
use serde_json::{Value, json};

use crate::play::{Play, by_name, fails, gives};

fn node(id: &str) -> Value {
    json!({ "id": id, "type": "agent", "agent": "a" })
}

#[test]
fn in_a_sequence_each_node_is_handed_what_the_one_before_gave() {
    let definition = json!({
        "name": "line", "type": "sequential",
        "nodes": [node("a"), node("b"), node("c")],
    });
    let mut play = Play::of(definition, json!("begin"), by_name());
    play.play();
    assert_eq!(play.calls, ["a", "b", "c"]);
    assert_eq!(play.step("a").spec.input, "begin");
    assert_eq!(play.step("b").spec.input, "a");
    assert_eq!(play.step("c").spec.input, "b");
    assert_eq!(play.result(), "c");
    play.replays();
}

#[test]
fn concurrent_nodes_begin_together_and_give_an_array_in_their_order() {
    let definition = json!({
        "name": "all", "type": "concurrent", "nodes": [node("a"), node("b"), node("c")],
    });
    let mut play = Play::of(definition, Value::Null, by_name());
    assert_eq!(play.start(), 3);
    for name in ["c", "a", "b"] {
        play.answer(name);
    }
    assert_eq!(play.result(), &json!(["a", "b", "c"]));
}

#[test]
fn collected_failures_stand_in_the_result_and_fail_fast_ends_the_run() {
    let definition = |mode: &str| {
        json!({
            "name": "all", "type": "concurrent", "mode": mode, "nodes": [node("a"), node("b")],
        })
    };
    let answer = || -> crate::play::Answer {
        Box::new(|step| match &*step.spec.id {
            "a" => fails("broken"),
            other => gives(json!(other)),
        })
    };
    let mut play = Play::of(definition("collect"), Value::Null, answer());
    play.play();
    let error = json!({ "error": { "code": "broken", "message": "as played" } });
    assert_eq!(play.result(), &json!([error, "b"]));
    let mut play = Play::of(definition("fail_fast"), Value::Null, answer());
    play.play();
    assert_eq!(play.error().code, "broken");
    assert_eq!(play.error().message, "node a: as played");
}

fn team() -> Value {
    json!({
        "name": "team", "type": "hierarchical",
        "director": { "agent": "lead", "workers": { "capability": "work" }, "max_workers": 3 },
    })
}

#[test]
fn a_director_sees_what_came_of_its_workers_and_may_hand_out_more() {
    let answer: crate::play::Answer = Box::new(|step| {
        let round = step.spec.input.get("round").and_then(Value::as_u64);
        gives(match round {
            Some(1) => {
                json!({ "workers": [{ "id": "x", "input": 1 }, { "agent": "z", "input": 2 }] })
            }
            Some(2) => json!({ "workers": [{ "id": "x", "input": 3 }] }),
            Some(_) => json!({ "output": step.spec.input["workers"] }),
            None => json!(step.spec.input.as_i64().unwrap() * 10),
        })
    });
    let mut play = Play::of(team(), json!("why"), answer);
    play.play();
    let expected = [
        "main:lead1",
        "main:1-x",
        "main:2",
        "main:lead2",
        "main:3-x",
        "main:lead3",
    ];
    assert_eq!(play.calls, expected);
    assert_eq!(play.step("main:lead2").spec.input["input"], "why");
    assert_eq!(play.step("main:2").spec.agent.as_deref(), Some("z"));
    assert_eq!(
        play.step("main:1-x").spec.capability.as_deref(),
        Some("work")
    );
    let outputs: Vec<_> = play.result().as_array().unwrap().iter().collect();
    let outputs: Vec<_> = outputs.iter().map(|one| one["output"].clone()).collect();
    assert_eq!(outputs, [json!(10), json!(20), json!(30)]);
    play.replays();
}

#[test]
fn a_director_that_hands_out_too_much_fails_the_run() {
    let order = json!({ "input": 1 });
    let answer: crate::play::Answer =
        Box::new(move |_| gives(json!({ "workers": [order, order, order, order] })));
    let mut play = Play::of(team(), Value::Null, answer);
    play.play();
    assert_eq!(play.error().code, "worker_limit");
    assert_eq!(play.calls.len(), 1);
}

fn mixture(choose: &Value) -> Value {
    json!({
        "name": "mix", "type": "mixture", "choose": choose,
        "experts": [{ "id": "one", "agent": "a" }, { "id": "two", "agent": "b" }, { "id": "three", "agent": "c" }],
    })
}

#[test]
fn experts_are_asked_the_same_and_every_answer_is_kept_beside_the_choice() {
    let answer: crate::play::Answer = Box::new(|step| match &*step.spec.id {
        "main:one" => gives(json!({ "score": 1 })),
        "main:two" => gives(json!({ "score": 3 })),
        _ => fails("tired"),
    });
    let mut play = Play::of(
        mixture(&json!({ "by": "best_of", "score": "$.score" })),
        json!("question"),
        answer,
    );
    assert_eq!(play.start(), 3);
    for name in ["main:one", "main:two", "main:three"] {
        assert_eq!(play.step(name).spec.input, "question");
        play.answer(name);
    }
    assert_eq!(play.result(), &json!({ "score": 3 }));
    let detail = &play.task.run.as_ref().unwrap().turn("main").unwrap().detail;
    assert_eq!(detail["choice"], "two");
    let kept: Vec<_> = detail["candidates"].as_array().unwrap().iter().collect();
    assert_eq!(kept.len(), 3);
    assert_eq!(kept[2]["output"]["error"]["code"], "tired");
}

#[test]
fn a_judge_is_handed_all_answers_and_chooses_one() {
    let answer: crate::play::Answer = Box::new(|step| {
        gives(match step.spec.input.get("candidates") {
            Some(all) => json!({ "choice": all[1]["id"] }),
            None => json!(step.spec.id),
        })
    });
    let mut play = Play::of(
        mixture(&json!({ "by": "judge", "agent": "j" })),
        json!("q"),
        answer,
    );
    play.play();
    assert_eq!(play.calls.last().unwrap(), "main~judge");
    assert_eq!(play.result(), "main:two");
}

#[test]
fn a_mixture_of_which_all_experts_failed_fails() {
    let mut play = Play::of(
        mixture(&json!({ "by": "vote" })),
        Value::Null,
        Box::new(|_| fails("no")),
    );
    play.play();
    assert_eq!(play.error().code, "no");
    assert_eq!(play.status("main"), NodeStatus::Failed);
    assert_eq!(play.task.status, TaskStatus::Failed);
}

#[test]
fn a_map_gives_what_each_element_gave_in_their_order_and_keeps_its_window() {
    let definition = json!({
        "name": "map", "type": "graph",
        "nodes": [{
            "id": "m", "type": "map", "over": "$.input", "max_parallel": 2,
            "each": { "agent": "a", "with": { "n": "${item}", "at": "${index}" } },
        }],
    });
    let mut play = Play::of(
        definition.clone(),
        json!([5, 6, 7]),
        Box::new(|step| gives(step.spec.input.clone())),
    );
    assert_eq!(play.start(), 2, "its window");
    play.answer("m[1]");
    assert_eq!(play.start(), 1);
    assert_eq!(play.running(), ["m[0]", "m[2]"]);
    play.play();
    let expected = json!([{"n": 5, "at": 0}, {"n": 6, "at": 1}, {"n": 7, "at": 2}]);
    assert_eq!(play.result(), &expected);
    play.replays();
    let mut empty = Play::of(definition, json!([]), by_name());
    empty.play();
    assert_eq!(empty.result(), &json!([]));
}

#[test]
fn an_element_that_fails_ends_the_map_or_stands_in_its_result() {
    let definition = |mode: &str| {
        json!({
            "name": "map", "type": "graph",
            "nodes": [{
                "id": "m", "type": "map", "over": "$.input", "max_parallel": 1, "mode": mode,
                "each": { "agent": "a" },
            }],
        })
    };
    let answer = || -> crate::play::Answer {
        Box::new(|step| match step.spec.input.as_i64() {
            Some(2) => fails("odd"),
            _ => gives(step.spec.input.clone()),
        })
    };
    let mut play = Play::of(definition("fail_fast"), json!([1, 2, 3, 4]), answer());
    play.play();
    assert_eq!((play.error().code.as_str(), play.calls.len()), ("odd", 2));
    assert!(play.is_settled());
    let mut play = Play::of(definition("collect"), json!([1, 2, 3]), answer());
    play.play();
    let error = json!({ "error": { "code": "odd", "message": "as played" } });
    assert_eq!(play.result(), &json!([1, error, 3]));
}
