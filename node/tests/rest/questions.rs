//! Questions to people over HTTP: a workflow asks, people answer.

use serde_json::{Value, json};

use super::support::{Answer, Node};

/// A run that waits for a person, and its question.
async fn asked(node: &Node) -> (String, String) {
    let definition = json!({
        "name": "release", "type": "sequential",
        "nodes": [{
            "id": "approve", "type": "human", "question": "Ship it?", "deadline": "1h",
            "schema": { "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"] },
        }],
    });
    let draft = json!({ "dag_definition": definition });
    let made = node.post("/api/v1/workflows", draft).await;
    assert_eq!(made.status, 201, "{made:?}");
    let begun = node
        .post(
            "/api/v1/workflows/release/execute",
            json!({ "input": { "version": 7 } }),
        )
        .await;
    assert!(begun.status < 300, "{begun:?}");
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    for _ in 0..500 {
        ticks.tick().await;
        let open = node.get("/api/v1/questions?status=open").await.json();
        if let Some(question) = open["items"].get(0) {
            let text = |name: &str| question[name].as_str().unwrap().to_owned();
            assert_eq!(
                (text("question"), text("to")),
                ("Ship it?".to_owned(), "operator".to_owned())
            );
            return (text("task"), text("id"));
        }
    }
    panic!("nobody is asked");
}

async fn post(node: &Node, who: &str, path: &str, body: Value) -> Answer {
    let token = format!("Bearer {who}");
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
    ];
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    node.send("POST", path, &headers, &body).await
}

#[tokio::test]
async fn a_question_is_claimed_answered_once_and_its_run_goes_on() {
    let node = Node::start().await;
    let (task, id) = asked(&node).await;
    let place = format!("/api/v1/questions/{id}");
    let view = node.get(&place).await.json();
    assert_eq!(view["schema"]["required"], json!(["ok"]));
    assert_eq!(view["node"], "approve");
    let [claim, answer] = ["claim", "answer"].map(|what| format!("{place}/{what}"));

    let unseen = post(&node, "developer", &claim, Value::Null).await;
    assert_eq!(
        (unseen.status, unseen.problem().as_str()),
        (404, "not_found")
    );
    let claimed = post(&node, "operator", &claim, Value::Null).await;
    assert_eq!(claimed.json()["claimed_by"], "operator");

    let wrong = post(
        &node,
        "operator",
        &answer,
        json!({ "answer": { "ok": "yes" } }),
    )
    .await;
    assert_eq!(
        (wrong.status, wrong.problem().as_str()),
        (422, "answer_mismatch")
    );
    assert_eq!(wrong.field(), "answer/ok");
    assert_eq!(node.get(&place).await.json()["status"], "open");

    let right = json!({ "answer": { "ok": true } });
    let answered = post(&node, "operator", &answer, right).await;
    assert_eq!(
        (answered.status, &answered.json()["status"]),
        (200, &json!("answered"))
    );
    let second = node
        .post(&answer, json!({ "answer": { "ok": false } }))
        .await;
    assert_eq!(
        (second.status, second.problem().as_str()),
        (409, "already_answered")
    );
    let first = &second.json()["first"];
    assert_eq!(first["answer"], json!({ "ok": true }));
    assert_eq!(first["answered_by"], "operator");

    let settled = node
        .get(&format!("/api/v1/tasks/{task}?wait=20s"))
        .await
        .json();
    assert_eq!(settled["status"], "completed", "{settled}");
    let mine = node
        .get(&format!("/api/v1/questions?task={task}&status=answered"))
        .await;
    assert_eq!(mine.json()["items"][0]["answered_by"], "operator");
}

#[tokio::test]
async fn who_it_is_delegated_to_answers_whatever_their_role() {
    let node = Node::start().await;
    let (_, id) = asked(&node).await;
    let place = format!("/api/v1/questions/{id}");
    let [delegate, answer] = ["delegate", "answer"].map(|what| format!("{place}/{what}"));
    let nobody = post(&node, "operator", &delegate, json!({ "to": "finance" })).await;
    assert_eq!(nobody.status, 422, "{nobody:?}");
    let delegated = post(&node, "operator", &delegate, json!({ "to": "user:viewer" })).await;
    assert_eq!(delegated.json()["to"], "user:viewer");
    let right = json!({ "answer": { "ok": true } });
    let refused = post(&node, "operator", &answer, right.clone()).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "forbidden")
    );
    let answered = post(&node, "viewer", &answer, right).await;
    assert_eq!(answered.json()["answered_by"], "viewer", "{answered:?}");
}

#[tokio::test]
async fn a_question_that_is_none_is_not_found() {
    let node = Node::start().await;
    for id in ["nonsense", "question_01980000000070008000000000000001"] {
        let missing = node.get(&format!("/api/v1/questions/{id}")).await;
        assert_eq!(
            (missing.status, missing.problem().as_str()),
            (404, "not_found"),
            "{id}"
        );
    }
    let wrong = node.get("/api/v1/questions?role=finance").await;
    assert_eq!((wrong.status, wrong.field().as_str()), (400, "role"));
}
