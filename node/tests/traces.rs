//! One trace from a caller through the edge of one node to a tool on another, as a collector sees it.

#![cfg(all(feature = "cli", feature = "otlp"))]
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
#[path = "traces/sink.rs"]
mod sink;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pair::{joined, run};
use process::{Node, PATIENCE, Place, until};
use serde_json::{Value, json};
use sink::{Seen, Sink};

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Says which trace it was called in.
const TELLS: &str = "printf '{\"traceparent\": \"%s\"}' \"$TRACEPARENT\"";

fn settings(name: &str, sink: &Sink) -> String {
    format!(
        "[node]\nname = \"{name}\"\n[telemetry]\notlp_endpoint = \"{}\"\n\
         [egress]\nallow = [\"{}\"]\n[tasks]\nmax_backoff = \"100ms\"\n",
        sink.url(),
        sink.address()
    )
}

/// Submits in the caller's trace, and waits for the end.
async fn submit(node: &Node, task: &Value) -> Value {
    let url = std::fs::read_to_string(node.data.join("edge.url")).unwrap();
    let token = std::fs::read_to_string(node.data.join("admin.token")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http
        .post(format!("{url}/api/v1/tasks?wait=60s"))
        .bearer_auth(token)
        .header("traceparent", GIVEN)
        .json(task)
        .send()
        .await
        .unwrap();
    let told = answer.headers()["traceresponse"].to_str().unwrap();
    assert!(told.contains(TRACE), "{told}");
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["status"], "completed", "{answer:#}");
    answer
}

/// A span but the first that hangs below none that has arrived.
fn loose(spans: &[Seen]) -> Option<&Seen> {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let mut spans = spans.iter();
    spans.find(|span| span.parent != CALLER && !ids.contains(span.parent.as_str()))
}

fn connected(spans: &[Seen]) {
    assert_eq!(loose(spans).map(|span| &span.name), None, "{spans:#?}");
    for span in spans {
        assert_eq!(span.trace, TRACE, "{span:#?}");
    }
    let roots = spans.iter().filter(|span| span.parent == CALLER).count();
    assert_eq!(roots, 1, "one span is the request's own: {spans:#?}");
}

/// The trace that a tool says it was called in.
fn told(output: &Value) -> String {
    let text = output.to_string();
    let at = text.find("00-").unwrap_or_else(|| panic!("{output:#}"));
    text[at..at + GIVEN.len()].to_owned()
}

fn named<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn instances(spans: &[Seen]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.instance.as_str()).collect()
}

#[tokio::test]
async fn a_task_that_one_node_takes_and_another_runs_is_one_connected_trace() {
    let sink = Sink::start().await;
    let places = [
        Place::new(&settings("a", &sink)),
        Place::new(&settings("b", &sink)),
    ];
    let first = run(&places[0], &[]).await;
    let second = joined(&places[1], &first).await;
    for agent in [
        json!({"name": "teller", "agent_type": "command", "placement": {"node": "b"},
            "config": {"argv": ["sh", "-c", TELLS], "output": "json"}}),
        json!({"name": "web", "agent_type": "http", "placement": {"node": "b"},
            "endpoint": format!("{}/tool", sink.url())}),
        json!({"name": "shaky", "agent_type": "command", "placement": {"node": "b"},
            "config": {"argv": ["sh", "-c", "test \"$TROUPE_ATTEMPT\" = 2 && echo {}"]}}),
    ] {
        first.client.register(&agent).await.unwrap();
    }
    let task = json!({"description": "tell", "session_id": "s-1", "metadata": {"job": "told"}, "steps": [
        {"id": "one", "agent": "teller"},
        {"id": "two", "agent": "web", "needs": ["one"]},
        {"id": "three", "agent": "shaky", "needs": ["two"], "retry": {"max_attempts": 3, "backoff": "10ms"}},
    ]});
    // Through the second node, which passes it on to the one that owns tasks.
    let done = submit(&second, &task).await;
    let spans = until("all spans arrive", PATIENCE, async || {
        let spans = sink.of(TRACE);
        let all = named(&spans, "POST /api/v1/tasks").len() == 1
            && named(&spans, "invoke_workflow told").len() == 1
            && named(&spans, "execute_tool shaky").len() == 2
            && named(&spans, "invoke_agent shaky").len() == 2;
        // Each node sends its own when it comes to that, those between two nodes too.
        (all && loose(&spans).is_none()).then_some(spans)
    })
    .await;
    assert_eq!(sink.complaints(), Vec::<String>::new());
    connected(&spans);
    assert_eq!(instances(&spans).len(), 2, "{spans:#?}");
    let by_id: BTreeMap<&str, &Seen> = spans.iter().map(|span| (span.id.as_str(), span)).collect();

    // What each tool was told is the place of its own span.
    let told = |step: usize| told(&done["plan"]["steps"][step]["output"]);
    for (step, tool) in [(0, "teller"), (1, "web")] {
        let span = named(&spans, &format!("execute_tool {tool}"))[0];
        assert_eq!(told(step), format!("00-{TRACE}-{}-01", span.id));
        let attempt = by_id[span.parent.as_str()];
        assert_eq!(attempt.name, format!("invoke_agent {tool}"));
        assert_ne!(attempt.instance, span.instance, "the tool ran elsewhere");
        assert_eq!(by_id[attempt.parent.as_str()].name, "invoke_workflow told");
        assert_eq!(attempt.attributes["gen_ai.operation.name"], "invoke_agent");
        assert_eq!(attempt.attributes["gen_ai.agent.name"], tool);
        assert_eq!(attempt.attributes["gen_ai.conversation.id"], "s-1");
        assert_eq!(span.attributes["gen_ai.tool.name"], tool);
    }
    let whole = named(&spans, "invoke_workflow told")[0];
    assert_eq!(
        whole.attributes["troupe.task.id"],
        done["id"].as_str().unwrap()
    );
    assert_eq!(whole.attributes["troupe.task.state"], "completed");
    assert_eq!(by_id[whole.parent.as_str()].name, "task.submit");
    // The attempt that failed is a note of the whole, and the next one refers to it.
    assert_eq!(whole.notes, ["attempt_failed"]);
    let mut attempts = named(&spans, "invoke_agent shaky");
    attempts.sort_by_key(|span| span.attributes["troupe.attempt"].clone());
    assert!(attempts[0].failed && !attempts[1].failed);
    assert_eq!(attempts[1].links, [attempts[0].id.clone()]);
    println!(
        "{} spans of {} nodes, {} requests",
        spans.len(),
        2,
        sink.requests()
    );
    for span in &spans {
        println!(
            "{} {} < {} on {}",
            span.name, span.id, span.parent, span.instance
        );
    }

    // The last spans are sent before the process is gone.
    let _ = second.client.get("/api/v1/node").await.unwrap();
    second.terminate().await;
    until(
        "the last span arrives",
        Duration::from_secs(10),
        async || sink.any("GET /api/v1/node").then_some(()),
    )
    .await;
}

