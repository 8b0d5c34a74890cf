//! The OpenAPI document against the routes, and against what clients were promised before.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::HashSet;

use serde_json::Value;
use support::Node;
use troupe::edge::{
    openapi,
    table::{self, Body, Content, Route},
};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
/// Set it to write the golden file again.
const WRITE: &str = "TROUPE_WRITE_GOLDEN";

#[test]
fn the_document_is_the_one_that_clients_were_promised() {
    let document = serde_json::to_string_pretty(&openapi::document()).unwrap() + "\n";
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(GOLDEN, &document).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(
        document == golden,
        "the routes and {GOLDEN} differ at line {}; if clients can live with the change, write it \
         with `{WRITE}=1 cargo test -p troupe-node --test openapi` and read the difference",
        document
            .lines()
            .zip(golden.lines())
            .take_while(|(new, old)| new == old)
            .count()
            + 1,
    );
}

#[test]
fn document_and_table_list_the_same_routes() {
    let document = openapi::document();
    let mut documented = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert((method.to_ascii_uppercase(), path.clone()));
        }
    }
    let listed: HashSet<_> = table::routes()
        .map(|route| (route.method.as_str().to_owned(), route.path.to_owned()))
        .collect();
    assert_eq!(documented, listed);
}

#[test]
fn each_route_says_what_it_does_takes_and_answers() {
    let document = openapi::document();
    for route in table::routes() {
        let operation = operation(&document, route);
        for text in ["operationId", "summary", "description"] {
            assert!(
                operation[text]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{} has no {text}",
                route.id
            );
        }
        let takes_body = !matches!(route.body, Body::None);
        assert_eq!(
            operation.get("requestBody").is_some(),
            takes_body,
            "{}",
            route.id
        );
        let responses = operation["responses"].as_object().unwrap();
        let is_good = |status: &str| status.starts_with('2') || status == "101";
        assert!(
            responses.keys().any(|status| is_good(status)),
            "{}",
            route.id
        );
        for status in openapi::problems(route) {
            assert!(
                responses.contains_key(&status.to_string()),
                "{} hides {status}",
                route.id
            );
        }
        for parameter in operation["parameters"].as_array().unwrap() {
            let known = parameter.get("$ref").is_some() || parameter["description"].is_string();
            assert!(known, "{}: {parameter}", route.id);
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = openapi::document();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                open.extend(object.values());
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

#[tokio::test]
async fn the_node_serves_the_document() {
    let node = Node::start().await;
    let served = node.get("/api/v1/openapi.json").await;
    assert_eq!(served.status, 200);
    assert_eq!(served.json(), openapi::document());
}

#[tokio::test]
async fn each_route_is_answered_with_a_status_that_it_documents() {
    let node = Node::start().await;
    let document = openapi::document();
    for route in table::routes() {
        let path = route
            .path
            .replace("{task}", "task_01980000000070008000000000000001");
        let path = path.replace("{agent}", "nobody").replace("{step}", "s");
        let path = path.replace("{attempt}", "1").replace("{name}", "n");
        let path = path.replace("{node}", "nowhere").replace("{token}", "t");
        let path = path.replace("{path}", "nothing");
        let mut answers = route.answers.iter();
        if answers.any(|answer| matches!(answer.content, Content::Feed(_))) {
            // An answer without an end; what is wrong with a request is told at once.
            let refused = node.get(&format!("{path}?path=wrong")).await;
            assert_eq!(refused.status, 400, "{}", route.id);
            continue;
        }
        let answer = node.send(route.method.as_str(), &path, &[], "").await;
        assert_ne!(answer.status, 405, "{}", route.id);
        let named = operation(&document, route)["responses"].get(answer.status.to_string());
        assert!(
            named.is_some(),
            "{} answers {} unannounced: {}",
            route.id,
            answer.status,
            answer.body
        );
        if answer.status == 404 {
            // It is the thing that is not found, not the path.
            assert!(
                !answer.body.contains("this path"),
                "{}: {}",
                route.id,
                answer.body
            );
        }
    }
}

fn operation<'a>(document: &'a Value, route: &Route) -> &'a Value {
    &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()]
}
