//! Stopping and holding what is on several nodes.

use std::time::Duration;

use protocol::{
    access::Caller,
    agent::StopMode,
    api::{CancelView, TaskPatch},
    hold::Target,
    id::TaskId,
    task::{AttemptStatus, TaskStatus},
};
use serde_json::json;

use super::{by, town::Town};
use crate::support::{task, until, within};

impl Town {
    async fn ends(&self, at: &str, id: TaskId, wait: Duration) -> CancelView {
        let admin = Caller::admin();
        let ended = self[at].end_task(&admin, id, "enough".to_owned(), Some(wait));
        within(ended).await.unwrap()
    }
}

#[tokio::test]
async fn a_cancel_is_acknowledged_when_questions_between_agents_of_other_nodes_are_gone_too() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut town = Town::of(&["a"]).await;
    let _first = town.hire("w1", one.path()).await;
    let second = town.hire("w2", two.path()).await;
    town.asker("a", "boss", "w1").await;
    town.agent("a", "far", "w2", 5).await;
    let input = json!({ "ask": "far", "with": null });
    let id = town.asking("a", "boss", "10m", input).await;
    second.tool.is_called(1).await;
    let ended = town.ends("a", id, Duration::from_secs(5)).await;
    assert_eq!(ended.task.status, TaskStatus::Cancelled);
    assert_eq!((ended.reach.ended, ended.reach.running), (1, 0));
    assert_eq!(ended.reach.unconfirmed, []);
    // Not a moment later: it was gone before this was answered.
    assert_eq!(second.tool.stopped(), 1);
}

#[tokio::test]
async fn an_attempt_that_is_interrupted_takes_what_it_asked_with_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut town = Town::of(&["a"]).await;
    let _first = town.hire("w1", one.path()).await;
    let second = town.hire("w2", two.path()).await;
    town.asker("a", "boss", "w1").await;
    town.agent("a", "far", "w2", 5).await;
    let input = json!({ "ask": "far", "with": null });
    let id = town.asking("a", "boss", "10m", input).await;
    second.tool.is_called(1).await;
    let admin = Caller::admin();
    let paused = town["a"].pause_task(&admin, id, String::new(), StopMode::Now);
    let reach = paused.await.unwrap().reach;
    assert_eq!((reach.ended, reach.running), (2, 0), "{reach:?}");
    assert_eq!(reach.unconfirmed, []);
    // Not a moment later: it was gone before this was answered.
    assert_eq!(second.tool.stopped(), 1);
    town["a"].resume_task(&admin, id).await.unwrap();
    second.tool.is_called(2).await;
    second.tool.release(1);
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
}

#[tokio::test]
async fn a_cancel_names_what_a_silent_host_may_still_run() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    town.board.cut(town["b"].id);
    let ended = town.ends("a", id, Duration::from_millis(200)).await;
    assert_eq!((ended.reach.ended, ended.reach.running), (0, 1));
    let open = &ended.reach.unconfirmed;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].node, "b");
    assert!(open[0].what.contains("agent one"), "{open:?}");
    assert_ne!(
        ended.task.status,
        TaskStatus::Cancelled,
        "it is not known yet"
    );
    // Its lease ends it, and with it the task.
    town.bury(town["b"].id);
    assert_eq!(town.settled("a", id).await.status, TaskStatus::Cancelled);
    assert_eq!(town.attempts("a", id).await[0].status, AttemptStatus::Lost);
}

