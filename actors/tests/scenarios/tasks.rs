//! Tasks: from submission to result, and what clients may do to them meanwhile.

use std::time::Duration;

use actors::orchestrator::Cancel;
use protocol::{
    api::{Assignment, TaskQuery},
    task::{StepStatus, TaskStatus},
};
use serde_json::json;

use crate::support::{System, task, until, user, within};

fn chain() -> serde_json::Value {
    json!({ "description": "chain", "steps": [
        { "id": "a", "agent": "one" },
        { "id": "b", "agent": "one", "needs": ["a"] },
        { "id": "c", "agent": "one", "needs": ["b"] },
    ] })
}

#[tokio::test]
async fn progress_grows_with_each_step_and_is_full_exactly_when_completed() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system.submit_task(chain()).await;
    let mut seen = Vec::new();
    for calls in 1..=3 {
        system.tool("one").is_called(calls).await;
        let view = system.task(&system.admin, id).await.unwrap();
        assert_eq!(view.status, TaskStatus::Executing);
        seen.push(view.progress);
        system.tool("one").release(1);
    }
    seen.push(system.completed(id).await.progress);
    assert_eq!(seen, [0, 33, 66, 100]);
}

#[tokio::test]
async fn a_result_is_recorded_before_the_next_step_starts_and_is_handed_to_it() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    system.tool("one").release(3);
    let id = system.submit_task(chain()).await;
    system.completed(id).await;
    let needs: Vec<_> = system
        .tool("one")
        .calls()
        .into_iter()
        .map(|call| call.needs)
        .collect();
    assert!(needs[0].is_empty());
    assert_eq!(needs[1]["a"], json!({ "did": "a" }));
    assert_eq!(needs[2]["b"], json!({ "did": "b" }));
    let result = system.task_result(&system.admin, id).await.unwrap();
    assert_eq!(result.result, json!({ "did": "c" }));
    let from: Vec<_> = result
        .provenance
        .into_iter()
        .map(|part| (part.step, part.agent, part.attempt))
        .collect();
    let expected = ["a", "b", "c"].map(|step| (step.to_owned(), "one".to_owned(), 1));
    assert_eq!(from, expected);
}

#[tokio::test]
async fn steps_that_do_not_need_each_other_run_at_the_same_time() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let diamond = json!({ "description": "diamond", "steps": [
        { "id": "b", "agent": "one" },
        { "id": "c", "agent": "one" },
        { "id": "d", "agent": "one", "needs": ["b", "c"] },
    ] });
    let id = system.submit_task(diamond).await;
    system.tool("one").is_called(2).await;
    let early = system.task_result(&system.admin, id).await;
    assert_eq!(early.unwrap_err().code(), "not_settled");
    system.tool("one").release(3);
    system.completed(id).await;
}

#[tokio::test]
async fn a_submission_answers_at_once_unless_it_is_to_wait() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let steps = json!([{ "id": "a", "agent": "one" }]);
    let spec = task(json!({ "description": "x", "steps": steps }));
    let admin = &system.admin;
    let soon = Some(Duration::from_millis(50));
    let waited = system.submit(admin, spec.clone(), None, soon).await;
    assert_eq!(waited.unwrap().task.status, TaskStatus::Executing);
    system.tool("one").release(2);
    let long = Some(Duration::from_secs(20));
    let waited = system.submit(admin, spec, None, long).await.unwrap();
    assert_eq!(waited.task.status, TaskStatus::Completed);
}

#[tokio::test]
async fn a_cancelled_task_stops_its_agent_and_starts_nothing_more() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system.submit_task(chain()).await;
    system.tool("one").is_called(1).await;
    let stop = system.cancel_task(&system.admin, id, "enough".to_owned());
    let cancelled = tokio::time::timeout(Duration::from_secs(1), stop).await;
    let cancelled = cancelled.unwrap().unwrap();
    assert_eq!(cancelled.status, TaskStatus::Cancelled);
    system.tool("one").is_stopped(1).await;
    let steps = cancelled.plan.unwrap().steps;
    assert!(
        steps
            .iter()
            .all(|step| step.status == StepStatus::Cancelled)
    );
    system.tool("one").release(3);
    assert_eq!(system.tool("one").begun(), 1);
    // Again is no harm; a completed one cannot be cancelled.
    let again = system.cancel_task(&system.admin, id, String::new()).await;
    assert_eq!(again.unwrap().status, TaskStatus::Cancelled);
    let other = system.submit_task(chain()).await;
    system.completed(other).await;
    let late = system
        .cancel_task(&system.admin, other, String::new())
        .await;
    assert_eq!(late.unwrap_err().code(), "already_settled");
}

#[tokio::test]
async fn a_cancelled_task_takes_its_parts_with_it_and_the_tree_shows_them() {
    let system = System::start(&["one"]).await;
    system.native("one", 9).await;
    let parent = system.work("parent").await;
    let mut parts = Vec::new();
    for name in ["p1", "p2"] {
        let spec = json!({
            "description": name, "parent_id": parent,
            "steps": [{ "id": "a", "agent": "one" }],
        });
        parts.push(system.submit_task(spec).await);
    }
    system.tool("one").is_called(3).await;
    let tree = system.task_tree(&system.admin, parent).await.unwrap();
    let children: Vec<_> = tree.children.iter().map(|part| part.task.id).collect();
    assert_eq!(children, parts);
    let stop = system.cancel_task(&system.admin, parent, String::new());
    within(stop).await.unwrap();
    for part in parts {
        assert_eq!(system.settled(part).await.status, TaskStatus::Cancelled);
    }
    system.tool("one").is_stopped(3).await;
}

