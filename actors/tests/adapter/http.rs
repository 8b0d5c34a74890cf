//! What a service is sent, and what is made of each way in which it may answer.

use std::{path::Path, time::Duration};

use actors::{
    Config,
    adapter::{CallError, Doors, Probe, Stage, verify},
};
use protocol::agent::AgentSpec;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    stub::{Behaviour, Stub},
    support::{adapter, call, failed, lost, run},
};

fn permitting(port: u16) -> Config {
    let mut config = Config::default();
    config.egress.allow = vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    config
}

/// An agent whose mapping is that of the specification.
fn agent(port: u16) -> Value {
    json!({ "name": "http", "agent_type": "http", "endpoint": format!("http://127.0.0.1:{port}"),
        "config": {
            "request_mapping": {
                "method": "POST", "path": "/endpoint", "headers": { "X-Team": "docs" },
                "body_mapping": { "prompt": "$.task.description", "data": "$.input" },
            },
            "response_mapping": {
                "status_path": "$.status", "result_path": "$.result", "error_path": "$.error",
            },
        },
    })
}

async fn ask(agent: &Value, config: &Config) -> Result<Value, CallError> {
    run(
        &adapter(config, Path::new("/nowhere"), agent),
        &call(json!({ "x": 1 })),
    )
    .await
}

async fn ask_stub(stub: &Stub) -> Result<Value, CallError> {
    ask(&agent(stub.port), &permitting(stub.port)).await
}

/// A port that nobody listens on any more.
async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_service_sees_the_mapped_request_and_its_answer_is_mapped_back() {
    let stub = Stub::json(200, &json!({ "status": "success", "result": { "a": [1] } })).await;
    assert_eq!(ask_stub(&stub).await, Ok(json!({ "a": [1] })));
    assert_eq!(
        stub.body(),
        json!({ "prompt": "describe", "data": { "x": 1 } })
    );
    let request = &stub.requests()[0];
    assert!(
        request.starts_with("POST /endpoint HTTP/1.1\r\n"),
        "{request}"
    );
    for header in [
        "x-team: docs",
        "x-attempt: 1",
        "idempotency-key: key-1",
        "x-task-id: task_",
        "content-type: application/json",
    ] {
        assert!(
            request.to_lowercase().contains(header),
            "{header}: {request}"
        );
    }
}

#[tokio::test]
async fn an_api_agent_is_sent_and_gives_the_specified_bodies() {
    let reply = json!({ "status": "success", "result": { "n": 1 }, "processing_time_ms": 150 });
    let stub = Stub::json(200, &reply).await;
    let agent = json!({ "name": "api", "agent_type": "api",
        "endpoint": format!("http://127.0.0.1:{}/", stub.port) });
    assert_eq!(ask(&agent, &permitting(stub.port)).await, Ok(reply));
    assert!(stub.requests()[0].starts_with("POST /process HTTP/1.1"));
    assert_eq!(stub.body()["data"], json!({ "x": 1 }));
}

#[tokio::test]
async fn each_bad_answer_has_its_code() {
    for (status, body, code, retryable) in [
        (
            200,
            json!({ "status": "success" }),
            "response_mapping",
            false,
        ),
        (
            200,
            json!({ "status": "busy", "result": 1 }),
            "agent_error",
            true,
        ),
        (200, json!({ "error": { "why": "x" } }), "agent_error", true),
        (404, json!({}), "http_status", false),
        (429, json!({}), "http_status", true),
        (500, json!({}), "http_status", true),
    ] {
        let stub = Stub::json(status, &body).await;
        let expected = (code.to_owned(), retryable);
        assert_eq!(failed(ask_stub(&stub).await), expected, "{status} {body}");
    }
}

#[tokio::test]
async fn only_a_request_that_never_left_is_surely_not_done() {
    let closed = closed_port().await;
    let refused = ask(&agent(closed), &permitting(closed)).await;
    assert_eq!(failed(refused), ("connect".to_owned(), true));
    let mut unknown = agent(closed);
    unknown["endpoint"] = json!("http://no-such-host.invalid");
    let unknown = ask(&unknown, &permitting(closed)).await;
    assert_eq!(failed(unknown), ("connect".to_owned(), true));
    for behaviour in [Behaviour::HangUp, Behaviour::HangUpWithin] {
        let stub = Stub::new(behaviour).await;
        assert_eq!(lost(ask_stub(&stub).await), "connection_lost");
        assert_eq!(stub.requests().len(), 1, "nothing is sent twice");
    }
}

