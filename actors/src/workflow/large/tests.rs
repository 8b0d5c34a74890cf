//! Values are kept once, and whatever equals them refers to them.

use protocol::{
    plan::{Effect, StepSpec},
    task::TaskStatus,
    workflow::{NodeRun, RunEvent},
};

use serde_json::json;

use super::*;

fn many() -> Value {
    let one = |at: usize| json!({ "at": at, "text": format!("{at}-").repeat(400) });
    Value::Array((0..200).map(one).collect())
}

fn settled(result: Value) -> Event {
    Event::Settled {
        status: TaskStatus::Completed,
        result,
        error: None,
    }
}

fn result(event: &Event) -> &Value {
    match event {
        Event::Settled { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

fn length(value: &impl Serialize) -> usize {
    serde_json::to_string(value).unwrap().len()
}

#[test]
fn a_value_is_written_down_once_and_referred_to_from_then_on_whole_and_in_parts() {
    let mut large = Large::default();
    let event = large.fold(settled(many()));
    assert_eq!(result(&event), &many());
    let kept = large.take_in(&event).unwrap();
    assert!(length(&kept) < 200, "{kept:?}");
    assert_eq!(large.whole(result(&kept)).unwrap(), many());
    let element = many()[17].clone();
    for value in [many(), element.clone(), json!({ "in": [element, 1] })] {
        let event = large.fold(settled(value.clone()));
        assert!(length(&event) < 250, "{event:?}");
        assert_eq!(large.take_in(&event), None);
        assert_eq!(large.whole(result(&event)).unwrap(), value);
    }
}

#[test]
fn what_stands_twice_in_an_event_is_written_down_once() {
    let step = |name: &str, input: Value| StepSpec {
        id: name.to_owned(),
        input,
        effect: Effect::default(),
        ..serde_json::from_value(json!({ "id": name })).unwrap()
    };
    let at = NodeRun {
        node: "a".to_owned(),
        run: 1,
    };
    let started = |steps| Event::Run {
        event: RunEvent::Started {
            at: at.clone(),
            steps,
            window: 0,
            alone: false,
        },
    };
    let event = started(vec![step("a", many()), step("b", json!([many(), 1]))]);
    let mut large = Large::default();
    let folded = large.fold(event);
    assert!(length(&folded) < length(&many()) + 500);
    let kept = large.take_in(&folded).unwrap();
    let mut seen = Vec::new();
    event::each(&kept, &mut |value| seen.push(large.whole(value).unwrap()));
    assert_eq!(seen, [many(), json!([many(), 1])]);
}

#[test]
fn references_name_what_they_refer_to_so_that_a_whole_of_them_is_known_again() {
    let mut large = Large::default();
    let _ = large.take_in(&settled(many()));
    let folded = |value: &Value| result(&large.fold(settled(value.clone()))).clone();
    let all = many();
    let all = all.as_array().unwrap();
    let gathered = Value::Array(all.iter().map(folded).collect());
    assert!(length(&gathered) < length(&many()) / 2);
    assert_eq!(folded(&gathered), folded(&many()));
    assert!(length(&folded(&gathered)) < 100);
}

#[test]
fn a_snapshot_of_it_knows_the_same_and_holds_each_once() {
    let mut large = Large::default();
    let _ = large.take_in(&settled(many()));
    let _ = large.take_in(&settled(json!({ "other": "x".repeat(LARGE) })));
    let text = serde_json::to_string(&large).unwrap();
    assert!(text.len() < length(&many()) + LARGE + 200);
    assert_eq!(serde_json::from_str::<Large>(&text).unwrap(), large);
}

#[test]
fn what_only_looks_like_a_reference_stays_as_it_is() {
    let mut large = Large::default();
    let _ = large.take_in(&settled(many()));
    for value in [
        json!({ "$large": "00000000000000000000000000000000", "bytes": 9 }),
        json!({ "$large": 1, "bytes": 9 }),
        json!({ "$large": "0" }),
    ] {
        assert_eq!(large.whole(&value), Ok(value.clone()));
        assert_eq!(result(&large.fold(settled(value.clone()))), &value);
    }
}

#[test]
fn what_would_load_too_much_is_refused_also_when_references_say_that_it_is_little() {
    let mut large = Large::default();
    let kept = large.take_in(&settled(json!("x".repeat(1 << 20)))).unwrap();
    let mut reference = result(&kept).clone();
    assert_eq!(
        large.whole(&json!([reference])).unwrap()[0]
            .as_str()
            .unwrap()
            .len(),
        1 << 20
    );
    reference["bytes"] = json!(1);
    let all = Value::Array(vec![reference; 65]);
    assert_eq!(large.whole(&all), Err(TooLarge));
    assert_eq!(large.shown(&all), all);
}

#[test]
fn a_small_value_of_a_run_without_large_ones_is_not_touched() {
    let mut large = Large::default();
    let event = settled(json!({ "a": "x".repeat(PART * 2) }));
    assert_eq!(large.fold(event.clone()), event);
    assert_eq!(large.take_in(&event), None);
    assert_eq!(result(&large.fold(event.clone())), result(&event));
    assert!(large.is_empty());
}
