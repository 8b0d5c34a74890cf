//! Task templates by command, over a crash, and through a node that owns nothing.

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

use std::fs;

use process::Place;
use serde_json::{Value, json};

const TEMPLATE: &str = "
name: greet
params:
  - { name: who, type: string }
  - { name: times, type: integer, default: 1 }
task:
  description: Greet ${params.who}
  steps:
    - { id: a, agent: echo, input: { who: '${params.who}', times: '${params.times}' } }
";

/// Runs the program on a place and answers its exit code and what it prints as JSON.
fn troupe(place: &Place, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["-o", "json"], arguments].concat();
    let ended = place.troupe(&arguments).output().unwrap();
    let out = serde_json::from_slice(&ended.stdout);
    (ended.status.code(), out.unwrap_or_default())
}

/// Makes a task of the template for a person whose name looks like a number.
fn greeted(place: &Place) -> Value {
    let fill = ["--param", "who=007", "--param", "times=2", "--wait", "30s"];
    let create = ["task", "create", "--template", "greet"];
    let (code, task) = troupe(place, &[&create[..], &fill].concat());
    assert_eq!(code, Some(0), "{task}");
    task["result"].clone()
}

#[tokio::test]
async fn a_template_that_was_made_by_command_is_there_after_a_crash() {
    let place = Place::new("");
    let node = place.start().await;
    let echo = json!({ "name": "echo", "agent_type": "echo" });
    node.client.register(&echo).await.unwrap();
    let file = place.path("greet.yaml");
    fs::write(&file, TEMPLATE).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(troupe(&place, &["template", "create", file]).0, Some(0));
    assert_eq!(troupe(&place, &["template", "create", file]).0, Some(6));
    node.kill();

    let _node = place.start().await;
    assert_eq!(greeted(&place), json!({ "who": "007", "times": 2 }));
    let missing = troupe(&place, &["task", "create", "--template", "greet"]);
    assert_ne!(missing.0, Some(0));
    let (_, page) = troupe(&place, &["template", "list"]);
    assert_eq!(page["items"][0]["required"], json!(["who"]));
    let (_, same) = troupe(&place, &["template", "update", "greet", file]);
    assert_eq!(same["version"], 1);
    assert_eq!(troupe(&place, &["template", "delete", "greet"]).0, Some(0));
    assert_eq!(troupe(&place, &["template", "get", "greet"]).0, Some(3));
}

#[tokio::test]
async fn a_node_that_owns_nothing_passes_on_what_is_asked_of_templates() {
    let places = ["a", "b"].map(|name| Place::new(&format!("[node]\nname = \"{name}\"\n")));
    let [first, second] = &places;
    let control = pair::run(first, &[]).await;
    let _edge = pair::joined(second, &control).await;
    let echo = json!({ "name": "echo", "agent_type": "echo" });
    control.client.register(&echo).await.unwrap();
    let file = second.path("greet.yaml");
    fs::write(&file, TEMPLATE).unwrap();
    let made = troupe(second, &["template", "create", file.to_str().unwrap()]);
    assert_eq!(made.0, Some(0), "{made:?}");
    assert_eq!(troupe(first, &["template", "get", "greet"]), made);
    assert_eq!(greeted(second), json!({ "who": "007", "times": 2 }));
    let update = ["template", "update", "greet", file.to_str().unwrap()];
    assert_eq!(troupe(second, &update).1["version"], 1);
    assert_eq!(troupe(second, &["template", "delete", "greet"]).0, Some(0));
    assert_eq!(troupe(first, &["template", "list"]).1["items"], json!([]));
}
