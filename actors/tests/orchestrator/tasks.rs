//! Tasks, asked for on another node than theirs.

use std::time::Duration;

use actors::{Rejection, orchestrator::Cancel};
use protocol::{
    access::Role,
    api::{Assignment, TaskPatch, TaskQuery, TreeQuery},
    task::TaskStatus,
};
use serde_json::json;

use crate::nodes::{Nodes, spec, step_for, user, within};

const WAIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_a_node_makes_is_its_own_and_needs_no_other_node() {
    let nodes = Nodes::start().await;
    let before = nodes.net.asked();
    for (node, agent) in [(&nodes.a, "echo-a"), (&nodes.b, "echo-b")] {
        for _ in 0..5 {
            let made = node.submit(&nodes.admin, step_for(agent), None, Some(WAIT));
            let task = within(made).await.unwrap().task;
            assert_eq!(task.status, TaskStatus::Completed);
            assert_eq!(node.task(&nodes.admin, task.id).await.unwrap(), task);
        }
    }
    assert_eq!(nodes.net.asked(), before);
}

#[tokio::test]
async fn every_node_shows_and_changes_the_same_task() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let task = nodes.a.task(&nodes.admin, id).await.unwrap();
    for node in [&nodes.b, &nodes.c] {
        assert_eq!(node.task(&nodes.admin, id).await.unwrap(), task);
    }
    let patch = TaskPatch {
        description: Some("amended".to_owned()),
        ..TaskPatch::default()
    };
    let amended = nodes.b.amend_task(&nodes.admin, id, patch).await.unwrap();
    assert_eq!(amended.description, "amended");
    assert_eq!(nodes.c.task(&nodes.admin, id).await.unwrap(), amended);
    let cancelled = nodes.c.cancel_task(&nodes.admin, id, "enough".to_owned());
    assert_eq!(cancelled.await.unwrap().status, TaskStatus::Cancelled);
    let listed = nodes.b.tasks(&nodes.admin, &TaskQuery::default()).await;
    assert_eq!(listed.unwrap().items[0].status, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_node_without_a_store_does_everything_for_a_task() {
    let nodes = Nodes::start().await;
    let (c, admin) = (&nodes.c, &nodes.admin);
    let made = within(c.submit(admin, step_for("echo-a"), None, Some(WAIT)));
    let done = made.await.unwrap().task;
    assert_eq!(done.status, TaskStatus::Completed);
    let result = c.task_result(admin, done.id).await.unwrap();
    assert_eq!(result.provenance[0].agent, "echo-a");
    assert_eq!(c.attempts(admin, done.id).await.unwrap().len(), 1);
    assert_eq!(c.allocation(admin, done.id).await.unwrap().len(), 1);
    let checkpointed = c.checkpoint_task(admin, done.id).await.unwrap();
    assert_eq!(checkpointed.version, done.version);
    let listed = c.tasks(admin, &TaskQuery::default()).await.unwrap();
    assert_eq!(listed.items[0].id, done.id);
    c.delete_task(admin, done.id, Cancel::Never).await.unwrap();
    let gone = c.task(admin, done.id).await.unwrap_err();
    assert_eq!(gone.code(), "not_found");

    let held = nodes.held().await;
    let why = c.why(admin, held).await.unwrap();
    assert!(why.summary.contains("held-a is paused"), "{why:?}");
    let to = Assignment {
        agent_id: "echo-a".to_owned(),
        step: None,
    };
    c.assign_task(admin, held, to).await.unwrap();
    let settled = within(c.await_task(admin, held, WAIT)).await.unwrap();
    assert_eq!(settled.status, TaskStatus::Completed);

    let store = c.store(admin).await.unwrap();
    assert_eq!(store.engine, "memory");
    let query = TreeQuery {
        node: Some("b".to_owned()),
        depth: Some(1),
        ..TreeQuery::default()
    };
    let tree = c.tree(admin, &query).await.unwrap();
    assert!(tree.nodes.iter().all(|actor| actor.node == "b") && tree.total > 5);
}

#[tokio::test]
async fn who_waits_on_one_node_is_answered_when_the_task_ends_on_another() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let waiting = nodes.c.await_task(&nodes.admin, id, WAIT);
    let resuming = nodes.b.resume_agent(&nodes.admin, "held-a");
    let (task, resumed) = within(async { tokio::join!(waiting, resuming) }).await;
    resumed.unwrap();
    assert_eq!(task.unwrap().status, TaskStatus::Completed);
    let soon = Duration::from_millis(1);
    let open = nodes.held().await;
    nodes.a.pause_agent(&nodes.admin, "held-a").await.unwrap();
    let task = within(nodes.c.await_task(&nodes.admin, open, soon)).await;
    assert!(task.is_ok(), "{task:?}");
}

