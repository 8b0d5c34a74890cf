//! `troupe mcp`: MCP over standard input and output, for clients that start their servers as programs.
//!
//! Each line goes to the node as it is, and so does what the node answers: the node knows the protocol.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
};

use super::exit::{Exit, Failure, Outcome};
use crate::client::Client;

/// Messages that are on their way to the node at once.
const UNDER_WAY: usize = 16;

/// Of JSON-RPC.
const NO_JSON: i64 = -32_700;
const NO_MESSAGE: i64 = -32_600;
const FAILED: i64 = -32_603;

/// What a client of today puts into each message, and one of yesterday says once.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Passes messages on until there are no more.
pub(super) async fn run(client: &Client) -> Outcome {
    let (answers, mut written) = mpsc::channel::<Value>(UNDER_WAY);
    let writer = tokio::spawn(async move {
        let mut out = tokio::io::stdout();
        while let Some(answer) = written.recv().await {
            let line = format!("{answer}\n");
            if out.write_all(line.as_bytes()).await.is_err() || out.flush().await.is_err() {
                return;
            }
        }
    });
    let failed = |error| Failure::new(Exit::Failed, "cannot read messages").because(error);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let (mut asked, mut under_way) = (JoinSet::new(), HashMap::<String, AbortHandle>::new());
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut version = None;
    while let Some(line) = lines.next_line().await.map_err(failed)? {
        if line.trim().is_empty() {
            continue;
        }
        while asked.try_join_next().is_some() {}
        under_way.retain(|_, asked| !asked.is_finished());
        let message = match read(&line) {
            Ok(message) => message,
            Err(failure) => {
                // Nobody reads answers any more when this end is gone.
                let _ = answers.send(failure).await;
                continue;
            }
        };
        if let Some(given_up) = cancelled(&message) {
            if let Some(asked) = under_way.remove(&given_up) {
                asked.abort();
            }
            continue;
        }
        // What follows the first message depends on its answer.
        if message["method"] == "initialize" {
            let answer = pass(client, &message, None).await;
            version = answer
                .as_ref()
                .and_then(|answer| answer["result"]["protocolVersion"].as_str())
                .map(str::to_owned);
            if let Some(answer) = answer {
                let _ = answers.send(answer).await;
            }
            continue;
        }
        let id = message.get("id").map(Value::to_string);
        let (client, answers, version) = (client.clone(), answers.clone(), version.clone());
        let room = Arc::clone(&room).acquire_owned().await;
        let asked = asked.spawn(async move {
            let _room = room;
            if let Some(answer) = pass(&client, &message, version.as_deref()).await {
                let _ = answers.send(answer).await;
            }
        });
        if let Some(id) = id {
            under_way.insert(id, asked);
        }
    }
    // Whoever closes its end after a question still wants the answer.
    while asked.join_next().await.is_some() {}
    drop(answers);
    let _ = writer.await;
    Ok(Exit::Ok)
}

/// A line as a message, or what is answered to one that is none.
fn read(line: &str) -> Result<Value, Value> {
    let message: Result<Value, _> = serde_json::from_str(line);
    match message {
        Ok(message) if message.is_object() => Ok(message),
        Ok(_) => Err(failure(
            &Value::Null,
            NO_MESSAGE,
            "one object a line is a message",
        )),
        Err(error) => Err(failure(&Value::Null, NO_JSON, &error.to_string())),
    }
}

/// What the node answers to a message, if it is one that is answered.
async fn pass(client: &Client, message: &Value, version: Option<&str>) -> Option<Value> {
    let id = message.get("id").cloned();
    match client.mcp(message, &headers(message, version)).await {
        Ok(answer) => answer.filter(|_| id.is_some()),
        Err(error) => Some(failure(&id?, FAILED, &error.to_string())),
    }
}

/// What HTTP wants said of a message beside it.
fn headers(message: &Value, version: Option<&str>) -> Vec<(&'static str, String)> {
    let params = &message["params"];
    let own = params["_meta"][VERSION].as_str();
    let mut headers = Vec::new();
    if let Some(version) = own.or(version) {
        headers.push(("mcp-protocol-version", version.to_owned()));
    }
    if own.is_some() {
        let named = [
            ("mcp-method", &message["method"]),
            ("mcp-name", &params["name"]),
        ];
        let named = named.into_iter();
        headers.extend(named.filter_map(|(name, it)| Some((name, it.as_str()?.to_owned()))));
    }
    headers
}

/// Which question a client takes back.
fn cancelled(message: &Value) -> Option<String> {
    let is_that = message["method"] == "notifications/cancelled";
    is_that.then(|| message["params"]["requestId"].to_string())
}

fn failure(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_told_what_a_message_says_of_itself_or_what_was_agreed() {
        let call = |meta: Value| {
            let params = json!({ "name": "get_task", "_meta": meta });
            json!({ "id": 1, "method": "tools/call", "params": params })
        };
        let own = call(json!({ VERSION: "2026-07-28" }));
        let expected = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "get_task"),
        ];
        let expected = expected.map(|(name, it)| (name, it.to_owned()));
        assert_eq!(headers(&own, Some("2025-11-25")), expected);
        let agreed = headers(&call(json!({})), Some("2025-11-25"));
        assert_eq!(agreed, [("mcp-protocol-version", "2025-11-25".to_owned())]);
        assert_eq!(headers(&call(json!({})), None), []);
    }

    #[test]
    fn a_question_that_is_taken_back_is_known_by_its_id() {
        let cancel = |id: Value| json!({ "method": "notifications/cancelled", "params": { "requestId": id } });
        assert_eq!(cancelled(&cancel(json!(7))).as_deref(), Some("7"));
        assert_eq!(cancelled(&cancel(json!("a"))).as_deref(), Some("\"a\""));
        assert_eq!(cancelled(&json!({ "method": "ping", "id": 7 })), None);
    }
}