#[tokio::test]
async fn a_task_goes_on_in_its_trace_after_its_node_was_killed() {
    let sink = Sink::start().await;
    let place = Place::new(&settings("a", &sink));
    let node = run(&place, &[]).await;
    let go = place.path("go");
    let waits = format!("test -e {0} || sleep 600; {TELLS}", go.display());
    let agent = json!({"name": "slow", "agent_type": "command", "config": {"argv": ["sh", "-c", waits], "output": "json"}});
    node.client.register(&agent).await.unwrap();
    let url = std::fs::read_to_string(node.data.join("edge.url")).unwrap();
    let token = std::fs::read_to_string(node.data.join("admin.token")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let task = json!({"description": "wait", "steps": [{"id": "one", "agent": "slow"}]});
    let made = http.post(format!("{url}/api/v1/tasks")).bearer_auth(token);
    let made = made
        .header("traceparent", GIVEN)
        .json(&task)
        .send()
        .await
        .unwrap();
    let made: Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
    let id = made["id"].as_str().unwrap();
    until("the request's span arrives", PATIENCE, async || {
        sink.any("POST /api/v1/tasks").then_some(())
    })
    .await;
    node.kill();
    place.until_no_tool_is_left(PATIENCE).await;
    std::fs::write(&go, "").unwrap();

    let node = run(&place, &[]).await;
    let done = node.client.settled(id).await;
    let done = serde_json::to_value(&done).unwrap();
    let told = told(&done["plan"]["steps"][0]["output"]);
    let spans = until("the task's spans arrive", PATIENCE, async || {
        let spans = sink.of(TRACE);
        let all = named(&spans, "invoke_agent slow").len() == 2
            && named(&spans, "invoke_workflow task").len() == 1
            && named(&spans, "execute_tool slow").len() == 1;
        (all && loose(&spans).is_none()).then_some(spans)
    })
    .await;
    assert_eq!(sink.complaints(), Vec::<String>::new());
    connected(&spans);
    assert!(told.contains(TRACE), "{told}");
    assert_eq!(
        instances(&spans).len(),
        2,
        "both lives of the node: {spans:#?}"
    );
    assert_eq!(named(&spans, "resume_workflow").len(), 1);
    assert_eq!(
        named(&spans, "invoke_workflow task")[0].notes,
        ["attempt_lost"]
    );
}

#[tokio::test]
async fn a_collector_that_is_gone_costs_a_warning_and_nothing_else() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let place = Place::new(&format!(
        "[telemetry]\notlp_endpoint = \"http://{address}\"\n"
    ));
    let node = run(&place, &[]).await;
    let agent = json!({"name": "echo", "agent_type": "echo"});
    node.client.register(&agent).await.unwrap();
    let task =
        json!({"description": "say", "steps": [{"id": "one", "agent": "echo", "input": {"a": 1}}]});
    for _ in 0..20 {
        submit(&node, &task).await;
    }
    until("the node warns", PATIENCE, async || {
        place
            .log()
            .contains("the collector takes no spans")
            .then_some(())
    })
    .await;
    let since = std::time::Instant::now();
    assert!(node.terminate().await.success());
    assert!(
        since.elapsed() < Duration::from_secs(15),
        "{:?}",
        since.elapsed()
    );
    let warned = place.log().matches("the collector takes no spans").count();
    assert_eq!(warned, 1, "{}", place.log());
}
