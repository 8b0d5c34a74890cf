//! A node that is dropped ends as by a crash: nothing of it runs on, and what was acknowledged stays.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, time::Duration};

use protocol::{member::NodeRole, task::TaskStatus};
use serde_json::json;
use tokio::time::timeout;
use troupe::{Config, Node, node::Builder};

const PATIENCE: Duration = Duration::from_secs(20);

fn node(folder: &Path, name: &str) -> Builder {
    let mut config = Config::default();
    config.cluster.lease = protocol::time::Span(Duration::from_secs(2));
    config.edge.listen = "127.0.0.1:0".parse().unwrap();
    Node::builder()
        .config(config)
        .data_dir(folder.join(name))
        .name(name)
}

#[tokio::test]
async fn its_actors_end_with_it_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = node(folder.path(), "alone").start().await.unwrap();
    let (troupe, me) = (first.orchestrator().clone(), first.caller());
    let agent = json!({"name": "slow", "agent_type": "sleep", "config": {"for": "1s"}});
    let agent = serde_json::from_value(agent).unwrap();
    troupe.register_agent(&me, agent).await.unwrap();
    let spec = json!({"description": "nap", "steps": [{"id": "nap", "agent": "slow"}]});
    let spec = serde_json::from_value(spec).unwrap();
    let task = troupe.submit(&me, spec, None, None).await.unwrap().task;
    drop(first);
    timeout(PATIENCE, troupe.escalated()).await.unwrap();

    let next = node(folder.path(), "alone").start().await.unwrap();
    let settled = next
        .orchestrator()
        .await_task(&me, task.id, PATIENCE)
        .await
        .unwrap();
    assert_eq!(settled.status, TaskStatus::Completed);
    next.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn the_others_count_it_as_lost_when_its_lease_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let first = node(folder.path(), "first")
        .mesh(any)
        .start()
        .await
        .unwrap();
    let token = first.join_token().await.unwrap();
    let mesh = first.member().mesh.clone().unwrap();
    let second = node(folder.path(), "second")
        .roles([NodeRole::Worker])
        .mesh(any)
        .join(mesh, Some(token))
        .start()
        .await
        .unwrap();
    let lost = second.member().node;
    let store = first.store().unwrap().clone();
    let lives = async || {
        let survey = store.survey().await.unwrap();
        let row = survey
            .members
            .into_iter()
            .find(|row| row.member.node == lost);
        row.is_some_and(|row| row.lives())
    };
    assert!(lives().await);
    drop(second);
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    let over = async {
        while lives().await {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, over).await.unwrap();
    first.stop(Duration::ZERO).await;
}
