//! Decisions over slots, also when whoever decides dies now and then.

use std::collections::BTreeMap;

use proptest::prelude::*;
use runtime::journal::EventSourced;
use serde_json::json;
use uuid::Uuid;

use super::*;

fn id() -> ScheduleId {
    ScheduleId::from_uuid(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0042))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// A schedule that was made at the beginning of time.
struct Made {
    schedule: Schedule,
    slots: Slots,
}

impl Made {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "JSON is put together where it is used"
    )]
    fn of(spec: serde_json::Value) -> Self {
        let mut whole = json!({ "name": "x", "target": { "workflow": "w" } });
        let fields = whole.as_object_mut().unwrap();
        fields.extend(spec.as_object().unwrap().clone());
        let spec = serde_json::from_value(whole).unwrap();
        let slots = Slots::of(id(), &spec, at(0)).unwrap();
        let mut schedule = Schedule::default();
        let created = Event::Created {
            spec: Box::new(spec),
            user: "ann".to_owned(),
        };
        schedule.apply(&created, at(0));
        Self { schedule, slots }
    }

    fn decide(&self, now: i64, busy: Busy) -> Vec<Event> {
        let decision = self.schedule.decide(id(), &self.slots, at(now), busy);
        assert!(!decision.more);
        decision.events
    }

    fn take(&mut self, now: i64, busy: Busy) -> Vec<Event> {
        let events = self.decide(now, busy);
        for event in &events {
            self.schedule.apply(event, at(now));
        }
        events
    }
}

/// The seconds of what fired, and how many passed.
fn fired(events: &[Event]) -> (Vec<i64>, u64) {
    let mut seconds = Vec::new();
    let mut passed = 0;
    for event in events {
        match event {
            Event::Fired { slot, .. } => seconds.push(slot.as_micros() / 1_000_000),
            Event::Passed { count, .. } => passed += count,
            Event::Queued { .. } => {}
            other => panic!("{other:?} is no decision over slots"),
        }
    }
    (seconds, passed)
}

#[test]
fn a_slot_fires_when_its_time_has_come_and_only_once() {
    let mut made = Made::of(json!({ "every": "10s" }));
    assert_eq!(made.take(9, Busy::No), []);
    assert_eq!(fired(&made.take(10, Busy::No)), (vec![10], 0));
    assert_eq!(made.take(10, Busy::No), []);
    assert_eq!(made.schedule.next_at(&made.slots), Some(at(20)));
}

#[test]
fn what_was_missed_is_made_up_for_as_the_policy_says() {
    for (missed, now, expected) in [
        // The latest is on time, the others are not.
        ("skip", 45, (vec![40], 3)),
        ("once", 45, (vec![40], 3)),
        ("all", 45, (vec![10, 20, 30, 40], 0)),
    ] {
        let mut made = Made::of(json!({ "every": "10s", "missed": missed }));
        assert_eq!(fired(&made.take(now, Busy::No)), expected, "{missed}");
    }
    for (missed, expected) in [
        ("skip", (vec![], 1)),
        ("once", (vec![3600], 0)),
        ("all", (vec![3600], 0)),
    ] {
        let mut made = Made::of(json!({ "every": "1h", "missed": missed }));
        assert_eq!(fired(&made.take(5000, Busy::No)), expected, "{missed}");
    }
    let mut made = Made::of(json!({ "every": "10s", "missed": "all", "missed_limit": 2 }));
    assert_eq!(fired(&made.take(105, Busy::No)), (vec![80, 90, 100], 7));
}

#[test]
fn a_run_that_goes_on_is_heeded_as_the_policy_says() {
    let overlapping = |overlap: &str| {
        let mut made = Made::of(json!({ "every": "10s", "overlap": overlap }));
        made.take(10, Busy::No);
        let events = made.take(20, Busy::Yes);
        (made, events)
    };
    assert_eq!(fired(&overlapping("allow").1), (vec![20], 0));
    assert_eq!(fired(&overlapping("skip").1), (vec![], 1));
    let (mut queue, waits) = overlapping("queue");
    assert!(matches!(&waits[..], [Event::Queued { .. }]));
    assert_eq!(queue.take(21, Busy::Yes), []);
    assert_eq!(fired(&queue.take(22, Busy::No)), (vec![20], 0));
    assert!(queue.schedule.queue.is_empty());
    let (_, cancels) = overlapping("cancel_previous");
    let [Event::Fired { cancels, .. }] = &cancels[..] else {
        panic!("{cancels:?}");
    };
    let first = run_of(id(), at(10), Cause::Slot);
    assert_eq!(*cancels, Some(first));
}