#[tokio::test]
async fn a_cancel_takes_the_parts_of_a_task_wherever_their_agents_are() {
    let town = Town::of(&["a", "b", "c"]).await;
    for (name, on) in [("one", "a"), ("two", "b"), ("three", "c")] {
        town.agent("a", name, on, 400).await;
    }
    let admin = Caller::admin();
    let root = town.work("a", by("one")).await;
    for index in 0..299 {
        let agent = ["one", "two", "three"][index % 3];
        let part = task(json!({
            "description": "part", "parent_id": root, "steps": [{ "id": "a", "agent": agent }],
        }));
        town["a"].submit(&admin, part, None, None).await.unwrap();
    }
    for name in ["b", "c"] {
        town[name].tool.is_called(99).await;
    }
    town["a"].tool.is_called(101).await;
    let ended = town.ends("a", root, Duration::from_secs(5)).await;
    assert_eq!((ended.reach.tasks, ended.reach.ended), (300, 300));
    assert_eq!(ended.reach.unconfirmed, []);
    let stopped: usize = ["a", "b", "c"]
        .map(|name| town[name].tool.stopped())
        .iter()
        .sum();
    assert_eq!(stopped, 300);
}

#[tokio::test]
async fn what_one_node_pauses_rests_on_all_and_goes_on_on_all() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let admin = Caller::admin();
    let ran = town.work("b", by("one")).await;
    town["b"].tool.is_called(1).await;
    let paused = town["a"]
        .pause_scope(&admin, Target::Cluster, "fire".to_owned(), StopMode::Now)
        .await
        .unwrap();
    let reach = paused.reach;
    assert_eq!(
        (reach.nodes, reach.tasks, reach.ended),
        (2, 1, 1),
        "{reach:?}"
    );
    assert_eq!(reach.unconfirmed, []);
    assert_eq!(town["b"].tool.stopped(), 1);
    let late = town.work("b", by("one")).await;
    let task = town["b"].task(&admin, late).await.unwrap();
    assert_eq!(task.status, TaskStatus::Paused);
    town["b"].tool.release(2);
    let resumed = town["a"].resume_scope(&admin, Target::Cluster).await;
    assert_eq!(resumed.unwrap().reach.tasks, 2);
    for id in [ran, late] {
        assert_eq!(town.settled("b", id).await.status, TaskStatus::Completed);
    }
}

#[tokio::test]
async fn a_node_that_was_not_told_of_a_hold_learns_of_it_by_itself() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let admin = Caller::admin();
    town.board.cut(town["b"].id);
    let target: Target = "agent:one".parse().unwrap();
    let held = town["a"]
        .hold(&admin, target, "broken".to_owned())
        .await
        .unwrap();
    assert_eq!(held.reach.unconfirmed[0].node, "b");
    until(async || {
        let holds = town["b"].holds(&admin).await.unwrap();
        (!holds.items.is_empty()).then_some(())
    })
    .await;
    let id = town.work("b", by("one")).await;
    let why = town["b"].why(&admin, id).await.unwrap();
    assert!(
        why.summary.contains("agent:one is held by admin"),
        "{why:?}"
    );
    assert_eq!(town["b"].tool.begun(), 0);
}

#[tokio::test]
async fn a_paused_node_gets_nothing_and_what_it_ran_goes_on_elsewhere() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("a", "one", "b", 5).await;
    let id = town.work("a", json!({ "capability": "work" })).await;
    town["b"].tool.is_called(1).await;
    town.agent("a", "two", "c", 5).await;
    let admin = Caller::admin();
    let target: Target = "node:b".parse().unwrap();
    let paused = town["c"]
        .pause_scope(&admin, target.clone(), "fan".to_owned(), StopMode::Now)
        .await
        .unwrap();
    assert_eq!(
        (paused.reach.nodes, paused.reach.ended),
        (3, 1),
        "{paused:?}"
    );
    town["c"].tool.release(1);
    let task = town.settled("a", id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    let nodes: Vec<_> = town.attempts("a", id).await;
    let nodes: Vec<_> = nodes.iter().map(|attempt| attempt.node.as_str()).collect();
    assert_eq!(nodes, ["b", "c"]);
    let waits = town.work("a", by("one")).await;
    town["b"].tool.release(1);
    // The hold is owned where it was placed.
    town["c"].resume_scope(&admin, target).await.unwrap();
    assert_eq!(town.settled("a", waits).await.status, TaskStatus::Completed);
}

