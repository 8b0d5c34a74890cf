//! Events of a task that another node owns.

use std::time::Duration;

use actors::{
    Orchestrator,
    orchestrator::{EventFeed, Peers},
};
use futures_util::StreamExt;
use protocol::{
    api::{EventView, TaskPatch},
    id::TaskId,
    member::NodeRole,
    wire::Service,
};
use serde_json::{Value, json};

use crate::{
    net::Trouble,
    nodes::{Nodes, fresh, step_for, within},
};

async fn next(feed: &mut EventFeed) -> EventView {
    within(feed.next()).await.unwrap().unwrap()
}

async fn rest(feed: EventFeed) -> Vec<u64> {
    let events: Vec<_> = within(feed.collect()).await;
    events.into_iter().map(|event| event.unwrap().seq).collect()
}

async fn until(holds: impl Fn() -> bool) {
    within(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

impl Nodes {
    async fn amend(&self, node: &Orchestrator, id: TaskId, text: &str) -> u64 {
        let patch = TaskPatch {
            description: Some(text.to_owned()),
            ..TaskPatch::default()
        };
        let amended = node.amend_task(&self.admin, id, patch).await;
        amended.unwrap().version
    }

    async fn end(&self, id: TaskId) -> u64 {
        let ended = self.c.cancel_task(&self.admin, id, "over".to_owned());
        within(ended).await.unwrap().version
    }

    /// A feed on this node from which all that was recorded so far was taken.
    async fn follow(&self, node: &Orchestrator, id: TaskId) -> EventFeed {
        let head = self.a.task(&self.admin, id).await.unwrap().version;
        let mut feed = node.task_events(&self.admin, id, 0).await.unwrap();
        for seq in 1..=head {
            assert_eq!(next(&mut feed).await.seq, seq);
        }
        feed
    }
}

#[tokio::test]
async fn every_node_follows_a_task_to_its_end() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let mut feeds = Vec::new();
    for node in [&nodes.a, &nodes.b, &nodes.c] {
        feeds.push(nodes.follow(node, id).await);
    }
    let seq = nodes.amend(&nodes.a, id, "live").await;
    for feed in &mut feeds {
        let event = next(feed).await;
        assert_eq!((event.seq, event.entity), (seq, id.into()));
        assert_eq!(event.event["type"], "amended");
    }
    let head = nodes.end(id).await;
    for feed in feeds {
        assert_eq!(rest(feed).await, (seq + 1..=head).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_settled_task_is_told_from_the_store_after_any_position() {
    let nodes = Nodes::start().await;
    let wait = Some(Duration::from_secs(20));
    let made = nodes.a.submit(&nodes.admin, step_for("echo-a"), None, wait);
    let task = within(made).await.unwrap().task;
    for after in 0..=task.version {
        let feed = nodes.c.task_events(&nodes.admin, task.id, after).await;
        let expected: Vec<_> = (after + 1..=task.version).collect();
        assert_eq!(rest(feed.unwrap()).await, expected, "after {after}");
    }
}

#[tokio::test]
async fn a_feed_goes_on_when_the_task_has_another_owner() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let mut feeds = Vec::new();
    for node in [&nodes.a, &nodes.b, &nodes.c] {
        feeds.push(nodes.follow(node, id).await);
    }
    let first = nodes.amend(&nodes.c, id, "on a").await;
    nodes.owners.give(id, Some(nodes.id(&nodes.b)));
    let second = nodes.amend(&nodes.c, id, "on b").await;
    assert_eq!(second, first + 1);
    for feed in &mut feeds {
        for (seq, text) in [(first, "on a"), (second, "on b")] {
            let event = next(feed).await;
            assert_eq!(event.seq, seq);
            assert!(event.event.to_string().contains(text), "{event:?}");
        }
    }
    let head = nodes.end(id).await;
    for feed in feeds {
        assert_eq!(rest(feed).await, (second + 1..=head).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn news_that_is_lost_on_its_way_is_read_from_the_store() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let c = nodes.id(&nodes.c);
    let mut feed = nodes.follow(&nodes.c, id).await;
    nodes.net.trouble(c, Trouble::Deaf);
    let seq = nodes.amend(&nodes.a, id, "unheard").await;
    assert_eq!(next(&mut feed).await.seq, seq);
}

#[tokio::test]
async fn news_after_a_gap_is_neither_told_before_what_was_lost_nor_twice() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let c = nodes.id(&nodes.c);
    let feed = nodes.follow(&nodes.c, id).await;
    nodes.net.trouble(c, Trouble::Deaf);
    let lost = nodes.amend(&nodes.a, id, "unheard").await;
    until(|| nodes.net.lost() == 1).await;
    nodes.net.heal(c);
    let told = nodes.net.told();
    for _ in 0..3 {
        nodes.amend(&nodes.a, id, "heard").await;
    }
    until(|| nodes.net.told() == told + 3).await;
    nodes.net.heard(c).await;
    let head = nodes.end(id).await;
    assert_eq!(rest(feed).await, (lost..=head).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_node_that_only_works_may_not_follow_for_users() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let roles = [NodeRole::Worker].into_iter().collect();
    let worker = nodes.net.port("w", fresh(), roles);
    let subscribe = json!({ "subscribe": {
        "number": 1, "task": id, "after": 0, "caller": nodes.admin,
    } });
    let (a, subscribe) = (nodes.id(&nodes.a), subscribe.to_string().into_bytes());
    let patience = Duration::from_secs(1);
    let answer = worker.ask(a, Service::FEED, subscribe, patience).await;
    let answer: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    assert_eq!(answer["rejected"]["kind"], "forbidden", "{answer}");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_subscription() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let feed = nodes.follow(&nodes.c, id).await;
    drop(feed);
    nodes.net.heard(nodes.id(&nodes.a)).await;
    let told = nodes.net.told();
    let mut local = nodes.follow(&nodes.a, id).await;
    let seq = nodes.amend(&nodes.a, id, "to nobody").await;
    assert_eq!(next(&mut local).await.seq, seq);
    tokio::task::yield_now().await;
    assert_eq!(nodes.net.told(), told);
}

#[tokio::test]
async fn a_slow_reader_misses_nothing_and_holds_nobody_up() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let feed = nodes.follow(&nodes.c, id).await;
    let before = nodes.net.told();
    let mut seq = 0;
    for number in 0..700 {
        seq = nodes.amend(&nodes.a, id, &format!("d{number}")).await;
    }
    assert!(nodes.net.told() - before <= 256, "no more than the window");
    let head = nodes.end(id).await;
    let first = seq - 699;
    assert_eq!(rest(feed).await, (first..=head).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_larger_than_a_message_is_followed_too() {
    let nodes = Nodes::start().await;
    let id = nodes.held().await;
    let mut feed = nodes.follow(&nodes.c, id).await;
    let metadata = json!({ "note": "x".repeat(600_000) });
    let patch = TaskPatch {
        metadata: metadata.as_object().cloned(),
        ..TaskPatch::default()
    };
    nodes.a.amend_task(&nodes.admin, id, patch).await.unwrap();
    let event = next(&mut feed).await;
    assert!(event.event.to_string().len() > 600_000);
}
