//! Tasks paused and resumed.

use std::time::Duration;

use actors::Rejection;
use protocol::{
    access::{Caller, Role},
    agent::StopMode,
    api::{Reach, TreeQuery},
    id::TaskId,
    task::{AttemptStatus, StepStatus, TaskStatus},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{System, until, user, within};

fn chain() -> Value {
    json!({ "description": "chain", "steps": [
        { "id": "a", "agent": "one" },
        { "id": "b", "agent": "one", "needs": ["a"] },
    ] })
}

impl System {
    async fn pause(&self, id: TaskId, running: StopMode) -> Reach {
        let paused = self.pause_task(&self.admin, id, "for now".to_owned(), running);
        let change = paused.await.unwrap();
        assert_eq!(change.task.status, TaskStatus::Paused);
        assert_eq!(change.reach.unconfirmed, []);
        change.reach
    }

    /// How the actor at a path looks, if there is one.
    async fn state(&self, path: &str) -> Option<String> {
        let query = TreeQuery {
            path: Some(path.to_owned()),
            ..TreeQuery::default()
        };
        match self.tree(&self.admin, &query).await {
            Ok(tree) => tree.nodes.first().map(|row| row.state.clone()),
            Err(rejection) => {
                assert_eq!(rejection.code(), "not_found");
                None
            }
        }
    }

    async fn has_actor(&self, id: TaskId) -> bool {
        self.state(&format!("/tasks/{id}")).await.is_some()
    }

    async fn chain_of(&self, parent: TaskId) -> TaskId {
        let mut part = chain();
        part["parent_id"] = json!(parent);
        self.submit_task(part).await
    }

    async fn status_of(&self, id: TaskId) -> TaskStatus {
        self.task(&self.admin, id).await.unwrap().status
    }

    async fn step_is(&self, id: TaskId, step: usize, status: StepStatus) {
        until(async || {
            let task = self.task(&self.admin, id).await.unwrap();
            (task.plan?.steps[step].status == status).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_paused_task_ends_what_runs_starts_nothing_and_stays_so_in_the_next_process() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system.submit_task(chain()).await;
    system.tool("one").is_called(1).await;
    system.pause(id, StopMode::Graceful).await;
    system.tool("one").release(2);
    system.step_is(id, 0, StepStatus::Completed).await;
    let why = system.why_not(id).await;
    assert!(
        why.contains("paused by admin") && why.contains("(for now)"),
        "{why}"
    );
    let system = system.crash(|_| ()).await;
    let task = system.task(&system.admin, id).await.unwrap();
    assert_eq!((task.status, task.progress), (TaskStatus::Paused, 50));
    assert_eq!(system.tool("one").begun(), 0);
    system.tool("one").release(1);
    let resumed = Instant::now();
    system.resume_task(&system.admin, id).await.unwrap();
    system.completed(id).await;
    assert!(resumed.elapsed() < Duration::from_secs(1));
    let calls = system.tool("one").calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].step, "b", "what was recorded is not run again");
}

#[tokio::test]
async fn a_pause_now_ends_attempts_that_count_nowhere_but_those_that_may_not_run_twice() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system
        .submit_task(json!({
            "description": "pair", "budget": { "max_attempts": 2 }, "steps": [
                { "id": "a", "agent": "one", "effect": "idempotent" },
                { "id": "b", "agent": "one", "effect": "irreversible" },
            ],
        }))
        .await;
    system.tool("one").is_called(2).await;
    let reach = system.pause(id, StopMode::Now).await;
    // Not a moment later: it was gone before this was answered.
    assert_eq!(system.tool("one").stopped(), 1);
    assert_eq!((reach.tasks, reach.ended, reach.running), (1, 1, 1));
    let again = system.pause(id, StopMode::Now).await;
    assert_eq!((again.tasks, again.ended, again.running), (0, 0, 1));
    system.step_is(id, 0, StepStatus::Queued).await;
    system.step_is(id, 1, StepStatus::Running).await;
    system.tool("one").release(1);
    system.step_is(id, 1, StepStatus::Completed).await;
    system.resume_task(&system.admin, id).await.unwrap();
    system.tool("one").release(1);
    let steps = system.completed(id).await.plan.unwrap().steps;
    let ends: Vec<Vec<AttemptStatus>> = steps
        .iter()
        .map(|step| step.attempts.iter().map(|attempt| attempt.status).collect())
        .collect();
    let expected = [
        vec![AttemptStatus::Cancelled, AttemptStatus::Succeeded],
        vec![AttemptStatus::Succeeded],
    ];
    assert_eq!(ends, expected);
}

#[tokio::test]
async fn the_time_of_a_task_stands_still_while_it_is_paused() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let mut spec = chain();
    spec["budget"] = json!({ "wall_time": "400ms", "queue_time": "300ms" });
    system.pause_agent(&system.admin, "one").await.unwrap();
    let id = system.submit_task(spec).await;
    let pause = Instant::now();
    system.pause(id, StopMode::Graceful).await;
    until(async || (pause.elapsed() > Duration::from_millis(600)).then_some(())).await;
    system.resume_agent(&system.admin, "one").await.unwrap();
    system.tool("one").release(2);
    system.resume_task(&system.admin, id).await.unwrap();
    system.completed(id).await;
}