#[tokio::test]
async fn what_must_not_run_twice_on_a_paused_node_is_counted_and_so_are_questions_there() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut town = Town::of(&["a"]).await;
    let _first = town.hire("w1", one.path()).await;
    let second = town.hire("w2", two.path()).await;
    town.asker("a", "boss", "w1").await;
    town.agent("a", "far", "w2", 5).await;
    let input = json!({ "ask": "far", "with": null });
    let asking = town.asking("a", "boss", "10m", input).await;
    let once = town.work("a", json!({ "agent": "far", "effect": "irreversible" }));
    let once = once.await;
    let again = town.work("a", by("far")).await;
    second.tool.is_called(3).await;
    let admin = Caller::admin();
    for (scope, mode, ended, running) in [
        ("agent:far", StopMode::Graceful, 0, 3),
        ("agent:far", StopMode::Now, 1, 2),
        ("node:w2", StopMode::Now, 0, 2),
        ("node:w2", StopMode::Graceful, 0, 2),
        ("node:w1", StopMode::Graceful, 0, 1),
    ] {
        let target: Target = scope.parse().unwrap();
        let paused = town["a"].pause_scope(&admin, target, String::new(), mode);
        let reach = paused.await.unwrap().reach;
        assert_eq!((reach.ended, reach.running), (ended, running), "{scope}");
        assert_eq!(reach.unconfirmed, []);
    }
    assert_eq!(second.tool.stopped(), 1);
    second.tool.release(3);
    for scope in ["agent:far", "node:w2", "node:w1"] {
        let target: Target = scope.parse().unwrap();
        town["a"].resume_scope(&admin, target).await.unwrap();
    }
    for id in [asking, once, again] {
        assert_eq!(town.settled("a", id).await.status, TaskStatus::Completed);
    }
}

#[tokio::test]
async fn a_stopped_agent_has_nothing_left_when_that_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a", "b"]).await;
    let hand = town.hire("w", folder.path()).await;
    town.asker("a", "boss", "b").await;
    let admin = Caller::admin();
    for by_scope in [false, true] {
        let name = format!("far-{by_scope}");
        town.agent("a", &name, "w", 5).await;
        let (begun, stopped) = (hand.tool.begun(), hand.tool.stopped());
        let input = json!({ "ask": name, "with": null });
        let asking = town.asking("a", "boss", "10m", input).await;
        let once = town.work("b", json!({ "agent": name, "effect": "irreversible" }));
        once.await;
        town.work("b", by(&name)).await;
        hand.tool.is_called(begun + 3).await;
        let reach = match by_scope {
            false => {
                let stop = town["a"].stop_agent(&admin, &name, StopMode::Now);
                stop.await.unwrap().reach
            }
            true => {
                let target: Target = format!("agent:{name}").parse().unwrap();
                let stop = town["a"].stop_scope(&admin, target, String::new());
                stop.await.unwrap().reach
            }
        };
        assert_eq!((reach.nodes, reach.ended, reach.running), (2, 3, 0));
        assert_eq!(reach.unconfirmed, []);
        assert_eq!(hand.tool.stopped(), stopped + 3);
        let task = town.settled("a", asking).await;
        assert_eq!(task.result["error"], "ask_lost");
    }
}

#[tokio::test]
async fn what_a_silent_host_may_still_run_of_a_paused_task_or_a_stopped_agent_is_named() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    town.board.cut(town["b"].id);
    let admin = Caller::admin();
    let paused = town["a"].pause_task(&admin, id, String::new(), StopMode::Now);
    let stopped = town["a"].stop_agent(&admin, "one", StopMode::Now);
    let (paused, stopped) = (Box::pin(within(paused)), Box::pin(within(stopped)));
    let (paused, stopped) = tokio::join!(paused, stopped);
    for reach in [paused.unwrap().reach, stopped.unwrap().reach] {
        let open = reach.unconfirmed.iter();
        assert!(open.clone().any(|open| open.node == "b"), "{reach:?}");
        assert_eq!((reach.ended, reach.running), (0, 0));
    }
}

