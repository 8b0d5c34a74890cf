//! Planted faults, each of which a verdict must find.

use serde_json::{Value, json};

use super::*;

const KILLED: i64 = 10_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn attempt(number: u32, status: &str, node: &str, from: i64, to: Option<i64>) -> Value {
    json!({
        "step": "act", "number": number, "status": status, "agent": "clerk-1", "node": node,
        "started_at": at(from), "ended_at": to.map(at), "error": null,
    })
}

fn step(id: &str, effect: &str, status: &str, needs: &[&str], attempts: &[Value]) -> Value {
    json!({
        "id": id, "status": status, "agent": null, "capability": "write", "node": null,
        "needs": needs, "effect": effect, "attempts": attempts, "output": null, "error": null,
        "retry_at": null,
    })
}

fn kept(status: &str, steps: &[Value]) -> Kept {
    let id: TaskId = "task_01980000000070008000000000000001".parse().unwrap();
    let task = json!({
        "id": id, "task_id": id, "session_id": null, "user_id": "u", "worker_id": null,
        "workflow_id": null, "parent_id": null, "description": "d", "status": status,
        "progress": 0, "priority": 5, "input": null,
        "plan": { "source": "explicit", "steps": steps },
        "result": null, "error": null, "metadata": {}, "created_at": at(1), "started_at": null,
        "completed_at": null, "version": 1,
    });
    Kept {
        id,
        owner: None,
        seen: Some(serde_json::from_value(task).unwrap()),
    }
}

fn line(step: &str, attempt: u32, key: &str) -> Line {
    let id = "task_01980000000070008000000000000001";
    format!("{id} {step} {attempt} {key}").parse().unwrap()
}

fn judged(kept: Kept, lines: &[Line]) -> Verdict {
    let kill = Kill {
        node: "east".to_owned(),
        at: Timestamp::from_micros(KILLED),
        noticed: Some(at(12)),
        back: None,
    };
    Verdict::of(&[kept], lines, &kill)
}

fn again(effect: &str) -> Kept {
    let attempts = [
        attempt(1, "lost", "east", 9, Some(13)),
        attempt(2, "succeeded", "west", 14, Some(15)),
    ];
    kept(
        "completed",
        &[step("act", effect, "completed", &[], &attempts)],
    )
}

#[test]
fn a_lost_attempt_that_was_made_again_is_as_promised_and_timed() {
    let verdict = judged(
        again("idempotent"),
        &[line("act", 1, "k"), line("act", 2, "k")],
    );
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.completed, verdict.running_at_kill), (1, 1));
    assert_eq!(verdict.detection_ms, Some(2_000));
    assert_eq!(verdict.given_up_ms, Some(3_000));
    assert_eq!(verdict.recovery_ms, Some(4_000));
}

#[test]
fn an_effect_that_is_doubled_is_found() {
    for (effect, lines) in [
        ("irreversible", [line("act", 1, "k"), line("act", 2, "k")]),
        ("guarded", [line("act", 1, "k"), line("act", 2, "k")]),
        ("idempotent", [line("act", 1, "k"), line("act", 2, "other")]),
        ("pure", [line("act", 2, "k"), line("act", 2, "k")]),
        ("pure", [line("act", 2, "k"), line("act", 3, "k")]),
    ] {
        let verdict = judged(again(effect), &lines);
        assert_eq!(verdict.double_effects.len(), 1, "{effect}: {verdict:?}");
        assert!(!verdict.is_good());
    }
}

#[test]
fn a_task_that_did_not_come_to_its_end_is_lost() {
    let waits = step("act", "pure", "queued", &[], &[]);
    let effectless = step("act", "pure", "completed", &[], &[]);
    for lost in [
        kept("executing", std::slice::from_ref(&waits)),
        kept("failed", &[waits]),
        kept("completed", &[effectless]),
        Kept {
            seen: None,
            ..kept("executing", &[])
        },
    ] {
        let verdict = judged(lost, &[]);
        assert_eq!(verdict.lost_tasks.len(), 1, "{verdict:?}");
        assert!(!verdict.is_good());
    }
}

#[test]
fn an_end_that_says_that_it_is_unknown_is_no_loss() {
    let attempts = [attempt(1, "lost", "east", 9, Some(13))];
    let steps = [step("act", "irreversible", "unknown", &[], &attempts)];
    let verdict = judged(kept("failed", &steps), &[line("act", 1, "k")]);
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.unknown, verdict.completed), (1, 0));
    assert_eq!(verdict.recovery_ms, Some(3_000));
}

#[test]
fn a_step_that_did_not_wait_for_another_is_found() {
    let steps = [
        step("read", "pure", "completed", &[], &[]),
        step("act", "pure", "completed", &["read"], &[]),
    ];
    let lines = [line("act", 1, "k"), line("read", 1, "k")];
    let verdict = judged(kept("completed", &steps), &lines);
    assert_eq!(verdict.ignored_dependencies.len(), 1);
    assert!(!verdict.is_good());
}

#[test]
fn attempts_of_the_lost_node_and_of_tasks_that_it_owned_were_hit_and_no_others() {
    let elsewhere = [attempt(1, "succeeded", "west", 9, Some(12))];
    let steps = [step("act", "pure", "completed", &[], &elsewhere)];
    let lines = [line("act", 1, "k")];
    assert_eq!(judged(kept("completed", &steps), &lines).running_at_kill, 0);
    let owned = Kept {
        owner: Some("east".to_owned()),
        ..kept("completed", &steps)
    };
    let verdict = judged(owned, &lines);
    assert_eq!(verdict.running_at_kill, 1);
    assert_eq!(verdict.recovery_ms, Some(2_000));
    let over = [attempt(1, "succeeded", "east", 8, Some(9))];
    let steps = [step("act", "pure", "completed", &[], &over)];
    assert_eq!(judged(kept("completed", &steps), &lines).running_at_kill, 0);
}