#[tokio::test]
async fn a_reply_without_an_end_is_cut_off() {
    let stub = Stub::new(Behaviour::Endless).await;
    let mut config = permitting(stub.port);
    config.egress.max_response = 100_000;
    let answer = ask(&agent(stub.port), &config).await;
    assert_eq!(failed(answer), ("response_too_large".to_owned(), false));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Stub::json(200, &json!({ "status": "ok", "result": 1 })).await;
    let location = format!("location: http://127.0.0.1:{}/\r\n", other.port);
    let stub = Stub::new(Behaviour::Answer(302, location.leak(), "{}".to_owned())).await;
    let mut config = permitting(stub.port);
    config
        .egress
        .allow
        .push(format!("127.0.0.1:{}", other.port));
    let answer = ask(&agent(stub.port), &config).await;
    assert_eq!(failed(answer), ("http_status".to_owned(), false));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_name_that_stands_for_this_machine_is_not_called() {
    let stub = Stub::json(200, &json!({ "status": "ok", "result": 1 })).await;
    let mut local = agent(stub.port);
    local["endpoint"] = json!(format!("http://localhost:{}", stub.port));
    let mut config = Config::default();
    config.egress.ports = vec![stub.port];
    let refused = ask(&local, &config).await;
    assert_eq!(failed(refused), ("egress".to_owned(), false));
    assert!(stub.requests().is_empty());
    assert_eq!(ask(&local, &permitting(stub.port)).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_secret_is_sent_and_never_comes_back() {
    // Set everywhere, and unlike anything that a reply holds by chance.
    let variable = "PATH";
    let secret = std::env::var(variable).unwrap();
    let reply = json!({ "status": "ok", "result": { "echo": format!("Bearer {secret}") } });
    let failure = json!({ "error": format!("{} {secret} is no token", "x".repeat(2000)) });
    for (kind, header) in [
        ("bearer_token", format!("authorization: bearer {secret}")),
        ("api_key_header", format!("x-api-key: {secret}")),
        ("basic", "authorization: basic ".to_owned()),
    ] {
        for (status, body) in [(200, &reply), (200, &failure), (500, &failure)] {
            let stub = Stub::json(status, body).await;
            let mut agent = agent(stub.port);
            agent["config"]["auth_config"] = json!({ "type": kind, "env_var": variable });
            let answer = format!("{:?}", ask(&agent, &permitting(stub.port)).await);
            assert!(!answer.contains(&secret), "{answer}");
            assert!(!answer.contains(&secret[..10]), "{answer}");
            let request = stub.requests()[0].to_lowercase();
            assert!(request.contains(&header.to_lowercase()), "{request}");
        }
    }
}

#[tokio::test]
async fn a_missing_credential_is_named() {
    let stub = Stub::json(200, &json!({})).await;
    let mut agent = agent(stub.port);
    agent["config"]["auth_config"] = json!({ "type": "bearer_token", "env_var": "NO_SUCH_KEY" });
    let answer = ask(&agent, &permitting(stub.port)).await;
    assert!(format!("{answer:?}").contains("NO_SUCH_KEY"));
    assert_eq!(failed(answer), ("auth".to_owned(), false));
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn a_probe_asks_by_the_idempotency_key() {
    let stub = Stub::json(200, &json!({ "done": true, "receipt": 7 })).await;
    let mut agent = agent(stub.port);
    agent["config"]["probe"] = json!({
        "path": "/charges/{idempotency_key}", "done_path": "$.done", "result_path": "$.receipt",
    });
    let adapter = adapter(&permitting(stub.port), Path::new("/nowhere"), &agent);
    assert_eq!(
        adapter.probe(&call(Value::Null)).await,
        Probe::Done(json!(7))
    );
    assert!(stub.requests()[0].starts_with("GET /charges/key-1 HTTP/1.1"));
}

#[tokio::test]
async fn a_check_asks_the_health_path_or_knocks() {
    let moment = Duration::from_secs(2);
    let stub = Stub::json(503, &json!({})).await;
    let knocks = adapter(
        &permitting(stub.port),
        Path::new("/nowhere"),
        &agent(stub.port),
    );
    assert!(knocks.check(moment).await.is_ok());
    let mut agent = agent(stub.port);
    agent["config"]["health"] = json!({ "path": "/health" });
    let asks = adapter(&permitting(stub.port), Path::new("/nowhere"), &agent);
    let found = asks.check(moment).await;
    assert_eq!(found, Err("/health answered 503".to_owned()));
    let silent = Stub::new(Behaviour::Silent).await;
    agent["endpoint"] = json!(format!("http://127.0.0.1:{}", silent.port));
    let waits = adapter(&permitting(silent.port), Path::new("/nowhere"), &agent);
    let found = waits.check(Duration::from_millis(100)).await;
    assert_eq!(found, Err("no answer within 100ms".to_owned()));
}

#[tokio::test]
async fn a_trial_names_the_stage_at_which_it_failed() {
    let good = Stub::json(200, &json!({ "status": "ok", "result": 1 })).await;
    let bad = Stub::json(200, &json!({ "status": "ok" })).await;
    let closed = closed_port().await;
    for (port, permitted, stage) in [
        (good.port, good.port, None),
        (good.port, 1, Some(Stage::Endpoint)),
        (closed, closed, Some(Stage::Connection)),
        (bad.port, bad.port, Some(Stage::Response)),
    ] {
        let spec = AgentSpec::deserialize(agent(port)).unwrap();
        let doors = Doors::new(&permitting(permitted), "/nowhere", [].into());
        let verdict = verify(&spec, &doors).await;
        assert_eq!(
            verdict.as_ref().err().map(|(stage, _)| *stage),
            stage,
            "{verdict:?}"
        );
    }
}

#[tokio::test]
async fn what_a_service_says_that_it_took_is_reported_also_when_it_fails() {
    let usage = json!({ "prompt_tokens": 12, "completion_tokens": 3 });
    let good = json!({ "status": "success", "result": 1, "usage": usage });
    let bad = json!({ "error": "overloaded", "usage": usage });
    for (status, reply) in [(200, good), (500, bad)] {
        let stub = Stub::json(status, &reply).await;
        let adapter = adapter(
            &permitting(stub.port),
            Path::new("/nowhere"),
            &agent(stub.port),
        );
        let call = call(json!(1));
        assert_eq!(run(&adapter, &call).await.is_ok(), status == 200);
        let usage = call.spent.get().unwrap();
        let tokens = (usage.input_tokens, usage.output_tokens);
        assert_eq!((tokens, usage.cost_micros), ((Some(12), Some(3)), None));
    }
}