#[tokio::test]
async fn one_key_makes_one_task_whichever_nodes_are_asked() {
    let nodes = Nodes::start().await;
    let key = || Some(("k".to_owned(), [7; 32]));
    let first = nodes
        .a
        .submit(&nodes.admin, step_for("held-a"), key(), None);
    let first = first.await.unwrap();
    assert!(first.fresh);
    for node in [&nodes.b, &nodes.c, &nodes.a] {
        let again = node.submit(&nodes.admin, step_for("held-a"), key(), None);
        let again = again.await.unwrap();
        assert_eq!((again.task.id, again.fresh), (first.task.id, false));
    }
    let other = nodes.c.submit(
        &nodes.admin,
        step_for("held-a"),
        Some(("k".to_owned(), [8; 32])),
        None,
    );
    assert_eq!(other.await.unwrap_err().code(), "idempotency_mismatch");
}

#[tokio::test]
async fn a_cancelled_task_takes_parts_on_other_nodes_with_it() {
    let nodes = Nodes::start().await;
    let parent = nodes.held().await;
    let part = json!({
        "description": "a part", "parent_id": parent, "steps": [{ "id": "s", "agent": "held-b" }],
    });
    let part = nodes.b.submit(&nodes.admin, spec(part), None, None).await;
    let part = part.unwrap().task.id;
    let tree = nodes.c.task_tree(&nodes.admin, parent).await.unwrap();
    assert_eq!(tree.children[0].task.id, part);
    let cancelled = nodes.c.cancel_task(&nodes.admin, parent, "x".to_owned());
    within(cancelled).await.unwrap();
    let part = nodes.b.task(&nodes.admin, part).await.unwrap();
    assert_eq!(part.status, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_refusal_reads_the_same_on_every_node() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let (viewer, other) = (user("v", Role::Viewer), user("o", Role::Developer));
    let cyclic = json!({ "description": "x", "steps": [
        { "id": "a", "agent": "echo-a", "needs": ["b"] },
        { "id": "b", "agent": "echo-a", "needs": ["a"] },
    ] });
    let mut answers: Vec<Vec<Rejection>> = Vec::new();
    for node in [&nodes.a, &nodes.c] {
        let cancelled = node.cancel_task(&viewer, id, String::new()).await;
        let submitted = node.submit(&nodes.admin, spec(cyclic.clone()), None, None);
        let agent = serde_json::from_value(json!({ "name": "echo-a", "agent_type": "echo" }));
        let registered = node.register_agent(&nodes.admin, agent.unwrap()).await;
        answers.push(vec![
            cancelled.unwrap_err(),
            submitted.await.unwrap_err(),
            registered.unwrap_err(),
            node.task(&other, id).await.unwrap_err(),
            node.task_result(&nodes.admin, id).await.unwrap_err(),
            node.agent(&nodes.admin, "nobody").await.unwrap_err(),
        ]);
    }
    assert_eq!(answers[0], answers[1]);
    let codes: Vec<_> = answers[0].iter().map(Rejection::code).collect();
    assert_eq!(
        codes,
        [
            "forbidden",
            "plan_cycle",
            "name_taken",
            "not_found",
            "not_settled",
            "not_found"
        ]
    );
}

#[tokio::test]
async fn what_is_larger_than_a_message_crosses_in_both_directions() {
    let nodes = Nodes::start().await;
    let steps: Vec<_> = (0..8)
        .map(|step| {
            let input = format!("{step}").repeat(200_000);
            json!({ "id": format!("s{step}"), "agent": "echo-a", "input": input })
        })
        .collect();
    let large = json!({ "description": "large", "steps": steps });
    let made = nodes
        .c
        .submit(&nodes.admin, spec(large.clone()), None, Some(WAIT));
    let made = within(made).await.unwrap().task;
    assert_eq!(made.status, TaskStatus::Completed);
    let shown = nodes.c.task(&nodes.admin, made.id).await.unwrap();
    let outputs = shown.plan.as_ref().unwrap().steps.iter();
    let sizes = outputs.map(|step| step.output.to_string().len());
    assert!(sizes.sum::<usize>() > 1_600_000);
    assert_eq!(shown, nodes.a.task(&nodes.admin, made.id).await.unwrap());
}