#[test]
fn only_so_many_slots_wait() {
    let mut made = Made::of(json!({ "every": "1s", "overlap": "queue" }));
    let mut passed = 0;
    for second in 1..=130 {
        let busy = if second == 1 { Busy::No } else { Busy::Yes };
        passed += fired(&made.take(second, busy)).1;
    }
    assert_eq!((made.schedule.queue.len(), passed), (QUEUED, 29));
}

#[test]
fn what_is_paused_fires_nothing_and_what_passed_meanwhile_is_not_made_up_for() {
    let mut made = Made::of(json!({ "every": "10s", "missed": "all" }));
    let paused = Event::Paused {
        user: "ann".to_owned(),
        reason: String::new(),
    };
    made.schedule.apply(&paused, at(5));
    assert_eq!(made.take(35, Busy::No), []);
    assert_eq!(made.schedule.next_at(&made.slots), None);
    let resumed = Event::Resumed {
        user: "ann".to_owned(),
    };
    made.schedule.apply(&resumed, at(36));
    assert_eq!(fired(&made.take(41, Busy::No)), (vec![40], 0));
}

#[test]
fn a_long_time_is_gone_through_piece_by_piece() {
    for (missed, fires) in [("skip", 1), ("once", 1), ("all", 8)] {
        let spec = json!({ "every": "1s", "missed": missed, "missed_limit": 7 });
        let mut made = Made::of(spec);
        let (mut runs, mut passed, mut rounds) = (0, 0, 0);
        loop {
            let decision = made
                .schedule
                .decide(id(), &made.slots, at(35_000), Busy::No);
            for event in &decision.events {
                made.schedule.apply(event, at(35_000));
            }
            let (seconds, gone) = fired(&decision.events);
            (runs, passed, rounds) = (runs + seconds.len(), passed + gone, rounds + 1);
            if !decision.more {
                break;
            }
        }
        assert_eq!((runs, passed), (fires, 35_000 - fires as u64), "{missed}");
        assert_eq!(rounds, 4);
    }
}

#[test]
fn a_schedule_without_further_slots_is_over_when_all_is_started() {
    let mut made = Made::of(json!({ "at": "1970-01-01T00:00:10Z" }));
    assert!(!made.schedule.is_over(&made.slots));
    let events = made.take(10, Busy::No);
    let [Event::Fired { run, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(!made.schedule.is_over(&made.slots));
    made.schedule.apply(&Event::Started { run: *run }, at(10));
    assert!(made.schedule.is_over(&made.slots));
}

/// What happens between two decisions.
#[derive(Debug, Clone)]
enum Step {
    /// Time goes on by so many seconds, and what is due is decided.
    Looks(i64),
    /// The same, and whoever decided dies before it is on disk.
    Dies(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_i64..200).prop_map(Step::Looks),
        1 => (1_i64..200).prop_map(Step::Dies),
        1 => (1_i64..5_000).prop_map(Step::Looks),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn no_slot_fires_twice_and_none_is_lost(
        every in 1_i64..300,
        jitter in 0_i64..100,
        missed in prop::sample::select(vec!["skip", "once", "all"]),
        steps in steps(),
    ) {
        let mut made = Made::of(json!({
            "every": format!("{every}s"), "jitter": format!("{jitter}s"),
            "missed": missed, "missed_limit": 1000,
        }));
        let (mut now, mut runs, mut passed) = (0, BTreeMap::new(), 0);
        for step in steps {
            let (by, survives) = match step {
                Step::Looks(by) => (by, true),
                Step::Dies(by) => (by, false),
            };
            now += by;
            let events = made.decide(now, Busy::No);
            if !survives {
                continue;
            }
            for event in &events {
                made.schedule.apply(event, at(now));
                match event {
                    Event::Fired { slot, run, .. } => {
                        prop_assert!(at(now) >= made.slots.fires_at(*slot), "never early");
                        prop_assert_eq!(runs.insert(*slot, *run), None, "never twice");
                    }
                    Event::Passed { count, .. } => passed += count,
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
        let due = made.slots.due(at(0), made.schedule.cursor, 100_000);
        let mut decided = 0;
        let mut last = at(0);
        while let Some(slot) = made.slots.after(last).filter(|slot| *slot <= made.schedule.cursor) {
            decided += 1;
            last = slot;
        }
        prop_assert!(due.slots.len() as u64 <= decided);
        prop_assert_eq!(runs.len() as u64 + passed, decided, "each is decided once");
        // A thousand are made up for at most, and no step here skips over more but with spans of seconds.
        if missed == "all" && every >= 5 {
            prop_assert_eq!(passed, 0, "none is lost");
        }
    }
}