#[tokio::test]
async fn who_may_not_submit_may_not_pause_and_what_is_over_is_not_paused() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system.work("over").await;
    let viewer = Caller {
        role: Role::Viewer,
        ..user("admin")
    };
    let refused = system
        .pause_task(&viewer, id, String::new(), StopMode::Now)
        .await;
    assert!(matches!(refused, Err(Rejection::Forbidden { .. })));
    system.tool("one").release(1);
    system.completed(id).await;
    let late = system.resume_task(&system.admin, id).await;
    assert!(matches!(late, Err(Rejection::Conflict { .. })));
}

#[tokio::test]
async fn a_thousand_pauses_and_resumes_lose_nothing_and_repeat_nothing() {
    let mut system = System::start(&["one"]).await;
    system.native("one", 20).await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut tasks = Vec::new();
    let (mut turns, mut calls) = (0, Vec::new());
    while turns < 1000 {
        if tasks.len() < 10 {
            tasks.push(system.submit_task(chain()).await);
        }
        let id = tasks[usize::try_from(draw(tasks.len() as u64)).unwrap()];
        let running = if draw(2) == 0 {
            StopMode::Now
        } else {
            StopMode::Graceful
        };
        let turned = match draw(2) {
            0 => {
                let paused = system.pause_task(&system.admin, id, String::new(), running);
                within(paused).await
            }
            _ => within(system.resume_task(&system.admin, id)).await,
        };
        turns += usize::from(turned.is_ok());
        if draw(8) == 0 {
            system.tool("one").release(1);
        }
        if draw(250) == 0 {
            calls.extend(system.tool("one").calls());
            system = system.crash(|_| ()).await;
        }
        let mut open = Vec::new();
        for id in std::mem::take(&mut tasks) {
            let task = system.task(&system.admin, id).await.unwrap();
            match task.status {
                TaskStatus::Executing | TaskStatus::Paused => {
                    open.push(id);
                    if !system.has_actor(id).await {
                        let task = system.task(&system.admin, id).await.unwrap();
                        assert!(task.status.is_terminal(), "{id} goes on without an actor");
                    }
                }
                TaskStatus::Completed => {}
                TaskStatus::Pending
                | TaskStatus::Planning
                | TaskStatus::Failed
                | TaskStatus::Cancelled => panic!("{task:?}"),
            }
        }
        tasks = open;
    }
    system.tool("one").release(1000);
    for id in tasks {
        // It may not be paused at all.
        let _ = system.resume_task(&system.admin, id).await;
        let steps = system.completed(id).await.plan.unwrap().steps;
        for step in steps {
            let ends = step.attempts.iter();
            let good = ends.filter(|attempt| attempt.status == AttemptStatus::Succeeded);
            assert_eq!(good.count(), 1, "{step:?}");
        }
    }
}

#[tokio::test]
async fn what_is_paused_is_shown_so_by_the_tree_in_the_next_process_too_until_it_goes_on() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let id = system.submit_task(chain()).await;
    let (task, agent) = (format!("/tasks/{id}"), "/agents/one");
    for path in [task.as_str(), agent] {
        assert_eq!(system.state(path).await.as_deref(), Some("running"));
    }
    system.pause(id, StopMode::Graceful).await;
    system.pause_agent(&system.admin, "one").await.unwrap();
    for path in [task.as_str(), agent] {
        assert_eq!(system.state(path).await.as_deref(), Some("paused"));
    }
    let system = system.crash(|_| ()).await;
    for path in [task.as_str(), agent] {
        assert_eq!(system.state(path).await.as_deref(), Some("paused"));
    }
    system.resume_task(&system.admin, id).await.unwrap();
    system.resume_agent(&system.admin, "one").await.unwrap();
    for path in [task.as_str(), agent] {
        assert_eq!(system.state(path).await.as_deref(), Some("running"));
    }
}

