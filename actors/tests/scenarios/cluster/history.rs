//! The past of all nodes, where it is kept.

use actors::cluster::parcel::plain;
use protocol::{api::Life, id::NodeId, time::Timestamp, wire::Service};
use runtime::{
    chronicle::{life, past},
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
            let past = past(&self.store(), now, Some(node)).await.unwrap();
            let paths: Vec<String> = past.nodes.get(node)?.keys().cloned().collect();
            (!paths.is_empty()).then_some(paths)
        })
        .await
    }
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
    let store = town.store();
    town.board.cut(worker.id);
    town.bury(worker.id);
    let lost = until(async || {
        let events = life(&store, begun, Timestamp::from_micros(i64::MAX), Some("w"));
        let mut events = events.await.unwrap().into_iter();
        events.find(|event| event.what == Life::NodeLost)
    })
    .await;
    assert_eq!(lost.node, "w");
    let after = Timestamp::from_micros(lost.at.as_micros() + 1);
    let stood = past(&store, after, None).await.unwrap();
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
