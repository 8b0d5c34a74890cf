//! Events of a task as they happen.

use actors::orchestrator::EventFeed;
use futures_util::StreamExt;
use protocol::{api::EventView, api::TaskPatch};
use serde_json::json;

use crate::support::{System, within};

async fn rest(feed: EventFeed) -> Vec<EventView> {
    let events: Vec<_> = within(feed.collect()).await;
    events.into_iter().map(Result::unwrap).collect()
}

fn positions(events: &[EventView]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn a_feed_has_no_gap_and_no_duplicate_and_ends_with_the_task() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system.work("x").await;
    system.tool("one").is_called(1).await;
    let feed = system.task_events(&system.admin, id, 0).await.unwrap();
    system.tool("one").release(1);
    let events = rest(feed).await;
    let head = system.completed(id).await.version;
    assert_eq!(positions(&events), (1..=head).collect::<Vec<_>>());
    assert_eq!(events.last().unwrap().event["type"], "settled");
    assert!(
        events
            .iter()
            .all(|event| event.event.get("token").is_none())
    );
}

#[tokio::test]
async fn a_feed_resumes_after_any_position_and_ends_at_once_after_the_last() {
    let system = System::start(&[]).await;
    system
        .agent(json!({ "name": "echo", "agent_type": "echo", "capabilities": ["work"] }))
        .await;
    let id = system.work("x").await;
    let head = system.completed(id).await.version;
    for after in 0..=head + 1 {
        let feed = system.task_events(&system.admin, id, after).await.unwrap();
        let expected: Vec<_> = (after + 1..=head).collect();
        assert_eq!(positions(&rest(feed).await), expected, "after {after}");
    }
}

#[tokio::test]
async fn a_watcher_that_falls_behind_misses_nothing() {
    let system = System::start(&["one"]).await;
    system.native("one", 5).await;
    let id = system.work("x").await;
    system.tool("one").is_called(1).await;
    let mut feed = system.task_events(&system.admin, id, 0).await.unwrap();
    let first = within(feed.next()).await.unwrap().unwrap();
    assert_eq!(first.seq, 1);
    for number in 0..600 {
        let patch = TaskPatch {
            description: Some(format!("d{number}")),
            ..TaskPatch::default()
        };
        system.amend_task(&system.admin, id, patch).await.unwrap();
    }
    system.tool("one").release(1);
    let head = system.completed(id).await.version;
    assert!(head > 600);
    let events = rest(feed).await;
    assert_eq!(positions(&events), (2..=head).collect::<Vec<_>>());
}
