//! What the tests of all adapters share.

use std::{collections::HashMap, fs, path::Path, sync::Arc, time::Duration};

use actors::{
    Config,
    adapter::{Adapter, Call, CallError, Doors, Spent, for_agent},
};
use protocol::{agent::AgentSpec, id::TaskId};
use runtime::membership::Fence;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Within this the end of a call is seen. It takes some ten milliseconds on an idle machine; a
/// loaded one must not fail a test.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(8);

/// A configuration in which programs have the runner of this build.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.command.runner = Some(env!("CARGO_BIN_EXE_troupe-tool-runner").into());
    config
}

pub(crate) fn adapter(config: &Config, data_dir: &Path, agent: &Value) -> Arc<dyn Adapter> {
    fenced(config, data_dir, agent, &Fence::open())
}

/// One of a node that may act as long as `fence` holds.
pub(crate) fn fenced(
    config: &Config,
    data_dir: &Path,
    agent: &Value,
    fence: &Fence,
) -> Arc<dyn Adapter> {
    let spec = AgentSpec::deserialize(agent).unwrap();
    let doors = Doors::fenced(config, data_dir, HashMap::new(), fence.clone());
    for_agent(&spec, &doors).unwrap()
}

/// A command agent under a shell, which is here the program and not a way to start it.
pub(crate) fn shell(script: &str) -> Value {
    json!({ "name": "sh", "agent_type": "command", "config": { "argv": ["/bin/sh", "-c", script] } })
}

/// A first attempt, at a step of a task that nobody else has.
pub(crate) fn call(input: Value) -> Call {
    Call {
        task: TaskId::from_uuid(Uuid::new_v4()),
        step: "one".to_owned(),
        attempt: 1,
        idempotency_key: "key-1".to_owned(),
        description: "describe".into(),
        task_input: Value::Null.into(),
        replies: actors::adapter::Replies::new(),
        input,
        needs: Map::new(),
        timeout: Duration::from_secs(30),
        trace: None,
        spent: Spent::default(),
    }
}

pub(crate) async fn run(adapter: &Arc<dyn Adapter>, call: &Call) -> Result<Value, CallError> {
    adapter.call(call, &CancellationToken::new()).await
}

/// What one call to such an agent answers, in a directory of its own.
pub(crate) async fn answer(
    config: &Config,
    agent: &Value,
    call: &Call,
) -> Result<Value, CallError> {
    let data = tempfile::tempdir().unwrap();
    run(&adapter(config, data.path(), agent), call).await
}

/// The code of a failure, and whether it may be tried again.
pub(crate) fn failed(answer: Result<Value, CallError>) -> (String, bool) {
    match answer {
        Err(CallError::Failed { failure, retryable }) => (failure.code, retryable),
        other => panic!("it did not fail: {other:?}"),
    }
}

/// The code of a call whose outcome is open.
pub(crate) fn lost(answer: Result<Value, CallError>) -> String {
    match answer {
        Err(CallError::Lost {
            failure,
            may_have_happened: true,
        }) => failure.code,
        other => panic!("it was not lost: {other:?}"),
    }
}

/// Waits until `holds`; gives up after ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = tokio::time::Instant::now();
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while !holds() {
        look.tick().await;
        assert!(start.elapsed().as_secs() < 10, "never: {what}");
    }
    start.elapsed()
}

/// Processes with `marker` in their command line; ended ones have none.
pub(crate) fn alive(marker: &str) -> Vec<i32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(marker)
        })
        .collect()
}

#[track_caller]
pub(crate) fn assert_gone(marker: &str) {
    let left = alive(marker);
    assert!(left.is_empty(), "processes are left: {left:?}");
}

/// A number of seconds that no other process sleeps for.
pub(crate) fn marker() -> String {
    format!("9{:09}", Uuid::new_v4().as_u128() % 1_000_000_000)
}
