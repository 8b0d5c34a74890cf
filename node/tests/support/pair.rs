//! Two nodes, each in a process of its own: one that owns everything, one that hosts agents for it.

use std::fs;

use serde_json::json;

use super::process::{Node, Place};

/// Starts a node with a mesh. Its spans, if it sends any, are sent often.
pub(crate) async fn run(place: &Place, more: &[&str]) -> Node {
    let _ = fs::remove_file(place.data().join("edge.url"));
    let mut start = place.troupe(&["start", "--listen", "127.0.0.1:0", "--mesh", "127.0.0.1:0"]);
    start.args(more).env("OTEL_BSP_SCHEDULE_DELAY", "100");
    place.start_as(start, |_| place.data()).await
}

/// Starts a second node, which hosts agents for the first.
pub(crate) async fn joined(place: &Place, first: &Node) -> Node {
    let wanted = json!({"roles": ["worker", "edge"]});
    let made = first.client.post("/api/v1/tokens", &wanted).await.unwrap();
    let (join, token) = (made.body["join"].as_str().unwrap(), &made.body["token"]);
    let mut words = join.split_whitespace().skip_while(|word| *word != "--join");
    let (address, token) = (words.nth(1).unwrap(), token.as_str().unwrap());
    let join = [
        "--roles",
        "worker,edge",
        "--join",
        address,
        "--token",
        token,
    ];
    run(place, &join).await
}
