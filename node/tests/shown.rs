//! What is shown of what went wrong: what is parked, and no secret wherever it was said.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "other processes live by the machine's clock"
)]
#![expect(
    clippy::print_stdout,
    reason = "what was seen belongs to the result of tests that share its helpers"
)]

#[path = "support/process.rs"]
mod process;

use std::{sync::Arc, time::Duration};

use process::{Node, Place, until};
use protocol::entity::EntityId;
use runtime::{
    chronicle::{self, Bounds, Everything, Span},
    clock::Clock,
    store::{Address, Shared, open},
};
use serde_json::{Value, json};

const NAMED: &str = "[node]\nname = \"a\"\n[log]\nlevel = \"debug\"\n";

/// In no word of ours, and in nothing that is registered.
const CANARY: &str = "canary-7f3a9";

async fn store(place: &Place) -> Shared {
    let file = place.data().join("troupe.db");
    let address: Address = format!("sqlite:{}", file.display()).parse().unwrap();
    open(&address).await.unwrap()
}

async fn text(node: &Node, path: &str) -> String {
    let answer = node.client.get(path).await.unwrap();
    assert_eq!(answer.status, 200, "{path} {answer:?}");
    match answer.body {
        Value::String(text) => text,
        body => body.to_string(),
    }
}

#[tokio::test]
async fn what_is_parked_is_in_the_tree_of_the_next_process_and_is_released_from_there() {
    let place = Place::new(NAMED);
    let node = place.start().await;
    let agent = json!({"name": "clerk", "agent_type": "echo"});
    node.client.register(&agent).await.unwrap();
    let view = node.client.get("/api/v1/agents/clerk").await.unwrap().body;
    let id: EntityId = view["id"].as_str().unwrap().parse().unwrap();
    node.terminate().await;
    let shared = store(&place).await;
    shared
        .park(id, Some("2026-01-01T00:00:00Z it broke"))
        .await
        .unwrap();
    shared.close().await.unwrap();

    let node = place.start().await;
    let row = node
        .client
        .get("/api/v1/tree?path=/agents/clerk&depth=0")
        .await
        .unwrap()
        .body;
    let row = &row["nodes"][0];
    assert_eq!(
        (&row["state"], &row["last_error"]),
        (&json!("parked"), &json!("it broke"))
    );
    let metrics = text(&node, "/metrics").await;
    assert!(
        metrics.contains("troupe_entities_parked{kind=\"agent\"} 1"),
        "{metrics}"
    );
    let release = ["actor", "release", "/agents/clerk", "--reason", "mended"];
    let released = place.troupe(&release).output().unwrap();
    assert!(released.status.success(), "{released:?}");
    let row = node
        .client
        .get("/api/v1/actors/agents/clerk")
        .await
        .unwrap()
        .body;
    assert_eq!(row["state"], "running");
    let metrics = text(&node, "/metrics").await;
    assert!(
        metrics.contains("troupe_entities_parked{kind=\"agent\"} 0"),
        "{metrics}"
    );
    let task = json!({"description": "x", "steps": [{"id": "s", "agent": "clerk"}]});
    let made = node.client.submit(&task).await.id.to_string();
    node.client.settled(&made).await;
}

