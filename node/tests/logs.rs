//! What a node writes down: lines for programs, as much as asked for while it runs, and no secrets.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "other processes live by the machine's clock"
)]
#![expect(clippy::print_stdout, reason = "what was seen belongs to the result")]

#[path = "support/pair.rs"]
mod pair;
#[path = "support/process.rs"]
mod process;

use std::{fs, process::Output, time::Duration};

use futures_util::StreamExt;
use pair::{joined, run};
use process::{Node, PATIENCE, Place, until};
use reqwest::Method;
use serde_json::{Value, json};

const WORDS: &str = "an error at https://ann:s3cret-word@db.example, password=hunter2";

fn lines(place: &Place) -> Vec<Value> {
    let log = place.log();
    // What a starting node prints for people stands there too.
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

async fn line(place: &Place, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(what, PATIENCE, async || lines(place).into_iter().find(&is)).await
}

fn troupe(place: &Place, arguments: &[&str]) -> Output {
    place.troupe(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

async fn work(node: &Node, agent: &str) -> String {
    let steps = json!([{"id": "one", "agent": agent, "retry": {"max_attempts": 1}}]);
    let task = json!({"description": "work", "steps": steps});
    let made = node.client.submit(&task).await;
    let id = made.id.to_string();
    node.client.settled(&id).await;
    id
}

#[tokio::test]
async fn the_level_is_changed_while_nodes_run_by_admins_alone_and_lines_have_their_ids() {
    let log = "[log]\nlevel = \"warn\"\nformat = \"json\"\n";
    // The SHA-256 of `operator`.
    let operator = "[[edge.tokens]]\nuser = \"ann\"\nrole = \"operator\"\n\
        sha256 = \"06e55b633481f7bb072957eabcf110c972e86691c3cfedabe088024bffe42f23\"\n";
    let places =
        ["a", "b"].map(|name| Place::new(&format!("[node]\nname = \"{name}\"\n{log}{operator}")));
    let first = run(&places[0], &[]).await;
    let second = joined(&places[1], &first).await;
    let echo = json!({"name": "echo", "agent_type": "echo"});
    first.client.register(&echo).await.unwrap();
    work(&first, "echo").await;
    assert!(lines(&places[0]).iter().all(|line| line["level"] == "WARN"));
    assert_eq!(text(&troupe(&places[0], &["log", "-q"])).trim(), "warn");

    let set = troupe(&places[0], &["log", "info,actors=debug,troupe=debug"]);
    assert!(set.status.success(), "{set:?}");
    let audit = line(&places[0], "the change is audited", |line| {
        line["target"] == "audit" && line["message"] == "the log level was changed"
    })
    .await;
    assert_eq!(audit["from"], "warn");
    assert_eq!(audit["to"], "info,actors=debug,troupe=debug");
    assert!(audit["by"].as_str().unwrap().contains("admin"), "{audit}");
    assert!(
        audit["request"].as_str().unwrap().starts_with("req_"),
        "{audit}"
    );

    // Over the first node, for the second; which said nothing so far.
    let set = troupe(&places[0], &["log", "debug", "--node", "b"]);
    assert!(set.status.success(), "{set:?}");
    let path = "/api/v1/node/log?node=b";
    let shown = second.client.get(path).await.unwrap();
    assert_eq!(shown.body, json!({"node": "b", "level": "debug"}));
    line(&places[1], "the second node says more", |line| {
        line["level"] == "DEBUG"
    })
    .await;

    let wrong = json!({"level": "loud=="});
    let refused = first
        .client
        .send(Method::PUT, path, None, Some(&wrong))
        .await
        .unwrap();
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["field"]),
        (422, &json!("level"))
    );
    let url = fs::read_to_string(first.data.join("edge.url")).unwrap();
    let ann = process::Client::new(url, "operator".to_owned(), PATIENCE);
    assert_eq!(ann.get(path).await.unwrap().status, 200);
    let level = json!({"level": "off"});
    let refused = ann
        .send(Method::PUT, path, None, Some(&level))
        .await
        .unwrap();
    assert_eq!(refused.status, 403);
    assert_eq!(
        first
            .client
            .get("/api/v1/node/log?node=c")
            .await
            .unwrap()
            .status,
        404
    );

    // Quieter than what it takes to say so: it is said all the same.
    let set = troupe(&places[0], &["log", "error"]);
    assert!(set.status.success(), "{set:?}");
    line(&places[0], "who made it quiet", |line| {
        line["to"] == "error"
    })
    .await;
    assert_eq!(text(&troupe(&places[0], &["log", "-q"])).trim(), "error");
}

#[tokio::test]
async fn lines_of_a_task_name_it_under_the_names_of_ecs_and_secrets_are_taken_out() {
    let place = Place::new(
        "[node]\nname = \"a\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\nfields = \"ecs\"\n",
    );
    let node = run(&place, &[]).await;
    let fails = format!("echo '{WORDS}' >&2; exit 1");
    let agent =
        json!({"name": "sad", "agent_type": "command", "config": {"argv": ["sh", "-c", fails]}});
    node.client.register(&agent).await.unwrap();
    let id = work(&node, "sad").await;
    let of = |line: &Value| line["troupe"]["task"] == id.as_str();
    let said = line(&place, "a line names its task", of).await;
    assert_eq!(said["ecs.version"], "8.11.0");
    assert!(
        said["@timestamp"].is_string() && said["log.level"].is_string(),
        "{said}"
    );
    println!("{said}");
    let request = line(&place, "a line names its request", |line| {
        line["http.request.id"].is_string()
    })
    .await;
    println!("{request}");
    node.terminate().await;
    let log = place.log();
    for secret in ["s3cret-word", "hunter2", "troupe_admin_0", "troupe_admin_f"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

#[tokio::test]
async fn what_an_agent_does_is_followed_from_another_node() {
    let places = ["a", "b"].map(|name| Place::new(&format!("[node]\nname = \"{name}\"\n")));
    let first = run(&places[0], &[]).await;
    let second = joined(&places[1], &first).await;
    let agent = json!({"name": "far", "agent_type": "echo", "placement": {"node": "b"}});
    first.client.register(&agent).await.unwrap();
    let before = work(&first, "far").await;
    let shown = first.client.get("/api/v1/agents/far/logs").await.unwrap();
    let events = |lines: &Value| -> Vec<String> {
        let lines = lines.as_array().unwrap().iter();
        lines
            .map(|line| line["event"].as_str().unwrap().to_owned())
            .collect()
    };
    let seen = events(&shown.body);
    assert!(seen.contains(&"registered".to_owned()), "{seen:?}");
    assert_eq!(
        seen[seen.len() - 2..],
        ["attempt_started", "attempt_succeeded"]
    );
    let last = &shown.body.as_array().unwrap()[seen.len() - 1];
    assert_eq!(
        (&last["task"], &last["node"]),
        (&json!(before), &json!("b"))
    );
    assert!(last["duration_ms"].is_u64(), "{last}");

    let url = fs::read_to_string(second.data.join("edge.url")).unwrap();
    let token = fs::read_to_string(second.data.join("admin.token")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = http.get(format!("{url}/api/v1/agents/far/logs?follow=1"));
    let answer = get.bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut frames = answer.bytes_stream();
    let after = work(&first, "far").await;
    let mut text = String::new();
    let followed = async {
        // Its beginning and its end.
        while text.matches(&after).count() < 2 {
            text.push_str(&String::from_utf8_lossy(
                &frames.next().await.unwrap().unwrap(),
            ));
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(20), followed).await;
    assert!(within.is_ok(), "{text}");
    let ids = text.lines().filter_map(|line| line.strip_prefix("id:"));
    let ids: Vec<&str> = ids.map(str::trim).collect();
    assert!(ids.len() >= 4, "{ids:?}");
    // From the last frame on there is nothing again.
    let path = format!("/api/v1/agents/far/logs?since={}", ids[ids.len() - 1]);
    let rest = second.client.get(&path).await.unwrap();
    assert_eq!(rest.body, json!([]));
    let absent = first
        .client
        .get("/api/v1/agents/nobody/logs")
        .await
        .unwrap();
    assert_eq!(absent.status, 404);
}