#[tokio::test]
async fn a_paused_task_is_shown_so_where_it_goes_when_its_owner_dies() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("b", "one", "b", 5).await;
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    let admin = Caller::admin();
    let paused = town["a"].pause_task(&admin, id, String::new(), StopMode::Now);
    paused.await.unwrap();
    town.vanish(&town["a"]);
    town.give(id, town["b"].id);
    town.bury(town["a"].id);
    let path = format!("/tasks/{id}");
    let state = async || {
        let amended = town["b"].amend_task(&admin, id, TaskPatch::default());
        amended.await.unwrap();
        town["b"]
            .actor(&admin, &path, None)
            .await
            .unwrap()
            .row
            .state
    };
    assert_eq!(state().await, "paused");
    town["b"].resume_task(&admin, id).await.unwrap();
    assert_eq!(state().await, "running");
}

#[tokio::test]
async fn an_owner_that_has_not_heard_of_a_hold_does_not_lift_it() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("b", "one", "b", 5).await;
    let admin = Caller::admin();
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    // B looks once a second for what it is not told of.
    let known = town["b"].holds(&admin).await.unwrap();
    assert_eq!(known.items, []);
    town.board.cut(town["b"].id);
    let target: Target = "user:admin".parse().unwrap();
    let paused = town["a"].pause_scope(&admin, target, String::new(), StopMode::Graceful);
    assert_eq!(paused.await.unwrap().reach.tasks, 1);
    town.vanish(&town["a"]);
    town.board.heal(town["b"].id);
    town.give(id, town["b"].id);
    town.bury(town["a"].id);
    town["b"]
        .amend_task(&admin, id, TaskPatch::default())
        .await
        .unwrap();
    let task = town["b"].task(&admin, id).await.unwrap();
    assert_eq!(task.status, TaskStatus::Paused);
    let events = town.events(id).await;
    let resumed = events.iter().any(|event| event["type"] == "resumed");
    assert!(!resumed, "{events:?}");
}

#[tokio::test]
async fn an_interrupt_reaches_a_task_that_changes_its_owner_meanwhile() {
    let town = Town::of(&["a", "b", "c"]).await;
    town.agent("b", "one", "c", 5).await;
    let id = town.work("a", by("one")).await;
    town["c"].tool.is_called(1).await;
    town.vanish(&town["a"]);
    let admin = Caller::admin();
    let paused = town["b"]
        .pause_scope(&admin, Target::Cluster, "fire".to_owned(), StopMode::Now)
        .await
        .unwrap();
    assert_eq!(paused.reach.unconfirmed[0].node, "a");
    assert_eq!(town["c"].tool.stopped(), 0);
    town.give(id, town["b"].id);
    town.bury(town["a"].id);
    let patch = TaskPatch {
        description: Some("moved".to_owned()),
        ..TaskPatch::default()
    };
    town["b"].amend_task(&admin, id, patch).await.unwrap();
    town["c"].tool.is_stopped(1).await;
}

#[tokio::test]
async fn a_task_that_is_being_stopped_takes_no_parts_and_is_counted_once() {
    let town = Town::of(&["a", "b"]).await;
    town.agent("a", "one", "b", 5).await;
    let id = town.work("a", by("one")).await;
    town["b"].tool.is_called(1).await;
    town.board.cut(town["b"].id);
    let ended = town.ends("a", id, Duration::from_millis(100)).await;
    assert_eq!(ended.reach.running, 1);
    let part = task(json!({
        "description": "part", "parent_id": id, "steps": [{ "id": "a", "agent": "one" }],
    }));
    let admin = Caller::admin();
    let refused = town["a"].submit(&admin, part, None, None).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("is being cancelled"), "{refused}");
    let scope: Target = "user:admin".parse().unwrap();
    let stopped = town["a"].stop_scope(&admin, scope, String::new());
    let reach = within(stopped).await.unwrap().reach;
    assert_eq!((reach.tasks, reach.running), (1, 1), "{reach:?}");
    assert_eq!(reach.unconfirmed.len(), 1, "{reach:?}");
    assert_eq!(reach.unconfirmed[0].node, "b");
}