#[tokio::test]
async fn only_a_settled_task_is_deleted_unless_it_may_be_stopped_first() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system.work("x").await;
    let refused = system.delete_task(&system.admin, id, Cancel::Never).await;
    assert_eq!(refused.unwrap_err().code(), "still_running");
    system
        .delete_task(&system.admin, id, Cancel::First)
        .await
        .unwrap();
    let gone = system.task(&system.admin, id).await;
    assert_eq!(gone.unwrap_err().code(), "not_found");
    let listed = system.tasks(&system.admin, &TaskQuery::default()).await;
    assert!(listed.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_task_bound_by_hand_goes_to_that_agent_alone() {
    let system = System::start(&["one", "two"]).await;
    system.native("one", 1).await;
    system.native("two", 1).await;
    system
        .agent(json!({ "name": "no", "agent_type": "echo" }))
        .await;
    system.pause_agent(&system.admin, "one").await.unwrap();
    system.pause_agent(&system.admin, "two").await.unwrap();
    let id = system.work("bound").await;
    let to = |agent: &str| Assignment {
        agent_id: agent.to_owned(),
        step: None,
    };
    for wrong in ["no", "ghost"] {
        let refused = system.assign_task(&system.admin, id, to(wrong)).await;
        assert_eq!(refused.unwrap_err().code(), "invalid");
    }
    system
        .assign_task(&system.admin, id, to("two"))
        .await
        .unwrap();
    system.resume_agent(&system.admin, "one").await.unwrap();
    system.tool("one").release(1);
    let why = system.why_not(id).await;
    assert!(why.contains("two is paused"), "{why}");
    system.resume_agent(&system.admin, "two").await.unwrap();
    system.tool("two").release(1);
    let task = system.completed(id).await;
    assert_eq!(task.plan.unwrap().steps[0].agent.as_deref(), Some("two"));
    assert_eq!(system.tool("one").begun(), 0);
}

#[tokio::test]
async fn a_step_fails_after_three_attempts_and_never_gets_a_fourth() {
    let system = System::start(&[]).await;
    system
        .agent(json!({ "name": "fail", "agent_type": "fail" }))
        .await;
    let retry = json!({ "max_attempts": 3, "backoff": "10ms" });
    let step = json!({ "id": "a", "agent": "fail", "retry": retry });
    let spec = json!({ "description": "x", "steps": [step] });
    let task = system.settled(system.submit_task(spec).await).await;
    assert_eq!(task.status, TaskStatus::Failed);
    let attempts = &task.plan.unwrap().steps[0].attempts;
    assert_eq!(attempts.len(), 3);
}

#[tokio::test]
async fn a_step_is_stopped_when_its_time_is_up() {
    let system = System::start(&[]).await;
    system
        .agent(json!({ "name": "sleep", "agent_type": "sleep" }))
        .await;
    let step = json!({
        "id": "a", "agent": "sleep", "input": { "for": "60s" }, "timeout": "2s",
        "retry": { "max_attempts": 1 },
    });
    let spec = json!({ "description": "x", "steps": [step] });
    let task = system.settled(system.submit_task(spec).await).await;
    assert_eq!(task.error.unwrap().code, "timeout");
    let attempt = &task.plan.unwrap().steps[0].attempts[0];
    let took = attempt.ended_at.unwrap().since(attempt.started_at);
    assert!((1800..2200).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn a_user_neither_reads_nor_lists_nor_stops_what_another_submitted() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let spec = json!({ "description": "mine", "steps": [{ "id": "a", "agent": "one" }] });
    let mine = system.submit(&user("a"), task(spec), None, None).await;
    let id = mine.unwrap().task.id;
    let other = user("b");
    let hidden = [
        system.task(&other, id).await.map(drop),
        system.task_events(&other, id, 0).await.map(drop),
        system
            .cancel_task(&other, id, String::new())
            .await
            .map(drop),
        system.why(&other, id).await.map(drop),
    ];
    for answer in hidden {
        assert_eq!(answer.unwrap_err().code(), "not_found");
    }
    let listed = system.tasks(&other, &TaskQuery::default()).await.unwrap();
    assert!(listed.items.is_empty());
    assert!(system.task(&user("a"), id).await.is_ok());
}

#[tokio::test]
async fn the_index_counts_what_there_is_in_each_state() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let mut ids = Vec::new();
    for name in ["done", "stopped", "running"] {
        ids.push(system.work(name).await);
        system.tool("one").is_called(ids.len()).await;
        if name == "done" {
            system.tool("one").release(1);
            system.completed(ids[0]).await;
        }
    }
    system
        .cancel_task(&system.admin, ids[1], String::new())
        .await
        .unwrap();
    for (status, id) in [
        (TaskStatus::Completed, ids[0]),
        (TaskStatus::Cancelled, ids[1]),
        (TaskStatus::Executing, ids[2]),
    ] {
        let query = TaskQuery {
            status: Some(status),
            ..TaskQuery::default()
        };
        let page = system.tasks(&system.admin, &query).await.unwrap();
        let found: Vec<_> = page.items.iter().map(|task| task.id).collect();
        assert_eq!(found, [id]);
    }
    until(async || {
        let checks = system.checks().await;
        checks.iter().all(|check| check.ok).then_some(())
    })
    .await;
}