#[tokio::test]
async fn a_secret_in_an_error_a_message_and_a_log_line_is_shown_by_no_route_and_kept_in_no_history()
{
    let place = Place::new(NAMED);
    let node = place.start().await;
    let kept = until("its past is kept", Duration::from_secs(20), async || {
        let now = Clock::system().now();
        let path = format!("/api/v1/tree?at={now}");
        let answer = node.client.get(&path).await.unwrap();
        (answer.status == 200).then_some(now)
    })
    .await;
    // Put together by the shell, so that only what it says has the word.
    let (one, other) = CANARY.split_at(6);
    let said = format!(
        "printf 'password=%s%s token Bearer %s%sabcdefgh' {one} {other} {one} {other} >&2; exit 1"
    );
    let agent =
        json!({"name": "sad", "agent_type": "command", "config": {"argv": ["sh", "-c", said]}});
    node.client.register(&agent).await.unwrap();
    let steps = json!([{"id": "s", "agent": "sad", "retry": {"max_attempts": 1}}]);
    let task = json!({"description": format!("log in with password={CANARY}"), "steps": steps});
    let id = node.client.submit(&task).await.id.to_string();
    let settled = node.client.settled(&id).await;
    assert!(settled.error.is_some());

    let routes = [
        "/api/v1/tree".to_owned(),
        format!("/api/v1/tree/diff?from={kept}"),
        "/api/v1/actors/agents/sad".to_owned(),
        "/api/v1/actors/agents/sad/proxy".to_owned(),
        "/api/v1/life?from=2026-01-01T00:00:00Z".to_owned(),
        "/api/v1/agents/sad".to_owned(),
        "/api/v1/agents/sad/logs".to_owned(),
        "/api/v1/agents/sad/events".to_owned(),
        "/api/v1/agents/stats".to_owned(),
        format!("/api/v1/tasks/{id}/why"),
        format!("/api/v1/tasks/{id}/events"),
        "/metrics".to_owned(),
    ];
    for route in &routes {
        let shown = match route.ends_with("/events") && route.contains("/tasks/") {
            true => {
                let events = json_of(&node, &place, &id).await;
                assert!(events.contains("redacted"), "{events}");
                events
            }
            false => text(&node, route).await,
        };
        assert!(!shown.contains(CANARY), "{route}: {shown}");
    }
    // What its own user wrote is given back as it is; what the tool said is not.
    let view = node.client.task(&id).await;
    let error = format!("{:?} {:?}", view.error, view.plan);
    assert!(
        error.contains("redacted") && !error.contains(CANARY),
        "{error}"
    );

    let logs = text(&node, "/api/v1/agents/sad/logs").await;
    assert!(
        logs.contains("attempt_failed") && logs.contains("redacted"),
        "{logs}"
    );
    // Its end writes the rest of its past.
    node.terminate().await;
    assert!(!place.log().contains(CANARY));
    let shared = store(&place).await;
    let (early, late) = (i64::MIN, i64::MAX);
    let [early, late] = [early, late].map(protocol::time::Timestamp::from_micros);
    let span = Span {
        from: early,
        to: late,
        nodes: None,
        limit: usize::MAX,
    };
    let mut bounds = Bounds::new(u64::MAX, Duration::from_secs(60));
    let life = chronicle::life(&shared, &span, Arc::new(Everything), &mut bounds);
    let life = life.await.unwrap();
    assert!(!life.events.is_empty() && !format!("{life:?}").contains(CANARY));
    for chapter in shared.chapters(early, late).await.unwrap() {
        for segment in shared
            .segments(chapter.node, chapter.chapter, late)
            .await
            .unwrap()
        {
            let text = String::from_utf8_lossy(&segment.data);
            assert!(!text.contains(CANARY), "{text}");
        }
    }
    // Of the journal, all but what the user asked for.
    let id: EntityId = id.parse().unwrap();
    let asked = format!("log in with password={CANARY}");
    for record in shared.read(id, 0, 1_000).await.unwrap() {
        let kept = record.data.replace(&asked, "");
        assert!(!kept.contains(CANARY), "{kept}");
    }
}

/// The events of a task as the command line asks for them.
async fn json_of(node: &Node, place: &Place, id: &str) -> String {
    let url = std::fs::read_to_string(node.data.join("edge.url")).unwrap();
    let token = std::fs::read_to_string(place.data().join("admin.token")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = http.get(format!("{}/api/v1/tasks/{id}/events", url.trim()));
    let get = get
        .bearer_auth(token.trim())
        .header("accept", "application/json");
    get.send().await.unwrap().text().await.unwrap()
}
