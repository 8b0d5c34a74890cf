//! Parts of a task: what becomes of them when it is stopped, or gone.

use actors::{Rejection, orchestrator::Cancel};
use protocol::{
    api::CancelView,
    id::TaskId,
    task::{TaskSpec, TaskStatus},
};
use serde_json::json;

use crate::{
    life::Asked,
    support::{System, task, within},
};

fn part(parent: TaskId) -> TaskSpec {
    task(json!({
        "description": "part", "parent_id": parent,
        "steps": [{ "id": "a", "capability": "work" }],
    }))
}

impl System {
    async fn part_of(&self, parent: TaskId) -> TaskId {
        let made = self.submit(&self.admin, part(parent), None, None).await;
        made.unwrap().task.id
    }

    async fn no_part_of(&self, parent: TaskId) -> String {
        let refused = self.submit(&self.admin, part(parent), None, None).await;
        match refused.unwrap_err() {
            Rejection::Invalid { errors, .. } => {
                assert_eq!(errors[0].field, "parent_id");
                errors[0].message.clone()
            }
            other => panic!("{other:?}"),
        }
    }

    async fn ends(&self, id: TaskId) -> Result<CancelView, Rejection> {
        within(self.end_task(&self.admin, id, "enough".to_owned(), None)).await
    }
}

#[tokio::test]
async fn a_cancel_reaches_what_runs_below_a_part_that_is_over() {
    let system = System::start(&["one"]).await;
    system.native("one", 9).await;
    let root = system.work("root").await;
    system.tool("one").is_called(1).await;
    let middle = system.part_of(root).await;
    system.tool("one").is_called(2).await;
    let leaf = system.part_of(middle).await;
    system.tool("one").is_called(3).await;
    system.tool("one").release(2);
    for id in [root, middle] {
        system.completed(id).await;
    }
    let ended = system.ends(root).await.unwrap();
    assert_eq!(ended.task.status, TaskStatus::Completed);
    assert_eq!((ended.reach.tasks, ended.reach.ended), (1, 1));
    assert_eq!(ended.reach.unconfirmed, []);
    assert_eq!(system.settled(leaf).await.status, TaskStatus::Cancelled);
    // Nothing is left to be stopped.
    let again = system.ends(root).await;
    assert_eq!(again.unwrap_err().code(), "already_settled");
}

#[tokio::test]
async fn a_task_whose_parts_go_on_is_not_deleted_unless_they_may_be_stopped_first() {
    let system = System::start(&["one"]).await;
    system.native("one", 9).await;
    let root = system.work("root").await;
    system.tool("one").is_called(1).await;
    let leaf = system.part_of(root).await;
    system.tool("one").is_called(2).await;
    system.tool("one").release(1);
    system.completed(root).await;
    let refused = system.delete_task(&system.admin, root, Cancel::Never).await;
    assert_eq!(refused.unwrap_err().code(), "still_running");
    let deleted = system.delete_task(&system.admin, root, Cancel::First);
    within(deleted).await.unwrap();
    assert_eq!(system.settled(leaf).await.status, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_task_that_is_over_takes_no_parts() {
    let system = System::start(&["one"]).await;
    system.native("one", 9).await;
    let (done, stopped) = (system.work("done").await, system.work("stopped").await);
    system.tool("one").is_called(2).await;
    system.ends(stopped).await.unwrap();
    system.tool("one").release(1);
    system.completed(done).await;
    for (parent, status) in [(done, "completed"), (stopped, "cancelled")] {
        let why = system.no_part_of(parent).await;
        assert!(why.contains(&format!("{parent} is {status}")), "{why}");
        assert!(why.contains("name a task that goes on"), "{why}");
    }
    assert_eq!(system.tool("one").begun(), 2);
}

#[tokio::test]
async fn a_part_that_is_let_in_just_before_its_task_is_stopped_never_starts() {
    let system = System::start(&["one"]).await;
    system.native("one", 9).await;
    let root = system.work("root").await;
    system.tool("one").is_called(1).await;
    let gate = system.life.keep(Asked::Events, root);
    let submitting = tokio::spawn({
        let (at, admin) = (system.orchestrator.clone(), system.admin.clone());
        async move { at.submit(&admin, part(root), None, None).await }
    });
    gate.is_reached().await;
    let ended = system.ends(root).await.unwrap();
    assert_eq!(
        (ended.reach.tasks, ended.task.status),
        (1, TaskStatus::Cancelled)
    );
    gate.open();
    let orphan = within(submitting).await.unwrap().unwrap().task.id;
    assert_eq!(system.settled(orphan).await.status, TaskStatus::Cancelled);
    assert_eq!(system.tool("one").begun(), 1);
}

#[tokio::test]
async fn a_part_that_came_too_late_does_not_start_after_a_crash_either() {
    let system = System::start(&["one"]).await;
    system.native("one", 9).await;
    let root = system.work("root").await;
    system.tool("one").is_called(1).await;
    let gate = system.life.keep(Asked::Events, root);
    let submitting = tokio::spawn({
        let (at, admin) = (system.orchestrator.clone(), system.admin.clone());
        async move { at.submit(&admin, part(root), None, None).await }
    });
    gate.is_reached().await;
    system.ends(root).await.unwrap();
    // It looks before it is written, and again when it is on disk.
    let first = system.life.keep(Asked::Row, root);
    gate.open();
    first.is_reached().await;
    let second = system.life.keep(Asked::Row, root);
    first.open();
    second.is_reached().await;
    let system = system.crash(|tool| tool.release(9)).await;
    let tree = system.task_tree(&system.admin, root).await.unwrap();
    let orphan = tree.children[0].task.id;
    assert_eq!(system.settled(orphan).await.status, TaskStatus::Cancelled);
    assert_eq!(system.tool("one").begun(), 0);
    submitting.abort();
}