#[tokio::test]
async fn a_task_of_a_paused_scope_is_shown_as_paused_and_its_agents_are_not() {
    let system = System::start(&["one"]).await;
    system.native("one", 1).await;
    let id = system.submit_task(chain()).await;
    let scope = "user:admin".parse().unwrap();
    let paused = system.pause_scope(&system.admin, scope, String::new(), StopMode::Graceful);
    paused.await.unwrap();
    let task = format!("/tasks/{id}");
    assert_eq!(system.state(&task).await.as_deref(), Some("paused"));
    assert_eq!(
        system.state("/agents/one").await.as_deref(),
        Some("running")
    );
}

#[tokio::test]
async fn a_pause_now_takes_the_attempts_of_parts_with_it_and_a_part_that_comes_rests() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let root = system.submit_task(chain()).await;
    let part = system.chain_of(root).await;
    let below = system.chain_of(part).await;
    system.tool("one").is_called(3).await;
    let reach = system.pause(root, StopMode::Now).await;
    assert_eq!((reach.tasks, reach.ended, reach.running), (3, 3, 0));
    assert_eq!(system.tool("one").stopped(), 3);
    let late = system.chain_of(below).await;
    for id in [part, below, late] {
        assert_eq!(system.status_of(id).await, TaskStatus::Paused);
    }
    let why = system.why_not(late).await;
    assert!(why.contains(&format!("it is a part of {root}")), "{why}");
    assert_eq!(system.tool("one").begun(), 3);
    // Who may not be resumed by itself goes on with what it is a part of.
    system.resume_task(&system.admin, late).await.unwrap();
    assert_eq!(system.status_of(late).await, TaskStatus::Paused);
    let resumed = system.resume_task(&system.admin, root).await.unwrap();
    assert_eq!(resumed.reach.tasks, 4);
    system.tool("one").release(8);
    for id in [root, part, below, late] {
        system.completed(id).await;
    }
}

#[tokio::test]
async fn a_part_that_was_paused_itself_stays_so_when_what_it_is_a_part_of_goes_on() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let root = system.submit_task(chain()).await;
    let part = system.chain_of(root).await;
    let below = system.chain_of(part).await;
    system.pause(part, StopMode::Graceful).await;
    system.pause(root, StopMode::Graceful).await;
    let system = system.crash(|_| ()).await;
    system.resume_task(&system.admin, root).await.unwrap();
    let stand = async |system: &System| {
        let mut stand = Vec::new();
        for id in [root, part, below] {
            stand.push(system.status_of(id).await);
        }
        stand
    };
    let (on, off) = (TaskStatus::Executing, TaskStatus::Paused);
    assert_eq!(stand(&system).await, [on, off, off]);
    system.resume_task(&system.admin, part).await.unwrap();
    assert_eq!(stand(&system).await, [on, on, on]);
}

/// A part that rests, of a task that was settled while it was paused; whoever does the part is paused.
async fn rests_alone(system: &System) -> TaskId {
    let root = system.work("root").await;
    system.tool("one").is_called(1).await;
    system.pause_agent(&system.admin, "one").await.unwrap();
    let part = system.chain_of(root).await;
    system.pause(root, StopMode::Graceful).await;
    assert_eq!(system.status_of(part).await, TaskStatus::Paused);
    system.tool("one").release(1);
    system.completed(root).await;
    part
}

#[tokio::test]
async fn a_pause_ends_with_the_task_that_was_paused_and_its_parts_go_on_by_themselves() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let part = rests_alone(&system).await;
    until(async || {
        let status = system.status_of(part).await;
        (status == TaskStatus::Executing).then_some(())
    })
    .await;
    system.resume_agent(&system.admin, "one").await.unwrap();
    system.tool("one").release(2);
    system.completed(part).await;
}

#[tokio::test]
async fn a_part_whose_node_went_down_meanwhile_goes_on_at_once_when_it_is_back() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let part = rests_alone(&system).await;
    let system = system.crash(|tool| tool.release(2)).await;
    assert_eq!(system.status_of(part).await, TaskStatus::Executing);
    system.resume_agent(&system.admin, "one").await.unwrap();
    system.completed(part).await;
}
