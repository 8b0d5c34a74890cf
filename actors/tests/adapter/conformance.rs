//! What holds for every adapter: one suite over all of them.

use std::{sync::Arc, time::Duration};

use actors::{
    Config,
    adapter::{Adapter, Answer, Call, CallError, Doors, for_agent},
};
use protocol::agent::AgentSpec;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    stub::{Behaviour, Stub},
    support::{PROMPTLY, call, config, shell},
};

/// An agent of the embedding program; this is all that a new adapter takes.
#[derive(Debug)]
struct Doubling;

impl Adapter for Doubling {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            if cancel.is_cancelled() {
                return Err(CallError::Cancelled);
            }
            Ok(json!(call.input.as_i64().unwrap_or(0) * 2))
        })
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        Box::pin(async { Ok("fine".to_owned()) })
    }
}

/// Where the adapters of a test live.
struct Bench {
    _data: TempDir,
    doors: Doors,
    quick: Stub,
    silent: Stub,
}

async fn bench() -> Bench {
    let data = tempfile::tempdir().unwrap();
    let reply = json!({ "status": "ok", "result": 1, "processing_time_ms": 3 });
    let quick = Stub::json(200, &reply).await;
    let silent = Stub::new(Behaviour::Silent).await;
    let mut config: Config = config();
    config.egress.allow = [quick.port, silent.port]
        .map(|port| format!("127.0.0.1:{port}"))
        .to_vec();
    let natives = [("double".to_owned(), Arc::new(Doubling) as Arc<dyn Adapter>)];
    let doors = Doors::new(&config, data.path(), natives.into());
    Bench {
        _data: data,
        doors,
        quick,
        silent,
    }
}

impl Bench {
    fn adapter(&self, agent: &Value) -> Arc<dyn Adapter> {
        for_agent(&AgentSpec::deserialize(agent).unwrap(), &self.doors).unwrap()
    }

    /// Each kind of adapter, at a call that it answers at once.
    fn quick(&self) -> Vec<(Value, Value)> {
        let url = format!("http://127.0.0.1:{}", self.quick.port);
        vec![
            (json!({ "name": "e", "agent_type": "echo" }), json!(1)),
            (
                json!({ "name": "s", "agent_type": "sleep" }),
                json!({ "for": "1ms" }),
            ),
            (
                json!({ "name": "f", "agent_type": "fail" }),
                json!({ "times": 0 }),
            ),
            (
                json!({ "name": "double", "agent_type": "native" }),
                json!(2),
            ),
            (shell("true"), json!({})),
            (
                json!({ "name": "h", "agent_type": "http", "endpoint": url }),
                json!({}),
            ),
            (
                json!({ "name": "c", "agent_type": "custom", "endpoint": url }),
                json!({}),
            ),
            (
                json!({ "name": "a", "agent_type": "api", "endpoint": url }),
                json!({}),
            ),
        ]
    }

    /// Each kind of adapter that may take time, at a call that it never answers.
    fn slow(&self) -> Vec<(Value, Value)> {
        let url = format!("http://127.0.0.1:{}", self.silent.port);
        vec![
            (
                json!({ "name": "s", "agent_type": "sleep" }),
                json!({ "for": "1h" }),
            ),
            (shell("trap '' TERM; sleep 3600"), json!({})),
            (
                json!({ "name": "h", "agent_type": "http", "endpoint": url }),
                json!({}),
            ),
            (
                json!({ "name": "a", "agent_type": "api", "endpoint": url }),
                json!({}),
            ),
        ]
    }
}

#[tokio::test]
async fn every_adapter_answers_checks_and_repeats() {
    let bench = bench().await;
    for (agent, input) in bench.quick() {
        let adapter = bench.adapter(&agent);
        let found = adapter.check(Duration::from_secs(2)).await;
        assert!(found.is_ok(), "{agent}: {found:?}");
        for attempt in 1..=3 {
            let call = Call {
                attempt,
                ..call(input.clone())
            };
            let answer = adapter.call(&call, &CancellationToken::new()).await;
            assert!(answer.is_ok(), "{agent}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn every_adapter_runs_many_calls_at_once() {
    let bench = bench().await;
    for (agent, input) in bench.quick() {
        let adapter = bench.adapter(&agent);
        let calls: Vec<Call> = (0..8).map(|_| call(input.clone())).collect();
        let never = CancellationToken::new();
        let answers =
            futures_util::future::join_all(calls.iter().map(|it| adapter.call(it, &never)));
        for answer in answers.await {
            assert!(answer.is_ok(), "{agent}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn no_adapter_begins_a_call_that_is_cancelled_already() {
    let bench = bench().await;
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    for (agent, input) in bench.quick() {
        let answer = bench.adapter(&agent).call(&call(input), &cancelled).await;
        assert_eq!(answer, Err(CallError::Cancelled), "{agent}");
    }
    assert!(bench.quick.requests().is_empty());
}

#[tokio::test]
async fn every_adapter_answers_a_cancel_promptly() {
    let bench = bench().await;
    for (agent, input) in bench.slow() {
        let adapter = bench.adapter(&agent);
        let (call, cancel) = (call(input), CancellationToken::new());
        let mut running = adapter.call(&call, &cancel);
        // It is under way and does not end by itself.
        let early = timeout(Duration::from_millis(100), &mut running).await;
        assert!(early.is_err(), "{agent}: {early:?}");
        cancel.cancel();
        let start = Instant::now();
        assert_eq!(running.await, Err(CallError::Cancelled), "{agent}");
        let took = start.elapsed();
        assert!(took < PROMPTLY, "{agent}: {took:?}");
    }
}

#[tokio::test]
async fn every_adapter_keeps_to_the_time_it_is_given() {
    let bench = bench().await;
    for (agent, input) in bench.slow() {
        let adapter = bench.adapter(&agent);
        let call = Call {
            timeout: Duration::from_millis(300),
            ..call(input)
        };
        let start = Instant::now();
        let answer = adapter.call(&call, &CancellationToken::new()).await;
        let over = start.elapsed().saturating_sub(call.timeout);
        assert!(over < PROMPTLY, "{agent}: {over:?}");
        let (Err(CallError::Failed { failure, .. }) | Err(CallError::Lost { failure, .. })) =
            answer
        else {
            panic!("{agent}: {answer:?}");
        };
        assert_eq!(failure.code, "timeout", "{agent}");
    }
}
