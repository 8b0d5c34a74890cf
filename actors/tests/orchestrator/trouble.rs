//! What callers see while nodes are gone, frozen or of another opinion.

use actors::Rejection;
use protocol::{
    api::{TaskPatch, TaskQuery},
    member::NodeRole,
};

use crate::{
    net::Trouble,
    nodes::{Nodes, fresh, step_for, within, without_store},
};

fn described(text: &str) -> TaskPatch {
    TaskPatch {
        description: Some(text.to_owned()),
        ..TaskPatch::default()
    }
}

#[track_caller]
fn message(rejection: Rejection) -> String {
    let Rejection::Unavailable {
        message,
        retry_after,
    } = rejection
    else {
        panic!("{rejection:?}");
    };
    assert!(!retry_after.is_zero());
    message
}

#[tokio::test]
async fn a_node_that_believes_in_the_wrong_owner_is_sent_on() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let stale = nodes.stale();
    nodes.owners.give(id, Some(nodes.id(&nodes.b)));
    let (asked, active) = (nodes.net.asked(), nodes.b.node().active_entities);
    let amended = stale.amend_task(&nodes.admin, id, described("moved"));
    assert_eq!(amended.await.unwrap().description, "moved");
    assert_eq!(nodes.net.asked() - asked, 2, "the old owner, then the new");
    assert_eq!(nodes.b.node().active_entities, active + 1);
    let shown = nodes.b.task(&nodes.admin, id).await.unwrap();
    assert_eq!(shown.description, "moved");
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_node_that_nobody_knows_is_unavailable_but_can_be_read() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let stranger = fresh();
    nodes.owners.give(id, Some(stranger));
    for node in [&nodes.b, &nodes.c] {
        let amended = node.amend_task(&nodes.admin, id, described("x")).await;
        let message = message(amended.unwrap_err());
        assert!(message.contains(&stranger.to_string()), "{message}");
        let read = node.task(&nodes.admin, id).await.unwrap();
        assert_eq!(read.description, "one step");
    }
    nodes.owners.give(id, None);
    let amended = nodes.c.amend_task(&nodes.admin, id, described("x")).await;
    let message = message(amended.unwrap_err());
    assert!(message.contains(&id.to_string()), "{message}");
}

#[tokio::test(start_paused = true)]
async fn what_a_frozen_node_owns_is_read_elsewhere_and_changed_nowhere() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    nodes.net.trouble(nodes.id(&nodes.a), Trouble::Frozen);
    let begun = tokio::time::Instant::now();
    let read = nodes.c.task(&nodes.admin, id).await.unwrap();
    assert_eq!(read.id, id);
    assert!(begun.elapsed().as_millis() < 2000, "{:?}", begun.elapsed());
    let amended = nodes.c.amend_task(&nodes.admin, id, described("x")).await;
    let text = message(amended.unwrap_err());
    assert!(text.contains("not answered"), "{text}");
    let listed = nodes.c.tasks(&nodes.admin, &TaskQuery::default()).await;
    assert_eq!(listed.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_comes_back_in_time_is_not_noticed() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let a = nodes.id(&nodes.a);
    nodes.net.trouble(a, Trouble::Cut);
    let amending = nodes.c.amend_task(&nodes.admin, id, described("after"));
    let mending = async {
        let asked = nodes.net.asked();
        while nodes.net.asked() < asked + 3 {
            tokio::time::advance(std::time::Duration::from_millis(10)).await;
        }
        nodes.net.heal(a);
    };
    let (amended, ()) = within(async { tokio::join!(amending, mending) }).await;
    assert_eq!(amended.unwrap().description, "after");
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_is_repeated_only_under_a_key() {
    let nodes = Nodes::start().await;
    let a = nodes.id(&nodes.a);
    nodes.net.trouble(a, Trouble::LosesAnswer);
    let key = Some(("k".to_owned(), [1; 32]));
    let kept = nodes.c.submit(&nodes.admin, step_for("held-a"), key, None);
    let kept = kept.await.unwrap();
    assert!(!kept.fresh, "the first time made it");
    nodes.net.trouble(a, Trouble::LosesAnswer);
    let lost = nodes.c.submit(&nodes.admin, step_for("held-a"), None, None);
    let text = message(lost.await.unwrap_err());
    assert!(text.contains("Idempotency-Key"), "{text}");
    let listed = nodes.c.tasks(&nodes.admin, &TaskQuery::default()).await;
    assert_eq!(listed.unwrap().items.len(), 2, "each was made once");
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_made_once() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let head = nodes.a.task(&nodes.admin, id).await.unwrap().version;
    nodes.net.trouble(nodes.id(&nodes.a), Trouble::LosesAnswer);
    let amended = nodes.c.amend_task(&nodes.admin, id, described("x")).await;
    assert!(amended.is_err());
    let task = nodes.c.task(&nodes.admin, id).await.unwrap();
    assert_eq!((task.version, &*task.description), (head + 1, "x"));
}

#[tokio::test]
async fn the_next_node_is_asked_when_the_nearest_cannot_be_reached() {
    let nodes = Nodes::start().await;
    let a = nodes.id(&nodes.a);
    nodes.net.trouble(a, Trouble::Cut);
    let listed = nodes.c.tasks(&nodes.admin, &TaskQuery::default()).await;
    assert!(listed.unwrap().items.is_empty());
    let made = nodes.c.submit(&nodes.admin, step_for("held-b"), None, None);
    let made = made.await.unwrap().task;
    nodes.net.heal(a);
    let before = nodes.net.asked();
    nodes.b.task(&nodes.admin, made.id).await.unwrap();
    assert_eq!(nodes.net.asked(), before, "it belongs to b");
}

#[tokio::test]
async fn a_node_that_only_works_may_not_act_for_users() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let roles = [NodeRole::Worker].into_iter().collect();
    let worker = without_store(&nodes.net, "w", roles, nodes.owners.clone());
    let shown = worker.task(&nodes.admin, id).await.unwrap_err();
    let amended = worker.amend_task(&nodes.admin, id, described("x")).await;
    let followed = worker.task_events(&nodes.admin, id, 0).await.err().unwrap();
    for rejection in [shown, amended.unwrap_err(), followed] {
        assert_eq!(rejection.code(), "forbidden");
        assert!(rejection.to_string().contains("node w"), "{rejection}");
    }
}

#[tokio::test]
async fn a_node_without_a_store_says_whom_it_reaches() {
    let nodes = Nodes::start().await;
    let checks = nodes.c.checks().await;
    assert!(checks[0].ok, "{checks:?}");
    assert_eq!(checks[0].detail, "2 of 2 control nodes can be reached");
    assert_eq!(nodes.c.node().name, "c");
}
