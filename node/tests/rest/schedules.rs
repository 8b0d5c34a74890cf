//! Schedules, triggers and webhooks over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Answer, Node};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn with_echo() -> Node {
    let node = Node::start().await;
    let agent = json!({"name": "echo", "agent_type": "echo"});
    let made = node.post("/api/v1/agents/register", agent).await;
    assert_eq!(made.status, 201, "{made:?}");
    node
}

fn task() -> Value {
    json!({"task": {"description": "hi", "steps": [{"id": "a", "agent": "echo", "input": "hi"}]}})
}

/// When the newest of what was started is over.
async fn runs(node: &Node, path: &str) -> Value {
    let over = async {
        loop {
            let page = node.get(&format!("{path}/runs")).await.json();
            if page["items"][0]["outcome"] == "completed" {
                return page;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), over)
        .await
        .unwrap()
}

fn errors(answer: &Answer) -> Vec<String> {
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap();
    let fields = errors.iter().map(|error| error["field"].as_str().unwrap());
    fields.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_schedule_lives_its_life_over_http() {
    let node = with_echo().await;
    let body = json!({"name": "x", "cron": "0 3 * * *", "tz": "Europe/Berlin", "target": task()});
    let made = node.post("/api/v1/schedules", body.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = made.header("location").to_owned();
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(path, format!("/api/v1/schedules/{id}"));
    let again = node.post("/api/v1/schedules", body.clone()).await;
    assert_eq!(
        (again.status, again.problem().as_str()),
        (409, "name_taken")
    );
    let fired = node.post(&format!("{path}/fire"), json!({})).await;
    assert_eq!(fired.status, 202, "{fired:?}");
    let page = runs(&node, &path).await;
    assert_eq!(page["items"][0]["run"], fired.json()["run"]);
    assert_eq!(page["items"][0]["cause"], "request");
    for (deed, status) in [("pause", "paused"), ("resume", "active")] {
        let turned = node.post(&format!("{path}/{deed}"), json!({})).await;
        assert_eq!(
            (turned.status, turned.json()["status"].as_str()),
            (200, Some(status))
        );
    }
    let mut changed = body;
    changed["cron"] = json!("0 4 * * *");
    let answer = node.send("PUT", &path, &[JSON], &changed.to_string()).await;
    assert_eq!(answer.json()["spec"]["cron"], "0 4 * * *", "{answer:?}");
    let list = node.get("/api/v1/schedules?status=active").await.json();
    assert_eq!(list["items"][0]["id"].as_str(), Some(id.as_str()));
    let gone = node.send("DELETE", &path, &[], "").await;
    assert_eq!((gone.status, node.get(&path).await.status), (204, 404));
    for (of, status) in [("schedules", 200), ("triggers", 400)] {
        let list = format!("/api/v1/{of}?status=finished");
        let answer = node.get(&list).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_schedule_or_a_trigger_is_named() {
    let node = with_echo().await;
    for (path, body, field) in [
        (
            "schedules",
            json!({"name": "", "cron": "0 3 * * *", "target": task()}),
            "name",
        ),
        (
            "schedules",
            json!({"name": "x", "cron": "0 3 *", "target": task()}),
            "cron",
        ),
        (
            "schedules",
            json!({"name": "x", "cron": "0 3 * * *", "tz": "Nowhere", "target": task()}),
            "tz",
        ),
        (
            "schedules",
            json!({"name": "x", "at": "2001-01-01T00:00:00Z", "target": task()}),
            "at",
        ),
        (
            "schedules",
            json!({"name": "x", "every": "1h", "target": {}}),
            "target",
        ),
        (
            "schedules",
            json!({"name": "x", "every": "1h", "targt": {}}),
            "targt",
        ),
        (
            "schedules",
            json!({"name": "x", "every": "99999999999d", "target": task()}),
            "every",
        ),
        (
            "schedules",
            json!({"name": "x", "every": "1h", "target": {"task": {"description": "x", "steps": [{"id": "a"}]}}}),
            "target.task.steps[0]",
        ),
        (
            "triggers",
            json!({"name": "x", "on": {"event": "task.failed", "filter": "task.stauts == 'x'"}, "target": task()}),
            "on.filter",
        ),
        (
            "triggers",
            json!({"name": "x", "on": {}, "target": task()}),
            "on",
        ),
        (
            "triggers",
            json!({"name": "x", "on": {"event": "task.eaten"}, "target": task()}),
            "on.event",
        ),
        (
            "triggers",
            json!({"name": "x", "on": {"event": "task.failed", "filter": "task. =="}, "target": task()}),
            "on.filter",
        ),
    ] {
        let answer = node.post(&format!("/api/v1/{path}"), body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(errors(&answer)[0], field, "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_webhook_is_believed_by_its_signature_alone() {
    let node = with_echo().await;
    let body = json!({
        "name": "x", "on": {"webhook": {"secret_env": "PATH"}}, "target": task(),
    });
    let made = node.post("/api/v1/triggers", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = made.header("location").to_owned();
    let url = made.json()["url"].as_str().unwrap().to_owned();
    let secret = std::env::var("PATH").unwrap();
    assert!(!made.json().to_string().contains(&secret));
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let deliver = async |id: &str, stamp: u64, sent: &str, signed: &str| {
        let text = format!("{id}.{stamp}.{signed}");
        let signature = actors::trigger::signature_of(&secret, &text).unwrap();
        let stamp = stamp.to_string();
        let headers = [
            ("authorization", ""),
            JSON,
            ("webhook-id", id),
            ("webhook-timestamp", stamp.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        node.send("POST", &url, &headers, sent).await
    };
    let good = deliver("d1", now, "{}", "{}").await;
    assert_eq!(good.status, 202, "{good:?}");
    let again = deliver("d1", now, "{}", "{}").await;
    assert_eq!(again.json()["repeated"], true);
    for (id, stamp, sent) in [("d2", now, "[]"), ("d3", now - 301, "{}")] {
        let answer = deliver(id, stamp, sent, "{}").await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "unsigned")
        );
    }
    let elsewhere = "/api/v1/hooks/trigger_01980000000070008000000000000001";
    let nobody = node
        .send("POST", elsewhere, &[("authorization", ""), JSON], "{}")
        .await;
    assert_eq!(
        (nobody.status, nobody.problem().as_str()),
        (401, "unsigned")
    );
    let page = runs(&node, &path).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["items"][0]["occasion"]["delivery"], "d1");
}
