//! The past of all nodes, where it is kept.

use actors::cluster::parcel::plain;
use std::{sync::Arc, time::Duration};

use protocol::{
    api::{Life, LifeEvent},
    id::NodeId,
    time::Timestamp,
    wire::Service,
};
use runtime::{
    chronicle::{Bounds, Everything, Past, Span, Untold, life, past},
    clock::Clock,
};
use serde_json::json;
use uuid::Uuid;

use super::town::Town;
use crate::support::{until, within};

impl Town {
    /// Waits until what stands on a node now is written down, and answers its paths.
    async fn written(&self, node: &str) -> Vec<String> {
        until(async || {
            let now = Clock::system().now();
            let past = self.past(now).await.ok()?;
            let paths: Vec<String> = past.nodes.get(node)?.keys().cloned().collect();
            (!paths.is_empty()).then_some(paths)
        })
        .await
    }

    async fn past(&self, at: Timestamp) -> Result<Past, Untold> {
        past(&self.store(), at, None, "/", &mut unbounded()).await
    }

    async fn life_of(&self, node: &str, from: Timestamp) -> Vec<LifeEvent> {
        let span = Span {
            from,
            to: Timestamp::from_micros(i64::MAX),
            nodes: Some([node.to_owned()].into()),
            limit: usize::MAX,
        };
        let (store, mut bounds) = (self.store(), unbounded());
        let lives = life(&store, &span, Arc::new(Everything), &mut bounds);
        lives.await.unwrap().events
    }
}

/// Whatever it takes.
fn unbounded() -> Bounds {
    Bounds::new(u64::MAX, Duration::from_secs(60))
}

#[tokio::test]
async fn the_past_of_a_node_with_a_store_and_of_one_without_is_written_and_ends_when_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let worker = town.hire("w", folder.path()).await;
    let begun = Clock::system().now();
    for node in ["a", "w"] {
        let paths = town.written(node).await;
        for part in ["/system/chronicle", "/system/sentry"] {
            assert!(paths.contains(&part.to_owned()), "{node}: {paths:?}");
        }
    }
    town.board.cut(worker.id);
    town.bury(worker.id);
    let lost = until(async || {
        let mut events = town.life_of("w", begun).await.into_iter();
        events.find(|event| event.what == Life::NodeLost)
    })
    .await;
    assert_eq!(lost.node, "w");
    let after = Timestamp::from_micros(lost.at.as_micros() + 1);
    let stood = town.past(after).await.unwrap();
    let nodes: Vec<&String> = stood.nodes.keys().collect();
    assert_eq!(nodes, ["a"], "nothing stands on a lost node");
}

#[tokio::test]
async fn a_node_writes_no_past_but_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let worker = town.hire("w", folder.path()).await;
    let other = NodeId::from_uuid(Uuid::from_u128(77));
    for (node, name, fits) in [
        (worker.id, "w", true),
        (other, "w", false),
        (worker.id, "a", false),
    ] {
        let head = json!({
            "node": node, "name": name, "chapter": 1, "number": 1, "kind": "base",
            "until": Timestamp::default(), "data": [],
        });
        let head = serde_json::to_vec(&head).unwrap();
        let length = u32::try_from(head.len()).unwrap().to_be_bytes();
        let payload = plain([&length[..], &head, b"x"].concat());
        let answer = within(town.ask_in_bytes(worker.id, "a", Service::HISTORY, payload)).await;
        assert_eq!(answer.is_ok(), fits, "{node} {name}: {answer:?}");
    }
}

#[tokio::test]
async fn the_past_of_a_node_with_more_actors_than_a_message_holds_is_kept_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut town = Town::of(&["a"]).await;
    let worker = town.hire("w", folder.path()).await;
    town.written("w").await;
    let tree = worker.worker.actors();
    let error = "no luck ".repeat(100);
    let crowd = (0..4_000).map(|number| {
        let guard = tree.enter(format!("/x/{number:05}"), "task");
        guard.failed(format!("{number}: {error}"));
        guard
    });
    let crowd: Vec<_> = crowd.collect();
    let kept = until(async || {
        let past = town.past(Clock::system().now()).await.ok()?;
        let paths = past.nodes.get("w")?.keys();
        let kept = paths.filter(|path| path.starts_with("/x/")).count();
        (kept > 0).then_some(kept)
    });
    assert_eq!(kept.await, crowd.len(), "never only some of it");
    let node = worker.id;
    let chapter = town.store().last_chapter(node).await.unwrap().unwrap();
    let end = Timestamp::from_micros(i64::MAX);
    let segments = town
        .store()
        .segments(node, chapter.chapter, end)
        .await
        .unwrap();
    let largest = segments.iter().map(|it| it.data.len()).max();
    assert!(
        segments.len() > 5 && largest < Some(512 << 10),
        "{largest:?}"
    );
}
